"""Counts the phrases of word lists in many texts at once.

A list is a text file, a phrase a line: `phrase` is found anywhere in an eojeol, `^phrase` only
  where one begins, `!phrase`
is an exception that hides the phrases within it (`시발` in `시발점`), `#` begins a comment. Texts are
compared without
what is no letter or digit within an eojeol, in lower case: `시@발` is `시발`, while `다시 발표` is not.
"""

import dataclasses
import functools
from collections.abc import Sequence
from importlib import resources

import numpy as np

from hclx.corpus import characters
from hclx.corpus.text_batch import Ranges, TextBatch
from hclx.errors import ConfigError
from hclx.hashing import RangeHash, hash_texts

LISTS = ("profanity", "gambling", "adult", "advertising", "boilerplate")
_LETTERS = (characters.HANGUL, characters.JAMO, characters.LATIN, characters.HAN, characters.DIGIT)
_SIEVE_BITS = 16


@dataclasses.dataclass(frozen=True)
class Lexicon:
    """A word list. anywhere, at_start, exceptions: phrases, in lower case, without what is no
    letter or digit.
    """

    name: str
    anywhere: frozenset[str]
    at_start: frozenset[str]
    exceptions: frozenset[str]

    @classmethod
    def parse(cls, name: str, text: str) -> "Lexicon":
        """Reads a list.

        Raises:
          ConfigError: a phrase has no letter, or a space; its line is named.
        """
        kinds: dict[str, set[str]] = {"": set(), "^": set(), "!": set()}
        for number, line in enumerate(text.splitlines(), 1):
            phrase = line.split("#")[0].strip()
            mark = phrase[:1] if phrase[:1] in ("^", "!") else ""
            phrase = phrase.removeprefix(mark).lower()
            if not phrase and not mark:
                continue
            if not phrase or not set(
                characters.kinds(np.array([ord(c) for c in phrase], np.uint32))
            ) <= set(_LETTERS):
                raise ConfigError(
                    f"lexicon {name}, line {number}: {line!r} must be one word of letters and"
                    " digits"
                )
            kinds[mark].add(phrase)
        return cls(name, frozenset(kinds[""]), frozenset(kinds["^"]), frozenset(kinds["!"]))


class Lexicons:
    """Several lists, looked for in one pass: by their first two letters, then by hash of each
    length there is.
    """

    def __init__(self, lists: Sequence[Lexicon]):
        self.names = tuple(one.name for one in lists)
        self._lists = lists
        self._phrases = sorted(
            set().union(*(one.anywhere | one.at_start | one.exceptions for one in lists))
        )
        hashes = hash_texts(self._phrases)
        order = np.argsort(hashes)
        self._hashes, self._order = hashes[order], order
        self._lengths = sorted({len(phrase) for phrase in self._phrases})
        self._letters = np.array(
            [ord(phrase) for phrase in self._phrases if len(phrase) == 1], np.uint32
        )
        self._sieve = np.zeros(1 << _SIEVE_BITS, bool)
        for phrase in self._phrases:
            if len(phrase) > 1:
                self._sieve[_pairs(np.array([ord(c) for c in phrase[:2]], np.uint32))] = True

    def count(self, batch: TextBatch) -> dict[str, np.ndarray]:
        """List -> int64 [d], how often each document holds one of its phrases."""
        squeezed = _Squeezed(batch)
        starts, ends, phrases, begins = self._places(squeezed)
        documents = np.searchsorted(squeezed.offsets, starts, "right") - 1
        result = {}
        for one in self._lists:
            counted = self._is_of(one.anywhere)[phrases] | (
                self._is_of(one.at_start)[phrases] & begins
            )
            hiding = self._is_of(one.exceptions)[phrases]
            if hiding.any():
                counted &= ~_inside(starts, ends, starts[hiding], ends[hiding], len(squeezed.chars))
            result[one.name] = np.bincount(documents[counted], minlength=len(batch))
        return result

    def _is_of(self, phrases: frozenset[str]) -> np.ndarray:
        """bool, by index of phrase."""
        return np.array([phrase in phrases for phrase in self._phrases], bool)

    def _places(self, squeezed: "_Squeezed") -> tuple[np.ndarray, ...]:
        """Start, end and index of each phrase's places, and whether an eojeol begins there; one
        within a longer one counts too.
        """
        candidates = np.flatnonzero(self._sieve[_pairs(squeezed.chars)])
        found = [(np.zeros(0, np.int64),) * 3 + (np.zeros(0, bool),)]
        for length in self._lengths:
            # A phrase of one letter may begin a longer word, whose first two letters are another
            # pair.
            starts = (
                candidates if length > 1 else np.flatnonzero(np.isin(squeezed.chars, self._letters))
            )
            word = squeezed.word_of(starts)
            inside = starts + length <= squeezed.ends[word]
            starts, word = starts[inside], word[inside]
            hashes = squeezed.hashes.of(starts, starts + length)
            at = np.minimum(np.searchsorted(self._hashes, hashes), len(self._hashes) - 1)
            hit = self._hashes[at] == hashes
            found.append(
                (
                    starts[hit],
                    starts[hit] + length,
                    self._order[at[hit]],
                    (squeezed.starts[word] == starts)[hit],
                )
            )
        return tuple(np.concatenate(parts) for parts in zip(*found))


def _pairs(chars: np.ndarray) -> np.ndarray:
    """uint32 [c - 1]: a hash of each character, uint32 [c], and the next one."""
    factors = np.uint32(0x9E3779B1), np.uint32(0x85EBCA6B)
    return (chars[:-1] * factors[0] ^ chars[1:] * factors[1]) >> np.uint32(32 - _SIEVE_BITS)


def _inside(starts, ends, outer_starts, outer_ends, n: int) -> np.ndarray:
    """bool: which ranges lie wholly in one of the outer ranges, all of them among `n`
    characters.
    """
    reach = np.zeros(n, np.int64)
    np.maximum.at(reach, outer_starts, outer_ends)
    return np.maximum.accumulate(reach)[starts] >= ends


class _Squeezed:
    """A batch's letters and digits alone, in lower case.

    chars: uint32 [c]; offsets: int64 [d + 1]; starts, ends: int64 [w], of the eojeol that hold any.
    """

    def __init__(self, batch: TextBatch):
        keep = characters.is_one_of(batch.kinds, _LETTERS)
        position = np.concatenate([[0], np.cumsum(keep)])
        self.chars = _lower(batch.chars[keep])
        self.offsets = position[batch.offsets]
        words: Ranges = batch.words
        starts, ends = position[words.starts], position[words.ends]
        filled = starts < ends
        self.starts, self.ends = starts[filled], ends[filled]
        self.hashes = RangeHash(self.chars)

    def word_of(self, places: np.ndarray) -> np.ndarray:
        """int64 [n]: the eojeol in which each place lies."""
        return np.searchsorted(self.starts, places, "right") - 1


def _lower(chars: np.ndarray) -> np.ndarray:
    capital = (chars >= ord("A")) & (chars <= ord("Z"))
    return np.where(capital, chars + np.uint32(32), chars)


@functools.cache
def shipped() -> Lexicons:
    """The lists that come with hclx."""
    folder = resources.files("hclx.corpus") / "lexicons"
    return Lexicons(
        [
            Lexicon.parse(name, (folder / f"{name}.txt").read_text(encoding="utf-8"))
            for name in LISTS
        ]
    )
