"""Personal data of each document, by kind."""

import numpy as np

from hclx.corpus.batch import TextBatch
from hclx.corpus.pii import KINDS, find_pii


def pii(batch: TextBatch) -> dict[str, np.ndarray]:
    """Items by kind, all items, and where they are: `kind:start:end` in characters, separated by spaces."""
    found = [find_pii(text) for text in batch.texts]
    counts = {kind: np.array([sum(span.kind == kind for span in spans) for spans in found], np.int32) for kind in KINDS}
    places = [" ".join(f"{span.kind}:{span.start}:{span.end}" for span in spans) for spans in found]
    return {**counts, "items": np.array([len(spans) for spans in found], np.int32), "spans": np.array(places, object)}
