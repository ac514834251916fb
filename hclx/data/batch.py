"""A training batch as a record, from the loader to the loss."""

from typing import NamedTuple

import numpy as np


class Batch(NamedTuple):
    """Sequences of packed documents and what the loss makes of them.

    Every field is [b, t]: numpy arrays on the host, `jax.Array`s on devices, or
    `jax.ShapeDtypeStruct`s for ahead-of-time compilation.

    Attributes:
      tokens_bt: int32, the inputs.
      targets_bt: int32, the token that follows each input.
      weights_bt: float32, the weight of each target in sums and counts; 0 leaves it out.
      segments_bt: int32; tokens attend within runs of equal segment.
      positions_bt: int32, from 0 in each segment.
    """

    tokens_bt: np.ndarray
    targets_bt: np.ndarray
    weights_bt: np.ndarray
    segments_bt: np.ndarray
    positions_bt: np.ndarray


def make_batch(rows_bs: np.ndarray, eod_id: int) -> Batch:
    """Splits rows of a token stream into inputs and targets, which all weigh 1.

    Args:
      rows_bs: int32 [b, t + 1]; each document in it begins with `eod_id`.
      eod_id: the end-of-document token.
    Returns:
      A batch of numpy arrays [b, t]; tokens and targets are views of `rows_bs`.
    """
    tokens_bt, targets_bt = rows_bs[:, :-1], rows_bs[:, 1:]
    weights_bt = np.ones(targets_bt.shape, np.float32)
    return Batch(tokens_bt, targets_bt, weights_bt, *packing(tokens_bt, eod_id))


def packing(tokens_bt: np.ndarray, eod_id: int) -> tuple[np.ndarray, np.ndarray]:
    """Segments and positions of packed documents, each of which begins with `eod_id`.

    Args:
      tokens_bt: int32.
      eod_id: the end-of-document token.
    Returns:
      segments_bt: int32, 0 for the document that began before the sequence, then one more for each
        that begins in it.
      positions_bt: int32, from 0 in each document, or in the part of it that the sequence holds.
    """
    begins_bt = tokens_bt == eod_id
    segments_bt = np.cumsum(begins_bt, axis=1, dtype=np.int32)
    index_t = np.arange(tokens_bt.shape[1], dtype=np.int32)
    start_bt = np.maximum.accumulate(np.where(begins_bt, index_t, np.int32(0)), axis=1)
    return segments_bt, index_t - start_bt
