"""Uncertainty of metrics: spread over draws of examples, bootstrap intervals over items, paired
differences, reliability and confusion.
"""

import dataclasses
import math
from collections.abc import Iterator, Sequence
from statistics import NormalDist
from typing import Any

import numpy as np

from hclx.errors import ConfigError
from hclx.evaluate.items import Item, Prediction
from hclx.evaluate.metrics.metric import Metric, OfSums

METHODS = ("percentile", "bca")
Trials = Sequence[Sequence[Prediction]]
_AT_ONCE = 2**21  # counts in memory


@dataclasses.dataclass(frozen=True)
class Summary:
    """A metric over the trials of a run.

    Attributes:
      mean: over trials.
      std: the sample standard deviation over trials; None for a single trial.
      interval: of the mean over trials, for other items of the same kind; None if undefined.
      trials: the metric of each trial.
    """

    mean: float
    std: float | None
    interval: tuple[float, float] | None
    trials: tuple[float, ...]

    def to_json(self) -> dict[str, Any]:
        """Returns a JSON object; numbers that are undefined are null."""
        return {
            "mean": _defined(self.mean),
            "std": None if self.std is None else _defined(self.std),
            "interval": None if self.interval is None else list(self.interval),
            "trials": [_defined(value) for value in self.trials],
        }


@dataclasses.dataclass(frozen=True)
class Difference:
    """The difference of a metric between two runs over the same items.

    Attributes:
      mean: second less first, each the mean over its trials.
      interval: of the difference; None if undefined.
      p: two-sided probability of such a difference where there is none; NaN if undefined.
    """

    mean: float
    interval: tuple[float, float] | None
    p: float


@dataclasses.dataclass(frozen=True)
class ReliabilityBin:
    """Predictions of similar confidence: their mean confidence, their accuracy and their number."""

    confidence: float
    accuracy: float
    count: int


def summarise(
    metric: Metric,
    items: Sequence[Item],
    trials: Trials,
    level: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
    method: str = "percentile",
) -> Summary:
    """Returns mean, spread over trials, and bootstrap interval over items of a metric.

    Args:
      metric: the metric.
      items: the same in all trials.
      trials: the predictions of each trial.
      level: of the interval.
      resamples: of the bootstrap.
      seed: of the bootstrap; metrics with the same seed see the same resampled items.
      method: "percentile", or "bca" (Efron, 1987), which corrects bias and skewness.
    Raises:
      ConfigError: the method is unknown, or a number is out of range.
    """
    if method not in METHODS:
        raise ConfigError(f"method={method!r}: give {' or '.join(METHODS)}")
    values = tuple(metric.function(items, predictions) for predictions in trials)
    mean = float(np.mean(values))
    draws = bootstrap(metric, items, trials, resamples, seed)
    if method == "bca":
        interval = bca_interval(draws, mean, jackknife(metric, items, trials), level)
    else:
        interval = percentile_interval(draws, level)
    std = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return Summary(mean, std, interval, values)


def bootstrap(
    metric: Metric, items: Sequence[Item], trials: Trials, resamples: int = 1000, seed: int = 0
) -> np.ndarray:
    """Returns the mean of a metric over trials, float64 [resamples], of items that are drawn with
    replacement (Efron, 1979); all trials see the same draws. Arguments: see `summarise`.
    """
    if resamples < 1:
        raise ConfigError(f"resamples={resamples}: give 1 or more")
    return _mean_values(metric, items, trials, _drawn_counts(len(items), resamples, seed))


def jackknife(metric: Metric, items: Sequence[Item], trials: Trials) -> np.ndarray:
    """Returns the mean of a metric over trials without each item in turn: float64 [n]."""
    n = len(items)
    chunks = (1.0 - np.eye(n)[start : start + _rows(n)] for start in range(0, n, _rows(n)))
    return _mean_values(metric, items, trials, chunks)


def _mean_values(
    metric: Metric, items: Sequence[Item], trials: Trials, chunks: Iterator[np.ndarray]
) -> np.ndarray:
    if not items:
        return np.full(1, np.nan)
    rows_of_trials = [metric.rows(items, predictions) for predictions in trials]
    return np.concatenate([_mean_value(metric, rows_of_trials, counts) for counts in chunks])


def _mean_value(
    metric: Metric, rows_of_trials: Sequence[np.ndarray], counts_bn: np.ndarray
) -> np.ndarray:
    """Returns the mean over trials [draws]; sums of all trials by one product."""
    if not isinstance(metric.value, OfSums):
        return np.mean([metric.value(rows_nk, counts_bn) for rows_nk in rows_of_trials], axis=0)
    widths = [rows_nk.shape[1] for rows_nk in rows_of_trials]
    sums_bk = counts_bn @ np.concatenate(rows_of_trials, axis=1)
    of_trials = np.split(sums_bk, np.cumsum(widths)[:-1], axis=1)
    return np.mean([metric.value.combine(sums) for sums in of_trials], axis=0)


