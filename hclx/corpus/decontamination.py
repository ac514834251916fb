"""Removes evaluation items from documents: the stage `contamination`.

What is a copy of an item says `hclx.corpus.contamination_index`. A copy costs a document a window
of text around it, and not the document, see `hclx.corpus.removal_windows`. An item that could be a
stock phrase removes nothing and is told: one of fewer letters than an n-gram, or of fewer than two
n-grams that is found in more than 5 documents (Brown et al. 2020, appendix C, take 10, of English
n-grams of 13 words; items of this length that 6 to 10 Korean documents held were quotations). But
where items, however short each, are most of a document and as long as two n-grams, the document is
removed: a comment that is one short phrase is anybody's, and a list of them is a copy of the set.

  contamination/hits/...        a row for each item that a document of a shard holds: `row`, int64;
                                `item`, the index in items.json, int32; `coverage`, float32;
                                `letters` of the document, int64; and its places: `starts`, `ends`
                                in these letters, `copies`, see `Place`
  contamination/found.json      name -> texts, or their beginnings, of each item that was found
  contamination/report.json     what was found of each evaluation set, and the stock phrases;
                                written last
  verdicts/contamination/...    `rule`, "contaminated" or null; `value`, the largest coverage
                                of the items, float32, 0 without one; `items`, the names of those
                                that a document holds; `starts`, `ends` (exclusive) of what is
                                removed, in characters of the text as it reached this stage;
                                `causes`, the items that are removed with each
"""

import functools
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence

import numpy as np
import pyarrow

from hclx.corpus.contamination_index import Index, Place, item_of, read_items, write_index
from hclx.corpus.layout import (
    CONTAMINATION_FOUND,
    CONTAMINATION_HITS,
    CONTAMINATION_REPORT,
    DOCUMENTS,
    Build,
    DocumentId,
    Evaluation,
    Shard,
)
from hclx.corpus.removal_windows import judge
from hclx.corpus.settings import ContaminationSettings
from hclx.corpus.shuffle import NO_IDS, Blocks, concatenate, group_by_shard, partition_by_hash
from hclx.corpus.store import Store, key_of
from hclx.corpus.text_batch import batches
from hclx.corpus.verdicts import (
    input_key,
    read_remaining_texts,
    read_verdict,
    removals,
    write_verdict,
)
from hclx.hashing import splitmix64

VERSION = 5  # of the definition of a copy, and of what it removes: part of the key
_FREQUENT = 5  # documents; a short item that more of them hold is a stock phrase
_SHOWN = 300  # characters of a text of an item that was found
_LISTED = 100  # stock phrases that the report lists
_HIT = pyarrow.schema(
    {
        "row": pyarrow.int64(),
        "item": pyarrow.int32(),
        "coverage": pyarrow.float32(),
        "letters": pyarrow.int64(),
        "starts": pyarrow.list_(pyarrow.int64()),
        "ends": pyarrow.list_(pyarrow.int64()),
        "copies": pyarrow.list_(pyarrow.bool_()),
    }
)
_STRINGS = pyarrow.list_(pyarrow.string())
_VERDICT = pyarrow.schema(
    {
        "rule": pyarrow.string(),
        "value": pyarrow.float32(),
        "items": _STRINGS,
        "starts": pyarrow.list_(pyarrow.int64()),
        "ends": pyarrow.list_(pyarrow.int64()),
        "causes": pyarrow.list_(_STRINGS),
    }
)


def decontamination_settings(build: Build) -> tuple | None:
    """Collects the values that the verdicts of this stage depend on. If they change, the stage runs
    again.

    Returns:
      (`VERSION`, `settings.contamination`, `Build.evaluation`); None if the stage is switched off.
    """
    settings = build.settings.contamination
    return settings and (VERSION, settings, build.evaluation)


def remove_contaminated(build: Build, key: str) -> None:
    """Writes the verdicts of the stage `contamination`, and the other files that the head of this
    module lists: copies of evaluation items are removed with the text around them, and documents of
    which too little would be left.

    Args:
      build: the inputs of the corpus; the verdicts of the stages before are already written.
      key: hash of the settings of this stage and of the key of the stage before; the verdicts and
        the report hold it.
    Raises:
      HclxError: see `Build.map_shards`.
    """
    settings, store, n = build.settings.contamination, build.store, build.n_partitions
    base = key_of(decontamination_settings(build))
    write_index(build.evaluation, settings, store, base)
    find = functools.partial(find_items, store=store, settings=settings, key=base)
    build.map_shards(find, "contamination: search")
    count = functools.partial(map_items, store=store, settings=settings, n=n)
    write = functools.partial(write_verdicts, store=store, settings=settings, key=key)
    build.shuffle([(count, reduce_items)], write, "contamination")
    write_report(build.shards, build.evaluation, store, key)


