"""Hashes that are the same on every machine: of numbers, JSON values, ranges of characters."""

import dataclasses
import hashlib
import json

import numpy as np

_BASE = 0x9E3779B97F4A7C15 | 1
_INVERSE = pow(_BASE, -1, 1 << 64)
_powers = np.ones(1, np.uint64)  # grown as needed: a batch's length decides
_inverses = np.ones(1, np.uint64)


def splitmix64(values: np.ndarray) -> np.ndarray:
    """A bijection of uint64 that scatters its input: the finaliser of SplitMix64 (Steele et al.
    2014).

    Args:
      values: an integer array of any shape; negative numbers count modulo 2^64.
    Returns:
      uint64 of the same shape; every bit depends on every bit of the value.
    """
    mixed = np.array(values, np.uint64)
    mixed ^= mixed >> np.uint64(30)
    mixed *= np.uint64(0xBF58476D1CE4E5B9)
    mixed ^= mixed >> np.uint64(27)
    mixed *= np.uint64(0x94D049BB133111EB)
    mixed ^= mixed >> np.uint64(31)
    return mixed


def json_hash(value) -> str:
    """SHA-256, in hexadecimal, of a JSON value in canonical form, whatever the order of its keys.
    Dataclasses count as mappings, and other iterables as lists.

    Raises:
      TypeError: JSON has no form for the value.
    """
    default = lambda item: (
        dataclasses.asdict(item) if dataclasses.is_dataclass(item) else list(item)
    )
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, default=default)
    return hashlib.sha256(text.encode()).hexdigest()


class RangeHash:
    """Hashes of any ranges of a sequence of characters, many at once.

    It is a polynomial of the characters modulo 2^64. Prefix sums are taken once, so that a range
    costs one subtraction. Ranges with equal characters have equal hashes wherever they are. It is
    no defence against somebody who looks for collisions.
    """

    def __init__(self, chars: np.ndarray):
        """Takes code points, uint32 [c], or other numbers such as the hashes of words, uint64."""
        powers, self._inverses = _grown_powers(len(chars) + 1)
        mixed = splitmix64(chars.astype(np.uint64) + np.uint64(1))
        self._sums = np.zeros(len(chars) + 1, np.uint64)
        np.cumsum(mixed * powers[:-1], out=self._sums[1:])

    def of(self, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
        """Hashes, uint64 [n], of ranges of the sequence; an empty one has the hash 0.

        Args:
          starts, ends: int64 [n], in characters; the end is not included.
        """
        return splitmix64((self._sums[ends] - self._sums[starts]) * self._inverses[starts])


def hash_texts(texts) -> np.ndarray:
    """Hashes, uint64 [n], that `RangeHash` gives to each of n strings.

    Args:
      texts: a list of strings, which may be empty but hold no lone surrogate.
    """
    if not len(texts):
        return np.zeros(0, np.uint64)
    ends = np.cumsum([len(text) for text in texts])
    chars = np.frombuffer("".join(texts).encode("utf-32-le"), np.uint32)
    return RangeHash(chars).of(np.concatenate([[0], ends[:-1]]), ends)


def _grown_powers(n: int) -> tuple[np.ndarray, np.ndarray]:
    """The first n powers of the base and of its inverse, uint64 [n] each."""
    global _powers, _inverses
    if len(_powers) < n:
        size = max(n, 1 << 20)
        _powers, _inverses = (_cumulative_powers(base, size) for base in (_BASE, _INVERSE))
    return _powers[:n], _inverses[:n]


def _cumulative_powers(base: int, n: int) -> np.ndarray:
    factors = np.full(n, base, np.uint64)
    factors[0] = 1
    return np.cumprod(factors)
