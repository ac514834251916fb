"""Paired tests of two evaluations of the same items: exact McNemar, the paired bootstrap, and
Holm's correction for several tests.
"""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

_CHUNK = 200  # resamples that are held at once


@dataclasses.dataclass(frozen=True)
class Bootstrap:
    """Values of two models and their difference under resampling of items.

    Attributes:
      values: of a and of b, over all items.
      low, high: bounds of the percentile interval of b - a.
      p: two-sided, that the difference is 0.
    """

    values: tuple[float, float]
    low: float
    high: float
    p: float


def mcnemar(gained: int, lost: int) -> float:
    """Computes the p of McNemar's exact test: whether changes in both directions are equally
    likely, a two-sided binomial test (McNemar 1947).

    Args:
      gained: items that were wrong and are right.
      lost: items that were right and are wrong.
    Returns:
      1.0 if no item changed.
    """
    n, term, tail = gained + lost, 1, 0
    for k in range(min(gained, lost) + 1):
        tail += term
        term = term * (n - k) // (k + 1)
    return min(1.0, 2 * tail / 2**n)


def holm(p_values: Sequence[float]) -> list[float]:
    """Corrects the p-values of several tests, so that the chance of any false alarm among them is
    bounded (Holm 1979).

    Args:
      p_values: of the tests.
    Returns:
      The corrected ones, in the same order.
    """
    corrected, highest = [0.0] * len(p_values), 0.0
    order = sorted(range(len(p_values)), key=lambda test: p_values[test])
    for rank, test in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[test]))
        corrected[test] = highest
    return corrected


def paired_bootstrap(
    rows_nk: np.ndarray,
    values: Callable[[np.ndarray, np.ndarray], np.ndarray],
    *,
    resamples: int = 10_000,
    level: float = 0.95,
    seed: int = 0,
) -> Bootstrap:
    """Resamples items with what both models made of them (Efron and Tibshirani 1993, chapter 13;
    for evaluations Koehn 2004). Equal rows are drawn together, by a multinomial: it is the same
    distribution, and needs the memory of the different rows alone.

    Args:
      rows_nk: a row for each of n items, n at least 1.
      values: (weights_cu, rows_uk) -> values_2c of a and b in each of c resamples, which have
        `weights` copies of the u different rows.
      resamples: how many.
      level: of the interval.
      seed: of the draws.
    Returns:
      Values, interval and p; the least p is 2 / (resamples + 1).
    """
    rows_uk, counts_u = np.unique(rows_nk, axis=0, return_counts=True)
    generator, n = np.random.default_rng(seed), len(rows_nk)
    draw = lambda size: generator.multinomial(n, counts_u / n, size)
    resampled_2c = np.concatenate([values(draw(c), rows_uk) for c in _chunks(resamples)], axis=1)
    differences_c = resampled_2c[1] - resampled_2c[0]
    tail = min(np.sum(differences_c <= 0), np.sum(differences_c >= 0))
    low, high = np.quantile(differences_c, [(1 - level) / 2, (1 + level) / 2])
    a, b = values(counts_u[None], rows_uk)[:, 0]
    p = min(1.0, float(2 * (tail + 1) / (resamples + 1)))
    return Bootstrap((float(a), float(b)), float(low), float(high), p)


def mean_scores(weights_cu: np.ndarray, rows_uk: np.ndarray) -> np.ndarray:
    """The mean scores of a and b, for `paired_bootstrap`.

    Args:
      weights_cu: copies of each row in each resample.
      rows_uk: the scores of a in the first half of a row, those of b in the second; each half has
        a column for each draw of examples.
    Returns:
      values_2c.
    """
    means_2u = rows_uk.reshape(len(rows_uk), 2, -1).mean(axis=2).T
    return means_2u @ weights_cu.T / weights_cu.sum(axis=1)


def mean_of_confusions(
    metric: Callable[[np.ndarray], np.ndarray], n_labels: int
) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """Returns the function that computes a metric of a and of b, for `paired_bootstrap`: its mean
    over draws of examples.

    Args:
      metric: confusions_cll -> values_c; rows of a confusion are right labels, columns predicted.
      n_labels: l. A row of items has the number of the right label, then those that a predicted in
        each draw, then those of b.
    """

    def values(weights_cu: np.ndarray, rows_uk: np.ndarray) -> np.ndarray:
        shape, columns = (len(weights_cu), n_labels, n_labels), []
        for column in range(1, rows_uk.shape[1]):
            cells_u = rows_uk[:, 0] * n_labels + rows_uk[:, column]
            confusions_cll = (weights_cu @ np.eye(n_labels**2)[cells_u]).reshape(shape)
            columns.append(metric(confusions_cll))
        return np.mean(np.reshape(columns, (2, -1, len(weights_cu))), axis=1)

    return values


def accuracy(confusions_cll: np.ndarray) -> np.ndarray:
    """The share of right predictions."""
    return np.trace(confusions_cll, axis1=1, axis2=2) / confusions_cll.sum(axis=(1, 2))


def f1_by_label(confusions_cll: np.ndarray) -> np.ndarray:
    """F1 of each label, NaN for a label that occurs neither as right nor as predicted."""
    hits_cl = np.diagonal(confusions_cll, axis1=1, axis2=2)
    counts_cl = confusions_cll.sum(axis=1) + confusions_cll.sum(axis=2)
    with np.errstate(invalid="ignore"):
        return 2 * hits_cl / counts_cl


def f1_macro(confusions_cll: np.ndarray) -> np.ndarray:
    """The mean F1 of the labels that occur, as in scikit-learn."""
    return np.nanmean(f1_by_label(confusions_cll), axis=1)


def _chunks(total: int) -> list[int]:
    return [min(_CHUNK, total - start) for start in range(0, total, _CHUNK)]
