"""Exact deduplication of documents and of paragraphs: the stages `exact` and `paragraph`.

Each of these steps of the pipeline writes its verdicts, a table for each shard with a row for each
document: `rule` (null if the stage keeps the document), `value`, and columns of its own.

  verdicts/exact/...       rule: "exact_duplicate"; value: cluster_size; and of each document's
                           cluster of equal ones: `cluster`, the packed id (`DocumentId`) of the
                           document that stays, and `cluster_size`, 1 if no other is equal
  verdicts/paragraph/...   rule: "paragraph_duplicates"; value: the share of its characters that are
                           removed; `starts`, `ends` (exclusive) of these paragraphs in characters

  hashes/STAGE/...         the hashes of the texts that reach the stage, which other files do not
                           change: they are computed once

Of several equal documents or paragraphs the first in the order of the corpus stays.
"""

import functools
import hashlib
import unicodedata
from collections.abc import Callable, Iterator

import numpy as np
import pyarrow

from hclx.corpus import characters
from hclx.corpus.layout import DOCUMENTS, HASHES, Build, DocumentId, Shard
from hclx.corpus.settings import ParagraphSettings
from hclx.corpus.shuffle import (
    NO_HASHES,
    NO_IDS,
    Blocks,
    concatenate,
    group_by_shard,
    partition_by_hash,
)
from hclx.corpus.store import Store, key_of
from hclx.corpus.text_batch import TextBatch, batches
from hclx.corpus.verdicts import input_key, read_texts, removals, write_verdict
from hclx.hashing import RangeHash

VERSION = 3  # of the definition of equal paragraphs: part of the key


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


def paragraph_settings(build: Build) -> tuple | None:
    """Collects the values that the verdicts of the stage `paragraph` depend on. If they change, the
    stage runs again.

    Returns:
      (`VERSION`, `settings.paragraph`); None if the stage is switched off.
    """
    return build.settings.paragraph and (VERSION, build.settings.paragraph)


def remove_duplicate_paragraphs(build: Build, key: str) -> None:
    """Writes the verdicts of the stage `paragraph`: paragraphs that occurred before are removed,
    and documents of which little else is left.

    Args:
      build: the inputs of the corpus; the verdicts of the stages before are already written.
      key: hash of the settings of this stage and of the key of the stage before; the verdicts hold
        it.
    Raises:
      HclxError: see `Build.shuffle`.
    """
    settings, store = build.settings.paragraph, build.store
    hashes = functools.partial(
        map_paragraphs, store=store, n=build.n_partitions, min_chars=settings.min_chars
    )
    write = functools.partial(write_paragraphs, store=store, settings=settings, key=key)
    build.shuffle([(hashes, reduce_paragraphs)], write, "paragraph")


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


def _remembered(
    shard: Shard, store: Store, stage: str, settings: tuple, compute: Callable
) -> pyarrow.Table:
    """The table of hashes of a stage, `compute(shard, store)`, which is computed once for the same
    texts: other shards, which may change, do not change it.
    """
    name = shard.file(HASHES, stage=stage)
    key = key_of(VERSION, settings, input_key(shard, store, before=stage))
    if store.is_done(name, key):
        return store.read_table(name)
    table = pyarrow.table(compute(shard, store))
    store.write_table(name, table, key)
    return table


# Documents.


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
    table = _remembered(shard, store, "exact", (), hash_documents)
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


# Paragraphs.

_TEXT = (
    *(characters.HANGUL, characters.JAMO, characters.LATIN, characters.HAN, characters.KANA),
    *(characters.OTHER_LETTER, characters.DIGIT),
)


def long_paragraphs(batch: TextBatch, min_chars: int) -> dict[str, np.ndarray]:
    """Finds the lines of at least `min_chars` characters, without white space around them, and at
    least half as many letters and digits, which the frame and the cells of a table do not have.

    Args:
      batch: d texts.
      min_chars: the least number of characters of a line without that white space.
    Returns:
      Columns of p lines: `document`, the index of its text, int64 [p]; `start` and `end`
      (exclusive), int64 [p], in characters of that text; `hash` of those characters without white
      space, uint64 [p].
    """
    lines = batch.lines
    is_text = characters.is_one_of(batch.kinds, _TEXT)
    n_text = np.concatenate([[0], np.cumsum(is_text)])
    enough = 2 * (n_text[lines.ends] - n_text[lines.starts]) >= min_chars
    long = np.flatnonzero((lines.lengths >= min_chars) & enough)
    starts, ends, document = lines.starts[long], lines.ends[long], lines.documents[long]
    begin = batch.offsets[document]
    kept = np.flatnonzero(batch.kinds != characters.SPACE)
    position = lambda place: np.searchsorted(kept, place)
    return {
        "document": document,
        "start": starts - begin,
        "end": ends - begin,
        "hash": RangeHash(batch.chars[kept]).of(position(starts), position(ends)),
    }


