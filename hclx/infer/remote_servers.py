"""The servers of models that are known: which settings each honours, and by which names.

A server passes over fields that it does not know, and says nothing. So a setting is sent to a
server that is known to honour it, in the meaning that it has here, and is refused otherwise. All
known ones are sent each time, because the defaults of servers differ.
"""

import dataclasses
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from hclx.errors import ConfigError, shown
from hclx.infer.engine import GenerateRequest, RequestError
from hclx.infer.grammar import Grammar
from hclx.infer.remote_http import Http, UnreadableError
from hclx.infer.sampling import SamplingConfig

# Settings that servers may lack, with the values that change nothing.
_NEUTRAL = {
    "top_k": 0,
    "min_p": 0.0,
    "min_tokens": 0,
    "repetition_penalty": 1.0,
    "frequency_penalty": 0.0,
    "presence_penalty": 0.0,
    "logit_bias": {},
    "allowed_tokens": (),
    "stop_ids": (),
}
_SAME = {name: name for name in ("frequency_penalty", "presence_penalty", "logit_bias")}
_MOST = 2**31 - 1  # of whole numbers that servers read
_OLDEST_VLLM = (0, 12)  # the first with all of the fields below


@dataclasses.dataclass(frozen=True)
class ServerKind:
    """A program that serves models.

    Attributes:
      name: for messages.
      fields: setting of `SamplingConfig` -> field of the request.
      why_not: setting -> why it is refused although the server has a field of its name.
      always: fields that every request has.
      grammars: kind of grammar -> the fields that say it.
      takes_ids: whether a prompt may be token ids.
      tokenize: path, and the fields for a text with or without the tokens that begin a document;
        None: the server does not encode texts for others.
      echo_tokens: the least `max_tokens` of a request for log-probabilities of a prompt; None: the
        server gives none.
      stop_field: the field that says which stop text or id ended a text; None: it does not say.
      has_poor_streams: whether its streams lose characters of several tokens, behind halves of
        others and where it holds back a stop text, tell no numbers of tokens and no errors, and
        have log-probabilities without such characters. Texts are asked for as a whole there.
      needs_begin: whether its log-probabilities of a prompt are those of other tokens, unless the
        model's documents begin with a token.
      tells_ids: whether log-probabilities name tokens by ids.
      tenant_field: the field that keeps the prefixes of tenants apart.
      is_serial: whether a request ends another that is being served.
      is_500_final: whether it answers 500 to wrong requests.
      seeds: the number of seeds; one beyond would mean any.
      least_temperature: the server raises lower ones that are not 0.
      has_adapters: whether adapters that it has loaded are models with names of their own.
    """

    name: str
    fields: Mapping[str, str]
    why_not: Mapping[str, str] = dataclasses.field(default_factory=dict)
    always: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    grammars: Mapping[str, Callable[[Grammar], dict]] = dataclasses.field(default_factory=dict)
    takes_ids: bool = True
    tokenize: tuple[str, Callable[[str, bool], dict]] | None = None
    echo_tokens: int | None = 1
    stop_field: str | None = None
    has_poor_streams: bool = False
    needs_begin: bool = False
    tells_ids: bool = False
    tenant_field: str | None = None
    is_serial: bool = False
    is_500_final: bool = False
    seeds: int = 2**32
    least_temperature: float = 0.0
    has_adapters: bool = False


def _choices(source: Grammar) -> str:
    """The choices in the notation of llama.cpp and xgrammar."""
    labels = json.loads(source.written)
    return "root ::= " + " | ".join(json.dumps(label, ensure_ascii=False) for label in labels)


