"""Replaces spans of characters in a text."""

from collections.abc import Iterable


def replace_spans(text: str, spans: Iterable[tuple[int, int, str]]) -> str:
    """Replaces spans of a text by other strings, and returns the text.

    Args:
      spans: (start, end, replacement), in characters, the end exclusive; sorted, and none overlaps
        another.
    """
    parts, position = [], 0
    for start, end, replacement in spans:
        parts += [text[position:start], replacement]
        position = end
    return "".join([*parts, text[position:]])
