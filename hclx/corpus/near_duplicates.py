"""Near-duplicates by MinHash and locality-sensitive hashing: the stage `near` of the pipeline.

A document is removed if it is similar to an earlier document that stays, and the verdict names that
document: in a chain of texts of which each resembles the next, the first one stays, and so does
each that no longer resembles one that stays.

Three rounds of map and reduce (see `map_reduce` of `hclx.corpus.runner`). 1: which documents share
a bucket, which is a band of their signatures; each is told the first document of every bucket, so
that a bucket of a million costs a million pairs. 2: which documents are connected by buckets; this
is one place, and takes two numbers a document. 3: every group of connected documents is gone
through in the order of the corpus, with one signature a document.

  signatures/...      a row for each document that reaches this stage: `row`, its place in the
                      shard, int64; `bands`, a list of uint64, see `band_hashes`;
                      `signature`, a list of uint8, see `compact`
  verdicts/near/...   rule: "near_duplicate"; value: the estimated similarity to the document that
                      stays, float32, 0 for one that stays; `cluster`, the packed id (`DocumentId`)
                      of the document that stays, which may be itself; `cluster_size`, the number of
                      documents for which this one stays, with itself; `similarity`, as value, null
                      for a document that stays
"""

import functools
from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from hclx.corpus.dedup import first_of_each
from hclx.corpus.layout import DOCUMENTS, SIGNATURES, Build, DocumentId, Shard
from hclx.corpus.minhash import band_hashes, compact, signatures, similarity
from hclx.corpus.settings import CorpusSettings, NearSettings
from hclx.corpus.shuffle import (
    NO_HASHES,
    NO_IDS,
    Blocks,
    concatenate,
    group_by_shard,
    partition_by_hash,
)
from hclx.corpus.store import Store, key_of
from hclx.corpus.text_batch import batches
from hclx.corpus.verdicts import input_key, read_remaining_texts, removals, write_verdict
from hclx.hashing import splitmix64

VERSION = 2  # of the definition of a near-duplicate: part of the key
# So many documents of a group are compared with all that follow; the later ones with those of their
# buckets, unless no more than _FEW follow. In a bucket no more than so many are compared.
_ALL_PAIRS = 64
_FEW = 1024
_ROWS = 1 << 16  # signatures that are compared at once: they fit in the processor's cache


def near_settings(build: Build) -> tuple | None:
    """Collects the values that the verdicts of this stage depend on. If they change, the stage runs
    again.

    Returns:
      (`VERSION`, `settings.near`, `settings.seed`); None if the stage is switched off.
    """
    return build.settings.near and (VERSION, build.settings.near, build.settings.seed)


def remove_near_duplicates(build: Build, key: str) -> None:
    """Writes the verdicts of the stage `near`: documents that nearly equal an earlier one that
    stays are removed.

    Args:
      build: the inputs of the corpus; the verdicts of the stages before are already written.
      key: hash of the settings of this stage and of the key of the stage before; the files that are
        written hold it.
    Raises:
      HclxError: see `Build.shuffle`.
    """
    store, near, n = build.store, build.settings.near, build.n_partitions
    sign = functools.partial(sign_shard, store=store, settings=build.settings)
    build.map_shards(sign, "near: signatures")
    rounds = [
        (functools.partial(map_bands, store=store, n=n, near=near), reduce_bands),
        (map_links, reduce_links),
        (
            functools.partial(map_members, store=store, n=n, near=near),
            functools.partial(reduce_members, near=near),
        ),
    ]
    write = functools.partial(write_near_duplicates, store=store, key=key)
    build.shuffle(rounds, write, "near")


def sign_shard(shard: Shard, store: Store, settings: CorpusSettings) -> None:
    """Writes the signatures of the documents of a shard that no earlier stage removed: the table of
    signatures/ that the head of this module describes. They are not written again as long as these
    documents, their texts and the hash functions stay the same.

    Args:
      shard: the documents; the verdicts of the stages before are already written.
      store: the folder of the corpus.
      settings: of the corpus; its `near` and `seed` decide the signatures.
    Raises:
      DataError: the documents cannot be read.
    """
    near = settings.near
    functions = (near.shingle, near.bands, near.rows, settings.seed)
    key = key_of(VERSION, functions, input_key(shard, store, before="near"))
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
    """Finds the buckets of several documents, and sends each of these its bucket's first document.

    Args:
      blocks: of one partition: (hashes, ids) of `map_bands`, from all shards.
    Yields:
      index of a shard, and (rows, first): rows of documents in the shard, and the packed id of the
      first document of a bucket that each shares with another one, int64 [m] each; a document has a
      row for each such bucket.
    """
    hashes, ids = concatenate(blocks, NO_HASHES, NO_IDS)
    first, size = first_of_each([hashes], ids)
    shared = size > 1
    yield from group_by_shard(ids[shared], ids[first[shared]])


