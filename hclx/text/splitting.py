"""Splits long texts into parts, so that nothing downstream sees a whole book as one document."""

import re
from collections.abc import Iterator

# Places to split at, the best first: behind a blank line, a line, a sentence, a space.
_ENDS = tuple(map(re.compile, (r"\n[^\S\n]*\n+", r"\n", r"(?<=[.!?。…])\s", r"\s")))


def split_text(text: str, max_chars: int) -> Iterator[str]:
    """Splits a text into parts of at most `max_chars` characters.

    A part ends at the last blank line in its second half, or else at a line end, at the end of a
    sentence, at white space, or anywhere. The white space between two parts belongs to neither; no
    other character is lost.

    Args:
      text: the text.
      max_chars: at least 1.
    Yields:
      The parts in order, none of them blank; the text itself, as it is, if it is short enough.
    """
    if len(text) <= max_chars:
        yield text
        return
    start = 0
    while len(text) - start > max_chars:
        end, begin = _border(text, start, start + max_chars)
        if part := text[start:end].strip():
            yield part
        start = begin
    if rest := text[start:].strip():
        yield rest


def _border(text: str, start: int, limit: int) -> tuple[int, int]:
    """(end, start of the next part) of the part that begins at `start`."""
    middle = start + (limit - start) // 2
    for pattern in _ENDS:
        last = None
        for last in pattern.finditer(text, middle, limit):
            pass
        if last:
            return last.start(), last.end()
    return limit, limit
