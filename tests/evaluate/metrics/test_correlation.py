"""Correlations against scipy."""

import math

import numpy as np
import pytest

from hclx.evaluate.metrics import METRICS
from tests.evaluate.metrics.cases import assert_bootstraps, items_of, predictions_of

stats = pytest.importorskip("scipy.stats")
ORACLES = {"pearson": stats.pearsonr, "spearman": stats.spearmanr}


def case(seed, n=40, digits=1):
    rng = np.random.default_rng(seed)
    similarity = rng.uniform(0, 5, n).round(digits)
    p = (0.15 * similarity + rng.normal(0, 0.15, n)).clip(0, 1).round(digits)
    items = items_of(["1"] * n, similarity=list(similarity))
    return items, p, similarity


@pytest.mark.parametrize("name", ORACLES)
@pytest.mark.parametrize("digits", [1, 6], ids=["ties", "no ties"])
def test_correlations_are_those_of_scipy(name, digits):
    items, p, similarity = case(1, digits=digits)
    expected = ORACLES[name](p, similarity)[0]
    chosen = predictions_of(["1"] * len(p), [{"0": 1 - x, "1": x} for x in p])
    written = predictions_of([str(x) for x in p])
    assert METRICS[name].function(items, chosen) == pytest.approx(expected)
    assert METRICS[name].function(items, written) == pytest.approx(expected)
    assert_bootstraps(METRICS[name], items, chosen)


@pytest.mark.parametrize("name", ORACLES)
def test_an_answer_that_is_no_number_tells_nothing(name):
    items, p, similarity = case(2)
    words = ["비슷하다", "", "nan", "inf", *[str(x) for x in p[4:]]]
    p[:4] = p[4:].mean()
    expected = ORACLES[name](p, similarity)[0]
    assert METRICS[name].function(items, predictions_of(words)) == pytest.approx(expected)


@pytest.mark.parametrize("name", ORACLES)
@pytest.mark.parametrize(
    ("predicted", "similarity"),
    [(["1"] * 3, [1.0, 2.0, 3.0]), (["1", "2", "3"], [0.1] * 3), ([""] * 3, [1.0, 2.0, 3.0])],
    ids=["constant predictions", "constant gold", "no number"],
)
def test_a_constant_has_no_correlation(name, predicted, similarity):
    items = items_of(["1"] * 3, similarity=similarity)
    assert math.isnan(METRICS[name].function(items, predictions_of(predicted)))
