"""Near-duplicates by MinHash and locality-sensitive hashing: the stage `near`.

Signatures are of the runs of characters of a text without spaces (Broder 1997). Their bands find
candidates (Leskovec, Rajaraman and Ullman, Mining of Massive Datasets, section 3.4); one byte of
each hash is kept to compare signatures (Li and König 2010). All are array operations over many
documents: a set of shingles in Python for each document would take most of the time.

Three rounds: which documents share a bucket with another one, which of them have signatures that
agree, and which of those are connected.

  signatures/...      of the documents that reach this stage: `row`, `bands`, `signature`
  verdicts/near/...   as of `exact`, see `hclx.corpus.dedup`
"""

import functools
from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from hclx.corpus import characters
from hclx.corpus.dedup import first_of_each, write_clusters
from hclx.corpus.layout import SIGNATURES, Build, DocumentId, Shard
from hclx.corpus.settings import CorpusSettings, NearSettings
from hclx.corpus.shuffle import (
    NO_HASHES,
    NO_IDS,
    Blocks,
    concatenate,
    group_by_shard,
    partition_by_hash,
)
from hclx.corpus.store import Store
from hclx.corpus.text_batch import TextBatch, batches
from hclx.corpus.verdicts import read_remaining_texts, removals
from hclx.hashing import RangeHash, splitmix64

_BLOCK = 1 << 14  # shingles that are hashed together: they stay in the processor's nearest cache
_ALL_PAIRS = 64  # documents of a bucket that are compared with all of it


def remove_near_duplicates(build: Build, key: str) -> None:
    """Removes documents that nearly equal an earlier one."""
    store, near, n = build.store, build.settings.near, build.n_partitions
    sign = functools.partial(sign_shard, store=store, settings=build.settings, key=key)
    build.map_shards(sign, "near: signatures")
    rounds = [
        (functools.partial(map_bands, store=store, n=n, near=near), reduce_bands),
        (
            functools.partial(map_signatures, store=store, n=n, near=near),
            functools.partial(reduce_signatures, near=near),
        ),
        (map_pairs, reduce_pairs),
    ]
    write = functools.partial(write_clusters, store=store, stage="near", key=key)
    build.shuffle(rounds, write, "near")


# Signatures.


def shingle_hashes(batch: TextBatch, shingle: int) -> tuple[np.ndarray, np.ndarray]:
    """Hashes of every run of `shingle` characters that are no white space.

    A text that is shorter than a shingle is one shingle as a whole; one without characters has
    none.

    Returns:
      uint32 [s], and the offsets of each document's shingles, int64 [d + 1].
    """
    keep = batch.kinds != characters.SPACE
    position = np.concatenate([[0], np.cumsum(keep)])
    starts = np.arange(position[-1])
    offsets = position[batch.offsets]
    ends = np.repeat(offsets[1:], np.diff(offsets))
    is_whole = (starts + shingle <= ends) | np.isin(starts, offsets[:-1])
    starts, ends = starts[is_whole], np.minimum(starts + shingle, ends)[is_whole]
    hashes = RangeHash(batch.chars[keep]).of(starts, ends)
    return (hashes >> np.uint64(32)).astype(np.uint32), np.searchsorted(starts, offsets)


def signatures(batch: TextBatch, shingle: int, n_hashes: int, seed: int) -> np.ndarray:
    """The smallest value of each hash function over a document's shingles, uint32 [d, n_hashes].

    Two documents agree in a column with the probability of their shingles' Jaccard similarity.
    Documents without shingles have the largest value in every column.
    """
    hashes, offsets = shingle_hashes(batch, shingle)
    draws = splitmix64(np.arange(2 * n_hashes, dtype=np.uint64) + np.uint64(seed << 32))
    draws = draws.astype(np.uint32)
    factors, shifts = draws[:n_hashes] | np.uint32(1), draws[n_hashes:]
    result = np.full((len(batch), n_hashes), np.iinfo(np.uint32).max, np.uint32)
    filled = np.flatnonzero(np.diff(offsets))
    begins = offsets[:-1][filled]
    for first, last in _blocks(begins):
        block = hashes[begins[first] : begins[last] if last < len(begins) else len(hashes)]
        edges, values = begins[first:last] - begins[first], np.empty_like(block)
        for column in range(n_hashes):
            np.multiply(block, factors[column], out=values)
            np.add(values, shifts[column], out=values)
            result[filled[first:last], column] = np.minimum.reduceat(values, edges)
    return result


