"""Near-duplicates by MinHash and locality-sensitive hashing: the stage `near` of the pipeline.

Signatures are of the runs of characters of a text without spaces (Broder 1997). Their bands find
candidates (Leskovec, Rajaraman and Ullman, Mining of Massive Datasets, section 3.4); one byte of
each hash is kept to compare signatures (Li and König 2010). All are array operations over many
documents: a set of shingles in Python for each document would take most of the time.

Three rounds of map and reduce (see `map_reduce` of `hclx.corpus.runner`): which documents share a
bucket with another one, which of them have signatures that agree, and which of those are connected.

  signatures/...      a row for each document that reaches this stage: `row`, its place in the
                      shard, int64; `bands`, a list of uint64, see `band_hashes`;
                      `signature`, a list of uint8, see `compact`
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
    """Writes the verdicts of the stage `near`: documents that nearly equal an earlier one are
    removed.

    Args:
      build: the inputs of the corpus; the verdicts of the stages before are already written.
      key: hash of the settings of this stage and of the key of the stage before; the files that are
        written hold it.
    Raises:
      HclxError: see `Build.shuffle`.
    """
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
    """Hashes every run of `shingle` characters that are no white space.

    A text that is shorter than a shingle is one shingle as a whole; one without characters has
    none.

    Args:
      batch: d texts.
      shingle: the number of characters of a shingle.
    Returns:
      Hashes of the s shingles of all texts, uint32 [s]; and offsets, int64 [d + 1]: the shingles of
      text i are hashes[offsets[i] : offsets[i + 1]].
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
    """Computes the MinHash signature of each text: the smallest value of each hash function over
    its shingles.

    Two documents agree in a column with the probability of their shingles' Jaccard similarity.
    Documents without shingles have the largest value in every column.

    Args:
      batch: d texts.
      shingle: the number of characters of a shingle.
      n_hashes: the number of hash functions.
      seed: of the hash functions.
    Returns:
      uint32 [d, n_hashes].
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
    """Hashes each band of a signature; documents with an equal hash are candidates.

    Args:
      signature: uint32 [d, bands * rows], see `signatures`.
      bands: the number of bands.
      rows: the number of columns of a band.
    Returns:
      uint64 [d, bands].
    """
    result = np.zeros((len(signature), bands), np.uint64)
    for row in range(rows):
        column = signature[:, row : bands * rows : rows].astype(np.uint64)
        result = splitmix64(result * np.uint64(31) + column)
    return splitmix64(result + np.arange(bands, dtype=np.uint64))


def compact(signature: np.ndarray) -> np.ndarray:
    """Reduces each hash of signatures to one byte: of the hash mixed again, as the smallest values
    begin with zeros.

    Args:
      signature: uint32 [d, n_hashes], see `signatures`.
    Returns:
      uint8 [d, n_hashes].
    """
    return splitmix64(signature).astype(np.uint8)


def similarity(signature: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Estimates the Jaccard similarity of a document to others.

    Unequal hashes share a byte once in 256 times, which is subtracted (Li and König 2010, theorem
    1).

    Args:
      signature: of the document, uint8 [n_hashes], see `compact`.
      others: of the others, uint8 [m, n_hashes].
    Returns:
      float64 [m], at most 1; it may be just below 0.
    """
    agree = (others == signature).mean(1)
    return (agree - 1 / 256) / (1 - 1 / 256)


def sign_shard(shard: Shard, store: Store, settings: CorpusSettings, key: str) -> None:
    """Writes the signatures of the documents of a shard that no earlier stage removed: the table of
    signatures/ that the head of this module describes.

    Args:
      shard: the documents; the verdicts of the stages before are already written.
      store: the folder of the corpus.
      settings: of the corpus; its `near` and `seed` decide the signatures.
      key: hash of the settings and inputs of the result; a file that has it is not written again.
    Raises:
      DataError: the documents cannot be read.
    """
    near = settings.near
    if store.is_done(shard.file(SIGNATURES), key):
        return
    rows = removals(shard, store, before="near").kept
    n_hashes = near.bands * near.rows
    blocks = [np.zeros((0, n_hashes), np.uint32)]
    for batch in batches(read_remaining_texts(shard, store, rows, before="near")):
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
    """Sends every band of every signature of a shard to the partition of its hash.

    Args:
      shard: its file of signatures is already written.
      store: the folder of the corpus.
      n: the number of partitions.
      near: the settings that the signatures were made with.
    Yields:
      partition, and (hashes, ids): hashes of m bands, uint64 [m], and the packed ids (`DocumentId`)
      of their documents, int64 [m].
    Raises:
      DataError: the signatures cannot be read.
    """
    table = store.read_table(shard.file(SIGNATURES), ["row", "bands"])
    hashes = _read_lists(table, "bands", near.bands).reshape(-1)
    ids = np.repeat(DocumentId(shard.index, table["row"].to_numpy()).pack(), near.bands)
    for partition, chosen in partition_by_hash(hashes, n):
        yield partition, (hashes[chosen], ids[chosen])


