"""Groups of texts that one loss compares, and their rows.

A group is a query, its positive and perhaps a negative; or two texts and the similarity that they
shall have; or a pair that is one text, and its label or score. Groups are packed into rows as
examples are, each text as a segment of its own, so that no text sees another one.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from hclx.data.batch import Batch
from hclx.tune.packing import places


class Group(NamedTuple):
    """Texts that belong together.

    Attributes:
      texts: int32 arrays of tokens, none of them empty.
      targets: int32, of each text: the number of its wording (equal texts have equal ones), of a
        label, or the bits of a float32 score.
    """

    texts: tuple[np.ndarray, ...]
    targets: tuple[int, ...]


class Layout(NamedTuple):
    """The shape of rows of groups: text i of group n of a row is segment n * texts + i, and what
    nothing fills is segment groups * texts.

    Attributes:
      groups: of a row, at most.
      texts: of a group, at most.
    """

    groups: int
    texts: int

    @property
    def segments(self) -> int:
        """The segments of a row that are texts."""
        return self.groups * self.texts


def group_size(group: Group) -> int:
    """Returns the positions that a group fills."""
    return sum(map(len, group.texts))


def score_bits(score: float) -> int:
    """Returns the bits of a float32, so that a score is a target, which is an int32."""
    return int(np.float32(score).view(np.int32))


def lay_out(parts: Sequence[Sequence[Group]], length: int) -> Layout:
    """Returns the layout that the rows of all parts (of what is learnt, and held out) have."""
    most = 1
    for groups in parts:
        rows = [row for row, _ in places([group_size(group) for group in groups], length)]
        most = max([most, *np.bincount(np.array(rows, np.int64))])
    return Layout(int(most), max(len(group.texts) for part in parts for group in part))


def pack_groups(groups: Sequence[Group], length: int, layout: Layout, pad_id: int = 0) -> Batch:
    """Packs groups in their order: each goes into the first open row that has room.

    Args:
      groups: of at most `length` positions each, at least 1.
      length: of a row.
      layout: see `lay_out`.
      pad_id: the token in places that nothing fills.
    Returns:
      Arrays of numpy [n, length]. The target of a text stands at its last token; the last token of
      a group weighs 1, and all others 0.
    """
    place = places([group_size(group) for group in groups], length)
    n_rows = 1 + max(row for row, _ in place)
    tokens_nt = np.full((n_rows, length), pad_id, np.int32)
    segments_nt = np.full((n_rows, length), layout.segments, np.int32)
    targets_nt, positions_nt = np.zeros((2, n_rows, length), np.int32)
    weights_nt = np.zeros((n_rows, length), np.float32)
    ends, counts = np.zeros((2, n_rows), np.int64)
    for group, (row, end) in zip(groups, place):
        for number, (tokens, target) in enumerate(zip(group.texts, group.targets, strict=True)):
            part, end = (row, slice(end, end + len(tokens))), end + len(tokens)
            tokens_nt[part], positions_nt[part] = tokens, np.arange(len(tokens))
            segments_nt[part] = counts[row] * layout.texts + number
            targets_nt[row, end - 1] = target
        weights_nt[row, end - 1] = 1
        ends[row], counts[row] = end, counts[row] + 1
    for row, end in enumerate(ends):
        positions_nt[row, end:] = np.arange(length - end)
    return Batch(tokens_nt, targets_nt, weights_nt, segments_nt, positions_nt)
