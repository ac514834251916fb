"""Taggers compute attributes of documents. A tagger maps a batch of texts, which are normalised
(`hclx.corpus.normalize`), to columns; the values of a document do not depend on the others.

To add a tagger, write a function of `TextBatch` in a module of this package, and name it below.
Rules refer to a column as `tagger.column`.
"""

import functools
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


def all_taggers(models: Mapping[str, str] = {}) -> dict[str, Tagger]:
    """The taggers above, and those of trained models.

    Args:
      models: `quality` or `perplexity` -> file of the model, which is read when it is used.
    Returns:
      name -> function of a batch, which returns column -> values, [d].
    """
    with_model = {"quality": quality, "perplexity": perplexity}
    return {
        **TAGGERS,
        **{name: functools.partial(with_model[name], path=path) for name, path in models.items()},
    }