def reduce_bands(blocks: Blocks) -> Iterator[tuple[int, tuple]]:
    """Finds the bands that several documents share, and sends them to the shards of these
    documents.

    Args:
      blocks: of one partition: (hashes, ids) of `map_bands`, from all shards.
    Yields:
      index of a shard, and (rows, hashes): rows of documents in the shard, int64 [m], and the hash
      of a band that each shares with another document, uint64 [m]; a document has a row for each
      such band.
    """
    hashes, ids = concatenate(blocks, NO_HASHES, NO_IDS)
    _, size = first_of_each([hashes], ids)
    yield from group_by_shard(ids[size > 1], hashes[size > 1])


# Round 2: pairs whose signatures agree.


def map_signatures(
    shard: Shard, blocks: Blocks, store: Store, n: int, near: NearSettings
) -> Iterator[tuple[int, tuple]]:
    """Sends the signatures of documents that share a bucket to the partition of that bucket.

    Args:
      shard: its file of signatures is already written.
      blocks: (rows, hashes) of `reduce_bands` for this shard.
      store: the folder of the corpus.
      n: the number of partitions.
      near: the settings that the signatures were made with.
    Yields:
      partition, and (hashes, ids, signed): hashes of buckets, uint64 [m]; packed ids of their
      documents, int64 [m]; compact signatures of these, uint8 [m, n_hashes].
    Raises:
      DataError: the signatures cannot be read.
    """
    rows, hashes = concatenate(blocks, NO_IDS, NO_HASHES)
    table = store.read_table(shard.file(SIGNATURES), ["row", "signature"])
    signed = _read_lists(table, "signature", near.bands * near.rows)
    signed = signed[np.searchsorted(table["row"].to_numpy(), rows)]
    ids = DocumentId(shard.index, rows).pack()
    for partition, chosen in partition_by_hash(hashes, n):
        yield partition, (hashes[chosen], ids[chosen], signed[chosen])


def reduce_signatures(blocks: Blocks, near: NearSettings) -> Iterator[tuple[int, np.ndarray]]:
    """Finds the pairs of documents in a bucket whose signatures agree.

    Args:
      blocks: of one partition: (hashes, ids, signed) of `map_signatures`, from all shards.
      near: the threshold, and the shape of a signature.
    Yields:
      0, and the pairs as packed document ids, int64 [p, 2], the smaller id first, each once in a
      partition: all pairs go to one place, the first shard.
    """
    no_signatures = np.zeros((0, near.bands * near.rows), np.uint8)
    hashes, ids, signed = concatenate(blocks, NO_HASHES, NO_IDS, no_signatures)
    yield 0, np.unique(similar_pairs(hashes, ids, signed, near.threshold), axis=0)


def similar_pairs(
    hashes: np.ndarray, ids: np.ndarray, signed: np.ndarray, threshold: float
) -> np.ndarray:
    """Finds the documents that share a bucket and whose signatures agree.

    A bucket's first 64 documents are compared with all of it, so that a bucket of millions does not
    cost their square.

    Args:
      hashes: of the bucket of each row, uint64 [n], in any order; a row is a document in a bucket.
      ids: packed id (`DocumentId`) of each row's document, int64 [n].
      signed: its compact signature, uint8 [n, n_hashes].
      threshold: the estimated similarity from which on a pair agrees.
    Returns:
      Pairs of packed document ids, int64 [p, 2], the smaller id first; a pair that shares several
      buckets is there several times.
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
    """Sends all pairs to one place, where clusters are found, from 16 bytes for each pair.

    Args:
      shard: not used; only the first one has pairs.
      blocks: pairs of packed document ids of `reduce_signatures`, int64 [p, 2] each.
    Yields:
      0, and each block as it came.
    """
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
    """Finds the clusters of documents that pairs connect.

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
