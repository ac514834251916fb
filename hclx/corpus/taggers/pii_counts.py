"""Personal data of each document, by kind."""

import numpy as np

from hclx.corpus.pii import KINDS, find_pii, suspects
from hclx.corpus.text_batch import TextBatch


def pii(batch: TextBatch) -> dict[str, np.ndarray]:
    """Items by kind, all items, and where they are: `kind:start:end` in characters, separated by
    spaces.
    """
    counts = {kind: np.zeros(len(batch), np.int32) for kind in KINDS}
    places = [""] * len(batch)
    for row in suspects(batch.texts):
        spans = find_pii(batch.texts[row])
        for span in spans:
            counts[span.kind][row] += 1
        places[row] = " ".join(f"{span.kind}:{span.start}:{span.end}" for span in spans)
    return {
        **counts,
        "items": np.sum(list(counts.values()), 0, np.int32),
        "spans": np.array(places, object),
    }
