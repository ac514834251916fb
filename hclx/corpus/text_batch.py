"""Documents side by side as arrays, so that a tagger is a few array operations and not a loop over
characters.

Legend of the suffixes: d documents, b bytes, c characters, w words (eojeol: what stands between
  white space), l lines.
"""

import dataclasses
import functools
from collections.abc import Sequence

import numpy as np

from hclx.corpus import characters
from hclx.corpus.hashing import RangeHash
from hclx.corpus.spans import replace_spans as replaced  # noqa: F401


@dataclasses.dataclass(frozen=True)
class Ranges:
    """Parts of documents: words, lines. In order; none crosses a document's end.

    starts, ends: int64 [n], in characters of the batch.
    offsets: int64 [d + 1], where each document's parts begin in `starts`.
    """

    starts: np.ndarray
    ends: np.ndarray
    offsets: np.ndarray

    @property
    def lengths(self) -> np.ndarray:
        """int64 [n], characters."""
        return self.ends - self.starts

    @functools.cached_property
    def documents(self) -> np.ndarray:
        """int64 [n], the document of each."""
        return np.repeat(np.arange(len(self.offsets) - 1), np.diff(self.offsets))


@dataclasses.dataclass(frozen=True)
class TextBatch:
    """Texts, and what several taggers need of them, computed once.

    texts, titles: of d documents; "" where there is no title.
    chars: uint32 [c], code points of all texts, one after the other.
    offsets: int64 [d + 1], where each text begins in `chars`.
    """

    texts: tuple[str, ...]
    titles: tuple[str, ...]
    chars: np.ndarray
    offsets: np.ndarray

    @classmethod
    def of(cls, texts: Sequence[str], titles: Sequence[str] | None = None) -> "TextBatch":
        """A batch of texts, none of which holds a lone surrogate."""
        chars, offsets = code_points(texts)
        return cls(tuple(texts), tuple(titles or [""] * len(texts)), chars, offsets)

    def __len__(self) -> int:
        return len(self.texts)

    @functools.cached_property
    def kinds(self) -> np.ndarray:
        """uint8 [c], see `hclx.corpus.characters`."""
        return characters.kinds(self.chars)

    @functools.cached_property
    def n_chars(self) -> np.ndarray:
        """int64 [d]"""
        return np.diff(self.offsets)

    @functools.cached_property
    def hashes(self) -> RangeHash:
        """Hashes of any range of characters."""
        return RangeHash(self.chars)

    @functools.cached_property
    def words(self) -> Ranges:
        """Eojeol."""
        return self.split(self.kinds == characters.SPACE)

    @functools.cached_property
    def lines(self) -> Ranges:
        """Lines that are not blank, without the white space at their ends."""
        lines, words = self.split(self.chars == ord("\n")), self.words
        first = np.searchsorted(words.starts, lines.starts)
        last = np.searchsorted(words.starts, lines.ends) - 1
        filled = first <= last
        starts, ends = words.starts[first[filled]], words.ends[last[filled]]
        return Ranges(starts, ends, np.searchsorted(starts, self.offsets))

    def split(self, separator: np.ndarray) -> Ranges:
        """What stands between characters where `separator`, bool [c], holds."""
        inside = np.concatenate([[False], ~separator, [False]])
        begins, ends = inside[1:] & ~inside[:-1], inside[:-1] & ~inside[1:]
        borders = self.offsets[1:-1]  # a document's end is an end, and the next one's start a start
        begins[borders] = inside[borders + 1]
        ends[borders] = inside[borders]
        starts, ends = np.flatnonzero(begins), np.flatnonzero(ends)
        return Ranges(starts, ends, np.searchsorted(starts, self.offsets))

    def count(self, marks: np.ndarray) -> np.ndarray:
        """int64 [d]: characters of each document where `marks`, bool [c], holds."""
        return np.diff(np.searchsorted(np.flatnonzero(marks), self.offsets))


def code_points(texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Code points, uint32 [c], and where each text begins, int64 [d + 1]."""
    chars = np.frombuffer("".join(texts).encode("utf-32-le"), np.uint32)
    offsets = np.zeros(len(texts) + 1, np.int64)
    np.cumsum([len(text) for text in texts], out=offsets[1:])
    return chars, offsets


def sums(values: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """The sum of `values`, [n], over each of the ranges that `offsets`, [m + 1], separates: [m],
    int64 or float64.
    """
    kind = np.float64 if values.dtype.kind == "f" else np.int64
    total = np.zeros(len(values) + 1, kind)
    np.cumsum(values, out=total[1:], dtype=kind)
    return total[offsets[1:]] - total[offsets[:-1]]


def ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """part / whole as float32, 0 where there is no whole."""
    return np.divide(part, whole, out=np.zeros(len(part)), where=np.asarray(whole) > 0).astype(
        np.float32
    )
