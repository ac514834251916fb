"""Fields of requests of the OpenAI dialect that completions and chats share, and their meaning.

Fields that would be passed over in silence are not listed, and are refused by their name.
"""

import asyncio
import dataclasses
import json
import secrets
from collections.abc import Sequence
from typing import Annotated, Literal

import msgspec

from hclx.errors import ConfigError
from hclx.infer import GenerateRequest, SamplingConfig
from hclx.infer import grammar as grammars
from hclx.infer.grammar import Grammar
from hclx.serve.api_error import error_of, invalid
from hclx.serve.backend import Backend
from hclx.serve.caller import Caller, Usage
from hclx.serve.serve_config import ServeConfig

# Wider numbers are no sizes, and no seeds either.
Int64 = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]


class StreamOptions(msgspec.Struct, forbid_unknown_fields=True):
    """Options of a stream."""

    include_usage: bool | None = None
    continuous_usage_stats: Literal[False] | None = None


class StructuredOutputs(msgspec.Struct, forbid_unknown_fields=True):
    """A rule for the text; exactly one field is set."""

    choice: list[str] | None = None
    regex: str | None = None
    json: dict | bool | str | None = None
    grammar: str | None = None


class JsonSchema(msgspec.Struct, forbid_unknown_fields=True):
    """A schema of `response_format`."""

    schema: dict | bool
    name: str | None = None
    description: str | None = None
    strict: bool | None = None


class ResponseFormat(msgspec.Struct, forbid_unknown_fields=True):
    """The form of the text."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None


class SamplingFields(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The fields of completions and chats."""

    model: str
    temperature: float | None = None
    top_p: float | None = None
    top_k: Int64 | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    logit_bias: dict[int, float] | None = None
    allowed_token_ids: list[int] | None = None
    seed: Int64 | None = None
    stop: str | list[str] | None = None
    stop_token_ids: list[int] | None = None
    min_tokens: Int64 | None = None
    ignore_eos: bool | None = None
    n: Int64 | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    structured_outputs: StructuredOutputs | None = None
    response_format: ResponseFormat | None = None
    cache_salt: str | None = None
    # What follows changes nothing here, or is accepted with the value that changes nothing.
    user: str | None = None
    metadata: dict | None = None
    store: Literal[False] | None = None
    skip_special_tokens: Literal[True] | None = None
    include_stop_str_in_output: Literal[False] | None = None
    spaces_between_special_tokens: bool | None = None


def prompts_of(prompt: str | list, most: int, name: str = "prompt") -> list[str | list[int]]:
    """Returns the prompts of a request, each a text or ids.

    Args:
      prompt: a text, ids, a list of texts, or a list of lists of ids.
      most: how many there may be.
      name: of the field.
    Raises:
      ApiError: 400, it is empty, has several kinds, or too many prompts.
    """
    if isinstance(prompt, str):
        prompt = [prompt]
    elif prompt and all(isinstance(token, int) for token in prompt):
        prompt = [prompt]
    kinds = {type(value) for value in prompt}
    if len(kinds) != 1 or not kinds <= {str, list}:
        raise invalid(f"{name}: give a text, token ids, or a list of either", name)
    if len(prompt) > most:
        raise invalid(f"{name} has {len(prompt)} texts: give at most {most}", name)
    if not all(prompt):
        raise invalid(f"{name} is empty: give a text or token ids", name)
    return prompt


def check_fields(fields: SamplingFields, n_prompts: int, config: ServeConfig) -> None:
    """Raises ApiError (400) for a field beyond the limits of the server."""
    n, stop = fields.n if fields.n is not None else 1, stop_texts(fields)
    if n < 1:
        raise invalid(f"n={n}: give 1 or more", "n")
    if n * n_prompts > config.n:
        prompts = f" of each of {n_prompts} prompts" if n_prompts > 1 else ""
        raise invalid(f"n={n}{prompts}: give at most {config.n} texts in all", "n")
    check_stops(stop, "stop", config)
    if fields.ignore_eos and stop:
        raise invalid("ignore_eos does not go with stop; give max_tokens alone", "ignore_eos")
    if fields.stream_options is not None and not fields.stream:
        raise invalid("stream_options is for streams; give stream=true", "stream_options")


def check_token_ids(fields: SamplingFields, backend: Backend) -> None:
    """Raises ApiError (400) for an id of a setting that is not in the vocabulary."""
    for name in ("stop_token_ids", "allowed_token_ids", "logit_bias"):
        backend.check_ids(getattr(fields, name) or (), name)


def check_stops(stop: Sequence[str], name: str, config: ServeConfig) -> None:
    """Raises ApiError (400) for stop texts beyond the limits, or one that is empty."""
    if not all(stop):
        raise invalid(f"{name} has an empty text, which ends nothing; leave it out", name)
    if len(stop) > config.stop_texts:
        raise invalid(f"{name} has {len(stop)} texts: give at most {config.stop_texts}", name)
    longest = max(map(len, stop), default=0)
    if longest > config.stop_chars:
        limit = f"give at most {config.stop_chars:,}"
        raise invalid(f"{name} has a text of {longest:,} characters: {limit}", name)