def _rows(n: int) -> int:
    return max(1, _AT_ONCE // max(1, n))


def _drawn_counts(n: int, resamples: int, seed: int) -> Iterator[np.ndarray]:
    """Yields how often each of n items is drawn, float64 [draws, n], `resamples` draws in all."""
    generator = np.random.default_rng(seed)
    for start in range(0, resamples, _rows(n)):
        size = min(_rows(n), resamples - start)
        drawn = generator.integers(n, size=(size, n)) + n * np.arange(size)[:, None]
        yield np.bincount(drawn.ravel(), minlength=size * n).reshape(size, n).astype(float)


def percentile_interval(draws: np.ndarray, level: float = 0.95) -> tuple[float, float] | None:
    """Returns the quantiles of resampled values between which `level` of them are, leaving out
    those that are undefined; None if half of them or more are.
    """
    return _quantiles(draws, (1 - _checked(level)) / 2, (1 + level) / 2)


def bca_interval(
    draws: np.ndarray, estimate: float, without_each: np.ndarray, level: float = 0.95
) -> tuple[float, float] | None:
    """Returns a bias-corrected and accelerated interval (Efron, 1987, section 3).

    Args:
      draws: values of resampled items.
      estimate: the value of all items.
      without_each: values without each item: `jackknife`.
      level: of the interval.
    """
    normal, draws = NormalDist(), draws[~np.isnan(draws)]
    below = (np.mean(draws < estimate) + np.mean(draws <= estimate)) / 2 if draws.size else 0.0
    if not 0 < below < 1:  # all resampled values are the same, or lie on one side
        return percentile_interval(draws, level)
    bias = normal.inv_cdf(below)
    deviations = np.nanmean(without_each) - without_each[~np.isnan(without_each)]
    scale = 6 * np.sum(deviations**2) ** 1.5
    acceleration = float(np.sum(deviations**3) / scale) if scale > 0 else 0.0
    corrected = []
    for tail in ((1 - _checked(level)) / 2, (1 + level) / 2):
        z = bias + normal.inv_cdf(tail)
        corrected.append(normal.cdf(bias + z / (1 - acceleration * z)))
    return _quantiles(draws, *corrected)


def paired_bootstrap(
    metric: Metric,
    items: Sequence[Item],
    trials: tuple[Trials, Trials],
    level: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> Difference:
    """Returns the difference between two runs, whose items are resampled together.

    The p-value is twice the share of resampled differences on the other side of 0, or at it.

    Args:
      metric: the metric.
      items: the same in both runs.
      trials: those of the first and of the second run.
      level, resamples, seed: as in `summarise`.
    """
    first, second = (bootstrap(metric, items, run, resamples, seed) for run in trials)
    means = [np.mean([metric.function(items, p) for p in run]) for run in trials]
    draws = second - first
    draws = draws[~np.isnan(draws)]
    tail = min(np.sum(draws <= 0), np.sum(draws >= 0))
    p = min(1.0, 2 * (tail + 1) / (draws.size + 1)) if draws.size else math.nan
    return Difference(float(means[1] - means[0]), percentile_interval(second - first, level), p)


def reliability(confidence_n: np.ndarray, right_n: np.ndarray, bins: int = 10):
    """Returns the bins of a reliability diagram that are not empty (Guo et al., 2017, section 2).

    Args:
      confidence_n: the probability of each answer, float [n].
      right_n: whether it is right, [n].
      bins: how many of equal width there are between 0 and 1; each holds its upper end.
    Returns:
      list[ReliabilityBin].
    """
    confidence_n, right_n = np.asarray(confidence_n, float), np.asarray(right_n, float)
    index_n = np.clip(np.ceil(confidence_n * bins).astype(int) - 1, 0, bins - 1)
    members = [index_n == number for number in range(bins)]
    return [
        ReliabilityBin(float(confidence_n[m].mean()), float(right_n[m].mean()), int(m.sum()))
        for m in members
        if m.any()
    ]


def expected_calibration_error(bins: Sequence[ReliabilityBin]) -> float:
    """Returns the mean difference of confidence and accuracy over predictions; NaN for none."""
    total = sum(part.count for part in bins)
    error = sum(part.count * abs(part.confidence - part.accuracy) for part in bins)
    return error / total if total else math.nan


def confusion(
    items: Sequence[Item], trials: Trials, labels: Sequence[str] = ()
) -> tuple[list[str], list[list[int]]]:
    """Returns labels, and how often each was answered for each: rows are gold, columns predicted,
    summed over trials.

    Args:
      items: the same in all trials.
      trials: the predictions of each.
      labels: in the order of the result; those that occur and are not among them follow, and "",
        which stands for answers that could not be read, is last.
    """
    pairs = [
        (item.answer, prediction.answer)
        for predictions in trials
        for item, prediction in zip(items, predictions, strict=True)
    ]
    others = sorted({label for pair in pairs for label in pair} - set(labels))
    labels = [*labels, *filter(None, others), *([""] if "" in others else [])]
    index = {label: number for number, label in enumerate(labels)}
    counts = np.zeros((len(labels), len(labels)), int)
    for gold, predicted in pairs:
        counts[index[gold], index[predicted]] += 1
    return labels, counts.tolist()


def _quantiles(draws: np.ndarray, low: float, high: float) -> tuple[float, float] | None:
    defined = draws[~np.isnan(draws)]
    if 2 * defined.size <= draws.size:
        return None
    low, high = np.quantile(defined, [low, high])
    return float(low), float(high)


def _checked(level: float) -> float:
    if not 0 < level < 1:
        raise ConfigError(f"level={level}: give a number between 0 and 1")
    return level


def _defined(value: float) -> float | None:
    return value if math.isfinite(value) else None