def find_items(shard: Shard, store: Store, settings: ContaminationSettings, key: str) -> None:
    """Writes which items the documents of a shard hold, and where: the table of
    contamination/hits/ that the head of this module describes.

    Args:
      shard: the documents; the verdicts of the stages before are already written, and documents
        that one of them removed are not searched.
      store: the folder of the corpus; holds the index.
      settings: the same that the index was written with.
      key: hash of the settings and of the index. A file that was made with it, of the same
        documents and verdicts of the stages before, is not written again.
    Raises:
      DataError: the documents or the index cannot be read.
    """
    key = key_of(key, input_key(shard, store, before="contamination"))
    if store.is_done(shard.file(CONTAMINATION_HITS), key):
        return
    index, rows, done = Index.read(store), removals(shard, store, before="contamination").kept, 0
    hits = []
    for batch in batches(read_remaining_texts(shard, store, rows, before="contamination")):
        text, item, coverage = index.search(list(batch.texts), settings)
        numbers, text = np.unique(text, return_inverse=True)
        held = [batch.texts[number] for number in numbers]
        places, n_letters = index.locate(held, text, item, settings)
        where = zip(rows[done + numbers][text].tolist(), item.tolist(), coverage.tolist())
        for hit, size, own in zip(where, n_letters[text].tolist(), places, strict=True):
            hits.append((*hit, size, *(zip(*own) if own else ((), (), ()))))
        done += len(batch)
    columns = list(zip(*hits)) or [()] * len(_HIT)
    arrays = [pyarrow.array(values, kind) for values, kind in zip(columns, _HIT.types)]
    table = pyarrow.Table.from_arrays(arrays, schema=_HIT)
    store.write_table(shard.file(CONTAMINATION_HITS), table, key)


# Items that many documents hold.


def map_items(
    shard: Shard, store: Store, settings: ContaminationSettings, n: int
) -> Iterator[tuple[int, tuple]]:
    """Sends the items that could be stock phrases, and are in documents of a shard, to their
    partitions.

    Args:
      shard: its hits are already written.
      store: the folder of the corpus.
      settings: `ngram` says which items are short enough.
      n: the number of partitions.
    Yields:
      partition, and (items, ids): indices of items, int64 [m], and the packed ids (`DocumentId`) of
      documents that hold them, int64 [m].
    Raises:
      DataError: the hits or the index cannot be read.
    """
    table = store.read_table(shard.file(CONTAMINATION_HITS), ["row", "item"])
    items, rows = table["item"].to_numpy().astype(np.int64), table["row"].to_numpy()
    is_short = np.array(read_items(store)["sizes"], np.int64)[items] <= settings.ngram
    items, ids = items[is_short], DocumentId(shard.index, rows[is_short]).pack()
    for partition, chosen in partition_by_hash(splitmix64(items.astype(np.uint64)), n):
        yield partition, (items[chosen], ids[chosen])


def reduce_items(blocks: Blocks) -> Iterator[tuple[int, tuple]]:
    """Finds the items that many documents hold, and sends them to the shards of these documents.

    Args:
      blocks: of one partition: (items, ids) of `map_items`, from all shards.
    Yields:
      index of a shard, and (rows, items): rows of documents in it, and items that each of them and
      more than 5 documents in all hold, int64 [m] each.
    """
    items, ids = concatenate(blocks, NO_IDS, NO_IDS)
    _, index, counts = np.unique(items, return_inverse=True, return_counts=True)
    is_frequent = counts[index] > _FREQUENT
    yield from group_by_shard(ids[is_frequent], items[is_frequent])


# Verdicts.


