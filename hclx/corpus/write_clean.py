"""The last stage of the pipeline, `finish`: the texts that stay, masked, and the
figures of what became of every document.

  corpus/SOURCE/FILE-SHARD.parquet   the columns of documents/, see `hclx.corpus.readers`, with the
                                     clean `text`
  figures/SOURCE/FILE-SHARD.json     documents, bytes, kept, removed, masked, histograms, clusters
                                     cut_paragraphs and cut_windows, see `hclx.corpus.stats`; and
                                     `samples`, rule -> some documents that it removed
"""

import dataclasses
import functools
import hashlib
from collections import Counter
from collections.abc import Collection

import numpy as np
import pyarrow
import pyarrow.compute

from hclx.corpus.filters import VERSION, Rules, rules_of
from hclx.corpus.layout import (
    ATTRIBUTES,
    CLEAN,
    CONTENT,
    DOCUMENTS,
    FIGURES,
    FORMAT,
    SCHEMA,
    Build,
    Shard,
)
from hclx.corpus.store import Store, key_of, table_digest
from hclx.corpus.verdicts import (
    STAGES,
    Removals,
    input_key,
    read_remaining_texts,
    read_verdict,
    removals,
)
from hclx.text.pii import find_pii, mask_pii, masked

SAMPLES = 20  # removals that are shown for each reason
_EXCERPT = 300  # characters of a sample
# The histograms of the card: attribute, lower edges of the bars; the last bar is open. The last two
# attributes are of models.
HISTOGRAMS = {
    "length.chars": (0, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000),
    "length.mean_word": (0, 1, 2, 2.5, 3, 3.5, 4, 4.5, 5, 6, 8, 10),
    "script.hangul": tuple(i / 10 for i in range(10)),
    "repetition.dup_5": tuple(i / 20 for i in range(10)),
    "spam.profane_words": (0, 0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2),
    "quality.score": tuple(i / 10 for i in range(10)),
    "perplexity.bits": (0, 0.5, 1, 1.25, 1.5, 1.75, 2, 2.25, 2.5, 3, 4, 6),
}


def write_clean(build: Build, key: str) -> None:
    """Writes corpus/ and figures/: the clean corpus and the figures of every shard.

    Args:
      build: the inputs of the corpus; the verdicts of all stages are already written.
      key: not used; the files of a shard have a key of their own, a hash of its documents, of the
        content of its verdicts, and of the rules of its source.
    Raises:
      HclxError: see `Build.map_shards`.
    """
    write = functools.partial(
        clean_shard,
        store=build.store,
        rules=rules_of(build.settings),
        taggers=tuple(build.taggers),
        seed=build.settings.seed,
        key=key_of(FORMAT, VERSION, "finish", build.settings.seed, build.models),
    )
    build.map_shards(write, "finish")


def clean_shard(
    shard: Shard,
    store: Store,
    rules: dict[str, Rules],
    taggers: Collection[str],
    seed: int,
    key: str,
) -> None:
    """Writes the files of a shard in corpus/ and figures/: the documents that remain, masked, and
    the figures.

    Args:
      shard: its attributes and verdicts are already written.
      store: the folder of the corpus.
      rules: source -> its rules, for the bounds that the samples show.
      taggers: the taggers whose attributes exist.
      seed: of the sample of removals.
      key: hash of all that the result depends on beside documents, verdicts and rules; files that
        were made with all of these are not written again.
    Raises:
      DataError: documents, attributes or verdicts cannot be read.
    """
    key = key_of(key, list(rules[shard.source].items()), input_key(shard, store))
    if store.is_done(shard.file(FIGURES), key) and store.is_done(shard.file(CLEAN), key):
        return
    table = store.read_table(shard.file(DOCUMENTS))
    removed = removals(shard, store)
    texts, n_masked = _clean_texts(shard, store, removed.kept)
    kept = table.take(pyarrow.array(removed.kept)).set_column(
        SCHEMA.get_field_index("text"), SCHEMA.field("text"), pyarrow.array(texts, pyarrow.string())
    )
    store.write_table(shard.file(CLEAN), kept, key, {CONTENT: table_digest(kept)})
    n_bytes = text_bytes(table)
    figures = {
        "documents": table.num_rows,
        "bytes": int(n_bytes.sum()),
        "kept": {"documents": len(texts), "bytes": int(text_bytes(kept).sum())},
        "removed": _removed(removed, n_bytes),
        "samples": _samples(table, removed, rules[shard.source], seed),
        "masked": dict(sorted(n_masked.items())),
        "histograms": {
            name: _histogram(shard, store, name, removed.kept)
            for name in HISTOGRAMS
            if name.split(".")[0] in taggers
        },
        "clusters": {stage: _cluster_sizes(shard, store, stage) for stage in ("exact", "near")},
        "cut_paragraphs": _removed_paragraphs(shard, store),
        "cut_windows": _removed_windows(shard, store),
    }
    store.write_json(shard.file(FIGURES), figures, key)