VLLM = ServerKind(
    "vLLM",
    fields={
        **_SAME,
        **{name: name for name in ("top_k", "min_p", "min_tokens", "repetition_penalty")},
        "allowed_tokens": "allowed_token_ids",
        "stop_ids": "stop_token_ids",
    },
    always={"return_token_ids": True, "return_tokens_as_token_ids": True},
    grammars={
        "choices": lambda g: {"structured_outputs": {"choice": json.loads(g.written)}},
        "regex": lambda g: {"structured_outputs": {"regex": g.written}},
        "json_schema": lambda g: {"structured_outputs": {"json": json.loads(g.written)}},
    },
    tokenize=(
        "tokenize",
        lambda text, begins: {"prompt": text, "add_special_tokens": begins},
    ),
    echo_tokens=0,
    stop_field="stop_reason",
    tells_ids=True,
    tenant_field="cache_salt",
    least_temperature=0.01,
    has_adapters=True,
)
SGLANG = ServerKind(
    "SGLang",
    fields={
        **_SAME,
        **{name: name for name in ("top_k", "min_p", "min_tokens", "repetition_penalty")},
        "stop_ids": "stop_token_ids",
    },
    grammars={
        "choices": lambda g: {"ebnf": _choices(g)},
        "regex": lambda g: {"regex": g.written},
        "json_schema": lambda g: {"json_schema": g.written},
    },
    stop_field="matched_stop",
)
LLAMA_SERVER = ServerKind(
    "llama.cpp",
    fields={
        "top_k": "top_k",
        "min_p": "min_p",
        "logit_bias": "logit_bias",
        "repetition_penalty": "repeat_penalty",
    },
    why_not=dict.fromkeys(
        ("frequency_penalty", "presence_penalty"), "counts the tokens of the prompt for it too"
    ),
    always={
        "repeat_last_n": -1,
        "samplers": ["penalties", "temperature", "top_k", "top_p", "min_p"],
    },
    grammars={
        "choices": lambda g: {"grammar": _choices(g)},
        "json_schema": lambda g: {"json_schema": json.loads(g.written)},
    },
    tokenize=("tokenize", lambda text, begins: {"content": text, "add_special": begins}),
    echo_tokens=None,
    seeds=2**32 - 1,
)
LLAMA_CPP_PYTHON = ServerKind(
    "llama-cpp-python",
    fields={name: name for name in ("top_k", "min_p", "min_tokens", "logit_bias")},
    why_not=dict.fromkeys(
        ("repetition_penalty", "frequency_penalty", "presence_penalty"),
        "counts the last tokens of the new text alone for it",
    ),
    always={"repeat_penalty": 1.0, "mirostat_mode": 0},
    grammars={"choices": lambda g: {"grammar": _choices(g)}},
    takes_ids=False,
    has_poor_streams=True,
    needs_begin=True,
    is_serial=True,
    is_500_final=True,
    seeds=2**32 - 1,
)
UNKNOWN = ServerKind("a server of a kind that is not known here", fields=_SAME)


@dataclasses.dataclass(frozen=True)
class Server:
    """A model that a server serves.

    Attributes:
      kind: of the server.
      model: its name there.
      max_length: the most tokens that it reads, if the server says so.
    """

    kind: ServerKind
    model: str
    max_length: int | None


def model_of(server: Server, artefact: str | None) -> str:
    """Returns the name of the model that serves a request.

    Raises:
      RequestError: the server is not known to have adapters.
    """
    if artefact is not None and not server.kind.has_adapters:
        raise RequestError(
            f"artefact={shown(artefact)}: {server.kind.name} is not known to have adapters; leave"
            " the field out"
        )
    return server.model if artefact is None else artefact


async def look_at(http: Http, model: str | None) -> Server:
    """Asks a server what it is, and looks for a model.

    Raises:
      ConfigError: it has no such model, or several and none was named; or it is another server.
      RequestError, ServerError: as `Http.post`.
    """
    try:
        entries = (await http.get("v1/models")).get("data")
    except RequestError:
        if model is None:
            raise
        return Server(UNKNOWN, model, None)  # it has no list of its models
    except UnreadableError as error:  # which no second attempt changes
        raise ConfigError(str(error)) from error
    if not isinstance(entries, list):
        raise ConfigError(
            f"{http.address} answers no list of models but {shown(entries)}; give the address of a"
            " server that speaks OpenAI's completions"
        )
    entries = [e for e in entries if isinstance(e, dict) and isinstance(e.get("id"), str)]
    names = [entry["id"] for entry in entries]
    if model is None and len(names) != 1:
        raise ConfigError(f"{http.address} has the models {names}; name one of them with --model")
    if model is not None and model not in names:
        raise ConfigError(f"{http.address} has no model {model!r}; it has {names}")
    entry = entries[names.index(model or names[0])]
    length = entry.get("max_model_len")
    kind = await _kind(http, entry.get("owned_by"))
    return Server(kind, entry["id"], length if isinstance(length, int) else None)


async def _kind(http: Http, owner: object) -> ServerKind:
    if owner == "vllm":
        version = re.match(r"(\d+)\.(\d+)", str((await _asked(http, "version")).get("version")))
        is_new = version and tuple(map(int, version.groups())) >= _OLDEST_VLLM
        return VLLM if is_new else UNKNOWN
    if owner == "sglang":
        return SGLANG
    if owner == "llamacpp":
        return LLAMA_SERVER
    if owner == "me":
        info = (await _asked(http, "openapi.json")).get("info")
        is_python = isinstance(info, dict) and "llama.cpp Python" in str(info.get("title"))
        return LLAMA_CPP_PYTHON if is_python else UNKNOWN
    return UNKNOWN


async def _asked(http: Http, path: str) -> dict:
    try:
        return await http.get(path)
    except (RequestError, UnreadableError):  # there is nothing
        return {}


def finds_stops(kind: ServerKind, is_streamed: bool) -> bool:
    """Returns whether a server is given stop texts; they are looked for here otherwise."""
    return not (is_streamed and kind.has_poor_streams)


