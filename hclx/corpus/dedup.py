"""The stages in which documents meet: exact duplicates, paragraphs, near-duplicates; each ends in a
verdict a part.

A stage has rounds. In a round every part gives blocks of arrays under keys, the blocks of a key
meet in one place, and what they find goes back to parts or to the next round. Blocks, not
documents, travel: a shuffle of arrays costs next to nothing beside one of records. The functions
here know nothing of the machinery.

  verdicts/exact/SOURCE/FILE-PART.parquet      rule, the number of the one that stays, how many are
  equal verdicts/paragraph/...                       rule, characters [start, end) to cut out of
  each document verdicts/near/...                            rule, the number of the one that stays,
  size of the cluster signatures/...                               a document's MinHash, for the
  documents that are left
"""

from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow
import pyarrow.compute

from hclx.corpus import dedup_kernels, minhash
from hclx.corpus.settings import CorpusSettings, NearSettings
from hclx.corpus.stages import Part, batches
from hclx.corpus.store import Store
from hclx.corpus.text_batch import replaced

Blocks = Iterable[tuple]  # of arrays

# in order; the first that gives a rule removes
STAGES = ("filter", "exact", "paragraph", "near", "contamination")


def left(part: Part, store: Store, before: str) -> np.ndarray:
    """int64: rows of the documents that no stage before `before` removed."""
    verdicts = [
        store.read_verdict(stage, part.name, ["rule"]) for stage in STAGES[: STAGES.index(before)]
    ]
    return np.flatnonzero(
        np.logical_and.reduce([v["rule"].is_null().to_numpy() for v in verdicts if v is not None])
    )


def whole_texts(part: Part, store: Store, rows: np.ndarray) -> list[str]:
    """The texts of some rows as they were found."""
    return (
        store.read_table(f"documents/{part.name}.parquet", ["text"])["text"]
        .take(pyarrow.array(rows))
        .to_pylist()
    )


def remaining_texts(part: Part, store: Store, rows: np.ndarray) -> list[str]:
    """The texts of some rows, without the paragraphs that were cut: for stages after that one,
    which finds older cuts.
    """
    texts = whole_texts(part, store, rows)
    cuts = store.read_verdict("paragraph", part.name, ["starts", "ends"])
    if cuts is None:
        return texts
    cuts = cuts.take(pyarrow.array(rows))
    for i in np.flatnonzero(pyarrow.compute.list_value_length(cuts["starts"]).to_numpy()):
        texts[i] = without(texts[i], cuts["starts"][i].as_py(), cuts["ends"][i].as_py())
    return texts


def without(text: str, starts: list[int], ends: list[int]) -> str:
    """A text without some of its lines, and without the line end of each."""
    return replaced(
        text, [(start, end + (text[end : end + 1] == "\n"), "") for start, end in zip(starts, ends)]
    ).strip("\n")


def partition(hashes: np.ndarray, n: int) -> Iterator[tuple[int, np.ndarray]]:
    """(partition, indices) of hashes, uint64 [m], by their uppermost bits."""
    place = ((hashes >> np.uint64(32)) * np.uint64(n)) >> np.uint64(32)
    order = np.argsort(place, kind="stable")
    edges = np.searchsorted(place[order], np.arange(n + 1))
    for i in range(n):
        if edges[i] < edges[i + 1]:
            yield i, order[edges[i] : edges[i + 1]]


def by_part(numbers: np.ndarray, *columns: np.ndarray) -> Iterator[tuple[int, tuple]]:
    """(part, (rows, columns)) of documents by their numbers."""
    part = numbers >> 32
    order = np.argsort(part, kind="stable")
    edges = (
        np.append(np.flatnonzero(np.append(True, np.diff(part[order]) != 0)), len(order))
        if len(order)
        else [0]
    )
    for start, end in zip(edges[:-1], edges[1:]):
        chosen = order[start:end]
        yield (
            int(part[chosen[0]]),
            (numbers[chosen] & 0xFFFFFFFF, *(column[chosen] for column in columns)),
        )


def joined(blocks: Blocks, *empty: np.ndarray) -> list[np.ndarray]:
    """The blocks' columns, each one after the other; `empty` gives their types and shapes where
    there is no block.
    """
    return [np.concatenate(column) for column in zip(empty, *blocks)]


