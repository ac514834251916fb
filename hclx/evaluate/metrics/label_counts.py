"""Counts of right and wrong labels, from which F1 scores are made."""

from collections.abc import Sequence

import numpy as np

from hclx.evaluate.metrics.metric import divided

Pairs = Sequence[tuple[str, str]]


def count_labels(pairs: Sequence[Pairs]) -> np.ndarray:
    """Returns, float64 [n, labels * 3], how often each label of an item is right, predicted and
    wrong, and missed.

    Args:
      pairs: for each item, pairs of the gold label and the predicted one; "" is no label: ("", x)
        is a label too many, and (x, "") one that is missing.
    """
    labels = sorted({label for item in pairs for pair in item for label in pair} - {""})
    index = {label: number for number, label in enumerate(labels)}
    rows_nl3 = np.zeros((len(pairs), len(labels), 3))
    for number, item in enumerate(pairs):
        for gold, predicted in item:
            if gold == predicted != "":
                rows_nl3[number, index[gold], 0] += 1
            else:
                if predicted:
                    rows_nl3[number, index[predicted], 1] += 1
                if gold:
                    rows_nl3[number, index[gold], 2] += 1
    return rows_nl3.reshape(len(pairs), 3 * len(labels))


def macro_f1(sums_bk: np.ndarray) -> np.ndarray:
    """Returns the mean F1 of the labels that occur, in gold or in predictions; NaN if none does.

    Args:
      sums_bk: sums of `count_labels`.
    """
    right, wrong, missed = _parts(sums_bk)
    weight = 2 * right + wrong + missed
    f1_bl = divided(2 * right, weight, 0.0)
    return divided(f1_bl.sum(-1), (weight > 0).sum(-1), np.nan)


def micro_f1(sums_bk: np.ndarray) -> np.ndarray:
    """Returns the F1 of all labels together; 0 if none occurs.

    Args:
      sums_bk: sums of `count_labels`.
    """
    right, wrong, missed = (part.sum(-1) for part in _parts(sums_bk))
    return divided(2 * right, 2 * right + wrong + missed, 0.0)


def f1_of_items(pairs: Sequence[Pairs]) -> np.ndarray:
    """Returns the F1 of all labels of each item, float64 [n]; 1 where there is no label at all."""
    rows_nk = count_labels(pairs)
    return np.where(rows_nk.any(-1), micro_f1(rows_nk), 1.0)


def _parts(sums_bk: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns counts of right, wrong and missed labels, each [draws, labels]."""
    sums_bl3 = sums_bk.reshape(len(sums_bk), sums_bk.shape[1] // 3, 3)
    return sums_bl3[..., 0], sums_bl3[..., 1], sums_bl3[..., 2]