def request_fields(
    kind: ServerKind, request: GenerateRequest, seed: int, eod_id: int | None, is_streamed: bool
) -> dict[str, Any]:
    """Returns the fields of a request for one continuation, but model, prompt and `max_tokens`.

    Args:
      kind: of the server.
      request: what is asked for.
      seed: of this continuation.
      eod_id: the end of a document, if the tokenizer is known here.
      is_streamed: whether the text comes in parts.
    Raises:
      RequestError: the server does not honour something: says what.
    """
    sampling = request.sampling
    _check_settings(kind, sampling, eod_id)
    fields = {
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "seed": seed % 2**32 % kind.seeds,
        **kind.always,
        **tenant_fields(kind, request.tenant),
        **{field: _value(kind, sampling, name, eod_id) for name, field in kind.fields.items()},
    }
    if is_streamed:
        fields |= {"stream": True, "stream_options": {"include_usage": True}}
    fields = {name: value for name, value in fields.items() if value is not None}
    if sampling.stop and finds_stops(kind, is_streamed):
        fields["stop"] = list(sampling.stop)
    if sampling.logprobs is not None:
        # One alternative is asked for at least: a server may mean by 0 that none are wanted.
        fields["logprobs"] = max(1, sampling.logprobs)
    if request.grammar is not None:
        fields |= _grammar_fields(kind, request.grammar)
    return fields


def tenant_fields(kind: ServerKind, tenant: str) -> dict[str, str]:
    """Returns the field that keeps a tenant apart. Raises RequestError if the server has none."""
    if not tenant:
        return {}
    if kind.tenant_field is None:
        raise RequestError(f"{kind.name} cannot keep tenants apart; leave out tenant={tenant!r}")
    return {kind.tenant_field: tenant}


def check_prompt(prompt: str | Sequence[int], name: str) -> None:
    """Raises RequestError if a prompt is neither text nor ids."""
    if isinstance(prompt, str):
        return
    if not isinstance(prompt, list | tuple | np.ndarray):
        raise RequestError(f"the {name} is {shown(prompt)}: give a text or token ids")
    _check_ids(prompt, f"the {name}")


def check_alternatives(kind: ServerKind, n: int, name: str) -> None:
    """Raises RequestError if alternatives are asked for that the server names by texts alone."""
    if n and not kind.tells_ids:
        raise RequestError(f"{name}={n}: {kind.name} does not tell the ids of tokens; give 0")


def _check_ids(ids: Iterable[object], name: str) -> None:
    for token in ids:
        is_whole = isinstance(token, int | np.integer) and not isinstance(token, bool)
        if not is_whole or not 0 <= token < _MOST:
            raise RequestError(f"{name} has {shown(token)}, which is no token id")


def _check_settings(kind: ServerKind, sampling: SamplingConfig, eod_id: int | None) -> None:
    for name, neutral in _NEUTRAL.items():
        value = getattr(sampling, name)
        if value != neutral and name not in kind.fields:
            reason = kind.why_not.get(name, "is not known to honour it")
            raise RequestError(f"{name}={shown(value)}: {kind.name} {reason}; leave it out")
    if 0 < sampling.temperature < kind.least_temperature:
        raise RequestError(
            f"temperature={sampling.temperature}: {kind.name} makes {kind.least_temperature} of it;"
            " give that, or 0 for the most likely token"
        )
    if sampling.allowed_tokens and eod_id is None:
        raise RequestError(
            "allowed_tokens: the end of the document has to be allowed too; give the engine the"
            " model's tokenizer, which knows it"
        )
    check_alternatives(kind, sampling.logprobs or 0, "logprobs")
    for name in ("allowed_tokens", "stop_ids", "logit_bias"):
        _check_ids(getattr(sampling, name), f"sampling.{name}")
    if kind is LLAMA_CPP_PYTHON and sampling.min_tokens and (sampling.logit_bias or sampling.stop):
        # It then forgets both settings; and a stop text would end a text that is too short.
        raise RequestError(
            f"min_tokens={sampling.min_tokens}: {kind.name} cannot do this together with logit_bias"
            " or stop"
        )


def _value(kind: ServerKind, sampling: SamplingConfig, name: str, eod_id: int | None) -> Any:
    """The value that a field gets for a setting; None: the field is left out."""
    value = getattr(sampling, name)
    if name == "top_k":
        return min(value, _MOST) or (-1 if kind is SGLANG else 0)
    if name == "logit_bias":
        return {str(token): float(bias) for token, bias in value.items()} or None
    if name == "allowed_tokens":
        return [*value, eod_id, *sampling.stop_ids] if value else None
    return list(value) or None if isinstance(value, tuple) else value


def _grammar_fields(kind: ServerKind, grammar: Grammar) -> dict[str, Any]:
    if grammar.kind not in kind.grammars:
        names = ", ".join(kind.grammars) or "none"
        raise RequestError(
            f"grammar: {kind.name} is not known to follow a {grammar.kind} as it is meant here; of"
            f" the kinds of grammars it follows {names}"
        )
    return kind.grammars[grammar.kind](grammar)