def write_verdicts(
    shard: Shard, blocks: Blocks, store: Store, settings: ContaminationSettings, key: str
) -> None:
    """Writes the verdicts on a shard, a row for each document, see the head of this module.

    Args:
      shard: its hits are already written.
      blocks: (rows, items) of `reduce_items` for this shard.
      store: the folder of the corpus.
      settings: what a copy removes.
      key: hash of all that the result depends on, which the file then has.
    Raises:
      DataError: the hits or the documents cannot be read.
    """
    n, names = store.n_rows(shard.file(DOCUMENTS)), read_items(store)["names"]
    frequent = {names[item] for item in concatenate(blocks, NO_IDS, NO_IDS)[1].tolist()}
    hits: dict[int, list[dict]] = {}
    for hit in store.read_table(shard.file(CONTAMINATION_HITS)).to_pylist():
        hits.setdefault(hit["row"], []).append(hit)
    rows = np.array(sorted(hits), np.int64)
    texts = read_remaining_texts(shard, store, rows, before="contamination")
    columns = {"rule": [None] * n, "value": [0.0] * n}
    columns |= {name: [[]] * n for name in ("items", "starts", "ends", "causes")}
    for row, text in zip(rows.tolist(), texts, strict=True):
        for name, value in _judge(text, hits[row], names, frequent, settings).items():
            columns[name][row] = value
    table = pyarrow.table(columns, _VERDICT)
    write_verdict(store, shard, "contamination", table, key)


def _judge(
    text: str,
    hits: Sequence[Mapping],
    names: Sequence[str],
    frequent: set[str],
    settings: ContaminationSettings,
) -> dict:
    """The verdict on a document that holds items: a row of the table."""
    places = {
        names[hit["item"]]: [*map(Place, hit["starts"], hit["ends"], hit["copies"])] for hit in hits
    }
    windows, removed = judge(text, places, hits[0]["letters"], frequent, settings)
    starts, ends, causes = map(list, zip(*windows)) if windows else ([], [], [])
    return {
        "rule": "contaminated" if removed else None,
        "value": max(hit["coverage"] for hit in hits),
        "items": _told(places),
        "starts": starts,
        "ends": ends,
        "causes": [_told(names) for names in causes],
    }


def _told(names: Collection[str]) -> list[str]:
    """Names without those of single texts whose item is among them as a whole."""
    return [name for name in names if item_of(name) == name or item_of(name) not in names]


def write_report(shards: Sequence[Shard], evaluation: Evaluation, store: Store, key: str) -> dict:
    """Writes the report of the evaluation items that were found, last of the stage.

    Args:
      shards: all shards of the corpus, with their verdicts of this stage.
      evaluation: evaluation set -> texts of each example.
      store: the folder of the corpus.
      key: hash of all that the result depends on, which the file then has.
    Returns:
      sets: set -> the number of its `items`, those `too_short` to be searched for within a
        document, those `found` in a document, the `documents` that hold one, those of them that
        were `removed`, and those that were `shortened`; and `stock`, the number of items that
        some document holds as a stock phrase, which removed nothing from it.
      stock_phrases: those of them that most documents hold so: `item`, its `texts`, `documents`.
    Raises:
      DataError: the index or a verdict cannot be read.
    """
    sets = read_items(store)["sets"]
    columns = ("documents", "removed", "shortened")
    report = {name: {**counts, "found": 0, "stock": 0} for name, counts in sets.items()}
    report = {name: {**counts, **dict.fromkeys(columns, 0)} for name, counts in report.items()}
    found_items, told = set(), Counter()
    for shard in shards:
        table = read_verdict(store, shard, "contamination")
        rows = np.flatnonzero(table["value"].to_numpy() > 0)
        for verdict in table.take(pyarrow.array(rows)).to_pylist():
            found_items.update(verdict["items"])
            gone = verdict["rule"] is not None
            causes = {name for names in verdict["causes"] for name in names}
            told.update([] if gone else set(verdict["items"]) - causes)
            for name in {name.split("/")[0] for name in verdict["items"]}:
                report[name]["documents"] += 1
                report[name]["removed"] += gone
                report[name]["shortened"] += bool(verdict["starts"]) and not gone
    for column, names in (("found", found_items), ("stock", told)):
        for name in set(map(item_of, names)):
            report[name.split("/")[0]][column] += 1
    stock = sorted((-n, name) for name, n in told.items())[:_LISTED]
    phrases = [
        {"item": name, "texts": list(_item(evaluation, name)), "documents": -n} for n, name in stock
    ]
    shown = {name: [text[:_SHOWN] for text in _item(evaluation, name)] for name in found_items}
    store.write_json(CONTAMINATION_FOUND, shown)
    result = {"sets": report, "stock_phrases": phrases}
    store.write_json(CONTAMINATION_REPORT, result, key)
    return result


def _item(evaluation: Evaluation, name: str) -> tuple[str, ...]:
    """The texts of an item by its name, SET/NUMBER, or one of them by SET/NUMBER#PLACE."""
    own, number = item_of(name).rsplit("/", 1)
    texts = evaluation[own][int(number)]
    return (texts[int(name.split("#")[1]) - 1],) if "#" in name else texts
