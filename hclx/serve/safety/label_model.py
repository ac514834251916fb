"""A classifier of short texts: logistic regression on weighted n-grams of letters.

Legend of the suffixes: n n-grams of a text, t texts, b buckets, c classes.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from hclx.serve.safety.jamo_ngrams import BITS, ngram_counts


@dataclasses.dataclass(frozen=True)
class Labels:
    """A question about texts, and its answers.

    Attributes:
      name: of the column of the labelled texts.
      values: the classes, [c].
    """

    name: str
    values: tuple[str, ...]


@dataclasses.dataclass(frozen=True, eq=False)
class LabelModel:
    """Probabilities of the classes of several questions about a text.

    Attributes:
      labels: the questions.
      idf_b: weight of each bucket, float32 [2^20]; 0 for n-grams that are not looked at.
      weights_bc: float32 [2^20, all classes of all questions, one question behind another].
      bias_c: float32 [all classes].
    """

    labels: tuple[Labels, ...]
    idf_b: np.ndarray
    weights_bc: np.ndarray
    bias_c: np.ndarray

    def probabilities(self, text: str) -> dict[str, dict[str, float]]:
        """Returns question -> class -> probability; those of a question sum to 1."""
        buckets_n, values_n = features(text, self.idf_b)
        logits_c = values_n @ self.weights_bc[buckets_n] + self.bias_c
        result, first = {}, 0
        for question in self.labels:
            own_c = logits_c[first : first + len(question.values)]
            shares_c = np.exp(own_c - own_c.max())
            shares_c /= shares_c.sum()
            result[question.name] = dict(zip(question.values, shares_c.tolist()))
            first += len(question.values)
        return result


def features(text: str, idf_b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the buckets of a text, int64 [n], and their values, float32 [n]: (1 + ln count) *
    idf, divided by their Euclidean norm (Manning et al. 2008, section 6.4).
    """
    buckets_n, counts_n = ngram_counts(text)
    values_n = (1 + np.log(counts_n)).astype(np.float32) * idf_b[buckets_n]
    is_used = values_n > 0
    buckets_n, values_n = buckets_n[is_used], values_n[is_used]
    norm = np.sqrt(values_n @ values_n)
    return buckets_n, values_n / norm if norm else values_n


def inverse_frequencies(texts: Sequence[str]) -> np.ndarray:
    """Returns the weight of each bucket, ln((1 + t) / (1 + df)) + 1, float32 [2^20]; 0 for those of
    fewer than two of the texts.
    """
    df_b = np.zeros(1 << BITS, np.int64)
    for text in texts:
        df_b[ngram_counts(text)[0]] += 1
    idf_b = np.log((1 + len(texts)) / (1 + df_b)) + 1
    return np.where(df_b < 2, 0, idf_b).astype(np.float32)