def stop_texts(fields: SamplingFields) -> tuple[str, ...]:
    """Returns the stop texts of a request."""
    stop = fields.stop
    return (stop,) if isinstance(stop, str) else tuple(stop or ())


def check_logprobs(n: int | None, name: str, config: ServeConfig) -> None:
    """Raises ApiError (400) for a number of alternatives beyond the limit."""
    if n is not None and not 0 <= n <= config.logprobs:
        raise invalid(f"{name}={n} is out of range: give 0 to {config.logprobs}", name)


def sampling_of(
    fields: SamplingFields, max_tokens: int, logprobs: int | None, ends: Sequence[int] = ()
) -> SamplingConfig:
    """Returns the settings of the engine, with a random seed if none is given.

    Args:
      fields: of the request.
      max_tokens: the most tokens of the text.
      logprobs: as in `SamplingConfig`.
      ends: ids that end the text besides those of the request.
    Raises:
      ApiError: 400, a value is out of range.
    """
    names = ("temperature", "top_p", "top_k", "min_p", "repetition_penalty")
    names += ("frequency_penalty", "presence_penalty", "min_tokens", "logit_bias")
    values = {name: getattr(fields, name) for name in names}
    values["top_k"] = 0 if values["top_k"] == -1 else values["top_k"]  # vLLM has -1 for all
    values = {name: value for name, value in values.items() if value is not None}
    if fields.ignore_eos:
        values["min_tokens"] = max_tokens
    if fields.allowed_token_ids == []:
        text = "allowed_token_ids is empty: give the ids that may be written, or leave it out"
        raise invalid(text, "allowed_token_ids")
    seed = secrets.randbits(32) if fields.seed is None else fields.seed % 2**32
    try:
        return SamplingConfig(
            **{"temperature": 1.0, "top_p": 1.0, **values},
            max_tokens=max_tokens,
            allowed_tokens=tuple(fields.allowed_token_ids or ()),
            seed=seed,
            stop=stop_texts(fields),
            stop_ids=(*(fields.stop_token_ids or ()), *ends),
            logprobs=logprobs,
        )
    except ConfigError as error:
        raise error_of(error) from error


def with_seeds(request: GenerateRequest, n: int) -> list[GenerateRequest]:
    """Returns requests for `n` texts with seeds of their own."""
    sampling = request.sampling
    seeds = [(sampling.seed + index) % 2**32 for index in range(n)]
    settings = [dataclasses.replace(sampling, seed=seed) for seed in seeds]
    return [dataclasses.replace(request, sampling=each) for each in settings]


def tenant_of(fields: SamplingFields, caller: Caller) -> str:
    """Returns whose prefixes a request shares; a salt sets it apart from others of the tenant."""
    return f"{caller.tenant}/{fields.cache_salt}" if fields.cache_salt else caller.tenant


def usage_object(usage: Usage) -> dict:
    """Returns the object `usage` of an answer."""
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
    }


_MAKERS = {
    "choice": grammars.choices,
    "regex": grammars.regex,
    "json": grammars.json_schema,
    "grammar": grammars.lark,
}


def grammar_of(fields: SamplingFields) -> Grammar | None:
    """Returns the rule that the text has to follow; None: there is none.

    Raises:
      ApiError: 400, the rule is wrong or there are two.
    """
    rule, form = fields.structured_outputs, fields.response_format
    rules = (
        [] if rule is None else [n for n in rule.__struct_fields__ if getattr(rule, n) is not None]
    )
    has_form = form is not None and form.type != "text"
    if rule is not None and len(rules) != 1:
        raise invalid(
            "structured_outputs: give one of choice, regex, json, grammar", "structured_outputs"
        )
    if rule is not None and has_form:
        raise invalid(
            "response_format and structured_outputs are two rules; give one", "response_format"
        )
    if has_form and (form.json_schema is None) == (form.type == "json_schema"):
        name = "response_format.json_schema"
        reason = "is missing; give a schema" if form.json_schema is None else "goes with its type"
        raise invalid(f"{name} {reason}", name)
    try:
        if has_form:
            schema = form.json_schema.schema if form.json_schema else {"type": "object"}
            grammar = grammars.json_schema(schema)
        elif rule is None:
            return None
        else:
            grammar = _MAKERS[rules[0]](getattr(rule, rules[0]))
        grammar.check()
        return grammar
    except ConfigError as error:
        name = "response_format" if has_form else "structured_outputs"
        raise invalid(str(error), name) from error


async def read_grammar(fields: SamplingFields) -> Grammar | None:
    """Returns what `grammar_of` does, from a thread: a grammar may take 100 ms."""
    if fields.structured_outputs is None and fields.response_format is None:
        return None
    return await asyncio.to_thread(grammar_of, fields)


def dump(answer: object) -> str:
    """Returns JSON on one line; a lone surrogate stays an escape."""
    try:
        text = json.dumps(answer, ensure_ascii=False, allow_nan=False)
        text.encode()
    except UnicodeEncodeError:
        return json.dumps(answer)
    return text
