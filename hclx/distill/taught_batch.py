"""Batches with what a teacher says about their targets, and their loader."""

from typing import NamedTuple

import jax
import numpy as np

from hclx.data.batch import Batch
from hclx.distill.teacher_cache import TeacherCache
from hclx.tune.packed_loader import PackedLoader


class TaughtBatch(NamedTuple):
    """A batch as `hclx.data.batch.Batch` has it, and the teacher's likeliest tokens.

    Attributes:
      tokens_bt, targets_bt, weights_bt, segments_bt, positions_bt: as in `Batch`.
      ids_btk: int32, the teacher's likeliest tokens in the place of each target; anything where
        the target weighs 0.
      log_probs_btk: float32, their log-probabilities.
    """

    tokens_bt: np.ndarray
    targets_bt: np.ndarray
    weights_bt: np.ndarray
    segments_bt: np.ndarray
    positions_bt: np.ndarray
    ids_btk: np.ndarray
    log_probs_btk: np.ndarray


class TaughtLoader(PackedLoader):
    """Reads rows of packed examples together with their part of a teacher's cache."""

    def __init__(self, rows: Batch, teacher: TeacherCache, name: str, **options):
        """Begins with no batch read.

        Args:
          rows: as in `PackedLoader`.
          teacher: the cache of these rows, which is complete.
          name: of the split.
          **options: the others of `PackedLoader`.
        """
        super().__init__(rows, name, **options)
        self._teacher = teacher

    def batch(self, index: int, stop: int | None = None) -> TaughtBatch:
        """See `BatchLoader.batch`."""
        shape = self.global_batch_size, self.sequence_length, self._teacher.top_k

        def field(number: int):
            def read(slices) -> np.ndarray:
                first, last, _ = slices[0].indices(shape[0])
                _, rows = self.locate(index + first, index + last)
                return self._teacher.read(rows)[number]

            return jax.make_array_from_callback(shape, self._sharding, read)

        return TaughtBatch(*super().batch(index, stop), field(0), field(1))