def _blocks(begins: np.ndarray) -> Iterator[tuple[int, int]]:
    """(first, last) documents whose shingles fill about a block; a long document is one by
    itself.
    """
    first = 0
    while first < len(begins):
        last = max(first + 1, int(np.searchsorted(begins, begins[first] + _BLOCK, "right")) - 1)
        yield first, min(last, len(begins))
        first = last


def band_hashes(signature: np.ndarray, bands: int, rows: int) -> np.ndarray:
    """One hash of each band's `rows` columns, uint64 [d, bands]; documents with an equal one are
    candidates.
    """
    result = np.zeros((len(signature), bands), np.uint64)
    for row in range(rows):
        column = signature[:, row : bands * rows : rows].astype(np.uint64)
        result = splitmix64(result * np.uint64(31) + column)
    return splitmix64(result + np.arange(bands, dtype=np.uint64))


def compact(signature: np.ndarray) -> np.ndarray:
    """The byte of each hash that is kept, uint8 [d, n_hashes]: of the hash mixed again, as the
    smallest values begin with zeros.
    """
    return splitmix64(signature).astype(np.uint8)


def similarity(signature: np.ndarray, others: np.ndarray) -> np.ndarray:
    """The estimated Jaccard similarity of a document to others, float64 [m].

    Unequal hashes share a byte once in 256 times, which is subtracted (Li and König 2010, theorem
    1).

    Args:
      signature: compact, uint8 [n_hashes].
      others: compact, uint8 [m, n_hashes].
    """
    agree = (others == signature).mean(1)
    return (agree - 1 / 256) / (1 - 1 / 256)


def sign_shard(shard: Shard, store: Store, settings: CorpusSettings, key: str) -> None:
    """Writes the signatures of the documents that reach this stage."""
    near = settings.near
    if store.is_done(shard.file(SIGNATURES), key):
        return
    rows = removals(shard, store, before="near").kept
    n_hashes = near.bands * near.rows
    blocks = [np.zeros((0, n_hashes), np.uint32)]
    for batch in batches(read_remaining_texts(shard, store, rows)):
        blocks.append(signatures(batch, near.shingle, n_hashes, settings.seed))
    signed = np.concatenate(blocks)
    lists = lambda values: pyarrow.FixedSizeListArray.from_arrays(
        values.reshape(-1), values.shape[1]
    )
    columns = {
        "row": rows,
        "bands": lists(band_hashes(signed, near.bands, near.rows)),
        "signature": lists(compact(signed)),
    }
    store.write_table(shard.file(SIGNATURES), pyarrow.table(columns), key)


def _read_lists(table: pyarrow.Table, column: str, width: int) -> np.ndarray:
    return table[column].combine_chunks().flatten().to_numpy().reshape(-1, width)


# Round 1: documents that share a bucket.


def map_bands(
    shard: Shard, store: Store, n: int, near: NearSettings
) -> Iterator[tuple[int, tuple]]:
    """(partition, (hash, id)) of every band of every signature."""
    table = store.read_table(shard.file(SIGNATURES), ["row", "bands"])
    hashes = _read_lists(table, "bands", near.bands).reshape(-1)
    ids = np.repeat(DocumentId(shard.index, table["row"].to_numpy()).pack(), near.bands)
    for partition, chosen in partition_by_hash(hashes, n):
        yield partition, (hashes[chosen], ids[chosen])


def reduce_bands(blocks: Blocks) -> Iterator[tuple[int, tuple]]:
    """(shard, (rows, hash)) of the bands that several documents have."""
    hashes, ids = concatenate(blocks, NO_HASHES, NO_IDS)
    _, size = first_of_each([hashes], ids)
    yield from group_by_shard(ids[size > 1], hashes[size > 1])


# Round 2: pairs whose signatures agree.


