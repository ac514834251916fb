"""What models say of a text that the user trained: its quality, and how strange it is. See
`hclx.corpus.quality_models`.
"""

import functools

import numpy as np

from hclx.corpus import quality_models
from hclx.corpus.text_batch import TextBatch

_load = functools.lru_cache(maxsize=4)(quality_models.load)  # once a process


def quality(batch: TextBatch, path: str) -> dict[str, np.ndarray]:
    """score: the probability that a document is of the kind that the model was shown as good."""
    return {"score": _load(path, "quality").score(batch.texts)}


def perplexity(batch: TextBatch, path: str) -> dict[str, np.ndarray]:
    """bits: of a byte of the text, under a model of bytes."""
    return {"bits": _load(path, "perplexity").bits_per_byte(batch.texts)}