_HASH, _NUMBER = np.zeros(0, np.uint64), np.zeros(0, np.int64)


# Exact duplicates.


def give_exact(part: Part, store: Store, n: int) -> Iterator[tuple[int, tuple]]:
    """(partition, (hashes [m, 2], numbers [m])) of the documents that are left."""
    rows = left(part, store, "exact")
    hashes = dedup_kernels.exact_hashes(whole_texts(part, store, rows))
    for place, chosen in partition(hashes[:, 0], n):
        yield place, (hashes[chosen], dedup_kernels.number(part.index, rows[chosen]))


def meet_exact(blocks: Blocks) -> Iterator[tuple[int, tuple]]:
    """(part, (rows, first, size)) of the documents of which there are several."""
    hashes, numbers = joined(blocks, np.zeros((0, 2), np.uint64), _NUMBER)
    first, size = dedup_kernels.first_of_each([hashes[:, 1], hashes[:, 0]], numbers)
    several = size > 1
    yield from by_part(numbers[several], numbers[first[several]], size[several])


def write_clusters(part: Part, blocks: Blocks, store: Store, stage: str, key: str) -> None:
    """The verdict of `exact` and `near`: all but the first of each cluster are removed."""
    n = store.read_table(f"documents/{part.name}.parquet", ["doc_id"]).num_rows
    rows, first, size = joined(blocks, _NUMBER, _NUMBER, _NUMBER)
    own = dedup_kernels.number(part.index, np.arange(n))
    cluster, sizes = own.copy(), np.ones(n, np.int64)
    cluster[rows], sizes[rows] = first, size
    rule = pyarrow.array(np.where(cluster != own, f"{stage}_duplicate", None), pyarrow.string())
    table = pyarrow.table(
        {
            "rule": rule,
            "value": sizes.astype(np.float32),
            "cluster": cluster,
            "cluster_size": sizes.astype(np.int32),
        }
    )
    store.write_verdict(stage, part.name, table, key)


# Paragraphs.


def give_paragraphs(
    part: Part, store: Store, n: int, min_chars: int
) -> Iterator[tuple[int, tuple]]:
    """(partition, (hash, number, start, end)) of every long paragraph of the documents that are
    left.
    """
    rows = left(part, store, "paragraph")
    texts, done = whole_texts(part, store, rows), 0
    for batch in batches(texts, [""] * len(texts)):
        found = dedup_kernels.paragraphs(batch, min_chars)
        numbers = dedup_kernels.number(part.index, rows[done + found["document"]])
        for place, chosen in partition(found["hash"], n):
            yield (
                place,
                (
                    found["hash"][chosen],
                    numbers[chosen],
                    found["start"][chosen],
                    found["end"][chosen],
                ),
            )
        done += len(batch)


def meet_paragraphs(blocks: Blocks) -> Iterator[tuple[int, tuple]]:
    """(part, (rows, start, end)) of paragraphs that stood before."""
    hashes, numbers, starts, ends = joined(blocks, _HASH, _NUMBER, _NUMBER, _NUMBER)
    first, _ = dedup_kernels.first_of_each([hashes], numbers, starts)
    again = first != np.arange(len(first))
    yield from by_part(numbers[again], starts[again], ends[again])


def write_paragraphs(part: Part, blocks: Blocks, store: Store, max_share: float, key: str) -> None:
    """The verdict: what to cut, and `paragraph_duplicates` for documents that lose more than
    `max_share` of their characters.
    """
    texts = store.read_table(f"documents/{part.name}.parquet", ["text"])["text"].to_pylist()
    rows, starts, ends = joined(blocks, _NUMBER, _NUMBER, _NUMBER)
    order = np.lexsort((starts, rows))
    rows, starts, ends = rows[order], starts[order], ends[order]
    edges = np.searchsorted(rows, np.arange(len(texts) + 1))
    spans = lambda values: [values[a:b].tolist() for a, b in zip(edges[:-1], edges[1:])]
    cut = np.zeros(len(texts), np.int64)
    np.add.at(cut, rows, ends - starts)
    share = cut / np.array([len(text) for text in texts])
    columns = {
        "rule": pyarrow.array(
            np.where(share > max_share, "paragraph_duplicates", None), pyarrow.string()
        ),
        "value": share.astype(np.float32),
        "starts": pyarrow.array(spans(starts), pyarrow.list_(pyarrow.int32())),
        "ends": pyarrow.array(spans(ends), pyarrow.list_(pyarrow.int32())),
    }
    store.write_verdict("paragraph", part.name, pyarrow.table(columns), key)


