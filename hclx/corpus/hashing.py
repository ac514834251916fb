"""64-bit hashes of any range of characters, many at once, the same on every machine."""

import numpy as np

_BASE = 0x9E3779B97F4A7C15 | 1
_INVERSE = pow(_BASE, -1, 1 << 64)
_powers = np.ones(1, np.uint64)  # grown as needed: a batch's length decides
_inverses = np.ones(1, np.uint64)


def mix(values: np.ndarray) -> np.ndarray:
    """uint64 -> uint64, every bit of the result from every bit of the value (the finaliser of
    SplitMix64).
    """
    values = values.astype(np.uint64)
    values ^= values >> np.uint64(30)
    values *= np.uint64(0xBF58476D1CE4E5B9)
    values ^= values >> np.uint64(27)
    values *= np.uint64(0x94D049BB133111EB)
    values ^= values >> np.uint64(31)
    return values


def _grown(n: int) -> tuple[np.ndarray, np.ndarray]:
    global _powers, _inverses
    if len(_powers) < n:
        size = max(n, 1 << 20)
        _powers, _inverses = (_cumulative_powers(base, size) for base in (_BASE, _INVERSE))
    return _powers[:n], _inverses[:n]


def _cumulative_powers(base: int, n: int) -> np.ndarray:
    factors = np.full(n, base, np.uint64)
    factors[0] = 1
    return np.cumprod(factors)


class RangeHash:
    """A polynomial of the characters modulo 2^64, from sums that are taken once: any range costs
    one subtraction.

    Two ranges with equal characters have equal hashes wherever they stand. It is no defence against
    somebody who looks for collisions.
    """

    def __init__(self, chars: np.ndarray):
        """Takes code points, uint32 [c], or other numbers: hashes of words, uint64."""
        powers, self._inverses = _grown(len(chars) + 1)
        self._sums = np.zeros(len(chars) + 1, np.uint64)
        np.cumsum(mix(chars.astype(np.uint64) + np.uint64(1)) * powers[:-1], out=self._sums[1:])

    def of(self, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
        """uint64 [n]: the hash of each range [start, end), in characters, int64 [n] each."""
        return mix((self._sums[ends] - self._sums[starts]) * self._inverses[starts])


def hash_texts(texts) -> np.ndarray:
    """uint64 [n]: the hash that `RangeHash` gives to each of these strings."""
    if not len(texts):
        return np.zeros(0, np.uint64)
    ends = np.cumsum([len(text) for text in texts])
    chars = np.frombuffer("".join(texts).encode("utf-32-le"), np.uint32)
    return RangeHash(chars).of(np.concatenate([[0], ends[:-1]]), ends)
