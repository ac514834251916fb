"""Arrays on their way through a shuffle: divided by hash, by shard, and put together again.

A stage that compares documents of different shards has rounds, see `map_reduce` of
`hclx.corpus.runner`. Blocks of arrays travel, not documents: shuffling arrays costs next to nothing
beside shuffling records.
"""

from collections.abc import Iterable, Iterator

import numpy as np

from hclx.corpus.layout import DocumentId

Blocks = Iterable[tuple]  # of arrays

NO_HASHES, NO_IDS = np.zeros(0, np.uint64), np.zeros(0, np.int64)


def partition_by_hash(hashes: np.ndarray, n: int) -> Iterator[tuple[int, np.ndarray]]:
    """Divides rows by the uppermost bits of their hashes.

    Args:
      hashes: uint64 [m].
      n: the number of partitions.
    Yields:
      partition, and the indices of its rows, ascending; no partition without rows.
    """
    partition = ((hashes >> np.uint64(32)) * np.uint64(n)) >> np.uint64(32)
    order = np.argsort(partition, kind="stable")
    edges = np.searchsorted(partition[order], np.arange(n + 1))
    for i in range(n):
        if edges[i] < edges[i + 1]:
            yield i, order[edges[i] : edges[i + 1]]


def group_by_shard(ids: np.ndarray, *columns: np.ndarray) -> Iterator[tuple[int, tuple]]:
    """Divides columns by the shards of their documents.

    Args:
      ids: packed document ids (`DocumentId`), int64 [m].
      columns: [m] each.
    Yields:
      index of a shard, and (rows, *columns): the rows of its documents in it, int64, and what the
      columns hold for them; no shard without documents.
    """
    shards, rows = DocumentId.unpack(ids)
    order = np.argsort(shards, kind="stable")
    starts = np.flatnonzero(np.append(True, np.diff(shards[order]) != 0)[: len(order)])
    for start, end in zip(starts, np.append(starts[1:], len(order))):
        chosen = order[start:end]
        yield int(shards[chosen[0]]), (rows[chosen], *(column[chosen] for column in columns))


def concatenate(blocks: Blocks, *empty: np.ndarray) -> list[np.ndarray]:
    """Joins the columns of blocks, block after block.

    Args:
      blocks: a tuple of k columns each.
      empty: k columns of length 0, of the same types and shapes, for the case that there is no
        block.
    Returns:
      k columns.
    """
    return [np.concatenate(column) for column in zip(empty, *blocks)]