# Near-duplicates: who shares a bucket with anybody, then whose signatures agree, then what hangs
# together.


def sign(part: Part, store: Store, settings: CorpusSettings, key: str) -> None:
    """Writes the signatures of the documents that are left."""
    near, target = settings.near, f"signatures/{part.name}.parquet"
    if store.is_done(target, key):
        return
    rows = left(part, store, "near")
    texts = remaining_texts(part, store, rows)
    one = lambda batch: minhash.signatures(
        batch, near.shingle, near.bands * near.rows, settings.seed
    )
    found = np.concatenate(
        [
            np.zeros((0, near.bands * near.rows), np.uint32),
            *map(one, batches(texts, [""] * len(texts))),
        ]
    )
    columns = {
        "row": rows,
        "bands": pyarrow.FixedSizeListArray.from_arrays(
            minhash.band_hashes(found, near.bands, near.rows).reshape(-1), near.bands
        ),
        "signature": pyarrow.FixedSizeListArray.from_arrays(
            minhash.compact(found).reshape(-1), near.bands * near.rows
        ),
    }
    store.write_table(target, pyarrow.table(columns), key)


def _read_lists(table: pyarrow.Table, column: str, width: int) -> np.ndarray:
    return table[column].combine_chunks().flatten().to_numpy().reshape(-1, width)


def give_bands(part: Part, store: Store, n: int, near: NearSettings) -> Iterator[tuple[int, tuple]]:
    """(partition, (hash, number)) of every band of every signature."""
    table = store.read_table(f"signatures/{part.name}.parquet", ["row", "bands"])
    hashes = _read_lists(table, "bands", near.bands).reshape(-1)
    numbers = np.repeat(dedup_kernels.number(part.index, table["row"].to_numpy()), near.bands)
    for place, chosen in partition(hashes, n):
        yield place, (hashes[chosen], numbers[chosen])


def meet_bands(blocks: Blocks) -> Iterator[tuple[int, tuple]]:
    """(part, (rows, hash)) of bands that several documents have."""
    hashes, numbers = joined(blocks, _HASH, _NUMBER)
    _, size = dedup_kernels.first_of_each([hashes], numbers)
    yield from by_part(numbers[size > 1], hashes[size > 1])


def give_signatures(
    part: Part, blocks: Blocks, store: Store, n: int, near: NearSettings
) -> Iterator[tuple[int, tuple]]:
    """(partition, (hash, number, signature)) of the documents that share a bucket."""
    rows, hashes = joined(blocks, _NUMBER, _HASH)
    table = store.read_table(f"signatures/{part.name}.parquet", ["row", "signature"])
    signatures = _read_lists(table, "signature", near.bands * near.rows)
    signatures = signatures[np.searchsorted(table["row"].to_numpy(), rows)]
    for place, chosen in partition(hashes, n):
        yield (
            place,
            (hashes[chosen], dedup_kernels.number(part.index, rows[chosen]), signatures[chosen]),
        )


def meet_signatures(blocks: Blocks, near: NearSettings) -> Iterator[tuple[int, np.ndarray]]:
    """(0, pairs): similar documents, int64 [p, 2]. All pairs go to one place, the first part."""
    hashes, numbers, signatures = joined(
        blocks, _HASH, _NUMBER, np.zeros((0, near.bands * near.rows), np.uint8)
    )
    yield (
        0,
        np.unique(dedup_kernels.similar_pairs(hashes, numbers, signatures, near.threshold), axis=0),
    )


def give_pairs(part: Part, blocks: Iterable[np.ndarray]) -> Iterator[tuple[int, np.ndarray]]:
    """(0, pairs) as they came: clusters are found in one place, with 16 bytes for each pair."""
    return ((0, pairs) for pairs in blocks)


def meet_pairs(pairs: Iterable[np.ndarray]) -> Iterator[tuple[int, tuple]]:
    """(part, (rows, first, size)) of the documents of all clusters."""
    numbers, least, size = dedup_kernels.clusters(
        np.concatenate([np.zeros((0, 2), np.int64), *pairs])
    )
    yield from by_part(numbers, least, size)