def map_paragraphs(
    shard: Shard, store: Store, n: int, min_chars: int
) -> Iterator[tuple[int, tuple]]:
    """Sends the long paragraphs of the documents that no earlier stage removed to their partitions.

    Args:
      shard: the documents; the verdicts of the stages before are already written.
      store: the folder of the corpus.
      n: the number of partitions.
      min_chars: shorter paragraphs are never duplicates.
    Yields:
      partition, and (hashes, ids, starts, ends) of m paragraphs: hashes, uint64 [m]; packed ids of
      their documents (`DocumentId`), int64 [m]; begin and end (exclusive) in characters of the
      document, int64 [m] each.
    Raises:
      DataError: the documents cannot be read.
    """
    compute = functools.partial(hash_paragraphs, min_chars=min_chars)
    table = _remembered(shard, store, "paragraph", (min_chars,), compute)
    lines = {column: table[column].to_numpy() for column in table.column_names}
    ids = DocumentId(shard.index, lines["row"]).pack()
    columns = (lines["hash"], ids, lines["start"].astype(np.int64), lines["end"].astype(np.int64))
    for partition, chosen in partition_by_hash(lines["hash"], n):
        yield partition, tuple(column[chosen] for column in columns)


def hash_paragraphs(shard: Shard, store: Store, min_chars: int) -> dict[str, np.ndarray]:
    """Finds the long paragraphs of the documents of a shard that no earlier stage removed.

    Returns:
      Columns of p paragraphs: `row` of the document, int64; `start` and `end`, int32, and `hash`,
      uint64, of `long_paragraphs`.
    """
    rows, done = removals(shard, store, before="paragraph").kept, 0
    columns = {"row": [NO_IDS], "start": [NO_IDS], "end": [NO_IDS], "hash": [NO_HASHES]}
    for batch in batches(read_texts(shard, store, rows)):
        lines = long_paragraphs(batch, min_chars)
        columns["row"].append(rows[done + lines.pop("document")])
        for name, values in lines.items():
            columns[name].append(values)
        done += len(batch)
    joined = {name: np.concatenate(values) for name, values in columns.items()}
    return joined | {name: joined[name].astype(np.int32) for name in ("start", "end")}


def reduce_paragraphs(blocks: Blocks) -> Iterator[tuple[int, tuple]]:
    """Finds the paragraphs that occurred before, and sends them to the shards of their documents.

    Args:
      blocks: of one partition: (hashes, ids, starts, ends) of `map_paragraphs`, from all shards.
    Yields:
      index of a shard, and (rows, starts, ends), int64 [m] each: the row of the document in the
      shard, and where a paragraph to remove begins and ends (exclusive) in it, in characters, in
      any order. The first of equal paragraphs is not among them; later ones of its document are.
    """
    hashes, ids, starts, ends = concatenate(blocks, NO_HASHES, NO_IDS, NO_IDS, NO_IDS)
    first, _ = first_of_each([hashes], ids, starts)
    repeated = first != np.arange(len(first))
    yield from group_by_shard(ids[repeated], starts[repeated], ends[repeated])


def _line_end(text: str, position: int) -> int:
    end = text.find("\n", position)
    return len(text) if end < 0 else end


def write_paragraphs(
    shard: Shard, blocks: Blocks, store: Store, settings: ParagraphSettings, key: str
) -> None:
    """Writes the verdicts on a shard, see the head of this module: the paragraphs to remove, and
    the rule `paragraph_duplicates` for documents that lose more than `max_share` of their
    characters and of which no more than a fragment is new.

    Args:
      shard: the documents.
      blocks: (rows, starts, ends) of `reduce_paragraphs` for this shard.
      store: the folder of the corpus.
      settings: say what a fragment is.
      key: hash of all that the result depends on, which the file then has.
    Raises:
      DataError: the documents cannot be read.
    """
    n = store.n_rows(shard.file(DOCUMENTS))
    rows, starts, ends = concatenate(blocks, NO_IDS, NO_IDS, NO_IDS)
    order = np.lexsort((starts, rows))
    rows, starts, ends = rows[order], starts[order], ends[order]
    edges = np.searchsorted(rows, np.arange(n + 1))
    of_documents = lambda values: [values[a:b].tolist() for a, b in zip(edges[:-1], edges[1:])]
    held = np.unique(rows)  # documents that hold one of them: no other text is read
    texts = dict(zip(held.tolist(), read_texts(shard, store, held), strict=True))
    removed_chars, share = np.zeros(n, np.int64), np.zeros(n)
    np.add.at(removed_chars, rows, ends - starts)
    share[held] = removed_chars[held] / np.array([len(text) for text in texts.values()])
    removed = np.flatnonzero(share > settings.max_share)
    lines = long_paragraphs(TextBatch.of([texts[row] for row in removed]), settings.min_chars)
    n_long = np.bincount(lines["document"], lines["end"] - lines["start"], len(removed))
    removed = removed[n_long - removed_chars[removed] < settings.min_new]
    rule = np.full(n, None)
    rule[removed] = "paragraph_duplicates"
    # The white space around a line goes with it: it would indent the next one.
    starts = np.array([texts[r].rfind("\n", 0, i) + 1 for r, i in zip(rows, starts)], np.int64)
    ends = np.array([_line_end(texts[r], i) for r, i in zip(rows, ends)], np.int64)
    columns = {
        "rule": pyarrow.array(rule, pyarrow.string()),
        "value": share.astype(np.float32),
        "starts": pyarrow.array(of_documents(starts), pyarrow.list_(pyarrow.int32())),
        "ends": pyarrow.array(of_documents(ends), pyarrow.list_(pyarrow.int32())),
    }
    write_verdict(store, shard, "paragraph", pyarrow.table(columns), key)
