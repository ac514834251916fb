"""Metrics of choices among labels. An answer that could not be read ("") is no label, and wrong."""

import numpy as np

from hclx.evaluate.metrics.label_counts import count_labels, macro_f1, micro_f1
from hclx.evaluate.metrics.metric import Items, Metric, OfSums, Predictions, divided, mean_of

POSITIVE = "1"
NO_RELATION = "no_relation"


def is_right(items: Items, predictions: Predictions) -> np.ndarray:
    """Returns 1.0 for each item whose answer is accepted, else 0.0: float64 [n]."""
    pairs = zip(items, predictions, strict=True)
    return np.array([p.answer in (item.answer, *item.answers) for item, p in pairs], float)


def _unparsed(items: Items, predictions: Predictions) -> np.ndarray:
    return np.array([not prediction.answer for prediction in predictions], float)


def _all_labels(items: Items, predictions: Predictions) -> np.ndarray:
    pairs = zip(items, predictions, strict=True)
    return count_labels([[(item.answer, prediction.answer)] for item, prediction in pairs])


def _only(keep: set[str], pairs: list[tuple[str, str]]) -> np.ndarray:
    """Counts the labels of `keep` alone."""
    kept = lambda label: label if label in keep else ""
    return count_labels([[(kept(gold), kept(predicted))] for gold, predicted in pairs])


def _positive(items: Items, predictions: Predictions) -> np.ndarray:
    pairs = [(item.answer, p.answer) for item, p in zip(items, predictions, strict=True)]
    return _only({POSITIVE}, pairs)


def _relations(items: Items, predictions: Predictions) -> np.ndarray:
    """Counts all labels but those of items whose gold says that there is no relation."""
    none = {item.answer for item in items if item.gold.get("no_relation")} | {NO_RELATION}
    pairs = [(item.answer, p.answer) for item, p in zip(items, predictions, strict=True)]
    return _only({label for pair in pairs for label in pair} - none, pairs)


def _agreement(items: Items, predictions: Predictions) -> np.ndarray:
    """Returns, for each item, whether it is right, and indicators of its gold and its prediction:
    float64 [n, 1 + 2 * labels].
    """
    gold = [item.answer for item in items]
    predicted = [prediction.answer for prediction in predictions]
    labels = np.array(sorted({*gold, *predicted}))
    gold_nl = np.array(gold)[:, None] == labels
    predicted_nl = np.array(predicted)[:, None] == labels
    right_n1 = (gold_nl & predicted_nl).any(-1, keepdims=True)
    return np.concatenate([right_n1, gold_nl, predicted_nl], axis=-1).astype(float)


def _correlation(sums_bk: np.ndarray) -> np.ndarray:
    """Returns the multi-class correlation of Gorodkin (2004), 0 where either side is constant."""
    right_b = sums_bk[:, 0]
    gold_bl, predicted_bl = np.split(sums_bk[:, 1:], 2, axis=-1)
    total_b = gold_bl.sum(-1)
    above = right_b * total_b - (gold_bl * predicted_bl).sum(-1)
    below = (total_b**2 - (gold_bl**2).sum(-1)) * (total_b**2 - (predicted_bl**2).sum(-1))
    return divided(above, np.sqrt(below), 0.0)


def _gold_and_probabilities(items: Items, predictions: Predictions) -> np.ndarray:
    """Returns the number of each item's gold label, and the probabilities of all labels that are
    the gold of some item: float64 [n, 1 + labels]; NaN where an item has no probabilities.
    """
    labels = sorted({item.answer for item in items})
    gold = [labels.index(item.answer) for item in items]
    rows = [
        [p.probabilities.get(label, 0.0 if p.probabilities else np.nan) for label in labels]
        for p in predictions
    ]
    return np.column_stack([gold, np.array(rows, float).reshape(len(items), -1)])


def _mean_area(rows_nk: np.ndarray, counts_bn: np.ndarray) -> np.ndarray:
    """Returns the mean over gold labels that occur of the area under precision and recall."""
    if np.isnan(rows_nk).any():
        return np.full(len(counts_bn), np.nan)
    areas = []
    for label in range(rows_nk.shape[1] - 1):
        areas.append(_area(rows_nk[:, 0] == label, rows_nk[:, 1 + label], counts_bn))
    areas_lb = np.array(areas)
    return divided(np.nansum(areas_lb, 0), (~np.isnan(areas_lb)).sum(0), np.nan)


def _area(positive_n: np.ndarray, score_n: np.ndarray, counts_bn: np.ndarray) -> np.ndarray:
    """Returns the area under precision over recall by trapezoids [draws], from (0, 1) on, with a
    point for each distinct score; NaN without positives.

    Recall grows at scores of positives alone, so that only these and the points before them count.
    """
    if not positive_n.any():
        return np.full(len(counts_bn), np.nan)
    order = np.argsort(-score_n, kind="stable")
    level_n = np.cumsum(np.append(0, np.diff(score_n[order]) != 0))  # of each score, from the top
    levels, firsts = np.unique(level_n[positive_n[order]], return_index=True)
    starts = np.searchsorted(level_n, levels)
    ends = np.searchsorted(level_n, levels, side="right")
    gained = np.add.reduceat(counts_bn[:, order[positive_n[order]]], firsts, axis=-1)
    # Sums from the end of the last such level to the start of the next, and from there to its end.
    edges = np.stack([np.append(0, ends[:-1]), starts], 1).ravel()
    sums = np.add.reduceat(counts_bn[:, order[: ends[-1]]], edges, axis=-1)
    sums[:, ::2] *= edges[::2] < edges[1::2]  # reduceat gives an empty stretch its first column
    total = np.cumsum(sums, -1)
    right = np.cumsum(gained, -1)
    heights = divided(right, total[:, 1::2], 1.0) + divided(right - gained, total[:, ::2], 1.0)
    return divided((gained * heights / 2).sum(-1), right[:, -1], np.nan)


ACCURACY = mean_of("accuracy", is_right)
UNPARSED = mean_of("unparsed", _unparsed, higher_is_better=False)
# Over the labels that occur; as scikit-learn's f1_score, where every answer is a label.
F1_MACRO = Metric("f1_macro", _all_labels, OfSums(macro_f1), scores=is_right)
F1_MICRO = Metric("f1_micro", _all_labels, OfSums(micro_f1), scores=is_right)
F1_POSITIVE = Metric("f1_positive", _positive, OfSums(micro_f1), scores=is_right)
MCC = Metric("mcc", _agreement, OfSums(_correlation), scores=is_right)
# KLUE-RE (Park et al., 2021, section 3.5).
F1_MICRO_WITHOUT = Metric("f1_micro_without", _relations, OfSums(micro_f1), scores=is_right)
AUPRC_MACRO = Metric(
    "auprc_macro", _gold_and_probabilities, _mean_area, scores=is_right, needs_probabilities=True
)
