"""The loader of packed examples: the order of a run over rows that are in memory."""

import numpy as np

from hclx.data import BatchLoader
from hclx.data.batch import Batch
from hclx.data.sampler import Order


class PackedLoader(BatchLoader):
    """Reads rows of packed examples, every row once an epoch, in an order by seed and epoch."""

    def __init__(self, rows: Batch, name: str, *, seed: int, **options):
        """Begins with no batch read.

        Args:
          rows: arrays of numpy [n, sequence_length], one row or more; a `Batch`, or a record with
            its fields and others.
          name: of the split.
          seed: decides the order.
          **options: the others of `BatchLoader`.
        """
        n, length = rows.tokens_bt.shape
        order = Order((n,), (1.0,), seed)
        super().__init__(order, name, sequence_length=length, **options)
        self._rows, self.kind = rows, type(rows)

    def read(self, source: np.ndarray, sequence: np.ndarray) -> Batch:
        """See `BatchLoader.read`."""
        return self.kind(*(field[sequence] for field in self._rows))
