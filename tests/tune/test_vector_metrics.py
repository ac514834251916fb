"""Metrics of vectors against SciPy and brute force."""

import math

import numpy as np
import pytest
import scipy.stats

from hclx.tune.vector_metrics import cosines, pearson, retrieval, spearman

DRAW = np.random.default_rng(0)


def test_correlations_are_those_of_scipy():
    x, y = DRAW.normal(size=(2, 40))
    y = np.round(x + y)  # with equal values
    assert pearson(x, y) == pytest.approx(scipy.stats.pearsonr(x, y).statistic)
    assert spearman(x, y) == pytest.approx(scipy.stats.spearmanr(x, y).statistic)
    assert math.isnan(pearson(x, np.ones(40)))


def test_ranks_of_retrieval_are_those_of_sorting():
    queries, texts = DRAW.normal(size=(30, 8)), DRAW.normal(size=(50, 8))
    own = DRAW.integers(0, 50, 30)
    queries += texts[own]
    ranks = []
    for query, number in zip(queries, own):
        near = [query @ text / np.linalg.norm(text) for text in texts]
        ranks.append(1 + sorted(range(50), key=lambda i: -near[i]).index(number))
    expected = {
        "r1": np.mean([r == 1 for r in ranks]),
        "r10": np.mean([r <= 10 for r in ranks]),
        "mrr": np.mean([1 / r for r in ranks]),
    }
    assert 0 < expected["r1"] < 1
    assert retrieval(queries, texts, own) == pytest.approx(expected)


def test_a_text_that_is_as_near_stands_before_the_own_one():
    texts = np.array([[1.0, 0], [2, 0], [0, 1]])
    values = retrieval(texts[:1], texts, np.array([0]))
    assert values == {"r1": 0.0, "r10": 1.0, "mrr": 0.5}


def test_cosines_are_those_of_pairs():
    a, b = DRAW.normal(size=(2, 5, 3))
    expected = [x @ y / np.linalg.norm(x) / np.linalg.norm(y) for x, y in zip(a, b)]
    np.testing.assert_allclose(cosines(a, b), expected)
