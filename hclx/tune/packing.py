"""Packs examples into rows of one length. No example sees another one: each is a segment, and its
positions count from 0. The answers that a question may have lie in one row.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from hclx.data.batch import Batch
from hclx.tune.examples import Example

_OPEN = 64  # rows that are still being filled


class ChoiceBatch(NamedTuple):
    """A `Batch` whose segments are the answers that questions may have.

    Attributes:
      answers_bt: int32, of each token the segment that is the right answer to the same question; so
        segments with one such number are rivals.
    """

    tokens_bt: np.ndarray
    targets_bt: np.ndarray
    weights_bt: np.ndarray
    segments_bt: np.ndarray
    positions_bt: np.ndarray
    answers_bt: np.ndarray


class Packed(NamedTuple):
    """Rows of examples.

    Attributes:
      rows: arrays [n, t]. What no example fills is a segment of its own, whose targets weigh 0.
      row, segment: int64 [examples], where each example is.
    """

    rows: Batch
    row: np.ndarray
    segment: np.ndarray


def size(example: Example) -> int:
    """Returns the positions that an example fills: its last token is a target alone."""
    return len(example.tokens) - 1


def pack(examples: Sequence[Example], length: int, pad_id: int = 0) -> Packed:
    """Packs examples in their order: each goes into the first open row that has room.

    Args:
      examples: of at most `length` positions each, at least 1.
      length: of a row.
      pad_id: the token in places that nothing fills.
    """
    return _fill(examples, places(list(map(size, examples)), length), length, pad_id)


def pack_choices(
    questions: Sequence[Mapping[str, Example]], labels: Sequence[str], length: int, pad_id: int = 0
) -> ChoiceBatch:
    """Packs questions in their order; the answers to one are in one row, side by side.

    Args:
      questions: of each, key -> the example of this answer; of at most `length` positions together.
      labels: the keys of the right ones.
      length, pad_id: as in `pack`.
    Returns:
      Arrays of numpy [n, t].
    """
    sizes = [[size(example) for example in options.values()] for options in questions]
    begins = [
        (row, begin + offset)
        for (row, begin), own in zip(places(list(map(sum, sizes)), length), sizes)
        for offset in np.cumsum([0, *own[:-1]]).tolist()
    ]
    flat = [example for options in questions for example in options.values()]
    rows, row, segment = _fill(flat, begins, length, pad_id)
    answers_nt = rows.segments_bt.copy()
    first = 0
    for options, label, own in zip(questions, labels, sizes, strict=True):
        begin = begins[first][1]
        right = segment[first + list(options).index(label)]
        answers_nt[row[first], begin : begin + sum(own)] = right
        first += len(options)
    return ChoiceBatch(*rows, answers_nt)


def _fill(
    examples: Sequence[Example], place: list[tuple[int, int]], length: int, pad_id: int
) -> Packed:
    """Writes examples to their places, row and first position."""
    n_rows = 1 + max((row for row, _ in place), default=-1)
    tokens_nt, targets_nt = np.full((2, n_rows, length), pad_id, np.int32)
    segments_nt, positions_nt = np.zeros((2, n_rows, length), np.int32)
    weights_nt = np.zeros((n_rows, length), np.float32)
    ends, counts = np.zeros((2, n_rows), np.int64)
    segments = np.zeros(len(examples), np.int64)
    for number, (example, (row, begin)) in enumerate(zip(examples, place)):
        part = row, slice(begin, begin + size(example))
        tokens_nt[part], targets_nt[part] = example.tokens[:-1], example.tokens[1:]
        weights_nt[part] = example.weights[1:]
        segments_nt[part] = segments[number] = counts[row]
        positions_nt[part] = np.arange(size(example))
        ends[row], counts[row] = begin + size(example), counts[row] + 1
    for row in range(n_rows):
        segments_nt[row, ends[row] :] = counts[row]
        positions_nt[row, ends[row] :] = np.arange(length - ends[row])
    rows = Batch(tokens_nt, targets_nt, weights_nt, segments_nt, positions_nt)
    return Packed(rows, np.array([row for row, _ in place], np.int64), segments)


def places(sizes: Sequence[int], length: int) -> list[tuple[int, int]]:
    """Returns the row and the first position of each example, in their order.

    Args:
      sizes: the positions that each fills, at most `length`.
      length: of a row.
    """
    chosen, n_rows = [], 0
    filled: dict[int, int] = {}  # open row -> positions in use, the oldest first
    for n in sizes:
        row = next((row for row, used in filled.items() if used + n <= length), None)
        if row is None:
            row, n_rows = n_rows, n_rows + 1
            filled[row] = 0
            if len(filled) > _OPEN:
                del filled[next(iter(filled))]
        chosen.append((row, filled[row]))
        filled[row] += n
    return chosen
