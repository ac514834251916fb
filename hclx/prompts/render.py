"""Renders a prompt document for an item: a pure function to text, with the part of the prompt that
each stretch of the text comes from.
"""

import dataclasses
from collections.abc import Mapping, Sequence

from hclx.errors import ConfigError
from hclx.prompts.document import PromptDocument
from hclx.prompts.template import Template


@dataclasses.dataclass(frozen=True)
class Span:
    """A stretch of a rendered prompt.

    Attributes:
      start, end: its first character, and the one after its last.
      part: "directive", "example" or "input"; "answer" and "separator" of an example.
      example: the number of the example, from 0; None outside of examples.
      field: the field that filled it; "": the template's own text.
    """

    start: int
    end: int
    part: str
    example: int | None = None
    field: str = ""


@dataclasses.dataclass(frozen=True)
class Rendering:
    """A rendered prompt: its text, and `spans` that cover it in order."""

    text: str
    spans: tuple[Span, ...]


def render(
    document: PromptDocument,
    fields: Mapping[str, str],
    examples: Sequence[Mapping[str, str]] | None = None,
) -> Rendering:
    """Renders what stands before the answer of an item.

    Args:
      document: the prompt.
      fields: the item's fields.
      examples: the fields of each example, the answer field among them (with choices: the key of
        the choice); None: those of the document.
    Raises:
      ConfigError: a slot has no field, or an example names no choice.
    """
    builder = _Builder()
    builder.add(document.directive, fields, "directive")
    for number, example in enumerate(document.examples if examples is None else examples):
        builder.add(document.input, example, "example", number)
        builder.add(document.answer, _with_choice(document, example), "answer", number)
        builder.add(Template("", (document.separator,)), {}, "separator", number)
    builder.add(document.input, fields, "input")
    return Rendering("".join(builder.texts), tuple(builder.spans))


def answer_texts(document: PromptDocument, fields: Mapping[str, str]) -> dict[str, str]:
    """Returns key -> the text of each choice, as it follows the rendered prompt of an item.

    Raises:
      ConfigError: a slot has no field.
    """
    return {
        key: document.answer.text(_with_choice(document, {**fields, document.answer_field: key}))
        for key in document.choices
    }


def _with_choice(document: PromptDocument, fields: Mapping[str, str]) -> Mapping[str, str]:
    """Returns the fields of an example with the text of its choice in place of the key."""
    if not document.choices:
        return fields
    key = fields.get(document.answer_field)
    if key not in document.choices:
        raise ConfigError(
            f"{document.name}: the answer {key!r} of an example is no key of choices:"
            f" {', '.join(document.choices)}"
        )
    return {**fields, document.answer_field: document.choices[key].text(fields)}


class _Builder:
    """Collects the texts of a prompt and their spans."""

    def __init__(self):
        self.texts: list[str] = []
        self.spans: list[Span] = []
        self._end = 0

    def add(
        self, template: Template, fields: Mapping[str, str], part: str, example: int | None = None
    ) -> None:
        for text, field in template.fill(fields):
            if text:
                start, self._end = self._end, self._end + len(text)
                self.texts.append(text)
                self.spans.append(Span(start, self._end, part, example, field))
