"""Removal of paragraphs that occurred before: the stage `paragraph`.

It writes a table for each shard, with a row for each document:

  verdicts/paragraph/...   rule: "paragraph_duplicates"; value: the share of its characters that are
                           removed; `starts`, `ends` (exclusive) of these paragraphs in characters;
                           an item of a numbered list goes only where all of the list does

  hashes/paragraph/...     see `hclx.corpus.dedup.remembered`

Of several equal paragraphs the first in the order of the corpus stays. The items of a numbered list
go together or not at all: without one of them the numbers of the others have a gap, as in a statute
of which a paragraph stands in another one, too.
"""

import functools
import re
from collections.abc import Iterator, Set

import numpy as np
import pyarrow

from hclx.corpus import characters
from hclx.corpus.dedup import first_of_each, remembered
from hclx.corpus.layout import DOCUMENTS, Build, DocumentId, Shard
from hclx.corpus.settings import ParagraphSettings
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
from hclx.corpus.verdicts import read_texts, removals, write_verdict
from hclx.hashing import RangeHash

VERSION = 4  # of the definition of equal paragraphs, and of which are removed: part of the key
_TEXT = (
    *(characters.HANGUL, characters.JAMO, characters.LATIN, characters.HAN, characters.KANA),
    *(characters.OTHER_LETTER, characters.DIGIT),
)
_LINE = re.compile(r"^[^\S\n]*\S", re.MULTILINE)  # the beginning of one that is not blank
# 1. 1\. (1) 1) 6의2. 가. (가) 가) ① **①** - 1. ; a year or a price is no number of an item.
_NUMBER = r"(?:[0-9]{1,3}(?:의[0-9]{1,2})?|[가나다라마바사아자차카타파하])"
_ITEM = re.compile(
    rf"[^\S\n]*(?:[-*•·] )?\*{{0,2}}(?:{_NUMBER}\\?[.)]\*{{0,2}}\s|\({_NUMBER}\)|[①-⑳㉮-㉻⑴-⒇])"
)


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
    table = remembered(shard, store, "paragraph", (min_chars,), compute)
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
    held = np.unique(rows)  # documents that hold one of them: no other text is read
    texts = dict(zip(held.tolist(), read_texts(shard, store, held), strict=True))
    n_chars = np.ones(n)
    n_chars[held] = [len(text) for text in texts.values()]
    removed_chars = np.bincount(rows, ends - starts, n)
    removed = np.flatnonzero(removed_chars > settings.max_share * n_chars)
    lines = long_paragraphs(TextBatch.of([texts[row] for row in removed]), settings.min_chars)
    n_long = np.bincount(lines["document"], lines["end"] - lines["start"], len(removed))
    removed = removed[n_long - removed_chars[removed] < settings.min_new]
    rule = np.full(n, None)
    rule[removed] = "paragraph_duplicates"
    # The white space around a line goes with it: it would indent the next one.
    begins = np.array([texts[r].rfind("\n", 0, i) + 1 for r, i in zip(rows, starts)], np.int64)
    stays = ~np.isin(rows, removed) & _breaks_list(texts, rows, begins)
    rows, begins, ends, lengths = (v[~stays] for v in (rows, begins, ends, ends - starts))
    ends = np.array([_line_end(texts[r], i) for r, i in zip(rows, ends)], np.int64)
    edges = np.searchsorted(rows, np.arange(n + 1))
    of_documents = lambda values: [values[a:b].tolist() for a, b in zip(edges[:-1], edges[1:])]
    columns = {
        "rule": pyarrow.array(rule, pyarrow.string()),
        "value": (np.bincount(rows, lengths, n) / n_chars).astype(np.float32),
        "starts": pyarrow.array(of_documents(begins), pyarrow.list_(pyarrow.int32())),
        "ends": pyarrow.array(of_documents(ends), pyarrow.list_(pyarrow.int32())),
    }
    write_verdict(store, shard, "paragraph", pyarrow.table(columns), key)


def _breaks_list(texts: dict[int, str], rows: np.ndarray, begins: np.ndarray) -> np.ndarray:
    """Returns for each line, which begins at a character of the text of a row, whether it is an
    item of a numbered list of which others stay, bool [p].
    """
    edges = np.flatnonzero(np.diff(rows, prepend=-1, append=-1)) if len(rows) else [0]
    result = np.zeros(len(rows), bool)
    for first, last in zip(edges[:-1], edges[1:]):
        own = begins[first:last].tolist()
        broken = items_of_broken_lists(texts[rows[first]], set(own))
        result[first:last] = [begin in broken for begin in own]
    return result


def items_of_broken_lists(text: str, removed: Set[int]) -> set[int]:
    """Finds items of lists of which some are to be removed and others are not.

    A list is numbered lines that follow one another, with nothing but blank lines between them.

    Args:
      text: the text.
      removed: where lines that are to be removed begin, in characters of the text.
    Returns:
      Those of `removed` that are items of such a list.
    """
    if not any(_ITEM.match(text, start) for start in removed):
        return set()
    broken, items = set(), []
    for start in [*(line.start() for line in _LINE.finditer(text)), -1]:
        if start >= 0 and _ITEM.match(text, start):
            items.append(start)
            continue
        if not removed >= set(items):
            broken.update(removed & set(items))
        items = []
    return broken