def map_signatures(
    shard: Shard, blocks: Blocks, store: Store, n: int, near: NearSettings
) -> Iterator[tuple[int, tuple]]:
    """(partition, (hash, id, signature)) of the documents that share a bucket."""
    rows, hashes = concatenate(blocks, NO_IDS, NO_HASHES)
    table = store.read_table(shard.file(SIGNATURES), ["row", "signature"])
    signed = _read_lists(table, "signature", near.bands * near.rows)
    signed = signed[np.searchsorted(table["row"].to_numpy(), rows)]
    ids = DocumentId(shard.index, rows).pack()
    for partition, chosen in partition_by_hash(hashes, n):
        yield partition, (hashes[chosen], ids[chosen], signed[chosen])


def reduce_signatures(blocks: Blocks, near: NearSettings) -> Iterator[tuple[int, np.ndarray]]:
    """(0, similar pairs, int64 [p, 2]): all pairs go to one place, the first shard."""
    no_signatures = np.zeros((0, near.bands * near.rows), np.uint8)
    hashes, ids, signed = concatenate(blocks, NO_HASHES, NO_IDS, no_signatures)
    yield 0, np.unique(similar_pairs(hashes, ids, signed, near.threshold), axis=0)


def similar_pairs(
    hashes: np.ndarray, ids: np.ndarray, signed: np.ndarray, threshold: float
) -> np.ndarray:
    """Documents that share a bucket and whose signatures agree, int64 [p, 2], the smaller id first.

    A bucket's first 64 documents are compared with all of it, so that a bucket of millions does not
    cost their square.

    Args:
      hashes: of the bucket, uint64 [n].
      ids: packed document ids, int64 [n].
      signed: compact signatures, uint8 [n, n_hashes].
      threshold: the estimated similarity from which on a pair agrees.
    """
    order = np.lexsort((ids, hashes))
    hashes, ids, signed = hashes[order], ids[order], signed[order]
    starts = np.flatnonzero(np.append(True, hashes[1:] != hashes[:-1])[: len(hashes)])
    pairs = [np.zeros((0, 2), np.int64)]
    for start, end in zip(starts, np.append(starts[1:], len(hashes))):
        for i in range(start, min(end - 1, start + _ALL_PAIRS)):
            agree = similarity(signed[i], signed[i + 1 : end]) >= threshold
            similar = np.flatnonzero(agree) + i + 1
            similar = similar[ids[similar] != ids[i]]
            pairs.append(np.stack([np.full(len(similar), ids[i]), ids[similar]], 1))
    return np.concatenate(pairs)


# Round 3: connected documents.


def map_pairs(shard: Shard, blocks: Iterable[np.ndarray]) -> Iterator[tuple[int, np.ndarray]]:
    """(0, pairs) as they came: clusters are found in one place, from 16 bytes for each pair."""
    return ((0, pairs) for pairs in blocks)


def reduce_pairs(blocks: Iterable[np.ndarray]) -> Iterator[tuple[int, tuple]]:
    """Finds the clusters of near-duplicates, and sends each document its cluster.

    Args:
      blocks: pairs of similar documents, as packed document ids, int64 [p, 2] each.
    Yields:
      index of a shard, and (rows, first, size), int64 [m] each, for those of its documents that are
      in a cluster: the row in the shard, the packed id of the cluster's first document, and the
      number of documents in the cluster. See `DocumentId` for packed ids.
    """
    pairs = np.concatenate([np.zeros((0, 2), np.int64), *blocks])
    ids, first, size = connected(pairs)
    yield from group_by_shard(ids, first, size)


def connected(pairs: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Clusters of documents that pairs connect.

    Args:
      pairs: packed document ids, int64 [p, 2].
    Returns:
      The ids of the documents, ascending; the smallest id of each one's cluster; and the size of
      that cluster; int64 [n] each.
    """
    ids, index = np.unique(pairs, return_inverse=True)
    index = index.reshape(-1, 2)
    graph = coo_array(
        (np.ones(len(index), bool), (index[:, 0], index[:, 1])), shape=(len(ids),) * 2
    )
    _, label = connected_components(graph, directed=False)
    first = np.full(label.max(initial=-1) + 1, np.iinfo(np.int64).max)
    np.minimum.at(first, label, ids)
    return ids, first[label], np.bincount(label)[label] if len(label) else label
