"""What is computed of each document. A tagger takes a batch and gives columns; it knows no other
document.

To add one: a function of `TextBatch` in a module here, and its name below. Rules call a column
  `tagger.column`.
"""

import functools
import unicodedata
from collections.abc import Callable, Mapping

import numpy as np

from hclx.corpus.taggers.model_scores import perplexity, quality
from hclx.corpus.taggers.pii_counts import pii
from hclx.corpus.taggers.repetition import repetition
from hclx.corpus.taggers.spam import spam, title
from hclx.corpus.taggers.text_stats import length, normalisation, punctuation, script
from hclx.corpus.text_batch import TextBatch

Tagger = Callable[[TextBatch], dict[str, np.ndarray]]

TAGGERS: dict[str, Tagger] = {
    "normalisation": normalisation,
    "script": script,
    "length": length,
    "punctuation": punctuation,
    "repetition": repetition,
    "spam": spam,
    "title": title,
    "pii": pii,
}


def attributes(taggers: Mapping[str, Tagger], batch: TextBatch) -> dict[str, dict[str, np.ndarray]]:
    """Tagger -> its columns. All see the texts in NFC, as they will be kept, but for the one that
    says which are not.
    """
    composed = [unicodedata.normalize("NFC", text) for text in batch.texts]
    mended = batch if tuple(composed) == batch.texts else TextBatch.of(composed, batch.titles)
    return {
        name: tagger(batch if name == "normalisation" else mended)
        for name, tagger in taggers.items()
    }


def all_taggers(models: Mapping[str, str] = {}) -> dict[str, Tagger]:
    """The taggers above, and those of trained models: `quality` or `perplexity` -> its file."""
    learnt = {"quality": quality, "perplexity": perplexity}
    return {
        **TAGGERS,
        **{name: functools.partial(learnt[name], path=path) for name, path in models.items()},
    }
