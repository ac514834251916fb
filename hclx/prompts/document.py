"""The prompt document: one JSON object that says what a model reads before it answers, how its
answer is scored or generated, and how it is read.

prompt.schema.json beside this module is the published schema of version 1.
"""

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from hclx.errors import ConfigError, DataError, shown
from hclx.prompts.template import Template, parse_template

SCHEMA = "hclx.prompt/1"
PARSERS = ("text", "first_line", "choice", "number", "regex", "json")
GRAMMARS = ("choices", "regex", "json_schema", "lark")
DROPS = ("first", "last")
SAMPLING = {
    **dict.fromkeys(("max_tokens", "min_tokens", "top_k", "seed"), int),
    **dict.fromkeys(("temperature", "top_p", "min_p", "repetition_penalty"), float),
    **dict.fromkeys(("frequency_penalty", "presence_penalty"), float),
}
_EMPTY: Mapping[str, Any] = MappingProxyType({})


@dataclasses.dataclass(frozen=True)
class PromptDocument:
    """A prompt.

    Attributes:
      name: what it is called, such as "nsmc/hyperclova".
      input: the template of an item's question, which ends where the answer begins.
      answer: the template of an answer; its slot `answer_field` holds the choice, or the answer of
        an example.
      description, source: for people: what it asks for, and where it is from.
      directive: the template of what stands on top; its slots are filled from the item.
      separator: stands behind each example.
      examples: the examples that belong to the prompt, each field -> value.
      choices: key -> the template of an answer that the model chooses among, filled from the item;
        empty: the answer is generated.
      answer_field: the name of the slot in `answer`.
      stop: texts that end a generated answer.
      parser: how a generated answer is read: its `kind`, one of `PARSERS`, with that kind's fields.
      grammar: what a generated answer has to follow: one of `GRAMMARS` -> its definition.
      sampling: settings of generation, by names of `hclx.infer.SamplingConfig`.
      max_tokens: the most tokens of prompt and answer; None: as many as the model reads.
      drop: which examples are dropped first when there is no room: the "first" or the "last".
    """

    name: str
    input: Template
    answer: Template
    description: str = ""
    source: str = ""
    directive: Template = Template("", ())
    separator: str = "\n\n"
    examples: tuple[Mapping[str, str], ...] = ()
    choices: Mapping[str, Template] = dataclasses.field(default_factory=lambda: _EMPTY)
    answer_field: str = "answer"
    stop: tuple[str, ...] = ()
    parser: Mapping[str, str] = dataclasses.field(default_factory=lambda: {"kind": "text"})
    grammar: Mapping[str, Any] = dataclasses.field(default_factory=lambda: _EMPTY)
    sampling: Mapping[str, int | float] = dataclasses.field(default_factory=lambda: _EMPTY)
    max_tokens: int | None = None
    drop: str = "first"

    @property
    def input_fields(self) -> tuple[str, ...]:
        """The names of all fields that an item needs: of the directive, the input, the choices and
        the answer, but for the answer itself.
        """
        templates = (self.directive, self.input, *self.choices.values(), self.answer)
        names = dict.fromkeys(name for template in templates for name in template.fields)
        return tuple(name for name in names if name != self.answer_field)


def load_prompt(path: str | Path) -> PromptDocument:
    """Reads a prompt document.

    Raises:
      DataError: the file is no JSON, or no prompt document, with the field that is wrong.
    """
    try:
        raw = json.loads(Path(path).read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is no JSON: {error}") from error
    try:
        return prompt_from_json(raw)
    except ConfigError as error:
        raise DataError(f"{path}: {error}") from error


def prompt_from_json(raw: object) -> PromptDocument:
    """Makes a document of a decoded JSON object.

    Raises:
      ConfigError: a field is missing, unknown, of another type, or does not go with the others.
    """
    if not isinstance(raw, dict):
        raise ConfigError(f"a prompt document is an object, and this is {shown(raw)}")
    if raw.get("schema") != SCHEMA:
        raise ConfigError(f"schema={shown(raw.get('schema'))}: this version reads {SCHEMA!r}")
    unknown = sorted(set(raw) - {"schema", "budget", *_READERS})
    if unknown:
        raise ConfigError(f"no field {unknown[0]!r}; known are {', '.join(_READERS)}, budget")
    missing = [name for name in ("name", "input", "answer") if name not in raw]
    if missing:
        raise ConfigError(f"the field {missing[0]!r} is missing")
    values = {name: _READERS[name](name, raw[name]) for name in _READERS if name in raw}
    document = PromptDocument(**values, **_budget(raw.get("budget", {})))
    _check(document)
    return document


def prompt_to_json(document: PromptDocument) -> dict[str, Any]:
    """Returns the JSON object of a document; fields that have their default are left out."""
    raw: dict[str, Any] = {"schema": SCHEMA}
    budget = {"tokens": document.max_tokens, "drop": document.drop}
    for field in dataclasses.fields(document):
        value = getattr(document, field.name)
        if field.name in ("max_tokens", "drop"):
            continue
        if field.name in ("name", "input", "answer") or value != _default(field):
            raw[field.name] = _plain(value)
    if budget != {"tokens": None, "drop": "first"}:
        raw["budget"] = {name: value for name, value in budget.items() if value is not None}
    return raw


def prompt_hash(document: PromptDocument) -> str:
    """Returns a SHA-256, in hexadecimal, of everything that changes what a model reads or how its
    answer is taken: all fields but the name, the description and the source.
    """
    raw = prompt_to_json(document)
    for name in ("name", "description", "source"):
        raw.pop(name, None)
    text = json.dumps(raw, ensure_ascii=False, sort_keys=True)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _default(field: dataclasses.Field) -> object:
    factory = field.default_factory
    return field.default if factory is dataclasses.MISSING else factory()


def _plain(value: object) -> object:
    if isinstance(value, Template):
        return value.source
    if isinstance(value, Mapping):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(part) for part in value]
    return value


