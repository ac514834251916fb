"""Measures the repetition within a text: of lines, paragraphs and n-grams of eojeol (Rae et al.
2021, table A1, with eojeol as words).
"""

import numpy as np

from hclx.corpus import characters
from hclx.corpus.settings import ParagraphSettings
from hclx.corpus.text_batch import Ranges, TextBatch, ratio, sums
from hclx.hashing import RangeHash, splitmix64

TOP = (2, 3, 4)
DUPLICATE = (5, 6, 7, 8, 9, 10)
_PERIODS = range(2, 13)  # characters that are repeated within an eojeol
_LEAST_INSIDE = 9  # characters of such a repetition; shorter ones are words: 반짝반짝


def repetition(batch: TextBatch) -> dict[str, np.ndarray]:
    """Computes shares of repeated text, from 0 to 1.

    N-grams are of eojeol, the words that white space separates. Characters are those of eojeol,
    without white space; where n-grams overlap, they count once. A document without lines or
    eojeol has 0.

    Returns:
      dup_lines, dup_line_chars: lines that equal an earlier line of the document, by number and by
        characters.
      dup_long_line_chars: the characters of those of these lines that have at least 50, which the
        stage `paragraph` would remove.
      dup_paragraphs, dup_paragraph_chars: the same for paragraphs, which blank lines separate.
      top_N, for N from 2 to 4: characters that all occurrences of the most frequent N-gram cover
        (of equally frequent ones, the one that covers most); 0 if no N-gram occurs twice.
      dup_N, for N from 5 to 10: characters within N-grams that occurred before; their first
        occurrences do not count.
      dup_in_words: characters of eojeol in which 2 to 12 characters, not all equal, stand three
        times or more in a row, as in 최고다최고다최고다, and at least 9 characters together.
      All are float32 [d].
    """
    visible = np.concatenate([[0], np.cumsum(batch.kinds != characters.SPACE)])
    lines, paragraphs = batch.lines, _paragraphs(batch)
    repeated = _is_repeated(batch, lines)
    long = repeated & (lines.lengths >= ParagraphSettings.min_chars)
    result = _shares(lines, repeated, visible, "line")
    result |= _shares(paragraphs, _is_repeated(batch, paragraphs), visible, "paragraph")
    result["dup_long_line_chars"] = _shares(lines, long, visible, "line")["dup_line_chars"]
    words = batch.words
    result["dup_in_words"] = ratio(_repeated_inside(batch), sums(words.lengths, words.offsets))
    # Hashes of n-grams are made of those of eojeol, so that white space does not count.
    hashes = RangeHash(batch.hashes.of(words.starts, words.ends))
    total = sums(words.lengths, words.offsets)
    position = np.arange(len(words.starts))
    left = words.offsets[1:][words.documents] - position  # words up to the end of the document
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
        # An n-gram that occurs once cannot begin a longer one that occurs twice.
        candidates = np.sort(groups.members)
    return result


def _repeated_inside(batch: TextBatch) -> np.ndarray:
    """Characters of repetitions within the eojeol of each document, int64 [d]."""
    words = batch.words
    long = np.flatnonzero(words.lengths >= _LEAST_INSIDE)  # few
    lengths = words.lengths[long]
    first = np.cumsum(lengths) - lengths
    places = np.arange(lengths.sum()) + np.repeat(words.starts[long] - first, lengths)
    chars, word = batch.chars[places], np.repeat(long, lengths)
    changes = np.concatenate([[0], np.cumsum(chars[1:] != chars[:-1])])
    inside = np.zeros(len(chars), bool)
    for period in _PERIODS:
        same = (chars[period:] == chars[:-period]) & (word[period:] == word[:-period])
        edges = np.flatnonzero(np.diff(np.concatenate([[False], same, [False]])))
        starts, ends = edges[::2], edges[1::2] + period
        enough = ends - starts >= max(3 * period, _LEAST_INSIDE)
        starts, ends = starts[enough], ends[enough]
        for start, end in zip(starts, ends):
            # A run of one character is measured by `spam.runs`.
            inside[start:end] |= changes[end - 1] > changes[start]
    return np.bincount(words.documents[word], inside, len(batch)).astype(np.int64)


def _paragraphs(batch: TextBatch) -> Ranges:
    """Paragraphs: consecutive lines, from the start of the first to the end of the last."""
    lines = batch.lines
    # Line ends before each line, those of blank lines included.
    ends_before = np.searchsorted(np.flatnonzero(batch.chars == ord("\n")), lines.starts)
    begins = np.ones(len(lines.starts), bool)
    begins[1:] = (np.diff(ends_before) > 1) | (np.diff(lines.documents) > 0)
    first = np.flatnonzero(begins)
    last = np.append(first[1:], len(begins))[: len(first)] - 1
    return Ranges(lines.starts[first], lines.ends[last], np.searchsorted(first, lines.offsets))


def _shares(
    ranges: Ranges, repeated: np.ndarray, visible: np.ndarray, name: str
) -> dict[str, np.ndarray]:
    """Shares of the ranges that are repeated, by number and characters.

    Args:
      repeated: bool [n].
      visible: int64 [c + 1], number of characters before each that are no white space.
    """
    chars = visible[ranges.ends] - visible[ranges.starts]
    return {
        f"dup_{name}s": ratio(sums(repeated, ranges.offsets), np.diff(ranges.offsets)),
        f"dup_{name}_chars": ratio(
            sums(repeated * chars, ranges.offsets), sums(chars, ranges.offsets)
        ),
    }


def _keys(hashes: np.ndarray, documents: np.ndarray) -> np.ndarray:
    """Keys that are equal if hash and document are equal, uint64 [n]."""
    return splitmix64(hashes + documents.astype(np.uint64))


def _is_repeated(batch: TextBatch, ranges: Ranges) -> np.ndarray:
    """Returns whether each range equals an earlier range of the same document, bool [n]."""
    _, first = np.unique(
        _keys(batch.hashes.of(ranges.starts, ranges.ends), ranges.documents), return_index=True
    )
    repeated = np.ones(len(ranges.starts), bool)
    repeated[first] = False
    return repeated


class _Groups:
    """N-grams that occur more than once in a document, grouped by key.

    members: int64 [m], the words where they begin, group by group, ascending within a group.
    first: bool [m], whether a member is the first of its group.
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
    """Characters that the most frequent N-gram of each document covers, int64 [d]; of equally
    frequent ones, the one that covers most.
    """
    result = np.zeros(n_documents, np.int64)
    places, leaders = groups.members, np.flatnonzero(groups.first)
    if not len(places):
        return result
    uncovered = places.copy()  # first word of a place that the place before it does not cover
    uncovered[1:] = np.where(groups.first[1:], places[1:], np.maximum(places[1:], places[:-1] + n))
    total = np.concatenate([[0], np.cumsum(words.lengths)])
    covered = np.add.reduceat(total[places + n] - total[uncovered], leaders)
    times = np.diff(leaders, append=len(places))
    document = words.documents[places[leaders]]
    # The last group of each document wins: the most frequent one, then the one that covers most.
    order = np.lexsort((covered, times, document))
    result[document[order]] = covered[order]
    return result


def _covered(words: Ranges, groups: _Groups, n: int) -> np.ndarray:
    """Characters of the words within an N-gram that occurred before, int64 [d]."""
    depth = np.zeros(len(words.starts) + 1, np.int64)
    repeated = groups.members[~groups.first]
    np.add.at(depth, repeated, 1)
    np.add.at(depth, repeated + n, -1)
    inside = np.cumsum(depth)[:-1] > 0
    return sums(inside * words.lengths, words.offsets)
