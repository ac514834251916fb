"""Texts whose values are marked as [value](type), such as `[내일](날짜) 비 와?`."""

import dataclasses
import re

_MARK = re.compile(r"\[([^\[\]()\n]+)\]\(([^\[\]()\n]+)\)")
_SIGN = re.compile(r"[\[\]()]")
SIGNS = "[]()"  # which occur in marks alone
MOST_CHARS = 20  # of a value that a grammar lets a model write
MOST_MARKS = 4  # behind the first in a text that a grammar lets a model write


@dataclasses.dataclass(frozen=True)
class SlotSpan:
    """A value: its type, and its characters [start, end) in the text without marks."""

    type: str
    start: int
    end: int


class MarkError(ValueError):
    """Marks that cannot be read, with the reason."""


def read_marks(marked: str) -> tuple[str, tuple[SlotSpan, ...]]:
    """Reads marks.

    Args:
      marked: a text with marks, or without any.
    Returns:
      the text without marks, and its values in order.
    Raises:
      MarkError: a bracket is not part of a mark, or a value or type has spaces around it.
    """
    texts, spans, end, length = [], [], 0, 0
    for match in _MARK.finditer(marked):
        texts.append(marked[end : match.start()])
        length += len(texts[-1])
        value, kind = match.groups()
        if value != value.strip() or kind != kind.strip():
            raise MarkError(f"{match[0]} has spaces around its value or type")
        spans.append(SlotSpan(kind, length, length + len(value)))
        texts.append(value)
        length, end = length + len(value), match.end()
    texts.append(marked[end:])
    if any(_SIGN.search(text) for text in texts[::2]):
        raise MarkError("a bracket is not part of a mark [value](type)")
    return "".join(texts), tuple(spans)
