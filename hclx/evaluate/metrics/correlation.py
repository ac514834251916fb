"""Correlations of predicted and gold similarities (KLUE-STS, KorSTS).

The predicted number is the probability of the choice "1", or else the number that was generated.
An answer that is no number counts as the mean of the others: it tells nothing.
"""

import math

import numpy as np

from hclx.evaluate.metrics.classification import POSITIVE
from hclx.evaluate.metrics.metric import Items, Metric, Predictions, divided


def _similarities(items: Items, predictions: Predictions) -> np.ndarray:
    """Returns the predicted and the gold similarity of each item: float64 [n, 2]."""
    predicted_n = np.array([_number(prediction) for prediction in predictions])
    known = np.isfinite(predicted_n)
    predicted_n[~known] = predicted_n[known].mean() if known.any() else 0.0
    return np.column_stack([predicted_n, [float(item.gold["similarity"]) for item in items]])


def _number(prediction) -> float:
    if prediction.probabilities:
        return prediction.probabilities.get(POSITIVE, math.nan)
    try:
        return float(prediction.answer)
    except ValueError:
        return math.nan


def _pearson(rows_n2: np.ndarray, counts_bn: np.ndarray) -> np.ndarray:
    x_n, y_n = rows_n2.T
    return weighted_correlation(np.broadcast_to(x_n, counts_bn.shape), y_n, counts_bn)


def _spearman(rows_n2: np.ndarray, counts_bn: np.ndarray) -> np.ndarray:
    x_bn, y_bn = (_ranks(values_n, counts_bn) for values_n in rows_n2.T)
    return weighted_correlation(x_bn, y_bn, counts_bn)


def weighted_correlation(x_bn: np.ndarray, y_bn: np.ndarray, counts_bn: np.ndarray) -> np.ndarray:
    """Returns the correlation of x and y [draws], each item as often as its count says; NaN where
    either is constant.
    """
    total = counts_bn.sum(-1, keepdims=True)
    x_bn, y_bn = (
        values - divided((values * counts_bn).sum(-1, keepdims=True), total, 0.0)
        for values in (x_bn, np.broadcast_to(y_bn, counts_bn.shape))
    )
    moment = lambda a, b: (a * b * counts_bn).sum(-1)
    below = np.sqrt(moment(x_bn, x_bn) * moment(y_bn, y_bn))
    constant = _is_constant(x_bn, counts_bn) | _is_constant(y_bn, counts_bn)
    return np.where(constant, np.nan, divided(moment(x_bn, y_bn), below, np.nan))


def _is_constant(values_bn: np.ndarray, counts_bn: np.ndarray) -> np.ndarray:
    present = counts_bn > 0
    highest = np.where(present, values_bn, -np.inf).max(-1)
    return highest <= np.where(present, values_bn, np.inf).min(-1)


def _ranks(values_n: np.ndarray, counts_bn: np.ndarray) -> np.ndarray:
    """Returns ranks [draws, n] in the set where each value occurs as often as its count says; equal
    values share the mean of their ranks.
    """
    _, inverse, sizes = np.unique(values_n, return_inverse=True, return_counts=True)
    order = np.argsort(inverse, kind="stable")
    starts = np.cumsum(sizes) - sizes
    counts_bu = np.add.reduceat(counts_bn[:, order], starts, axis=-1)
    ranks_bu = np.cumsum(counts_bu, -1) - (counts_bu - 1) / 2
    return ranks_bu[:, inverse]


PEARSON = Metric("pearson", _similarities, _pearson, needs=("similarity",))
SPEARMAN = Metric("spearman", _similarities, _spearman, needs=("similarity",))
