"""How much of a text repeats itself: its lines, its paragraphs, and runs of eojeol (Rae et al.
2021, table A1, on eojeol).
"""

import numpy as np

from hclx.corpus import characters
from hclx.corpus.text_batch import Ranges, TextBatch, ratio, sums
from hclx.hashing import RangeHash, splitmix64

TOP = (2, 3, 4)
DUPLICATE = (5, 6, 7, 8, 9, 10)


def repetition(batch: TextBatch) -> dict[str, np.ndarray]:
    """Shares of a document's lines, paragraphs and characters that stood in it before, float32 [d],
    from 0 to 1.

    dup_lines: lines that are equal to an earlier one, by number; dup_line_chars: by characters.
    dup_paragraphs, dup_paragraph_chars: the same of what stands between blank lines; a text without
      one is a single paragraph.
    top_N: characters that the most frequent N-gram of eojeol covers (of equally frequent ones, the
      most); 0 where none is there twice.
    dup_N: characters that lie in an N-gram which an earlier place has too.
    Characters are those of eojeol, without white space; where N-grams overlap, they count once.
    """
    visible = np.concatenate([[0], np.cumsum(batch.kinds != characters.SPACE)])
    result = _duplicates(batch, batch.lines, visible, "line") | _duplicates(
        batch, _paragraphs(batch), visible, "paragraph"
    )
    words = batch.words
    # of runs: the white space between eojeol is no part of them
    hashes = RangeHash(batch.hashes.of(words.starts, words.ends))
    total = sums(words.lengths, words.offsets)
    position = np.arange(len(words.starts))
    left = words.offsets[1:][words.documents] - position  # words from here to the document's end
    candidates = position
    for n in range(2, max(DUPLICATE) + 1):
        candidates = candidates[left[candidates] >= n]
        groups = _Groups(
            _keys(hashes.of(candidates, candidates + n), words.documents[candidates]), candidates
        )
        if n in TOP:
            result[f"top_{n}"] = ratio(_top(words, groups, n, len(batch)), total)
        if n in DUPLICATE:
            result[f"dup_{n}"] = ratio(_covered(words, groups, n), total)
        # a run that is there once cannot be longer and there twice
        candidates = np.sort(groups.members)
    return result


def _paragraphs(batch: TextBatch) -> Ranges:
    """Lines that follow each other, from the first one's start to the last one's end."""
    lines = batch.lines
    # of lines, blank ones too
    ends_before = np.searchsorted(np.flatnonzero(batch.chars == ord("\n")), lines.starts)
    begins = np.ones(len(lines.starts), bool)
    begins[1:] = (np.diff(ends_before) > 1) | (np.diff(lines.documents) > 0)
    first = np.flatnonzero(begins)
    last = np.append(first[1:], len(begins))[: len(first)] - 1
    return Ranges(lines.starts[first], lines.ends[last], np.searchsorted(first, lines.offsets))


def _duplicates(
    batch: TextBatch, ranges: Ranges, visible: np.ndarray, name: str
) -> dict[str, np.ndarray]:
    """Shares of the parts that are equal to an earlier one; `visible`, int64 [c + 1]: characters
    before each that are no white space.
    """
    again, chars = _is_repeated(batch, ranges), visible[ranges.ends] - visible[ranges.starts]
    return {
        f"dup_{name}s": ratio(sums(again, ranges.offsets), np.diff(ranges.offsets)),
        f"dup_{name}_chars": ratio(
            sums(again * chars, ranges.offsets), sums(chars, ranges.offsets)
        ),
    }


def _keys(hashes: np.ndarray, documents: np.ndarray) -> np.ndarray:
    """uint64: equal where the hashes are equal and in the same document."""
    return splitmix64(hashes + documents.astype(np.uint64))


def _is_repeated(batch: TextBatch, ranges: Ranges) -> np.ndarray:
    """bool [n]: whether an earlier part of the same document is equal."""
    _, first = np.unique(
        _keys(batch.hashes.of(ranges.starts, ranges.ends), ranges.documents), return_index=True
    )
    again = np.ones(len(ranges.starts), bool)
    again[first] = False
    return again


class _Groups:
    """Runs that occur more than once, of places in order: `members` [m], group after group, each in
    order; `first` [m], bool.
    """

    def __init__(self, keys: np.ndarray, places: np.ndarray):
        order = np.argsort(keys, kind="stable")
        ordered = keys[order]
        new = np.ones(len(keys) + 1, bool)
        new[1:-1] = ordered[1:] != ordered[:-1]
        shared = ~(new[:-1] & new[1:])
        self.members = places[order[shared]]
        self.first = new[:-1][shared]


def _top(words: Ranges, groups: _Groups, n: int, n_documents: int) -> np.ndarray:
    """int64 [d]: characters under the N-gram of which most places are there (of equally frequent
    ones, under the one with most).
    """
    result = np.zeros(n_documents, np.int64)
    places, leaders = groups.members, np.flatnonzero(groups.first)
    if not len(places):
        return result
    uncovered = places.copy()  # where the words of a place begin that the one before does not cover
    uncovered[1:] = np.where(groups.first[1:], places[1:], np.maximum(places[1:], places[:-1] + n))
    total = np.concatenate([[0], np.cumsum(words.lengths)])
    covered = np.add.reduceat(total[places + n] - total[uncovered], leaders)
    times = np.diff(leaders, append=len(places))
    document = words.documents[places[leaders]]
    # the last of a document is its most frequent one that covers most
    order = np.lexsort((covered, times, document))
    result[document[order]] = covered[order]
    return result


def _covered(words: Ranges, groups: _Groups, n: int) -> np.ndarray:
    """int64 [d]: characters of the words that lie in a run which stood before."""
    depth = np.zeros(len(words.starts) + 1, np.int64)
    repeated = groups.members[~groups.first]
    np.add.at(depth, repeated, 1)
    np.add.at(depth, repeated + n, -1)
    inside = np.cumsum(depth)[:-1] > 0
    return sums(inside * words.lengths, words.offsets)
