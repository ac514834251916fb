"""The order of a run: which sequence is example g, as a pure function of (seed, g).

A fixed schedule chooses the source, and a pseudo-random permutation that changes each epoch chooses
the sequence in it. A position is the whole state, so that no number of hosts, batch size or restart
changes the order.
"""

import dataclasses
import functools

import numpy as np

from hclx.errors import DataError
from hclx.hashing import splitmix64 as mix64

# draws after which the schedule of sources repeats; rates are rounded to multiples of 1 / PERIOD
PERIOD = 10_000
_ROUNDS = 4


def permute(index: np.ndarray, n: int, key: np.ndarray) -> np.ndarray:
    """Permutes 0..n-1, differently for each key, by a Feistel network that is applied until its
    output is below n (cycle walking).

    Args:
      index: int64 [k], in 0..n-1.
      n: how many numbers are permuted, at least 1.
      key: uint64, [k] or a scalar; elements with the same key belong to one permutation.
    Returns:
      int64 [k]: where each index is sent.
    """
    half = np.uint64(max(1, ((n - 1).bit_length() + 1) // 2))
    x, key = (
        _feistel(np.asarray(index, np.uint64), key, half),
        np.broadcast_to(key, np.shape(index)),
    )
    while (outside := x >= n).any():  # the network permutes up to four times as many numbers
        x[outside] = _feistel(x[outside], key[outside], half)
    return x.astype(np.int64)


def _feistel(x: np.ndarray, key: np.ndarray, half: np.uint64) -> np.ndarray:
    mask = (np.uint64(1) << half) - np.uint64(1)
    left, right = x >> half, x & mask
    for i in range(_ROUNDS):
        left, right = right, left ^ (mix64(right ^ mix64(key + np.uint64(i))) & mask)
    return (left << half) | right


def skip_ranges(position: np.ndarray, ranges: tuple[tuple[int, int], ...]) -> np.ndarray:
    """Examples at positions of an order that skips ranges.

    Args:
      position: int64 [k], from 0.
      ranges: [first, last) examples, disjoint and ascending.
    Returns:
      int64 [k]; ascending positions stay ascending, and none is inside a range.
    """
    for first, last in ranges:
        position = np.where(position >= first, position + (last - first), position)
    return position


@dataclasses.dataclass(frozen=True)
class Order:
    """The order of a run over one or more sources.

    Attributes:
      n_sequences: how many sequences each source has; a source of none is never drawn.
      rates: how often each source is drawn, in any unit; positive.
      seed: decides the permutations; not negative.
    """

    n_sequences: tuple[int, ...]
    rates: tuple[float, ...]
    seed: int

    def locate(self, example: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Finds the source and the sequence of each example.

        Args:
          example: int64 [k], global numbers from 0.
        Returns:
          source and sequence, int64 [k]: the index of a source, and a number from 0 within it. Each
          sequence of a source comes exactly once before any comes again.
        Raises:
          DataError: as `apportion`, for the rates.
        """
        pattern, rank, counts = self._schedule
        period, phase = np.divmod(np.asarray(example, np.int64), len(pattern))
        source = pattern[phase]
        draw = period * counts[source] + rank[phase]  # how often this source was drawn before
        sequence = np.empty_like(draw)
        for k, n in enumerate(self.n_sequences):
            drawn = source == k
            if not n:
                continue
            epoch, index = np.divmod(draw[drawn], n)
            sequence[drawn] = permute(index, n, self._key(k, epoch))
        return source, sequence

    def _key(self, source: int, epoch: np.ndarray) -> np.ndarray:
        base = mix64(np.uint64(self.seed) ^ mix64(np.uint64(source + 1)))
        return mix64(base ^ mix64(epoch.astype(np.uint64) + np.uint64(1)))

    @functools.cached_property
    def _schedule(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """One period of the schedule: the source of each draw, how many draws of that source
        precede it, and the draws of each source.
        """
        drawn = np.flatnonzero(self.n_sequences)
        counts = np.zeros(len(self.rates), np.int64)
        rates = tuple(self.rates[source] for source in drawn)
        counts[drawn] = apportion(rates, 1 if len(drawn) == 1 else PERIOD)
        source = np.repeat(np.arange(len(counts)), counts)
        rank = np.concatenate([np.arange(count) for count in counts])
        # each source evenly over the period
        spread = np.argsort((rank + 0.5) / counts[source], kind="stable")
        return source[spread], rank[spread], counts


def apportion(rates: tuple[float, ...], total: int) -> np.ndarray:
    """Divides `total` into whole numbers in proportion to `rates` (method of largest remainders).

    Args:
      rates: positive numbers, in any unit.
      total: at least the number of rates.
    Returns:
      int64, one number for each rate; they add up to `total`.
    Raises:
      DataError: a rate is not positive, or so small that its number would be 0.
    """
    share = np.asarray(rates, np.float64)
    if (share <= 0).any():
        raise DataError(f"mixture rates must be positive, got {list(rates)}")
    share = share / share.sum() * total
    counts = np.floor(share).astype(np.int64)
    counts[np.argsort(counts - share, kind="stable")[: total - counts.sum()]] += 1
    if (counts == 0).any():
        raise DataError(
            f"mixture rates {list(rates)}: a rate is below 1/{total} of the sum and would never be"
            " drawn"
        )
    return counts
