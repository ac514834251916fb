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
from hclx.prompts.document_fields import READERS, read_budget
from hclx.prompts.read_json import cleaned, read_json
from hclx.prompts.template import Template

SCHEMA = "hclx.prompt/1"
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
      parser: how a generated answer is read: its `kind`, one of `document_fields.PARSERS`, with
        that kind's fields.
      grammar: what a generated answer has to follow: one of `document_fields.GRAMMARS` -> its
        definition.
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
        """The names of all fields that an item needs: of the directive, the input and, where the
        model chooses, the choices and the answer, but for the answer itself.
        """
        templates = [self.directive, self.input]
        if self.choices:
            templates += [*self.choices.values(), self.answer]
        names = dict.fromkeys(name for template in templates for name in template.fields)
        return tuple(name for name in names if name != self.answer_field)

    @property
    def shares_choices(self) -> bool:
        """Whether it has choices, which are the same for all items."""
        has_slots = any(template.fields for template in self.choices.values())
        return bool(self.choices) and not has_slots


def load_prompt(path: str | Path) -> PromptDocument:
    """Reads a prompt document, as `prompt_from_json` does.

    Raises:
      DataError: the file does not exist, is no JSON, with the line and column, or no prompt
        document, with the field that is wrong.
    """
    raw = read_json(path)
    try:
        return prompt_from_json(raw)
    except ConfigError as error:
        raise DataError(f"{path}: {error}") from error


def prompt_from_json(raw: object) -> PromptDocument:
    """Makes a document of a decoded JSON object. Its texts are put into NFC, and its lines end with
    a newline alone, as those that models learnt from.

    Raises:
      ConfigError: a field is missing, unknown, of another type, or does not go with the others.
    """
    if not isinstance(raw, dict):
        raise ConfigError(f"a prompt document is an object, and this is {shown(raw)}")
    try:
        raw = cleaned(raw)
    except RecursionError as error:
        raise ConfigError("the document is nested too deeply") from error
    if raw.get("schema") != SCHEMA:
        raise ConfigError(f"schema={shown(raw.get('schema'))}: this version reads {SCHEMA!r}")
    # Editors find the schema by the key "$schema".
    unknown = sorted(set(raw) - {"$schema", "schema", "budget", *READERS})
    if unknown:
        raise ConfigError(f"no field {shown(unknown[0])}; known are {', '.join(READERS)}, budget")
    missing = [name for name in ("name", "input", "answer") if name not in raw]
    if missing:
        raise ConfigError(f"the field {missing[0]!r} is missing")
    values = {name: read(name, raw[name]) for name, read in READERS.items() if name in raw}
    document = PromptDocument(**values, **read_budget(raw.get("budget", {})))
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


def prompt_schema() -> str:
    """Returns the JSON Schema (draft 2020-12) of prompt documents, as text."""
    return Path(__file__).with_name("prompt.schema.json").read_text(encoding="utf-8")


def prompt_hash(document: PromptDocument) -> str:
    """Returns a SHA-256, in hexadecimal, of everything that changes what a model reads or how its
    answer is taken: all fields but the name, the description and the source.
    """
    raw = prompt_to_json(document)
    for name in ("name", "description", "source"):
        raw.pop(name, None)
    # Their order means nothing, unlike that of choices and of a schema's properties.
    for name in {"parser", "sampling"} & set(raw):
        raw[name] = dict(sorted(raw[name].items()))
    if document.examples:
        raw["examples"] = [dict(sorted(example.items())) for example in document.examples]
    return hashlib.sha256(json.dumps(raw).encode()).hexdigest()


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


def _check(document: PromptDocument) -> None:
    """Raises ConfigError if fields do not go together."""
    slot = document.answer_field
    if slot not in document.answer.fields:
        raise ConfigError(
            f"answer={shown(document.answer.source)} has no slot {{{slot}}}, which answer_field"
            " names"
        )
    if slot in document.input.fields or slot in document.directive.fields:
        raise ConfigError(f"the slot {{{slot}}} of the answer is in what stands before it")
    for key, template in document.choices.items():
        if slot in template.fields:
            raise ConfigError(f"choices.{key} has the slot {{{slot}}}, which it fills itself")
    for number, example in enumerate(document.examples):
        _check_example(document, f"examples[{number}]", example)
    if document.choices and (document.grammar or document.sampling or document.stop):
        raise ConfigError(
            "choices are scored, so that grammar, sampling and stop have no effect; remove them,"
            " or remove choices to have the answer generated"
        )
    if document.parser["kind"] == "choice" and not (
        document.choices or document.grammar.get("choices")
    ):
        raise ConfigError("parser.kind='choice' looks for grammar.choices, and there are none")


def _check_example(document: PromptDocument, name: str, example: Mapping[str, str]) -> None:
    slot, choices = document.answer_field, document.choices
    needed = {*document.input.fields, *document.answer.fields}
    if choices and slot in example:
        if example[slot] not in choices:
            keys = shown(list(choices))
            raise ConfigError(f"{name}.{slot}={shown(example[slot])} is no key of choices: {keys}")
        needed |= set(choices[example[slot]].fields)
    if lacking := sorted(needed - set(example)):
        raise ConfigError(f"{name} has no {shown(lacking[0])}")
