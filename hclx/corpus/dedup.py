"""Exact deduplication of documents: the stage `exact`.

It writes a table for each shard, with a row for each document:

  verdicts/exact/...       rule: "exact_duplicate"; value: cluster_size; and of each document's
                           cluster of equal ones: `cluster`, the packed id (`DocumentId`) of the
                           document that stays, and `cluster_size`, 1 if no other is equal
  hashes/STAGE/...         the hashes of the texts that reach the stage, which other files do not
                           change: they are computed once

Of several equal documents the first in the order of the corpus stays.
"""

import functools
import hashlib
import unicodedata
from collections.abc import Callable, Iterator

import numpy as np
import pyarrow

from hclx.corpus.layout import DOCUMENTS, HASHES, Build, DocumentId, Shard
from hclx.corpus.shuffle import (
    NO_IDS,
    Blocks,
    concatenate,
    group_by_shard,
    partition_by_hash,
)
from hclx.corpus.store import Store, key_of
from hclx.corpus.verdicts import input_key, read_texts, removals, write_verdict

VERSION = 3  # of the definition of equality: part of the key


def remove_exact_duplicates(build: Build, key: str) -> None:
    """Writes the verdicts of the stage `exact`: documents that equal an earlier one by
    `exact_hash` are removed.

    Args:
      build: the inputs of the corpus; the verdicts of the stages before are already written.
      key: hash of the settings of this stage and of the key of the stage before; the verdicts hold
        it.
    Raises:
      HclxError: see `Build.shuffle`.
    """
    hashes = functools.partial(map_document_hashes, store=build.store, n=build.n_partitions)
    write = functools.partial(write_clusters, store=build.store, key=key)
    build.shuffle([(hashes, reduce_document_hashes)], write, "exact")


