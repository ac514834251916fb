"""Windows of text around the copies of evaluation items, which are removed from a document.

It follows Brown et al. (2020, appendix C): the text around a copy is removed, rests of fewer than
200 characters go with it, and a document that falls into more than ten parts goes as a whole. Here
a window ends where a sentence or a line does; parts count as too many only if they are short, as
ten copies in a long book leave long parts; and a document also goes as a whole if it would lose
most of its characters, or if the items are most of its letters and more than a short phrase has, so
that a review which is an item and a file of items are removed as such. A copy of a single n-gram
costs a long text its window, and no text that says more, however short.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from hclx.corpus.contamination_index import Place, count_letters
from hclx.corpus.settings import ContaminationSettings

_LONG_PART = 5  # windows: a part of this length is worth keeping however many parts there are
_LONGEST_UNIT = 200  # characters of a sentence that is removed or kept as a whole
# The end of a line or a sentence, unless a single letter of Hangul follows: it may be a part of the
# syllable before.
_END = re.compile(
    r"(?:\n\s*|[.!?…。！？][\"'”’」』)\]]*\s+)"
    r"(?![\u1100-\u11ff\u3131-\u318e\ua960-\ua97c\ud7b0-\ud7fb\uffa0-\uffdc])"
)


class Window(NamedTuple):
    """A part of a text that is removed.

    Attributes:
      start, end: in characters of the text; the end is exclusive.
      items: names of the evaluation items that it holds, sorted.
    """

    start: int
    end: int
    items: tuple[str, ...]


def judge(
    text: str,
    places: Mapping[str, Sequence[Place]],
    n_letters: int,
    stock: Collection[str],
    settings: ContaminationSettings,
) -> tuple[list[Window], bool]:
    """Decides what has to be removed so that a text no longer holds copies of evaluation items.

    Args:
      text: the text.
      places: name of an item -> its places in the text, see `Index.locate`.
      n_letters: of the text.
      stock: names of items that are stock phrases: they remove nothing but a text that is items.
      settings: `window`, `max_share` and `max_pieces`.
    Returns:
      Windows, ascending; none overlaps another. Between two of them, and between one and an end of
      the text, there are at least `window` characters, or none. And whether all of the text has to
      go.
    """
    copies = {
        name: [place for place in own if place.is_copy]
        for name, own in places.items()
        if name not in stock
    }
    windows = _windows(text, copies, settings)
    covered = _item_letters(places)
    is_most = covered > settings.max_share * n_letters
    if not is_most and _is_too_much(len(text), windows, settings):
        is_long = lambda place: place.end - place.start > settings.ngram
        copies = {name: [*filter(is_long, own)] for name, own in copies.items()}
        windows = _windows(text, copies, settings)
    # Fewer letters than two n-grams could be anybody's words, even if they are all of a comment.
    is_items = is_most and covered >= 2 * settings.ngram
    return windows, is_items or _is_too_much(len(text), windows, settings)


def _item_letters(places: Mapping[str, Sequence[Place]]) -> int:
    """The number of a text's letters that evaluation items have."""
    spans = sorted(place[:2] for own in places.values() for place in own)
    covered = reached = 0
    for start, end in spans:
        covered += max(0, end - max(start, reached))
        reached = max(reached, end)
    return covered


def _windows(
    text: str, places: Mapping[str, Sequence[Place]], settings: ContaminationSettings
) -> list[Window]:
    """The windows around copies; for what they are see `judge`."""
    borders, letters = _borders(text)
    context, windows = settings.window // 2, []
    for name, own in places.items():
        for place in own:
            first = np.searchsorted(letters, place.start, "right") - 1
            last = np.searchsorted(letters, place.end, "left")
            start, end = borders[first] - context, borders[min(last, len(borders) - 1)] + context
            start = borders[max(0, np.searchsorted(borders, start, "right") - 1)]
            end = borders[min(np.searchsorted(borders, end, "left"), len(borders) - 1)]
            windows.append(Window(int(start), int(end), (name,)))
    return _merged(text, sorted(windows), settings.window) if windows else []


def _merged(text: str, windows: Sequence[Window], shortest: int) -> list[Window]:
    """Windows that swallow the rests between them, and at the ends, that are too short."""
    too_short = lambda start, end: len(text[start:end].strip()) < shortest
    merged = [windows[0]]
    for window in windows[1:]:
        last = merged[-1]
        if window.start <= last.end or too_short(last.end, window.start):
            items = tuple(sorted({*last.items, *window.items}))
            merged[-1] = Window(last.start, max(last.end, window.end), items)
        else:
            merged.append(window)
    if too_short(0, merged[0].start):
        merged[0] = merged[0]._replace(start=0)
    if too_short(merged[-1].end, len(text)):
        merged[-1] = merged[-1]._replace(end=len(text))
    return merged


def _is_too_much(n_chars: int, windows: Sequence[Window], settings: ContaminationSettings) -> bool:
    """Whether so much would be removed from a text that all of it should be."""
    if not windows:
        return False
    left = n_chars - sum(window.end - window.start for window in windows)
    pieces = len(windows) + 1 - (windows[0].start == 0) - (windows[-1].end == n_chars)
    are_short = left < pieces * _LONG_PART * settings.window
    return left < (1 - settings.max_share) * n_chars or pieces > settings.max_pieces and are_short


def _borders(text: str) -> tuple[np.ndarray, np.ndarray]:
    """The borders of sentences and lines.

    Returns:
      Where each ends and the next begins, in characters, int64 [u + 1], from 0 to the end of the
      text; and the letters before each border, int64 [u + 1].
    """
    borders = [0]
    for end in [*(match.end() for match in _END.finditer(text)), len(text)]:
        while end - borders[-1] > _LONGEST_UNIT:
            space = text.rfind(" ", borders[-1] + 1, borders[-1] + _LONGEST_UNIT)
            borders.append(space + 1 if space > 0 else borders[-1] + _LONGEST_UNIT)
        if end > borders[-1]:
            borders.append(end)
    units = [text[start:end] for start, end in zip(borders[:-1], borders[1:])]
    return np.array(borders), np.concatenate([[0], np.cumsum(count_letters(units))])