def _clean_texts(shard: Shard, store: Store, rows: np.ndarray) -> tuple[list[str], Counter]:
    """The texts of some rows as the corpus keeps them, and the number of masks of each kind.

    Most texts stay as they are: the attributes tell which do not. Duplicate paragraphs that were
    removed do not change that, as no rule for personal data looks across the end of a line.
    """
    texts, n_masked = read_remaining_texts(shard, store, rows), Counter()
    items = store.read_table(shard.file(ATTRIBUTES, tagger="pii"), ["items"])["items"].to_numpy()
    for i in np.flatnonzero(items[rows]):
        spans = find_pii(texts[i])
        n_masked.update(span.kind for span in spans)
        texts[i] = mask_pii(texts[i], spans)
    return texts, n_masked


def text_bytes(table: pyarrow.Table) -> np.ndarray:
    """Counts the bytes of the texts of d documents in UTF-8.

    Args:
      table: documents, with the column `text`.
    Returns:
      int64 [d].
    """
    return pyarrow.compute.binary_length(table["text"]).to_numpy().astype(np.int64)


def _removed(removed: Removals, n_bytes: np.ndarray) -> dict:
    """Stage -> rule -> documents and bytes."""
    result: dict[str, dict[str, dict[str, int]]] = {}
    for row in removed.removed:
        stage = result.setdefault(STAGES[removed.stage[row]], {})
        entry = stage.setdefault(removed.rule[row], {"documents": 0, "bytes": 0})
        entry["documents"] += 1
        entry["bytes"] += int(n_bytes[row])
    return result


def sample_order(doc_id: str, seed: int) -> str:
    """Computes the place of a document in samples: a hash of its id.

    A sample is the documents with the smallest hashes, so that it does not depend on the shards.

    Args:
      doc_id: the id.
      seed: of the sample.
    Returns:
      16 hexadecimal digits.
    """
    return hashlib.sha256(f"{seed} {doc_id}".encode()).hexdigest()[:16]


def _samples(
    table: pyarrow.Table, removed: Removals, rules: Rules, seed: int
) -> dict[str, list[dict]]:
    """Rule -> removed documents with the value that the rule saw and its bounds."""
    by_rule: dict[str, list[tuple[str, int]]] = {}
    ids = table["doc_id"].to_pylist()
    for row in removed.removed.tolist():
        order = sample_order(ids[row], seed)
        by_rule.setdefault(removed.rule[row], []).append((order, row))
    result = {}
    for name, documents in sorted(by_rule.items()):
        rule = rules.get(name)
        bounds = dataclasses.asdict(rule) if rule else {}
        result[name] = [
            {
                "order": order,
                "doc_id": ids[row],
                "value": float(removed.value[row]),
                "text": masked(table["text"][row].as_py())[:_EXCERPT],
                **bounds,
            }
            for order, row in sorted(documents)[:SAMPLES]
        ]
    return result


def _histogram(shard: Shard, store: Store, attribute: str, kept: np.ndarray) -> dict[str, list]:
    tagger, column = attribute.split(".")
    values = store.read_table(shard.file(ATTRIBUTES, tagger=tagger), [column])[column].to_numpy()
    edges = HISTOGRAMS[attribute]
    count = lambda some: np.bincount(
        np.searchsorted(edges, some, "right") - 1, minlength=len(edges)
    ).tolist()
    return {"all": count(values), "kept": count(values[kept])}


def _cluster_sizes(shard: Shard, store: Store, stage: str) -> dict[str, int]:
    """Size -> number of clusters whose first document is in this shard."""
    table = read_verdict(store, shard, stage, ["rule", "cluster_size"])
    if table is None:
        return {}
    sizes = table["cluster_size"].to_numpy()[table["rule"].is_null().to_numpy()]
    return {str(size): int(n) for size, n in zip(*np.unique(sizes[sizes > 1], return_counts=True))}


def _removed_paragraphs(shard: Shard, store: Store) -> dict[str, int]:
    table = read_verdict(store, shard, "paragraph", ["starts", "ends"])
    if table is None:
        return {}
    starts, ends = (
        table[name].combine_chunks().flatten().to_numpy() for name in ("starts", "ends")
    )
    return {"paragraphs": len(starts), "chars": int((ends - starts).sum())}


def _removed_windows(shard: Shard, store: Store) -> dict[str, int]:
    """Counts of what was removed around evaluation items from documents that are kept."""
    table = read_verdict(store, shard, "contamination", ["rule", "starts", "ends"])
    if table is None:
        return {}
    table = table.filter(table["rule"].is_null())
    starts, ends = (
        table[name].combine_chunks().flatten().to_numpy() for name in ("starts", "ends")
    )
    n = pyarrow.compute.list_value_length(table["starts"]).to_numpy()
    return {
        "documents": int((n > 0).sum()),
        "windows": len(starts),
        "chars": int((ends - starts).sum()),
    }
