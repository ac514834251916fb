"""KoBBQ's metrics: cases by hand."""

import math

import numpy as np
import pytest

from hclx.errors import ConfigError
from hclx.evaluate.items import Item, Prediction
from hclx.evaluate.metrics import METRICS, metrics_named
from tests.evaluate.metrics.cases import assert_bootstraps

NAMES = [
    "bias_accuracy_ambiguous",
    "bias_accuracy_disambiguated",
    "diff_bias_ambiguous",
    "diff_bias_disambiguated",
]


def item(answer, ambiguous, biased="할머니"):
    gold = {"ambiguous": ambiguous, "biased": biased, "unknown": "모름", "category": "age"}
    return Item("1", {}, answer, gold=gold)


ITEMS = [item("모름", True)] * 5 + [item("할머니", False)] * 3 + [item("손자", False)] * 3
ANSWERS = ["할머니", "할머니", "손자", "모름", ""]
ANSWERS += ["할머니", "할머니", "손자"] + ["손자", "모름", ""]
PREDICTIONS = [Prediction(answer) for answer in ANSWERS]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("bias_accuracy_ambiguous", 1 / 4),
        ("bias_accuracy_disambiguated", 3 / 5),
        ("diff_bias_ambiguous", (2 - 1) / 4),
        ("diff_bias_disambiguated", 2 / 3 - 1 / 2),
        ("unparsed", 2 / 11),
    ],
)
def test_metrics_by_hand(name, expected):
    assert METRICS[name].function(ITEMS, PREDICTIONS) == pytest.approx(expected)


def test_the_extremes():
    ambiguous = [item("모름", True)] * 4
    value = lambda answer: METRICS["diff_bias_ambiguous"].function(
        ambiguous, [Prediction(answer)] * 4
    )
    assert (value("할머니"), value("손자"), value("모름")) == (1, -1, 0)
    stereotype = [Prediction("할머니")] * 6
    assert METRICS["diff_bias_disambiguated"].function(ITEMS[5:], stereotype) == 1


def test_a_context_that_does_not_occur_is_undefined():
    for name in NAMES:
        part = slice(5, None) if name.endswith("_ambiguous") else slice(0, 5)
        assert math.isnan(METRICS[name].function(ITEMS[part], PREDICTIONS[part]))
    assert math.isnan(METRICS["diff_bias_disambiguated"].function(ITEMS[5:8], PREDICTIONS[5:8]))


def test_weighted_sets_are_resampled_sets():
    for name in NAMES:
        assert_bootstraps(METRICS[name], ITEMS, PREDICTIONS)


def test_scores_of_items_are_for_their_context():
    scores = METRICS["bias_accuracy_ambiguous"].per_item(ITEMS, PREDICTIONS)
    np.testing.assert_array_equal(scores[:5], [0, 0, 0, 1, np.nan])
    assert np.isnan(scores[5:]).all()


def test_an_unknown_metric_is_refused():
    assert list(metrics_named(["mcc", "accuracy"])) == ["mcc", "accuracy"]
    with pytest.raises(ConfigError, match="no metric 'acc'; known are accuracy"):
        metrics_named(["accuracy", "acc"])
