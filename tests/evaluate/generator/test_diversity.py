"""Diversity and repetition by hand, and self-BLEU against sacrebleu."""

import math

import numpy as np
import pytest

from hclx.evaluate.generator.diversity import distinct, repeated_ngrams, repeated_words, self_bleu

TEXTS = ["가 나 가 나 가", "가 다", ""]
WORDS = [text.split() for text in TEXTS]


@pytest.mark.parametrize("n, expected", [(1, 3 / 7), (2, 3 / 5), (3, 2 / 3), (4, 1.0)])
def test_distinct(n, expected):
    assert distinct(WORDS, n) == pytest.approx(expected)


def test_repeated_ngrams_of_each_text():
    assert repeated_ngrams(WORDS, 2) == pytest.approx((2 / 4 + 0) / 2)
    assert repeated_ngrams(WORDS, 1) == pytest.approx((3 / 5 + 0) / 2)


def test_repeated_words_within_a_window():
    assert repeated_words(WORDS, 16) == pytest.approx((3 / 5 + 0) / 2)
    assert repeated_words(WORDS, 1) == 0
    assert repeated_words(["가 가 나 가".split()], 1) == pytest.approx(1 / 4)
    assert repeated_words(["가 가 나 가".split()], 2) == pytest.approx(2 / 4)


def test_texts_without_tokens_have_no_figures():
    figures = distinct([[]], 1), repeated_ngrams([[]]), repeated_words([[]]), self_bleu([[]])
    assert all(map(math.isnan, figures))


@pytest.mark.parametrize("vocabulary, seed", [(3, 0), (12, 1), (400, 2)])
def test_self_bleu_is_the_mean_of_sacrebleu(vocabulary, seed):
    sacrebleu = pytest.importorskip("sacrebleu")
    rng = np.random.default_rng(seed)
    texts = [rng.integers(vocabulary, size=rng.integers(1, 30)) for _ in range(15)]
    texts = [[f"w{word}" for word in text] for text in texts]
    oracle = sacrebleu.BLEU(tokenize="none", effective_order=True)
    expected = [
        oracle.sentence_score(" ".join(text), [" ".join(o) for j, o in enumerate(texts) if j != i])
        for i, text in enumerate(texts)
    ]
    assert self_bleu(texts) == pytest.approx(np.mean([score.score for score in expected]))


def test_self_bleu_of_copies_and_of_strangers():
    pytest.importorskip("sacrebleu")
    assert self_bleu(["가 나 다 라 마".split()] * 3) == pytest.approx(100)
    assert self_bleu(["가 나 다 라".split(), "마 바 사 아".split()]) == 0
