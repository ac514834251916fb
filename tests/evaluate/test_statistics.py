"""Intervals against scipy and by simulation; reliability and confusion by brute force."""

import dataclasses
import math

import numpy as np
import pytest

from hclx.errors import ConfigError
from hclx.evaluate.items import Item, Prediction
from hclx.evaluate.metrics import METRICS
from hclx.evaluate.metrics.metric import mean_of
from hclx.evaluate.statistics import (
    ReliabilityBin,
    bca_interval,
    bootstrap,
    confusion,
    expected_calibration_error,
    jackknife,
    paired_bootstrap,
    percentile_interval,
    reliability,
    summarise,
)
from tests.evaluate.metrics.cases import items_of, predictions_of

stats = pytest.importorskip("scipy.stats")
sklearn = pytest.importorskip("sklearn.metrics")

VALUES = mean_of(
    "values", lambda items, predictions: np.array([float(p.text) for p in predictions])
)
ACCURACY = METRICS["accuracy"]


def numbers(values):
    """Items and predictions of which `VALUES` is the mean."""
    return items_of(["a"] * len(values)), [Prediction("a", text=repr(float(v))) for v in values]


def choices(seed, n, share):
    """Items, and predictions of which `share` are right on average."""
    right = np.random.default_rng(seed).random(n) < share
    return items_of(["1"] * n), predictions_of(["1" if is_right else "0" for is_right in right])


def test_mean_and_deviation_over_trials():
    items = items_of(["1"] * 10)
    trials = [predictions_of(["1"] * right + ["0"] * (10 - right)) for right in (5, 7, 9)]
    summary = summarise(ACCURACY, items, trials)
    assert summary.trials == (0.5, 0.7, 0.9)
    assert summary.mean == pytest.approx(0.7)
    assert summary.std == pytest.approx(np.std([0.5, 0.7, 0.9], ddof=1))
    assert summary.interval[0] < 0.7 < summary.interval[1]
    assert summarise(ACCURACY, items, trials[:1]).std is None


def test_the_json_has_null_for_what_is_undefined():
    items = items_of(["1"] * 3, similarity=[1.0, 2.0, 3.0])
    summary = summarise(METRICS["pearson"], items, [predictions_of(["2"] * 3)] * 2)
    assert math.isnan(summary.mean)
    expected = {"mean": None, "std": None, "interval": None, "trials": [None, None]}
    assert summary.to_json() == expected
    items, predictions = choices(0, 20, 0.5)
    written = summarise(ACCURACY, items, [predictions]).to_json()
    assert written["mean"] == ACCURACY.function(items, predictions) and written["std"] is None


def test_a_summary_of_no_items_is_undefined():
    summary = summarise(ACCURACY, [], [[]])
    assert math.isnan(summary.mean) and summary.interval is None


def test_draws_follow_the_binomial():
    items, predictions = choices(1, 200, 0.7)
    mean = ACCURACY.function(items, predictions)
    draws = bootstrap(ACCURACY, items, [predictions], resamples=4000, seed=1)
    assert draws.mean() == pytest.approx(mean, abs=0.003)
    assert draws.std() == pytest.approx(math.sqrt(mean * (1 - mean) / 200), rel=0.05)


def test_the_same_seed_draws_the_same_items():
    items, predictions = choices(1, 50, 0.7)
    draw = lambda seed: bootstrap(ACCURACY, items, [predictions], 200, seed)
    np.testing.assert_array_equal(draw(3), draw(3))
    assert (draw(3) != draw(4)).any()


def test_many_items_are_drawn_in_parts(monkeypatch):
    items, predictions = choices(1, 50, 0.7)
    whole = bootstrap(ACCURACY, items, [predictions], 101, 3)
    left_out = jackknife(ACCURACY, items, [predictions])
    monkeypatch.setattr("hclx.evaluate.statistics._AT_ONCE", 333)
    parts = bootstrap(ACCURACY, items, [predictions], 101, 3)
    assert len(parts) == 101 and parts.mean() == pytest.approx(whole.mean(), abs=0.03)
    np.testing.assert_array_equal(jackknife(ACCURACY, items, [predictions]), left_out)


