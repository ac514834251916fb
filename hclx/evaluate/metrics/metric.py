"""A metric: numbers of each item, and the value of a weighted set of items.

The two are apart so that a bootstrap computes the numbers once, and the value of thousands of
resampled sets with matrix products.
"""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from hclx.evaluate.items import Item, Prediction

Items = Sequence[Item]
Predictions = Sequence[Prediction]
PerItem = Callable[[Items, Predictions], np.ndarray]


@dataclasses.dataclass(frozen=True)
class Metric:
    """A metric of predictions.

    Attributes:
      name: its key in `METRICS`.
      rows: (items, predictions) -> float64 [n, k], k numbers of each item.
      value: (rows [n, k], counts [draws, n]) -> float64 [draws], the metric where each item occurs
        as often as its count says; NaN where it is undefined.
      higher_is_better: whether a larger value is a better one.
      scores: (items, predictions) -> float64 [n], each item's own score; NaN for an item that does
        not count. None: an item has no score of its own.
      needs_probabilities: whether it reads the probabilities of choices.
      needs: the names that it reads in the items' `gold`.
      signature: returns how the metric was computed, for those whose settings change it.
    """

    name: str
    rows: PerItem
    value: Callable[[np.ndarray, np.ndarray], np.ndarray]
    higher_is_better: bool = True
    scores: PerItem | None = None
    needs_probabilities: bool = False
    needs: tuple[str, ...] = ()
    signature: Callable[[], str] = str

    def function(self, items: Items, predictions: Predictions) -> float:
        """Returns the metric; NaN if there are no items, or where it is undefined."""
        if not items:
            return float("nan")
        rows_nk = self.rows(items, predictions)
        return float(self.value(rows_nk, np.ones((1, len(items))))[0])

    def per_item(self, items: Items, predictions: Predictions) -> np.ndarray | None:
        """Returns the score of each item, float64 [n]; None if they have none."""
        return None if self.scores is None else self.scores(items, predictions)


def mean_of(
    name: str, scores: PerItem, higher_is_better: bool = True, needs: tuple[str, ...] = ()
) -> Metric:
    """A metric that is the mean of the items' scores. Those that are NaN do not count.

    Args:
      name, scores, higher_is_better, needs: see `Metric`.
    """

    def rows(items: Items, predictions: Predictions) -> np.ndarray:
        scores_n = scores(items, predictions)
        return np.stack([np.nan_to_num(scores_n), ~np.isnan(scores_n)], axis=-1).astype(float)

    return Metric(name, rows, OfSums(ratio), higher_is_better, scores, needs=needs)


@dataclasses.dataclass(frozen=True)
class OfSums:
    """A `Metric.value` that is a function of the rows' weighted sum.

    Attributes:
      combine: sums [draws, k] -> values [draws].
    """

    combine: Callable[[np.ndarray], np.ndarray]

    def __call__(self, rows_nk: np.ndarray, counts_bn: np.ndarray) -> np.ndarray:
        """Returns values, see `Metric.value`."""
        return self.combine(counts_bn @ rows_nk)


def ratio(sums_bk: np.ndarray) -> np.ndarray:
    """Returns the first sum over the second, NaN where that is 0."""
    return divided(sums_bk[:, 0], sums_bk[:, 1], np.nan)


def divided(above: np.ndarray, below: np.ndarray, otherwise: float) -> np.ndarray:
    """Returns above / below, and `otherwise` where `below` is 0."""
    return np.where(below == 0, otherwise, above / np.where(below == 0, 1, below))
