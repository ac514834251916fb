"""The classifier against a plain one of dictionaries, and its training against scikit-learn."""

import math
import unicodedata
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hclx.errors import DataError
from hclx.serve.safety.jamo_ngrams import BITS, ngram_counts
from hclx.serve.safety.label_model import LabelModel, Labels, features, inverse_frequencies
from hclx.serve.safety.label_training import train_labels

GOOD = ["오늘 날씨가 참 좋다", "이 영화는 재미있다", "꽃이 예쁘게 피었다", "고맙고 반가운 사람"]
BAD = ["정말 멍청한 바보다", "바보 같은 소리", "저 멍청이는 싫다", "바보바보 ㅋㅋ"]
TEXTS = [text + end for text in GOOD + BAD for end in ("", "!", " 그렇지", " 아마")]
HATE = ["none"] * 16 + ["hate"] * 16
BIAS = ["a", "b", "c", "a"] * 8


def grams(text):
    """All runs of 1 to 6 letters."""
    letters = f" {unicodedata.normalize('NFKD', text.lower())} "
    return [letters[i : i + n] for n in range(1, 7) for i in range(len(letters) - n + 1)]


def bucket_of(gram):
    """The bucket of an n-gram, by whole numbers: SplitMix64 of a polynomial of its letters."""
    value = 0
    for letter in gram:
        value = (value * 0x9E3779B97F4A7C15 + ord(letter) + 1) % 2**64
    value = (value + len(gram)) % 2**64
    value = ((value ^ value >> 30) * 0xBF58476D1CE4E5B9) % 2**64
    value = ((value ^ value >> 27) * 0x94D049BB133111EB) % 2**64
    return (value ^ value >> 31) >> (64 - BITS)


def plain_features(texts, text):
    """N-gram -> its value in a text, by the textbook."""
    df = Counter(gram for each in texts for gram in set(grams(each)))
    values = {
        gram: (1 + math.log(count)) * (math.log((1 + len(texts)) / (1 + df[gram])) + 1)
        for gram, count in Counter(grams(text)).items()
        if df[gram] > 1
    }
    norm = math.sqrt(sum(value * value for value in values.values()))
    return {gram: value / norm for gram, value in values.items()}


def test_features_are_those_of_the_textbook():
    idf_b = inverse_frequencies(TEXTS)
    for text in (*TEXTS[:3], "바보 ㅋㅋㅋ 그렇지 ＡＢ ab", "그"):
        expected = sorted(plain_features(TEXTS, text).values())
        assert sorted(features(text, idf_b)[1].tolist()) == pytest.approx(expected, rel=1e-5)
    assert features("", idf_b)[1].sum() == features(" ", idf_b)[1].sum() == 1  # the space alone
    assert len(features("Ω", np.zeros_like(idf_b))[0]) == 0


@settings(max_examples=50, deadline=None)
@given(st.text(max_size=30))
def test_counts_are_those_of_all_ngrams(text):
    buckets, counts = ngram_counts(text)
    expected = Counter(map(bucket_of, grams(text)))
    assert list(zip(buckets.tolist(), counts.tolist())) == sorted(expected.items())


def test_probabilities_are_the_softmax_of_each_question():
    rng = np.random.default_rng(0)
    idf_b = inverse_frequencies(TEXTS)
    weights_bc = rng.normal(size=(1 << BITS, 5)).astype(np.float32)
    bias_c = rng.normal(size=5).astype(np.float32)
    labels = (Labels("hate", ("none", "hate")), Labels("bias", ("a", "b", "c")))
    model = LabelModel(labels, idf_b, weights_bc, bias_c)
    logits = bias_c.astype(float).copy()
    for bucket, value in zip(*features("바보 같은 날씨", idf_b)):
        logits += value * weights_bc[bucket].astype(float)
    result = model.probabilities("바보 같은 날씨")
    for name, own in (("hate", logits[:2]), ("bias", logits[2:])):
        expected = np.exp(own) / np.exp(own).sum()
        assert list(result[name].values()) == pytest.approx(expected.tolist(), rel=1e-4)


def test_training_is_that_of_scikit_learn():
    linear_model = pytest.importorskip("sklearn.linear_model")
    model = train_labels(TEXTS, {"hate": HATE, "bias": BIAS}, strength=2.0)
    matrix = np.zeros((len(TEXTS), 1 << BITS), np.float32)
    for row, text in enumerate(TEXTS):
        buckets, values = features(text, model.idf_b)
        matrix[row, buckets] = values
    used = np.flatnonzero(model.idf_b)
    for name, classes in (("hate", HATE), ("bias", BIAS)):
        # Two classes have weights of their own here, w and -w, and one set of 2 w there: half of
        # the squares.
        strength = 4.0 if name == "hate" else 2.0
        other = linear_model.LogisticRegression(
            C=strength, class_weight="balanced", max_iter=1000, tol=1e-8
        )
        other.fit(matrix[:, used], classes)
        expected = other.predict_proba(matrix[:, used])
        for row, text in enumerate(TEXTS[:12]):
            shares = model.probabilities(text)[name]
            assert [shares[c] for c in other.classes_] == pytest.approx(expected[row], abs=0.01)


def test_a_question_needs_two_classes():
    with pytest.raises(DataError, match="hate has 1 values in 8 texts"):
        train_labels(GOOD + BAD, {"hate": ["none"] * 8})
