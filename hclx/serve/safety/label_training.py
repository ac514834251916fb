"""Trains a classifier of texts by L-BFGS. Needs scipy."""

from collections.abc import Mapping, Sequence

import numpy as np

from hclx.errors import DataError
from hclx.serve.safety.jamo_ngrams import BITS
from hclx.serve.safety.label_model import LabelModel, Labels, features, inverse_frequencies

_ITERATIONS = 100


def train_labels(
    texts: Sequence[str], columns: Mapping[str, Sequence[str]], strength: float = 1.0
) -> LabelModel:
    """Trains a model that answers several questions about a text, each for itself.

    Args:
      texts: the texts, [t].
      columns: question -> the class of each text, [t]; all classes of a question have the same
        total weight.
      strength: of the data against the squared weights, as C of scikit-learn.
    Raises:
      DataError: a question has fewer than two classes.
    """
    idf_b = inverse_frequencies(texts)
    used_u = np.flatnonzero(idf_b)
    x_tu = _matrix(texts, idf_b)[:, used_u]
    labels, weights, biases = [], [], []
    for name, classes in columns.items():
        values = tuple(sorted(set(classes)))
        if len(values) < 2:
            raise DataError(
                f"{name} has {len(values)} values in {len(texts)} texts; a model learns from two"
                " or more"
            )
        y_t = np.array([values.index(value) for value in classes])
        solution = _fit(x_tu, y_t, len(values), strength)
        labels.append(Labels(name, values))
        weights.append(solution[:-1])
        biases.append(solution[-1])
    weights_bc = np.zeros((1 << BITS, sum(map(len, biases))), np.float32)
    weights_bc[used_u] = np.concatenate(weights, 1)
    return LabelModel(tuple(labels), idf_b, weights_bc, np.concatenate(biases).astype(np.float32))


def _matrix(texts: Sequence[str], idf_b: np.ndarray):
    """Features of all texts, sparse float32 [t, 2^20]."""
    from scipy import sparse

    rows = [features(text, idf_b) for text in texts]
    starts = np.cumsum([0, *(len(buckets_n) for buckets_n, _ in rows)])
    indices = np.concatenate([buckets_n for buckets_n, _ in rows]).astype(np.int32)
    values = np.concatenate([values_n for _, values_n in rows])
    return sparse.csr_array((values, indices, starts), shape=(len(texts), 1 << BITS))


def _fit(x_tu, y_t: np.ndarray, n_classes: int, strength: float) -> np.ndarray:
    """Weights, and the bias behind them, float64 [u + 1, c], that minimise the weighted
    cross-entropy times the strength plus half of the squared weights.
    """
    from scipy import optimize

    x_ut = x_tu.T.tocsr()
    weight_t = (len(y_t) / (n_classes * np.bincount(y_t, minlength=n_classes)))[y_t]
    is_tc = np.eye(n_classes)[y_t]
    shape = x_tu.shape[1] + 1, n_classes

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        parameters = flat.reshape(shape)
        weights_uc, bias_c = parameters[:-1], parameters[-1]
        logits_tc = x_tu @ weights_uc.astype(np.float32) + bias_c
        logits_tc -= logits_tc.max(1, keepdims=True)
        total_t = np.exp(logits_tc).sum(1)
        value = weight_t @ (np.log(total_t) - (logits_tc * is_tc).sum(1))
        error_tc = weight_t[:, None] * (np.exp(logits_tc) / total_t[:, None] - is_tc)
        slope_uc = strength * (x_ut @ error_tc.astype(np.float32)) + weights_uc
        slope = np.concatenate([slope_uc, strength * error_tc.sum(0)[None]])
        return strength * value + 0.5 * np.square(weights_uc).sum(), slope.ravel()

    start, options = np.zeros(shape).ravel(), {"maxiter": _ITERATIONS, "maxcor": 6}
    result = optimize.minimize(loss, start, jac=True, method="L-BFGS-B", options=options)
    return result.x.reshape(shape)
