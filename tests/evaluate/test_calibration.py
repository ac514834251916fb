"""Calibration of prompted models: closed formulas, planted priors, degenerate cases."""

import math

import numpy as np
import pytest

from hclx.errors import ConfigError
from hclx.evaluate.calibration import (
    CALIBRATIONS,
    SMALLEST,
    batch_prior,
    calibrated,
    content_free_prior,
    domain_prior,
    less_prior,
    median_prior,
    normalised,
    without_prior,
)

special = pytest.importorskip("scipy.special")


def scores(seed=0, n=50, labels=3):
    return np.random.default_rng(seed).normal(-4, 2, (n, labels))


def test_normalised_rows_are_those_of_scipy():
    np.testing.assert_allclose(normalised(scores()), special.log_softmax(scores(), axis=-1))
    far = np.array([[-1e4, -1e4 - 1]])  # far below what exp can tell from 0
    np.testing.assert_allclose(normalised(far), special.log_softmax(far, axis=-1))


def test_contextual_calibration_by_its_formula():
    """q = diag(p_cf)^-1 p, and q = softmax(p - p_cf) (Zhao et al., 2021)."""
    log_p, log_cf = scores(0), scores(1, n=3)
    p_cf = np.exp(log_cf).mean(0)
    p_cf /= p_cf.sum()
    p = np.exp(log_p) / np.exp(log_p).sum(-1, keepdims=True)
    prior = content_free_prior(log_cf)
    np.testing.assert_allclose(np.exp(prior), p_cf)
    q = p @ np.linalg.inv(np.diag(p_cf))
    q /= q.sum(-1, keepdims=True)
    np.testing.assert_allclose(np.exp(without_prior(log_p, prior)), q)
    identity = special.softmax(p - p_cf, axis=-1)
    np.testing.assert_allclose(np.exp(less_prior(log_p, prior)), identity)


def test_an_input_counts_by_the_probability_of_its_labels():
    """The mean is of probabilities as they are: a label that is likelier as a whole weighs more."""
    log_cf = np.log([[0.3, 0.1], [0.0003, 0.0009]])
    expected = np.array([0.3003, 0.1009]) / 0.4012
    np.testing.assert_allclose(np.exp(content_free_prior(log_cf)), expected)
    # Words of the task are normalised first: the mean of 3/4 and 1/4.
    np.testing.assert_allclose(np.exp(domain_prior(log_cf)), [0.5, 0.5])


def test_batch_calibration_by_its_formula():
    log_p = scores()
    p = special.softmax(log_p, axis=-1)
    np.testing.assert_allclose(np.exp(batch_prior(log_p)), p.mean(0))
    expected = np.log(p) - np.log(p.mean(0))
    actual = calibrated("batch", log_p, {})
    np.testing.assert_allclose(actual, special.log_softmax(expected, axis=-1))


@pytest.mark.parametrize("n", [20, 21])
def test_the_median_divides_two_labels_in_halves(n):
    log_p = scores(3, n, 2) + [3.0, 0.0]
    answers = calibrated("median", log_p, {}).argmax(-1)
    odds = log_p[:, 0] - log_p[:, 1]
    clear = odds != np.median(odds)
    np.testing.assert_array_equal((answers == 0)[clear], (odds > np.median(odds))[clear])
    assert abs((answers == 0).sum() - n / 2) <= 0.5


def planted(seed, n, labels, prior):
    """Scores of a model that knows much, but prefers some labels; and its scores without that."""
    generator = np.random.default_rng(seed)
    gold = np.arange(n) % labels
    clean = generator.normal(0, 1, (n, labels)) + 2.0 * np.eye(labels)[gold]
    return gold, clean, clean + prior


PRIORS = [[3.0, 0.0], [-4.0, 0.0], [2.0, 0.0, -3.0], [0.0, 5.0, 5.0]]


@pytest.mark.parametrize("prior", PRIORS, ids=str)
@pytest.mark.parametrize("method", CALIBRATIONS)
def test_a_planted_prior_is_taken_out(method, prior):
    labels = len(prior)
    gold, clean, biased = planted(1, 900, labels, prior)
    accuracy = lambda log_p: (log_p.argmax(-1) == gold).mean()
    noise = np.random.default_rng(2).normal(0, 0.01, (200, labels))
    sources = {"contextual": np.array([prior] * 3), "domain": noise + prior}
    unbiased, raw = accuracy(clean), accuracy(biased)
    after = accuracy(calibrated(method, biased, sources))
    assert raw < unbiased - 0.15
    lost, left = unbiased - raw, unbiased - after
    # Inputs without content have this prior and nothing else, so that all comes back. Subtraction
    # does the same for two labels. Items say more than the prior, so that theirs is too weak.
    if method == "contextual" or (method == "contextual_identity" and labels == 2):
        assert left == 0
    else:
        most = {"domain_context": 0.01, "median": 0.15, "batch": 0.5, "contextual_identity": 0.9}
        assert left <= most[method] * lost


@pytest.mark.parametrize("method", ["contextual", "domain_context", "batch", "median"])
def test_without_a_prior_nothing_changes(method):
    gold, clean, _ = planted(4, 1000, 2, [0.0, 0.0])
    sources = {"contextual": np.zeros((3, 2)), "domain": np.zeros((20, 2))}
    after = calibrated(method, clean, sources)
    assert (after.argmax(-1) == gold).mean() == pytest.approx(
        (clean.argmax(-1) == gold).mean(), abs=0.01
    )
    if method in ("contextual", "domain_context"):
        np.testing.assert_allclose(after, normalised(clean))


@pytest.mark.parametrize("method", CALIBRATIONS)
def test_ties_and_zeros(method):
    zero = -math.inf
    log_p = np.array([[zero, -1.0], [-1.0, zero], [zero, zero], [-2.0, -2.0]])
    sources = {
        "contextual": np.array([[zero, -1.0], [zero, -2.0]]),
        "domain": np.array([[zero, -1.0], [zero, zero]]),
    }
    p = np.exp(calibrated(method, log_p, sources))
    np.testing.assert_allclose(p.sum(-1), 1)
    np.testing.assert_allclose(p[2], [0.5, 0.5])  # neither is possible
    assert p[2].argmax() == 0
    if method != "contextual_identity":
        np.testing.assert_allclose(p[:2], [[0, 1], [1, 0]], atol=1e-30)


def test_a_prior_is_never_nothing():
    prior = content_free_prior(np.array([[-math.inf, 0.0]]))
    np.testing.assert_allclose(np.exp(prior), [SMALLEST, 1])
    nowhere = np.full((2, 3), -math.inf)
    for function in (content_free_prior, domain_prior, batch_prior, median_prior):
        np.testing.assert_allclose(np.exp(function(nowhere)), [1 / 3] * 3)


@pytest.mark.parametrize("wrong", [math.nan, math.inf])
def test_numbers_that_are_none_are_refused(wrong):
    with pytest.raises(ConfigError, match="NaN or infinite"):
        calibrated("batch", np.array([[0.0, wrong]]), {})


def test_a_source_that_is_missing_and_an_unknown_method():
    assert calibrated("contextual", scores(), {}) is None
    assert calibrated("median", scores(), {}) is not None
    with pytest.raises(ConfigError, match="known are contextual"):
        calibrated("temperature", scores(), {})
