"""Metrics of choices against scikit-learn."""

import math
import warnings

import numpy as np
import pytest

from hclx.evaluate.items import Item, Prediction
from hclx.evaluate.metrics import METRICS
from tests.evaluate.metrics.cases import assert_bootstraps, items_of, predictions_of

sklearn = pytest.importorskip("sklearn.metrics")

LABELS = ["정치", "경제", "사회", "0", "1"]


def some(seed, labels, n=60, right=0.5):
    rng = np.random.default_rng(seed)
    gold = rng.choice(labels, n)
    return list(gold), list(np.where(rng.random(n) < right, gold, rng.choice(labels, n)))


def value(name, gold, predicted, **kwargs):
    return METRICS[name].function(items_of(gold, **kwargs), predictions_of(predicted))


ORACLES = {
    "accuracy": sklearn.accuracy_score,
    "f1_macro": lambda gold, predicted: sklearn.f1_score(gold, predicted, average="macro"),
    "f1_micro": lambda gold, predicted: sklearn.f1_score(gold, predicted, average="micro"),
    "mcc": sklearn.matthews_corrcoef,
    "f1_positive": lambda gold, predicted: sklearn.f1_score(
        [label == "1" for label in gold], [label == "1" for label in predicted], zero_division=0
    ),
}


@pytest.mark.parametrize("name", ORACLES)
@pytest.mark.parametrize("labels", [LABELS, LABELS[-2:]], ids=["five", "two"])
@pytest.mark.parametrize("seed", range(3))
def test_choices_are_scored_as_by_sklearn(name, labels, seed):
    gold, predicted = some(seed, labels)
    assert value(name, gold, predicted) == pytest.approx(ORACLES[name](gold, predicted))


@pytest.mark.parametrize("name", ORACLES)
@pytest.mark.parametrize(
    ("gold", "predicted"),
    [(["1"] * 4, ["1"] * 4), (["0"] * 4, ["1"] * 4), (["1", "0"] * 3, ["0"] * 6), (["1"], ["0"])],
    ids=["all right", "all wrong", "constant", "a single item"],
)
def test_degenerate_cases_are_those_of_sklearn(name, gold, predicted):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = ORACLES[name](gold, predicted)
    assert value(name, gold, predicted) == pytest.approx(expected)


@pytest.mark.parametrize("name", [*ORACLES, "unparsed"])
def test_weighted_sets_are_resampled_sets(name):
    gold, predicted = some(5, LABELS, 30)
    predicted[3] = ""
    assert_bootstraps(METRICS[name], items_of(gold), predictions_of(predicted))
    # Of so few, most sets lack some labels.
    assert_bootstraps(METRICS[name], items_of(gold[:6]), predictions_of(predicted[:6]))


def test_an_answer_that_was_not_read_is_wrong_and_no_label():
    gold, predicted = ["a", "b", "a", "b"], ["a", "b", "", "b"]
    assert value("accuracy", gold, predicted) == 0.75
    assert value("unparsed", gold, predicted) == 0.25
    # By hand: a has 1 right and 1 missed, b 2 right.
    assert value("f1_macro", gold, predicted) == pytest.approx((2 / 3 + 1) / 2)
    assert value("f1_micro", gold, predicted) == pytest.approx(6 / 7)


def test_any_accepted_answer_is_right():
    item = Item("1", {}, "서울", answers=("서울", "서울시"))
    assert METRICS["accuracy"].function([item], [Prediction("서울시")]) == 1
    assert METRICS["accuracy"].function([item], [Prediction("서울 시")]) == 0


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("none", ["no_relation", "관계 없음"])
def test_relations_are_scored_without_no_relation(seed, none):
    labels = [none, "per:title", "org:founded", "per:origin"]
    gold, predicted = some(seed, labels)
    expected = sklearn.f1_score(gold, predicted, average="micro", labels=labels[1:])
    no_relation = [label == none for label in gold]
    actual = value("f1_micro_without", gold, predicted, no_relation=no_relation)
    assert actual == pytest.approx(expected)
    items = items_of(gold, no_relation=no_relation)
    # All resampled sets have to know the label, so its name is the default one.
    if none == "no_relation":
        assert_bootstraps(METRICS["f1_micro_without"], items, predictions_of(predicted))


def test_no_relation_is_known_by_its_name_where_no_item_has_it():
    gold, predicted = ["per:title", "per:title"], ["per:title", "no_relation"]
    none = {"no_relation": [False, False]}
    assert value("f1_micro_without", gold, predicted, **none) == pytest.approx(2 / 3)


def probable(seed, labels, n=80, digits=1):
    """Gold labels, and probabilities with many ties."""
    rng = np.random.default_rng(seed)
    gold = list(rng.choice(labels, n))
    p_nl = rng.dirichlet(np.ones(len(labels)), n).round(digits)
    return gold, [dict(zip(labels, row, strict=True)) for row in p_nl], p_nl


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("digits", [1, 8], ids=["ties", "no ties"])
def test_areas_are_those_of_sklearn(seed, digits):
    labels = ["a", "b", "c"]
    gold, probabilities, p_nl = probable(seed, labels, digits=digits)
    areas = []
    for number, label in enumerate(labels):
        curve = sklearn.precision_recall_curve([g == label for g in gold], p_nl[:, number])
        areas.append(sklearn.auc(curve[1], curve[0]))
    items, predictions = items_of(gold), predictions_of(gold, probabilities)
    metric = METRICS["auprc_macro"]
    assert metric.function(items, predictions) == pytest.approx(np.mean(areas))
    assert_bootstraps(metric, items, predictions)


def test_areas_without_probabilities_are_undefined():
    assert METRICS["auprc_macro"].needs_probabilities
    assert math.isnan(METRICS["auprc_macro"].function(items_of("ab"), predictions_of("ab")))


def test_a_label_without_a_gold_item_has_no_area():
    items = items_of(["a", "a"])
    predictions = predictions_of(["a", "b"], [{"a": 0.9, "b": 0.1}, {"a": 0.2, "b": 0.8}])
    assert METRICS["auprc_macro"].function(items, predictions) == 1


@pytest.mark.parametrize("name", METRICS)
def test_a_metric_of_no_items_is_undefined(name):
    assert math.isnan(METRICS[name].function([], []))
