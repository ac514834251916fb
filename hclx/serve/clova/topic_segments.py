"""Divides sentences into paragraphs where their topic changes: TextTiling (Hearst 1997) over the
vectors of sentences.

Legend of the suffixes: s sentences, g gaps between two of them.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

_NEAR = 3  # sentences on each side of a gap that are compared
AUTOMATIC = -100.0
_AUTOMATIC_ALPHA = 0.5  # Hearst's cut-off: half a standard deviation below the mean


@dataclasses.dataclass(frozen=True)
class Division:
    """How paragraphs are made.

    Attributes:
      alpha: a gap divides if it is deeper than its neighbours and than the mean less alpha standard
        deviations; so the greater, the more paragraphs. `AUTOMATIC`: 0.5.
      count: the number of paragraphs; None: as alpha says.
      least, most: characters of a paragraph. One that is shorter is joined to the neighbour from
        which the shallower gap parts it, unless both are longer than `most` then; one that is
        longer is divided at its deepest gap, unless it is one sentence. None: no bound.
    """

    alpha: float = 0.0
    count: int | None = None
    least: int | None = None
    most: int | None = None


def paragraphs_of(
    sentences: Sequence[str], vectors: Sequence[Sequence[float]], division: Division
) -> list[range]:
    """Returns the paragraphs, as ranges of the indices of sentences.

    Args:
      sentences: in the order of the text, [s]; one or more.
      vectors: of the sentences, [s, any].
      division: how they are divided.
    """
    depth_g = depths(np.asarray(vectors, np.float64))
    if division.count is not None:
        borders = set(np.argsort(-depth_g, kind="stable")[: division.count - 1].tolist())
    else:
        alpha = _AUTOMATIC_ALPHA if division.alpha == AUTOMATIC else division.alpha
        least = depth_g.mean() - alpha * depth_g.std() if len(depth_g) else 0.0
        borders = {gap for gap in _valleys(depth_g) if depth_g[gap] >= max(least, 1e-9)}
    lengths = [len(sentence) for sentence in sentences]
    _divide_long(borders, depth_g, lengths, division.most)
    _join_short(borders, depth_g, lengths, division)
    return _ranges(borders, len(sentences))


def depths(vectors: np.ndarray) -> np.ndarray:
    """Returns how deep the likeness falls at the gap behind each sentence, float64 [g]:
    the sum of its distances to the nearest peaks on both sides; 0 where it does not fall.

    Args:
      vectors: float [s, any]; their mean, which all texts share, is taken out.
    """
    vectors = vectors - vectors.mean(0)
    sums = np.concatenate([np.zeros((1, vectors.shape[1])), vectors.cumsum(0)])
    likeness_g = []
    for gap in range(1, len(vectors)):
        before = sums[gap] - sums[max(0, gap - _NEAR)]
        after = sums[min(len(vectors), gap + _NEAR)] - sums[gap]
        norm = np.linalg.norm(before) * np.linalg.norm(after)
        likeness_g.append(before @ after / norm if norm > 1e-12 else 1.0)
    depth_g = [
        _peak(likeness_g, gap, -1) + _peak(likeness_g, gap, 1) - 2 * likeness_g[gap]
        for gap in range(len(likeness_g))
    ]
    return np.array(depth_g)


def _peak(likeness_g: list[float], gap: int, step: int) -> float:
    """The likeness at the top of the slope that begins at a gap in a direction."""
    while 0 <= gap + step < len(likeness_g) and likeness_g[gap + step] >= likeness_g[gap]:
        gap += step
    return likeness_g[gap]


def _valleys(depth_g: np.ndarray) -> list[int]:
    """The gaps that are as deep as both of their neighbours: one for each change of topic."""
    padded_g = np.concatenate([[0.0], depth_g, [0.0]])
    is_deepest_g = (depth_g >= padded_g[:-2]) & (depth_g >= padded_g[2:])
    return np.flatnonzero(is_deepest_g).tolist()


def _ranges(borders: set[int], n_sentences: int) -> list[range]:
    starts = [0, *(gap + 1 for gap in sorted(borders))]
    return [range(start, end) for start, end in zip(starts, [*starts[1:], n_sentences])]


def _divide_long(borders: set[int], depth_g, lengths: list[int], most: int | None) -> None:
    open_ranges = _ranges(borders, len(lengths)) if most is not None else []
    while open_ranges:
        own = open_ranges.pop()
        if len(own) > 1 and sum(lengths[own.start : own.stop]) > most:
            gap = max(range(own.start, own.stop - 1), key=lambda g: depth_g[g])
            borders.add(gap)
            open_ranges += [range(own.start, gap + 1), range(gap + 1, own.stop)]


def _join_short(borders: set[int], depth_g, lengths: list[int], division: Division) -> None:
    """Takes borders away, the shallowest first, as long as one has a short paragraph beside it and
    both together are not too long.
    """
    while division.least is not None:
        ranges = _ranges(borders, len(lengths))
        sizes = [sum(lengths[own.start : own.stop]) for own in ranges]
        pairs = zip(ranges, sizes, sizes[1:])
        gaps = [
            own.stop - 1
            for own, size, following in pairs
            if min(size, following) < division.least
            and (division.most is None or size + following <= division.most)
        ]
        if not gaps:
            return
        borders.remove(min(gaps, key=lambda gap: depth_g[gap]))
