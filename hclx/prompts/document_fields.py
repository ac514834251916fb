"""The fields of a prompt document: each is read from JSON by a function that checks it alone."""

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from hclx.errors import ConfigError, shown
from hclx.prompts.template import Template, parse_template

# Kinds of parsers, with their own fields.
PARSERS = {
    **dict.fromkeys(("text", "first_line", "choice", "number"), ()),
    "regex": ("pattern",),
    "json": ("field",),
}
GRAMMARS = ("choices", "regex", "json_schema", "lark")
DROPS = ("first", "last")
SAMPLING = {
    **dict.fromkeys(("max_tokens", "min_tokens", "top_k", "seed"), int),
    **dict.fromkeys(("temperature", "top_p", "min_p", "repetition_penalty"), float),
    **dict.fromkeys(("frequency_penalty", "presence_penalty"), float),
}


def read_budget(value: object) -> dict[str, Any]:
    """Returns the fields `max_tokens` and `drop` of a document from its `budget`.

    Raises:
      ConfigError: names what is wrong.
    """
    budget = _object("budget", value)
    if not set(budget) <= {"tokens", "drop"}:
        raise ConfigError(f"budget={shown(value)}: it has tokens and drop")
    tokens, drop = budget.get("tokens"), budget.get("drop", "first")
    if tokens is not None:
        tokens = _number("budget.tokens", tokens, int)
        if tokens < 1:
            raise ConfigError(f"budget.tokens={shown(tokens)}: give a positive whole number")
    if drop not in DROPS:
        raise ConfigError(f"budget.drop={shown(drop)}: give first or last")
    return {"max_tokens": tokens, "drop": drop}


def _text(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise ConfigError(f"{name}={shown(value)}: give a text")
    return value


def _filled_text(name: str, value: object) -> str:
    if not _text(name, value).strip():
        raise ConfigError(f"{name} is empty; give it a text")
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


def _number(name: str, value: object, kind: type) -> int | float:
    """Returns a number as its kind; JSON does not tell 1 from 1.0."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or (kind is int and value != int(value)):
        raise ConfigError(
            f"{name}={shown(value)}: give {'a whole number' if kind is int else 'a number'}"
        )
    try:
        return kind(value)
    except OverflowError as error:
        raise ConfigError(f"{name}={shown(value)} is too large") from error


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
    elif not isinstance(value, dict):
        raise ConfigError(f"{name}={shown(value)}: give an object, key -> text, or a list of texts")
    if len(value) == 1:
        raise ConfigError(f"{name} has a single choice; give two or more")
    if "" in value:  # the key of an answer that could not be read
        raise ConfigError(f"{name} has an empty key; give each choice one")
    return {key: _template(f"{name}.{key}", text) for key, text in value.items()}


def _parser(name: str, value: object) -> Mapping[str, str]:
    parser = _object(name, value)
    kind = parser.get("kind")
    if not isinstance(kind, str) or kind not in PARSERS:
        raise ConfigError(f"{name}.kind={shown(kind)}: give {', '.join(PARSERS)}")
    fields = PARSERS[kind]
    if set(parser) != {"kind", *fields}:
        raise ConfigError(
            f"{name}={shown(value)}: {kind} takes {', '.join(fields) or 'no other field'}"
        )
    for field in fields:
        _filled_text(f"{name}.{field}", parser[field])
    if kind == "regex":
        _check_pattern(f"{name}.pattern", parser["pattern"])
    return parser


def _check_pattern(name: str, pattern: str) -> None:
    try:
        n_groups = re.compile(pattern).groups
    except (re.error, OverflowError, RecursionError) as error:
        raise ConfigError(f"{name}={shown(pattern)} is no expression: {error}") from error
    if n_groups == 0:
        raise ConfigError(f"{name}={shown(pattern)} has no group, which would be the answer")


def _grammar(name: str, value: object) -> Mapping[str, Any]:
    grammar = _object(name, value)
    if len(grammar) > 1 or not set(grammar) <= set(GRAMMARS):
        raise ConfigError(
            f"{name}={shown(value)}: give {' or '.join(GRAMMARS)}, and its definition"
        )
    for kind, definition in grammar.items():
        place = f"{name}.{kind}"
        if kind == "choices" and not _texts(place, definition):
            raise ConfigError(f"{place} is empty; give the texts that may be written")
        if kind in ("regex", "lark"):
            _filled_text(place, definition)
        if kind == "json_schema":
            _object(place, definition)
    return grammar


def _sampling(name: str, value: object) -> Mapping[str, int | float]:
    for field in _object(name, value):
        if field not in SAMPLING:
            raise ConfigError(f"{name} has no {shown(field)}; known are {', '.join(SAMPLING)}")
    return {
        field: _number(f"{name}.{field}", number, SAMPLING[field])
        for field, number in value.items()
    }


READERS: Mapping[str, Callable[[str, object], Any]] = MappingProxyType(
    {
        "name": _filled_text,
        **dict.fromkeys(("description", "source", "separator", "answer_field"), _text),
        **dict.fromkeys(("input", "answer", "directive"), _template),
        "examples": _examples,
        "choices": _choices,
        "stop": _texts,
        "parser": _parser,
        "grammar": _grammar,
        "sampling": _sampling,
    }
)  # field -> function of its name and its JSON value, which returns its value or raises ConfigError
