"""Parts of large arrays, so that an array is never in memory twice."""

import math
from collections.abc import Iterator

_PART_BYTES = 16 << 20


def row_ranges(shape: tuple[int, ...], itemsize: int = 4) -> Iterator[tuple[int, int]]:
    """Yields ranges [begin, end) of rows of the first axis, of equal size but for the last, of 16
    MB each if a row has no more.

    Args:
      shape: of an array with an axis or more.
      itemsize: bytes of an element.
    """
    row = max(1, math.prod(shape[1:]) * itemsize)
    step = max(1, _PART_BYTES // row)
    for begin in range(0, shape[0], step):
        yield begin, min(begin + step, shape[0])