def first_of_each(
    keys: list[np.ndarray], ids: np.ndarray, position: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Finds the first of the rows with equal keys.

    Args:
      keys: columns that a row is compared by, [n] each.
      ids: packed document ids (`DocumentId`), int64 [n]; the smallest comes first.
      position: int64 [n], the place of the row within its document; decides between equal ids.
    Returns:
      For each row the index of the first row with the same key, int64 [n], and the number of such
      rows, int64 [n].
    """
    order = np.lexsort(([position] if position is not None else []) + [ids] + keys)
    is_new = np.zeros(len(order), bool)
    is_new[:1] = True
    for column in keys:
        ordered = column[order]
        is_new[1:] |= ordered[1:] != ordered[:-1]
    group = np.cumsum(is_new) - 1
    first, size = np.empty_like(order), np.empty_like(order)
    first[order] = order[np.flatnonzero(is_new)][group]
    size[order] = np.bincount(group)[group] if len(group) else group
    return first, size


def remembered(
    shard: Shard, store: Store, stage: str, settings: tuple, compute: Callable
) -> pyarrow.Table:
    """Returns the table of hashes of a stage, `compute(shard, store)`, which is computed once for
    the same texts: other shards, which may change, do not change it.

    Args:
      shard: the documents; the verdicts of the stages before are already written.
      store: the folder of the corpus.
      stage: "exact" or "paragraph".
      settings: what the hashes depend on beside the texts.
      compute: returns the columns of the table.
    Raises:
      DataError: the documents cannot be read.
    """
    name = shard.file(HASHES, stage=stage)
    key = key_of(VERSION, settings, input_key(shard, store, before=stage))
    if store.is_done(name, key):
        return store.read_table(name)
    table = pyarrow.table(compute(shard, store))
    store.write_table(name, table, key)
    return table


def exact_hash(text: str) -> bytes:
    """Hashes a text in NFKC without any white space: texts that differ only in white space or
    compatibility forms have equal hashes, while case and punctuation count.

    Returns:
      The first 16 bytes of the SHA-256.
    Raises:
      UnicodeEncodeError: the text holds a lone surrogate.
    """
    squeezed = "".join(unicodedata.normalize("NFKC", text).split())
    return hashlib.sha256(squeezed.encode()).digest()[:16]


def exact_hashes(texts) -> np.ndarray:
    """Computes `exact_hash` of d texts.

    Args:
      texts: an iterable of d strings.
    Returns:
      uint64 [d, 2]: the 16 bytes of each as two numbers.
    """
    return np.frombuffer(b"".join(map(exact_hash, texts)), np.uint64).reshape(-1, 2)


def map_document_hashes(shard: Shard, store: Store, n: int) -> Iterator[tuple[int, tuple]]:
    """Sends the hashes of the documents that no earlier stage removed to their partitions.

    Args:
      shard: the documents; the verdicts of the stages before are already written.
      store: the folder of the corpus.
      n: the number of partitions.
    Yields:
      partition, and (hashes, ids): `exact_hashes` of m documents, uint64 [m, 2], and their packed
      ids (`DocumentId`), int64 [m].
    Raises:
      DataError: the documents cannot be read.
    """
    table = remembered(shard, store, "exact", (), hash_documents)
    hashes = np.stack([table["hash_0"].to_numpy(), table["hash_1"].to_numpy()], 1)
    ids = DocumentId(shard.index, table["row"].to_numpy()).pack()
    for partition, chosen in partition_by_hash(hashes[:, 0], n):
        yield partition, (hashes[chosen], ids[chosen])


def hash_documents(shard: Shard, store: Store) -> dict[str, np.ndarray]:
    """Computes the hashes of the documents of a shard that no earlier stage removed.

    Returns:
      Columns of m documents: `row` in the shard, int64; `hash_0` and `hash_1`, the halves of
      `exact_hash`, uint64.
    """
    rows = removals(shard, store, before="exact").kept
    hashes = exact_hashes(read_texts(shard, store, rows))
    return {"row": rows, "hash_0": hashes[:, 0], "hash_1": hashes[:, 1]}


def reduce_document_hashes(blocks: Blocks) -> Iterator[tuple[int, tuple]]:
    """Finds documents that equal another one, and sends each its cluster.

    Args:
      blocks: of one partition: (hashes, ids) of `map_document_hashes`, from all shards.
    Yields:
      index of a shard, and (rows, first, size), int64 [m] each, for those of its documents that
      equal another one, the first of them included: the row in the shard, the packed id of the
      first document of the cluster, (shard << 32) + row as of `DocumentId`, and the number of
      documents in the cluster.
    """
    hashes, ids = concatenate(blocks, np.zeros((0, 2), np.uint64), NO_IDS)
    first, size = first_of_each([hashes[:, 1], hashes[:, 0]], ids)
    repeated = size > 1
    yield from group_by_shard(ids[repeated], ids[first[repeated]], size[repeated])


def write_clusters(shard: Shard, blocks: Blocks, store: Store, key: str) -> None:
    """Writes which documents of a shard are duplicates: all but the first of each cluster; for the
    columns see the head of this module.

    Args:
      shard: the documents.
      blocks: (rows, first, size), int64 [m] each, for documents of the shard that are in a cluster:
        row, packed id (`DocumentId`) of the cluster's first document, documents in the cluster. Any
        other document is alone in its cluster.
      store: the folder of the corpus.
      key: hash of all that the result depends on, which the file then has.
    Raises:
      DataError: the documents of the shard cannot be read.
    """
    n = store.n_rows(shard.file(DOCUMENTS))
    rows, first, size = concatenate(blocks, NO_IDS, NO_IDS, NO_IDS)
    own = DocumentId(shard.index, np.arange(n)).pack()
    cluster, sizes = own.copy(), np.ones(n, np.int64)
    cluster[rows], sizes[rows] = first, size
    rule = pyarrow.array(np.where(cluster != own, "exact_duplicate", None), pyarrow.string())
    columns = {
        "rule": rule,
        "value": sizes.astype(np.float32),
        "cluster": cluster,
        "cluster_size": sizes.astype(np.int32),
    }
    write_verdict(store, shard, "exact", pyarrow.table(columns), key)
