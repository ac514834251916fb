"""Counts the phrases of word lists in many texts at once.

A list is a text file with a phrase per line:

  phrase      counts anywhere in an eojeol
  ^phrase     counts only at the start of an eojeol
  !phrase     is an exception: phrases within it do not count (`시발` in `시발점`)
  # comment

Texts are compared in lower case, without the characters of an eojeol that are neither letters nor
digits: `시@발` matches `시발`, while `다시 발표` does not.
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
    """A word list.

    name: of the list.
    anywhere, at_start, exceptions: phrases of letters and digits, in lower case; those without a
      mark, with ^ and with !.
    """

    name: str
    anywhere: frozenset[str]
    at_start: frozenset[str]
    exceptions: frozenset[str]

    @classmethod
    def parse(cls, name: str, text: str) -> "Lexicon":
        """Parses a list.

        Args:
          name: of the list, also for the message.
          text: a phrase per line, as the head of this module describes; blank lines, and what
            follows a #, do not count.
        Raises:
          ConfigError: a phrase is empty or holds other characters than letters and digits; the
            message names its line.
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
    """Several lists whose phrases are searched for in one pass: by their first two letters, then by
    a hash for each length of a phrase.
    """

    def __init__(self, lexicons: Sequence[Lexicon]):
        """Takes lists, each with a name of its own."""
        self._lexicons = lexicons
        self._phrases = sorted(
            set().union(
                *(lexicon.anywhere | lexicon.at_start | lexicon.exceptions for lexicon in lexicons)
            )
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
        """Counts the phrases of each list in each of the d documents of a batch. Phrases of a
        list that overlap count once, as several of them may describe one word; those within an
        exception of their list do not count.

        Returns:
          name of the list -> int64 [d]
        """
        letters = _Letters(batch)
        starts, ends, phrases, at_start = self._matches(letters)
        documents = np.searchsorted(letters.offsets, starts, "right") - 1
        result = {}
        for lexicon in self._lexicons:
            counted = self._is_of(lexicon.anywhere)[phrases]
            counted |= self._is_of(lexicon.at_start)[phrases] & at_start
            hiding = self._is_of(lexicon.exceptions)[phrases]
            if hiding.any():
                counted &= ~_inside(starts, ends, starts[hiding], ends[hiding], len(letters.chars))
            counted = np.flatnonzero(counted)[_first_of_overlapping(starts[counted], ends[counted])]
            result[lexicon.name] = np.bincount(documents[counted], minlength=len(batch))
        return result

    def _is_of(self, phrases: frozenset[str]) -> np.ndarray:
        """bool [p]: which of all phrases belong to a set."""
        return np.array([phrase in phrases for phrase in self._phrases], bool)

    def _matches(self, letters: "_Letters") -> tuple[np.ndarray, ...]:
        """Start, end and index of the phrase of every match, int64 [m], and whether an eojeol
        starts there, bool [m]. Matches within longer matches are included.
        """
        candidates = np.flatnonzero(self._sieve[_pairs(letters.chars)])
        matches = [(np.zeros(0, np.int64),) * 3 + (np.zeros(0, bool),)]
        for length in self._lengths:
            # The sieve holds the first two letters of phrases, and a phrase of one letter has no
            # second one.
            starts = (
                candidates if length > 1 else np.flatnonzero(np.isin(letters.chars, self._letters))
            )
            word = letters.word_of(starts)
            fits = starts + length <= letters.ends[word]
            starts, word = starts[fits], word[fits]
            hashes = letters.hashes.of(starts, starts + length)
            index = np.minimum(np.searchsorted(self._hashes, hashes), len(self._hashes) - 1)
            hit = self._hashes[index] == hashes
            at_start = letters.starts[word] == starts
            starts = starts[hit]
            matches.append((starts, starts + length, self._order[index[hit]], at_start[hit]))
        return tuple(np.concatenate(columns) for columns in zip(*matches))


def _pairs(chars: np.ndarray) -> np.ndarray:
    """Hash of each character, uint32 [c], and the next one: uint32 [c - 1]."""
    factors = np.uint32(0x9E3779B1), np.uint32(0x85EBCA6B)
    return (chars[:-1] * factors[0] ^ chars[1:] * factors[1]) >> np.uint32(32 - _SIEVE_BITS)


def _first_of_overlapping(starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Returns the index of the first match of each group of matches that overlap, int64."""
    order = np.argsort(starts, kind="stable")
    reached = np.maximum.accumulate(ends[order])
    return order[np.append(True, starts[order][1:] >= reached[:-1])[: len(order)]]


def _inside(starts, ends, outer_starts, outer_ends, n: int) -> np.ndarray:
    """Returns whether each range lies within one of the outer ranges, bool [m]; all are ranges of
    `n` characters.
    """
    reach = np.zeros(n, np.int64)
    np.maximum.at(reach, outer_starts, outer_ends)
    return np.maximum.accumulate(reach)[starts] >= ends


class _Letters:
    """The letters and digits of a batch, without all other characters, in lower case.

    chars: uint32 [c], code points.
    offsets: int64 [d + 1], where each document begins in `chars`.
    starts, ends: int64 [w], where each eojeol with a letter or digit begins and ends in `chars`.
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
        """Index of the eojeol that contains each place, int64 [n]."""
        return np.searchsorted(self.starts, places, "right") - 1


def _lower(chars: np.ndarray) -> np.ndarray:
    capital = (chars >= ord("A")) & (chars <= ord("Z"))
    return np.where(capital, chars + np.uint32(32), chars)


@functools.cache
def shipped() -> Lexicons:
    """The lists that are part of hclx, by the names in LISTS: "profanity" and so on."""
    folder = resources.files("hclx.corpus") / "lexicons"
    return Lexicons(
        [
            Lexicon.parse(name, (folder / f"{name}.txt").read_text(encoding="utf-8"))
            for name in LISTS
        ]
    )
