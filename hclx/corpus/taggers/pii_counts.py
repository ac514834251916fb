"""Counts the personal data of each document by kind."""

import numpy as np

from hclx.corpus.text_batch import TextBatch
from hclx.text.pii import KINDS, candidate_rows, find_pii


def pii(batch: TextBatch) -> dict[str, np.ndarray]:
    """Counts items of personal data.

    Returns:
      rrn, frn, driver, passport, card, brn, phone, account, email, ip: number of items of that
        kind, see `hclx.text.pii.Span`, int32 [d].
      items: number of items of all kinds, int32 [d].
      spans: the items as `kind:start:end` in characters of the text of the batch, the end
        exclusive, separated by spaces; "" if there is none, object [d].
    """
    counts = {kind: np.zeros(len(batch), np.int32) for kind in KINDS}
    places = [""] * len(batch)
    for row in candidate_rows(batch.texts):
        spans = find_pii(batch.texts[row])
        for span in spans:
            counts[span.kind][row] += 1
        places[row] = " ".join(f"{span.kind}:{span.start}:{span.end}" for span in spans)
    return {
        **counts,
        "items": np.sum(list(counts.values()), 0, np.int32),
        "spans": np.array(places, object),
    }
