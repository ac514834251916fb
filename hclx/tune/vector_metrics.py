"""Metrics of vectors and of judgements."""

import numpy as np


def pearson(x_n: np.ndarray, y_n: np.ndarray) -> float:
    """Returns the correlation of two lists of numbers; NaN if one is constant."""
    x_n, y_n = (
        np.asarray(values, np.float64) - np.mean(values, dtype=np.float64) for values in (x_n, y_n)
    )
    below = np.sqrt((x_n**2).sum() * (y_n**2).sum())
    return float((x_n * y_n).sum() / below) if below else float("nan")


def spearman(x_n: np.ndarray, y_n: np.ndarray) -> float:
    """Returns the correlation of ranks, of which equal values share the mean."""
    return pearson(_ranks(x_n), _ranks(y_n))


def _ranks(values_n: np.ndarray) -> np.ndarray:
    _, inverse, counts = np.unique(values_n, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[inverse]


def retrieval(queries_nd: np.ndarray, texts_md: np.ndarray, own_n: np.ndarray) -> dict[str, float]:
    """How well queries find their own text by the highest cosine.

    Args:
      queries_nd, texts_md: vectors of any length.
      own_n: the number of the own text of each query.
    Returns:
      `r1`, `r10`: the share of queries whose own text is first, or among the first ten; `mrr`: the
      mean of 1 / rank. Texts that are as near as the own one stand before it.
    """
    units = [
        x / np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), 1e-12)
        for x in (queries_nd, texts_md)
    ]
    cosines_nm = units[0] @ units[1].T
    of_own_n1 = np.take_along_axis(cosines_nm, np.asarray(own_n)[:, None], axis=1)
    ranks_n = (cosines_nm >= of_own_n1).sum(1)
    return {
        "r1": float((ranks_n <= 1).mean()),
        "r10": float((ranks_n <= 10).mean()),
        "mrr": float((1 / ranks_n).mean()),
    }


def cosines(a_nd: np.ndarray, b_nd: np.ndarray) -> np.ndarray:
    """Returns the cosine of each pair of vectors, [n]."""
    lengths_n = np.linalg.norm(a_nd, axis=-1) * np.linalg.norm(b_nd, axis=-1)
    return (a_nd * b_nd).sum(-1) / np.maximum(lengths_n, 1e-12)