# Round 2: groups of connected documents.


def map_links(shard: Shard, blocks: Blocks) -> Iterator[tuple[int, np.ndarray]]:
    """Sends the documents that are connected to those of a shard to one place: at most as many
    pairs as there are documents.

    Args:
      shard: whose documents they are.
      blocks: (rows, first) of `reduce_bands` for this shard.
    Yields:
      0, and pairs of packed document ids, int64 [p, 2].
    """
    rows, first = concatenate(blocks, NO_IDS, NO_IDS)
    pairs = np.stack([DocumentId(shard.index, rows).pack(), first], 1)
    yield 0, np.stack(connected(pairs), 1)


def reduce_links(blocks: Iterable[np.ndarray]) -> Iterator[tuple[int, tuple]]:
    """Finds the groups of connected documents, and sends each document its group.

    Args:
      blocks: pairs of packed document ids of `map_links`, int64 [p, 2] each.
    Yields:
      index of a shard, and (rows, group), int64 [m] each: rows of documents in the shard, and the
      packed id of the first document of each one's group.
    """
    ids, group = connected(np.concatenate([np.zeros((0, 2), np.int64), *blocks]))
    yield from group_by_shard(ids, group)


def connected(pairs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Finds the groups of documents that pairs connect.

    Args:
      pairs: packed document ids, int64 [p, 2].
    Returns:
      The ids of the documents, ascending; and the smallest id of each one's group; int64 [n] each.
    """
    ids, index = np.unique(pairs, return_inverse=True)
    index = index.reshape(-1, 2)
    graph = coo_array(
        (np.ones(len(index), bool), (index[:, 0], index[:, 1])), shape=(len(ids),) * 2
    )
    _, label = connected_components(graph, directed=False)
    first = np.full(label.max(initial=-1) + 1, np.iinfo(np.int64).max)
    np.minimum.at(first, label, ids)
    return ids, first[label]


# Round 3: documents that stay, and those that are similar to them.


def map_members(
    shard: Shard, blocks: Blocks, store: Store, n: int, near: NearSettings
) -> Iterator[tuple[int, tuple]]:
    """Sends the signatures of the documents that are in a group to the partition of that group.

    Args:
      shard: its file of signatures is already written.
      blocks: (rows, group) of `reduce_links` for this shard.
      store: the folder of the corpus.
      n: the number of partitions.
      near: the settings that the signatures were made with.
    Yields:
      partition, and (group, ids, signed): packed ids of the group's first document and of m
      documents, int64 [m] each; and compact signatures of these, uint8 [m, n_hashes].
    Raises:
      DataError: the signatures cannot be read.
    """
    rows, group = concatenate(blocks, NO_IDS, NO_IDS)
    table = store.read_table(shard.file(SIGNATURES), ["row", "signature"])
    signed = _read_lists(table, "signature", near.bands * near.rows)
    signed = signed[np.searchsorted(table["row"].to_numpy(), rows)]
    ids = DocumentId(shard.index, rows).pack()
    for partition, chosen in partition_by_hash(splitmix64(group.astype(np.uint64)), n):
        yield partition, (group[chosen], ids[chosen], signed[chosen])


def reduce_members(blocks: Blocks, near: NearSettings) -> Iterator[tuple[int, tuple]]:
    """Decides which documents of each group stay, and sends each of the others the one that it is
    similar to.

    Args:
      blocks: of one partition: (group, ids, signed) of `map_members`, from all shards.
      near: the threshold, and the shape of a signature.
    Yields:
      index of a shard, and (rows, stays, size, similarity), [m] each, for documents that are
      removed and those for which one is: the row in the shard, the packed id of the document that
      stays, and the number of documents for which that one stays, int64; and the estimated
      similarity to it, float64.
    """
    no_signatures = np.zeros((0, near.bands * near.rows), np.uint8)
    group, ids, signed = concatenate(blocks, NO_IDS, NO_IDS, no_signatures)
    order = np.lexsort((ids, group))
    edges = np.flatnonzero(np.append(True, np.diff(group[order]) != 0)[: len(order)])
    stays, score = np.empty_like(order), np.empty(len(order))
    for chosen in np.split(order, edges[1:]):
        index, score[chosen] = references(signed[chosen], near)
        stays[chosen] = chosen[index]
    size = np.bincount(stays, minlength=len(stays))[stays]
    several = size > 1
    columns = (ids[several], ids[stays[several]], size[several], score[several])
    yield from group_by_shard(*columns)


def references(signed: np.ndarray, near: NearSettings) -> tuple[np.ndarray, np.ndarray]:
    """Decides which documents stay: each that is not similar to one before it that stays.

    Not all pairs of a large group are compared, so that one of millions does not cost its square.

    Args:
      signed: compact signatures of n documents in their order, uint8 [n, n_hashes].
      near: the threshold, and the shape of a signature.
    Returns:
      The index of the first document that stays and that each was found similar to, itself if it
      stays, int64 [n]; and the estimated similarity to it, float64 [n].
    """
    n, buckets = len(signed), None
    stays, score, n_stay = np.arange(n), np.ones(n), 0
    is_open = np.ones(n, bool)
    for i in range(n):
        if not is_open[i]:
            continue
        is_open[i], n_stay = False, n_stay + 1
        if n_stay <= _ALL_PAIRS or n - i <= _FEW:
            others = i + 1 + np.flatnonzero(is_open[i + 1 :])
        else:
            buckets = buckets or _Buckets(signed, near)
            others = buckets.after(i)
            others = others[is_open[others]]
        for chosen in np.split(others, range(_ROWS, len(others), _ROWS)):
            scores = similarity(signed[i], signed[chosen])
            is_near = scores >= near.threshold
            stays[chosen[is_near]], score[chosen[is_near]] = i, scores[is_near]
            is_open[chosen[is_near]] = False
    return stays, score


class _Buckets:
    """The documents of a group that share a band."""

    def __init__(self, signed: np.ndarray, near: NearSettings):
        n, self._bands = len(signed), []
        for band in np.split(signed, near.bands, 1):
            hashes = band_hashes(band, 1, near.rows)[:, 0]
            order = np.argsort(hashes, kind="stable").astype(np.int32)
            is_new = np.append(True, np.diff(hashes[order].view(np.int64)) != 0)
            starts = np.flatnonzero(is_new)
            bucket, place = np.empty(n, np.int32), np.empty(n, np.int32)
            bucket[order], place[order] = np.cumsum(is_new) - 1, np.arange(n)
            self._bands.append((order, place, bucket, np.append(starts, n), [0] * len(starts)))

    def after(self, i: int) -> np.ndarray:
        """The documents after document i that share a bucket with it, int64 [m], ascending; without
        those of buckets that were asked for many times.
        """
        members = []
        for order, place, bucket, edges, times in self._bands:
            own = bucket[i]
            times[own] += 1
            if times[own] <= _ALL_PAIRS:
                members.append(order[place[i] + 1 : edges[own + 1]])
        return np.unique(np.concatenate(members, dtype=np.int64)) if members else NO_IDS


def write_near_duplicates(shard: Shard, blocks: Blocks, store: Store, key: str) -> None:
    """Writes which documents of a shard are near-duplicates; for the columns see the head of this
    module.

    Args:
      shard: the documents.
      blocks: (rows, stays, size, similarity) of `reduce_members` for this shard; any other document
        is similar to none.
      store: the folder of the corpus.
      key: hash of all that the result depends on, which the file then has.
    Raises:
      DataError: the documents of the shard cannot be read.
    """
    n = store.n_rows(shard.file(DOCUMENTS))
    rows, stays, size, score = concatenate(blocks, NO_IDS, NO_IDS, NO_IDS, np.zeros(0))
    own = DocumentId(shard.index, np.arange(n)).pack()
    cluster, sizes, similarities = own.copy(), np.ones(n, np.int64), np.zeros(n, np.float32)
    cluster[rows], sizes[rows], similarities[rows] = stays, size, score
    is_kept = cluster == own
    similarities[is_kept] = 0
    columns = {
        "rule": pyarrow.array(np.where(is_kept, None, "near_duplicate"), pyarrow.string()),
        "value": similarities,
        "cluster": cluster,
        "cluster_size": sizes.astype(np.int32),
        "similarity": pyarrow.array(similarities, mask=is_kept),
    }
    write_verdict(store, shard, "near", pyarrow.table(columns), key)
