"""Soft slots in a prompt: token ids that are no text, but vectors that tuning has made.

They stand where `{soft}` stands in the directive or the input of a prompt document: several such
places share them, in order and as evenly as possible. Without that they stand before everything
else, also before the tokens that begin a document, as PEFT puts them.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from hclx.errors import ConfigError
from hclx.prompts.document import PromptDocument
from hclx.prompts.render import Rendering, Span, render
from hclx.text import Tokenizer

SOFT = "soft"  # the name of the slot
_MARK = "\ufdd0"  # stands for soft slots in a rendered text; no character of Unicode


class SoftPrompt(NamedTuple):
    """A rendered prompt with soft slots.

    Attributes:
      head: the ids before `rest`: soft slots, tokens that begin a document, and text between them.
      rest: the text behind the last soft slot.
      text: all of the text.
      stretches: the parts of the text between soft slots.
      slots: the ids of the soft slots before each stretch.
    """

    head: list[int]
    rest: str
    text: str
    stretches: tuple[Rendering, ...]
    slots: tuple[tuple[int, ...], ...]


def soft_places(document: PromptDocument) -> int:
    """Returns how often `{soft}` stands in a prompt document.

    Raises:
      ConfigError: it stands in an answer or a choice.
    """
    if any(SOFT in t.fields for t in (document.answer, *document.choices.values())):
        raise ConfigError(f"{document.name}: {{{SOFT}}} stands in an answer; put it before")
    parts = (*document.directive.parts, *document.input.parts)
    return sum(getattr(part, "field", "") == SOFT for part in parts)


def soft_prompt(
    document: PromptDocument,
    fields: Mapping[str, str],
    slots: Sequence[int],
    tokenizer: Tokenizer,
    begin: Sequence[int] | None = None,
    examples: Sequence[Mapping[str, str]] | None = None,
) -> SoftPrompt:
    """Renders a prompt with soft slots.

    Args:
      document: the prompt.
      fields: of the item.
      slots: the ids of the soft slots; empty: `{soft}` is an empty text.
      tokenizer: that of the model.
      begin: ids that begin a document; None: those of the tokenizer.
      examples: as in `hclx.prompts.render`.
    Raises:
      ConfigError: as `render` and `soft_places`; or there are more places than slots.
    """
    places, begin = soft_places(document), list(tokenizer.begin_ids if begin is None else begin)
    if slots and places > len(slots):
        raise ConfigError(
            f"{document.name} has {{{SOFT}}} in {places} places, and the soft prompt has"
            f" {len(slots)} slots; give at least one slot for each"
        )
    mark = _MARK if slots and places else ""
    marked, empty = ({SOFT: mark}, {SOFT: ""}) if places else ({}, {})
    examples = document.examples if examples is None else examples
    rendering = render(document, {**fields, **marked}, [{**e, **empty} for e in examples])
    stretches = _stretches(rendering)
    if mark:
        parts = np.array_split(np.array(slots), places)
        of_stretches = ((), *(tuple(part.tolist()) for part in parts))
    else:
        of_stretches = (tuple(slots),)
    head = [*of_stretches[0], *begin]
    for stretch, ids in zip(stretches, of_stretches[1:]):
        head += [*tokenizer.encode(stretch.text), *ids]
    text = "".join(stretch.text for stretch in stretches)
    return SoftPrompt(head, stretches[-1].text, text, stretches, of_stretches)


def _stretches(rendering: Rendering) -> tuple[Rendering, ...]:
    """The parts of a prompt between the places of its soft slots."""
    parts: list[list[Span]] = [[]]
    for span in rendering.spans:
        if span.field == SOFT:
            parts.append([])
        else:
            parts[-1].append(span)
    return tuple(_stretch(rendering.text, spans) for spans in parts)


def _stretch(text: str, spans: Sequence[Span]) -> Rendering:
    if not spans:
        return Rendering("", ())
    first = spans[0].start
    moved = (
        dataclasses.replace(span, start=span.start - first, end=span.end - first) for span in spans
    )
    return Rendering(text[first : spans[-1].end], tuple(moved))
