"""Batches of documents as arrays, so that a tagger is a few array operations and not a loop over
characters.

Legend of the suffixes: d documents, b bytes, c characters, w words (eojeol: the runs of characters
between white space), l lines.
"""

import dataclasses
import functools
from collections.abc import Iterator, Sequence

import numpy as np

from hclx.corpus import characters
from hclx.hashing import RangeHash

# Characters of a batch: the arrays of so many stay in the processor's cache.
_BATCH_CHARS = 1 << 19


@dataclasses.dataclass(frozen=True)
class Ranges:
    """Words or lines of documents, in order; none crosses a document's end.

    Attributes:
      starts, ends: in characters of the batch, int64 [n].
      offsets: the index in `starts` at which each document begins, int64 [d + 1].
    """

    starts: np.ndarray
    ends: np.ndarray
    offsets: np.ndarray

    @property
    def lengths(self) -> np.ndarray:
        """The number of characters of each, int64 [n]."""
        return self.ends - self.starts

    @functools.cached_property
    def documents(self) -> np.ndarray:
        """The index of the document of each, int64 [n]."""
        return np.repeat(np.arange(len(self.offsets) - 1), np.diff(self.offsets))


@dataclasses.dataclass(frozen=True)
class TextBatch:
    """Texts, and properties of them that several taggers need, computed once.

    Attributes:
      texts, titles: of d documents; a document without a title has "".
      chars: code points of all texts, concatenated, uint32 [c].
      offsets: the index in `chars` at which each text begins, int64 [d + 1].
    """

    texts: tuple[str, ...]
    titles: tuple[str, ...]
    chars: np.ndarray
    offsets: np.ndarray

    @classmethod
    def of(cls, texts: Sequence[str], titles: Sequence[str] | None = None) -> "TextBatch":
        """Makes a batch of d texts.

        Args:
          texts: the texts, without lone surrogates.
          titles: as many titles, "" for a text without one; None: no text has a title.
        Raises:
          UnicodeEncodeError: a text holds a lone surrogate.
        """
        chars, offsets = code_points(texts)
        return cls(tuple(texts), tuple(titles or [""] * len(texts)), chars, offsets)

    def __len__(self) -> int:
        return len(self.texts)

    @functools.cached_property
    def kinds(self) -> np.ndarray:
        """The kind of each character, uint8 [c], see `hclx.corpus.characters`."""
        return characters.kinds(self.chars)

    @functools.cached_property
    def n_chars(self) -> np.ndarray:
        """The number of characters of each document, int64 [d]."""
        return np.diff(self.offsets)

    @functools.cached_property
    def hashes(self) -> RangeHash:
        """The hashes of ranges of characters: `hashes.of(starts, ends)` takes int64 [n] each, in
        characters of the batch, and returns uint64 [n].
        """
        return RangeHash(self.chars)

    @functools.cached_property
    def words(self) -> Ranges:
        """The eojeol, runs of characters that are no white space."""
        return self.split(self.kinds == characters.SPACE)

    @functools.cached_property
    def lines(self) -> Ranges:
        """The lines that are not blank, without white space around them."""
        lines, words = self.split(self.chars == ord("\n")), self.words
        first = np.searchsorted(words.starts, lines.starts)
        last = np.searchsorted(words.starts, lines.ends) - 1
        filled = first <= last
        starts, ends = words.starts[first[filled]], words.ends[last[filled]]
        return Ranges(starts, ends, np.searchsorted(starts, self.offsets))

    def split(self, separator: np.ndarray) -> Ranges:
        """The runs of characters for which `separator`, bool [c], is False; the end of a document
        ends a run.
        """
        inside = np.concatenate([[False], ~separator, [False]])
        begins, ends = inside[1:] & ~inside[:-1], inside[:-1] & ~inside[1:]
        borders = self.offsets[1:-1]  # a document's end is an end, and the next one's start a start
        begins[borders] = inside[borders + 1]
        ends[borders] = inside[borders]
        starts, ends = np.flatnonzero(begins), np.flatnonzero(ends)
        return Ranges(starts, ends, np.searchsorted(starts, self.offsets))

    def count(self, marks: np.ndarray) -> np.ndarray:
        """The number of characters of each document for which `marks`, bool [c], is True: int64
        [d].
        """
        return np.diff(np.searchsorted(np.flatnonzero(marks), self.offsets))


def code_points(texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """The code points of d texts, uint32 [c], and the index at which each begins, int64 [d + 1].

    Raises:
      UnicodeEncodeError: a text holds a lone surrogate.
    """
    chars = np.frombuffer("".join(texts).encode("utf-32-le"), np.uint32)
    offsets = np.zeros(len(texts) + 1, np.int64)
    np.cumsum([len(text) for text in texts], out=offsets[1:])
    return chars, offsets


def batches(texts: Sequence[str], titles: Sequence[str] | None = None) -> Iterator[TextBatch]:
    """Divides documents, in their order, into batches of at most 2^19 characters; a longer document
    makes a batch by itself.

    Args:
      texts, titles: see `TextBatch.of`.
    Yields:
      At least one batch, which is empty if there is no text.
    """
    titles = titles or [""] * len(texts)
    start = size = 0
    for i, text in enumerate(texts):
        if size and size + len(text) > _BATCH_CHARS:
            yield TextBatch.of(texts[start:i], titles[start:i])
            start, size = i, 0
        size += len(text)
    yield TextBatch.of(texts[start:], titles[start:])


def sums(values: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Sums over consecutive ranges.

    Args:
      values: bool, integers or floats, [n].
      offsets: the borders of m ranges, int64 [m + 1]; range i is values[offsets[i]:offsets[i + 1]].
    Returns:
      float64 [m] for floats, else int64 [m].
    """
    kind = np.float64 if values.dtype.kind == "f" else np.int64
    total = np.zeros(len(values) + 1, kind)
    np.cumsum(values, out=total[1:], dtype=kind)
    return total[offsets[1:]] - total[offsets[:-1]]


def ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """The quotient part / whole of arrays of equal length, as float32; 0 where `whole` is 0."""
    return np.divide(part, whole, out=np.zeros(len(part)), where=np.asarray(whole) > 0).astype(
        np.float32
    )
