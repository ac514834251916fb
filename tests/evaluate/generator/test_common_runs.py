"""Longest runs against brute force."""

import numpy as np
import pytest

from hclx.evaluate.generator import common_runs, memorisation
from hclx.evaluate.generator.common_runs import RunIndex
from hclx.evaluate.generator.memorisation import shared_runs
from hclx.text.records import Document

SENTENCE = "가을이 오면 마을 앞 느티나무 아래에서 아이들이 도토리를 줍고 어른들은 고추를 말린다."


def longest(a, b):
    """The length of the longest run of two sequences, by the table of all pairs of places."""
    best, row = 0, [0] * (len(b) + 1)
    for x in a:
        row = [0, *(row[j] + 1 if x == y else 0 for j, y in enumerate(b))]
        best = max(best, *row)
    return best


def is_within(run, sequence):
    return any(sequence[i : i + len(run)] == run for i in range(len(sequence)))


class PoorHash:
    """Few values, so that most runs have the hash of another; equal runs have equal hashes."""

    def __init__(self, symbols):
        self._sums = np.concatenate([[0], np.cumsum(symbols % 97, dtype=np.int64)])

    def of(self, starts, ends):
        return ((self._sums[ends] - self._sums[starts]) % 5).astype(np.uint64) << np.uint64(60)


@pytest.mark.parametrize("make_hash", [common_runs.RangeHash, PoorHash])
@pytest.mark.parametrize("alphabet", [2, 5])
@pytest.mark.parametrize("n", [1, 3, 6])
def test_runs_of_random_sequences(alphabet, n, make_hash, monkeypatch):
    """Two symbols repeat themselves everywhere, and parts of few pairs are divided often."""
    monkeypatch.setattr(common_runs, "RangeHash", make_hash)
    monkeypatch.setattr(common_runs, "_PAIRS_AT_ONCE", 50)
    rng = np.random.default_rng(alphabet + n)
    draw = lambda: rng.integers(alphabet, size=rng.integers(0, 90)).astype(np.uint32)
    texts, stream = [draw() for _ in range(12)], [draw() for _ in range(9)]
    index = RunIndex(texts, n)
    index.read(stream[:4])
    index.read([])
    index.read(stream[4:])
    for text, run in zip(texts, index.longest, strict=True):
        expected = [longest(text.tolist(), other.tolist()) for other in stream]
        assert (run.length if run else 0) == (max(expected) if max(expected) >= n else 0)
        if run:
            assert run.source == expected.index(max(expected))
            shared = text[run.start : run.start + run.length].tolist()
            assert len(shared) == run.length and is_within(shared, stream[run.source].tolist())


def test_a_run_that_repeats_one_symbol_takes_no_square_of_its_length():
    one_symbol = np.full(200_000, 7, np.uint32)
    index = RunIndex([one_symbol], 20)
    index.read([one_symbol[:150_000], one_symbol])
    assert index.longest[0] == common_runs.Run(200_000, 0, 1)


def documents(*texts):
    return [Document(text, "corpus.jsonl", line) for line, text in enumerate(texts, 1)]


def test_characters_and_words_of_a_planted_copy(monkeypatch):
    monkeypatch.setattr(memorisation, "_BATCH", 1)
    copied = SENTENCE[4:45]
    texts = [f"어제는 {copied}ㅋㅋ 그랬다.", "이 글은 어디에서도 베끼지 않은 새 글이다.", ""]
    first, second, empty = shared_runs(texts, documents("다른 글이다.", SENTENCE, SENTENCE))
    assert copied in first.text
    assert first.characters == longest(texts[0], SENTENCE) == len(first.text)
    assert first.words == longest(texts[0].split(), SENTENCE.split()) >= memorisation.LEAST_WORDS
    assert first.source == "corpus.jsonl:2"
    assert (second.characters, second.words, second.source) == (0, 0, "")
    assert (empty.characters, empty.words) == (0, 0)


@pytest.mark.parametrize("n, expected", [(19, 0), (20, 20), (21, 21)])
def test_runs_shorter_than_the_least_are_none(n, expected):
    (run,) = shared_runs([SENTENCE[:n]], documents(SENTENCE))
    assert run.characters == expected


def test_no_run_goes_from_a_document_into_the_next():
    (run,) = shared_runs([SENTENCE], documents(SENTENCE[:25], SENTENCE[25:]))
    assert run.characters == max(25, len(SENTENCE) - 25)


def test_runs_of_real_articles(wiki_texts):
    """Sentences that are put together of pieces of articles, against brute force."""
    corpus = [text[:1500] for text in wiki_texts[:12]]
    rng = np.random.default_rng(0)
    texts = []
    for _ in range(6):
        starts = rng.integers(0, 200, 3)
        texts.append(
            "".join(corpus[rng.integers(12)][s : s + rng.integers(10, 90)] for s in starts)
        )
    for text, run in zip(texts, shared_runs(texts, documents(*corpus)), strict=True):
        expected = max(longest(text, other) for other in corpus)
        assert run.characters == (expected if expected >= memorisation.LEAST_CHARACTERS else 0)
