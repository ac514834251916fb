"""The starter gallery: prompts that are ready to run, each a file of this folder."""

import dataclasses
import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hclx.errors import DataError
from hclx.prompts.read_json import read_json

FOLDER = Path(__file__).parent
# As they are shown: the easiest to see the use of come first.
ORDER = (
    *("sentiment-choices", "sentiment-reasons", "review-summary", "shop-reply", "event-titles"),
    *("product-copy", "article-summary", "email-reply", "encyclopedia-qa", "topic-classification"),
    *("keyword-extraction", "polite-speech", "spelling", "translate-ko-en", "translate-en-ko"),
    *("persona-chat", "query-rewriting", "data-generation", "describe"),
)


@dataclasses.dataclass(frozen=True)
class GalleryPrompt:
    """A prompt of the gallery; texts are in Korean, and in English where the name says so.

    Attributes:
      slug: names it in addresses.
      title, title_en: its name.
      purpose, purpose_en: what it is for, in a sentence.
      notes, notes_en: its limits, and what it does on a small and on a large model.
      items: inputs to try, each field -> text.
      content: an object of "hclx.studio/1".
    """

    slug: str
    title: str
    title_en: str
    purpose: str
    purpose_en: str
    notes: str
    notes_en: str
    items: tuple[Mapping[str, str], ...]
    content: Mapping[str, Any]


@functools.cache
def load_gallery() -> tuple[GalleryPrompt, ...]:
    """Returns all prompts of the gallery, in their order. Raises DataError if a file is no such."""
    return tuple(_read(FOLDER / f"{slug}.json") for slug in ORDER)


def gallery_prompt(slug: str) -> GalleryPrompt:
    """Returns a prompt of the gallery. Raises KeyError if there is none of this name."""
    return {prompt.slug: prompt for prompt in load_gallery()}[slug]


def _read(path: Path) -> GalleryPrompt:
    raw = read_json(path)
    names = {field.name for field in dataclasses.fields(GalleryPrompt)}
    if not isinstance(raw, dict) or set(raw) != names:
        raise DataError(f"{path}: a prompt of the gallery has {', '.join(sorted(names))}")
    return GalleryPrompt(**{**raw, "items": tuple(raw["items"])})