def test_trials_see_the_same_items():
    """Two trials that are wrong on opposite items always have a mean of one half."""
    items = items_of(["1"] * 40)
    first = ["1"] * 20 + ["0"] * 20
    trials = [predictions_of(first), predictions_of(first[::-1])]
    np.testing.assert_allclose(bootstrap(ACCURACY, items, trials, 50), 0.5)
    assert bootstrap(ACCURACY, items, trials[:1], 50).std() > 0.03


def test_leaving_out_each_item_by_brute_force():
    items, predictions = choices(2, 12, 0.6)
    for metric in (ACCURACY, METRICS["f1_macro"], METRICS["mcc"]):
        expected = [
            metric.function(items[:n] + items[n + 1 :], predictions[:n] + predictions[n + 1 :])
            for n in range(12)
        ]
        np.testing.assert_allclose(jackknife(metric, items, [predictions]), expected)


@pytest.mark.parametrize("method", ["percentile", "bca"])
def test_intervals_of_skewed_numbers_are_those_of_scipy(method):
    values = np.random.default_rng(3).exponential(2, 30) ** 1.5
    items, predictions = numbers(values)
    scipy_method = {"percentile": "percentile", "bca": "BCa"}[method]
    result = stats.bootstrap(
        (values,), np.mean, n_resamples=5000, method=scipy_method, rng=np.random.default_rng(1)
    )
    draws = result.bootstrap_distribution  # the same draws, so that the formula is compared
    if method == "percentile":
        interval = percentile_interval(draws)
    else:
        interval = bca_interval(draws, values.mean(), jackknife(VALUES, items, [predictions]))
    np.testing.assert_allclose(interval, result.confidence_interval, rtol=1e-6)
    own = summarise(VALUES, items, [predictions], resamples=5000, method=method).interval
    np.testing.assert_allclose(own, result.confidence_interval, rtol=0.05)


def test_an_interval_of_many_ties_is_that_of_scipy():
    items, predictions = choices(7, 25, 0.9)
    values = ACCURACY.per_item(items, predictions)
    result = stats.bootstrap(
        (values,), np.mean, n_resamples=2000, method="BCa", rng=np.random.default_rng(1)
    )
    left_out = jackknife(ACCURACY, items, [predictions])
    interval = bca_interval(result.bootstrap_distribution, values.mean(), left_out)
    np.testing.assert_allclose(interval, result.confidence_interval, rtol=1e-6)


@pytest.mark.parametrize("method", ["percentile", "bca"])
def test_intervals_hold_the_truth_as_often_as_they_say(method):
    held = 0
    for seed in range(200):
        items, predictions = choices(seed, 100, 0.8)
        summary = summarise(ACCURACY, items, [predictions], 0.9, 400, seed, method)
        held += summary.interval[0] <= 0.8 <= summary.interval[1]
    assert 165 <= held <= 195  # 180 expected, with a standard deviation of 4.2


def test_all_items_alike_have_an_interval_of_no_width():
    items, predictions = choices(0, 20, 1.1)
    for method in ("percentile", "bca"):
        assert summarise(ACCURACY, items, [predictions], method=method).interval == (1, 1)


def test_half_of_the_draws_undefined_is_no_interval():
    draws = np.array([1.0, 2.0, 3.0, np.nan, np.nan])
    assert percentile_interval(draws) is not None
    assert percentile_interval(np.append(draws, np.nan)) is None
    assert bca_interval(np.full(4, np.nan), 1.0, np.ones(3)) is None


@pytest.mark.parametrize("level", [0, 1, -1, 95])
def test_a_level_is_between_0_and_1(level):
    with pytest.raises(ConfigError, match="level"):
        summarise(ACCURACY, *[[x] if i else x for i, x in enumerate(choices(0, 9, 0.5))], level)


