"""How much of a text repeats itself: its lines, and runs of eojeol (Rae et al. 2021, table A1, on eojeol)."""

import numpy as np

from hclx.corpus import characters
from hclx.corpus.batch import Ranges, TextBatch, ratio, sums
from hclx.corpus.hashing import RangeHash, mix

TOP = (2, 3, 4)
DUPLICATE = (5, 6, 7, 8, 9, 10)


def repetition(batch: TextBatch) -> dict[str, np.ndarray]:
    """Shares of a document's lines, and of its characters, that stood in it before.

    dup_lines: lines that are equal to an earlier one, by number; dup_line_chars: by characters.
    top_N: characters of the most frequent N-gram of eojeol, all its places together; 0 where none is there twice.
    dup_N: characters that lie in an N-gram which an earlier place has too; overlaps count once.
    Characters are those of eojeol, without white space.
    """
    lines = batch.lines
    again = _is_repeated(batch, lines)
    visible = np.concatenate([[0], np.cumsum(batch.kinds != characters.SPACE)])
    line_chars = visible[lines.ends] - visible[lines.starts]
    result = {
        "dup_lines": ratio(sums(again, lines.offsets), np.diff(lines.offsets)),
        "dup_line_chars": ratio(sums(again * line_chars, lines.offsets), sums(line_chars, lines.offsets)),
    }
    words = batch.words
    hashes = RangeHash(batch.hashes.of(words.starts, words.ends))  # of runs: the white space between eojeol is no part of them
    total = sums(words.lengths, words.offsets)
    position = np.arange(len(words.starts))
    left = words.offsets[1:][words.documents] - position  # words from here to the document's end
    candidates = position
    for n in range(2, max(DUPLICATE) + 1):
        candidates = candidates[left[candidates] >= n]
        groups = _Groups(_keys(hashes.of(candidates, candidates + n), words.documents[candidates]), candidates)
        if n in TOP:
            result[f"top_{n}"] = ratio(_top(words, groups, n, len(batch)), total)
        if n in DUPLICATE:
            result[f"dup_{n}"] = ratio(_covered(words, groups, n), total)
        candidates = groups.members  # a run that is there once cannot be longer and there twice
    return result


def _keys(hashes: np.ndarray, documents: np.ndarray) -> np.ndarray:
    """uint64: equal where the hashes are equal and in the same document."""
    return mix(hashes + documents.astype(np.uint64))


def _is_repeated(batch: TextBatch, ranges: Ranges) -> np.ndarray:
    """bool [n]: whether an earlier part of the same document is equal."""
    _, first = np.unique(_keys(batch.hashes.of(ranges.starts, ranges.ends), ranges.documents), return_index=True)
    again = np.ones(len(ranges.starts), bool)
    again[first] = False
    return again


class _Groups:
    """Runs that occur more than once: `members` [m], sorted by place; `group` [m], of each, from 0; `first` [m], bool."""

    def __init__(self, keys: np.ndarray, places: np.ndarray):
        order = np.argsort(keys, kind="stable")
        ordered = keys[order]
        new = np.ones(len(keys), bool)
        new[1:] = ordered[1:] != ordered[:-1]
        group = np.cumsum(new) - 1
        shared = np.bincount(group, minlength=1)[group] > 1 if len(group) else np.zeros(0, bool)
        by_place = np.argsort(order[shared])
        self.members = places[order[shared]][by_place]
        self.group = (np.cumsum(new[shared]) - 1)[by_place]
        self.first = new[shared][by_place]


def _run_chars(words: Ranges, starts: np.ndarray, n: int) -> np.ndarray:
    total = np.concatenate([[0], np.cumsum(words.lengths)])
    return total[starts + n] - total[starts]


def _top(words: Ranges, groups: _Groups, n: int, n_documents: int) -> np.ndarray:
    """int64 [d]: characters of the N-gram of which most places are there (of equally frequent ones, the longest)."""
    result = np.zeros(n_documents, np.int64)
    if not len(groups.members):
        return result
    leaders = groups.members[groups.first]
    times = np.bincount(groups.group)[groups.group[groups.first]]
    document = words.documents[leaders]
    length = _run_chars(words, leaders, n)
    order = np.lexsort((length, times, document))  # the last of a document is its most frequent, longest one
    result[document[order]] = (length * times)[order]
    return result


def _covered(words: Ranges, groups: _Groups, n: int) -> np.ndarray:
    """int64 [d]: characters of the words that lie in a run which stood before."""
    depth = np.zeros(len(words.starts) + 1, np.int64)
    repeated = groups.members[~groups.first]
    np.add.at(depth, repeated, 1)
    np.add.at(depth, repeated + n, -1)
    inside = np.cumsum(depth)[:-1] > 0
    return sums(inside * words.lengths, words.offsets)
