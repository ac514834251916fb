"""Scores of the models that users train: the quality of a text, and its perplexity. See
`hclx.corpus.quality_models`.
"""

import functools

import numpy as np

from hclx.corpus import quality_models
from hclx.corpus.text_batch import TextBatch

_load = functools.lru_cache(maxsize=4)(quality_models.load)  # once per process


def quality(batch: TextBatch, path: str) -> dict[str, np.ndarray]:
    """Scores documents with a classifier that the user has trained.

    Args:
      batch: the texts of d documents.
      path: file of the classifier, from hclx train_filter; a process reads it once.
    Returns:
      score: the probability that a document is good, from 0 to 1, float32 [d].
    Raises:
      DataError: the file is missing, damaged, or holds a model of another kind.
    """
    return {"score": _load(path, "quality").score(batch.texts)}


def perplexity(batch: TextBatch, path: str) -> dict[str, np.ndarray]:
    """Scores documents with a language model of bytes that the user has trained.

    Args:
      batch: the texts of d documents.
      path: file of the model, from hclx train_filter; a process reads it once.
    Returns:
      bits: cross-entropy of each text in bits per byte, float32 [d]; 0 for an empty one.
    Raises:
      DataError: the file is missing, damaged, or holds a model of another kind.
    """
    return {"bits": _load(path, "perplexity").bits_per_byte(batch.texts)}