def test_unknown_methods_and_no_resamples_are_refused():
    items, predictions = choices(0, 9, 0.5)
    with pytest.raises(ConfigError, match="percentile or bca"):
        summarise(ACCURACY, items, [predictions], method="normal")
    with pytest.raises(ConfigError, match="resamples=0"):
        summarise(ACCURACY, items, [predictions], resamples=0)


def test_a_paired_difference_is_narrower_than_two_intervals():
    generator = np.random.default_rng(0)
    values = generator.normal(0, 10, 100)
    items, first = numbers(values)
    _, second = numbers(values + 1 + generator.normal(0, 0.5, 100))
    difference = paired_bootstrap(VALUES, items, ([first], [second]))
    assert difference.mean == pytest.approx(1, abs=0.2)
    assert 0.8 < difference.interval[0] < difference.interval[1] < 1.2
    assert difference.p < 0.01
    _, other = numbers(generator.permutation(values) + 1)
    assert paired_bootstrap(VALUES, items, ([first], [other])).p > 0.1


def test_equal_runs_have_a_p_value_of_1():
    items, predictions = choices(0, 30, 0.5)
    difference = paired_bootstrap(ACCURACY, items, ([predictions], [predictions]))
    assert dataclasses.astuple(difference) == (0, (0, 0), 1)


def test_p_values_of_equal_models_are_small_as_rarely_as_they_say():
    small = 0
    for seed in range(200):
        (items, first), (_, second) = choices(seed, 80, 0.7), choices(1000 + seed, 80, 0.7)
        small += paired_bootstrap(ACCURACY, items, ([first], [second]), 0.95, 300).p < 0.1
    assert 8 <= small <= 34  # 20 expected, with a standard deviation of 4.2


def test_reliability_by_brute_force():
    generator = np.random.default_rng(1)
    confidence = np.append(generator.random(200).round(2), [0.0, 0.1, 0.2, 1.0])
    right = generator.random(len(confidence)) < confidence
    expected, error = [], 0.0
    for number in range(10):
        low, high = number / 10, (number + 1) / 10
        inside = [
            (c, r)
            for c, r in zip(confidence, right, strict=True)
            if low < c <= high or (number == 0 and c == 0)
        ]
        if inside:
            expected.append((*np.mean(inside, axis=0), len(inside)))
            error += abs(sum(c for c, _ in inside) - sum(r for _, r in inside))
    bins = reliability(confidence, right)
    np.testing.assert_allclose([dataclasses.astuple(part) for part in bins], expected)
    assert expected_calibration_error(bins) == pytest.approx(error / len(confidence))


def test_confidence_in_what_is_right_has_no_error():
    assert expected_calibration_error(reliability(np.ones(5), np.ones(5))) == 0
    assert expected_calibration_error(reliability(np.ones(4), [1, 0, 1, 0])) == 0.5
    assert reliability(np.array([]), np.array([])) == []
    assert math.isnan(expected_calibration_error([]))
    assert reliability(np.array([0.5]), np.array([True]), bins=2) == [ReliabilityBin(0.5, 1, 1)]


def test_confusion_is_that_of_sklearn():
    generator = np.random.default_rng(2)
    gold = list(generator.choice(["b", "a", "c"], 50))
    trials = [list(generator.choice(["a", "b", "c"], 50)) for _ in range(2)]
    labels, matrix = confusion(items_of(gold), [predictions_of(t) for t in trials], ["b", "a"])
    assert labels == ["b", "a", "c"]
    expected = sum(sklearn.confusion_matrix(gold, t, labels=labels) for t in trials)
    np.testing.assert_array_equal(matrix, expected)


def test_answers_that_were_not_read_are_the_last_column():
    items = [Item(str(n), {}, answer) for n, answer in enumerate("aab")]
    labels, matrix = confusion(items, [predictions_of(["a", "", "z"])], ["a", "b"])
    assert labels == ["a", "b", "z", ""]
    assert matrix == [[1, 0, 0, 1], [0, 0, 1, 0], [0] * 4, [0] * 4]