def _text(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise ConfigError(f"{name}={shown(value)}: give a text")
    return value


def _template(name: str, value: object) -> Template:
    try:
        return parse_template(_text(name, value))
    except ConfigError as error:
        raise ConfigError(f"{name}: {error}") from error


def _texts(name: str, value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise ConfigError(f"{name}={shown(value)}: give a list of texts")
    for text in value:
        if not _text(name, text):
            raise ConfigError(f"{name} has an empty text; remove it")
    return tuple(value)


def _object(name: str, value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ConfigError(f"{name}={shown(value)}: give an object")
    return value


def _examples(name: str, value: object) -> tuple[Mapping[str, str], ...]:
    if not isinstance(value, list):
        raise ConfigError(f"{name}={shown(value)}: give a list of objects")
    for number, example in enumerate(value):
        for field, text in _object(f"{name}[{number}]", example).items():
            _text(f"{name}[{number}].{field}", text)
    return tuple(value)


def _choices(name: str, value: object) -> Mapping[str, Template]:
    if isinstance(value, list):  # each is its own key
        texts = _texts(name, value)
        if len(set(texts)) < len(texts):
            raise ConfigError(f"{name}={shown(value)} has a text twice")
        value = {text: text.replace("{", "{{").replace("}", "}}") for text in texts}
    templates = {
        key: _template(f"{name}.{key}", text) for key, text in _object(name, value).items()
    }
    if len(templates) == 1:
        raise ConfigError(f"{name} has a single choice; give two or more")
    return templates


def _parser(name: str, value: object) -> Mapping[str, str]:
    parser = _object(name, value)
    kind = parser.get("kind")
    if kind not in PARSERS:
        raise ConfigError(f"{name}.kind={shown(kind)}: give {', '.join(PARSERS)}")
    fields = {"regex": {"pattern"}, "json": {"field"}}.get(kind, set())
    if set(parser) != {"kind", *fields}:
        raise ConfigError(
            f"{name}={shown(value)}: {kind} takes {', '.join(fields) or 'no other field'}"
        )
    return {key: _text(f"{name}.{key}", text) for key, text in parser.items()}


def _grammar(name: str, value: object) -> Mapping[str, Any]:
    grammar = _object(name, value)
    if len(grammar) > 1 or not set(grammar) <= set(GRAMMARS):
        raise ConfigError(
            f"{name}={shown(value)}: give {' or '.join(GRAMMARS)}, and its definition"
        )
    return grammar


def _sampling(name: str, value: object) -> Mapping[str, int | float]:
    for field, number in _object(name, value).items():
        if field not in SAMPLING:
            raise ConfigError(f"{name} has no {field!r}; known are {', '.join(SAMPLING)}")
        kinds = (int,) if SAMPLING[field] is int else (int, float)
        if not isinstance(number, kinds) or isinstance(number, bool):
            kind = "a whole number" if SAMPLING[field] is int else "a number"
            raise ConfigError(f"{name}.{field}={shown(number)}: give {kind}")
    return value


def _budget(value: object) -> dict[str, Any]:
    budget = _object("budget", value)
    if not set(budget) <= {"tokens", "drop"}:
        raise ConfigError(f"budget={shown(value)}: it has tokens and drop")
    tokens, drop = budget.get("tokens"), budget.get("drop", "first")
    if tokens is not None and (type(tokens) is not int or tokens < 1):
        raise ConfigError(f"budget.tokens={shown(tokens)}: give a positive whole number")
    if drop not in DROPS:
        raise ConfigError(f"budget.drop={shown(drop)}: give first or last")
    return {"max_tokens": tokens, "drop": drop}


_READERS = {
    **dict.fromkeys(("name", "description", "source", "separator", "answer_field"), _text),
    **dict.fromkeys(("input", "answer", "directive"), _template),
    "examples": _examples,
    "choices": _choices,
    "stop": _texts,
    "parser": _parser,
    "grammar": _grammar,
    "sampling": _sampling,
}


def _check(document: PromptDocument) -> None:
    """Raises ConfigError if fields do not go together."""
    slot = document.answer_field
    if slot not in document.answer.fields:
        raise ConfigError(
            f"answer={document.answer.source!r} has no slot {{{slot}}}, which answer_field names"
        )
    if slot in document.input.fields or slot in document.directive.fields:
        raise ConfigError(f"the slot {{{slot}}} of the answer is in what stands before it")
    needed = {*document.input.fields, *document.answer.fields}
    for number, example in enumerate(document.examples):
        lacking = sorted(needed - set(example))
        if lacking:
            raise ConfigError(f"examples[{number}] has no {lacking[0]!r}")
        if document.choices and example[slot] not in document.choices:
            raise ConfigError(
                f"examples[{number}].{slot}={example[slot]!r} is no key of choices:"
                f" {', '.join(document.choices)}"
            )
    if document.choices and (document.grammar or document.sampling or document.stop):
        raise ConfigError(
            "choices are scored, so that grammar, sampling and stop have no effect; remove them,"
            " or remove choices to have the answer generated"
        )
