"""The last stage of each part: the texts that stay, mended and masked, and the figures of what
became of every document.

  corpus/SOURCE/FILE-PART.parquet     what was kept
  figures/SOURCE/FILE-PART.json       what the corpus card adds up
"""

import dataclasses
import hashlib
import unicodedata
from collections import Counter
from collections.abc import Collection

import numpy as np
import pyarrow
import pyarrow.compute

from hclx.corpus import dedup
from hclx.corpus.dedup import STAGES
from hclx.corpus.pii import find_pii, mask_pii, masked
from hclx.corpus.settings import Rule
from hclx.corpus.stages import SCHEMA, Part
from hclx.corpus.store import Store

SAMPLES = 20  # removals that are shown for each reason
_EXCERPT = 300  # characters of one
# Of what the card draws: attribute, edges of the bars; the last bar has all that is above. The last
# two are of models.
HISTOGRAMS = {
    "length.chars": (0, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000),
    "length.mean_word": (0, 1, 2, 2.5, 3, 3.5, 4, 4.5, 5, 6, 8, 10),
    "script.hangul": tuple(i / 10 for i in range(10)),
    "repetition.dup_5": tuple(i / 20 for i in range(10)),
    "spam.profane_words": (0, 0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2),
    "quality.score": tuple(i / 10 for i in range(10)),
    "perplexity.bits": (0, 0.5, 1, 1.25, 1.5, 1.75, 2, 2.25, 2.5, 3, 4, 6),
}


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What removed a document: the stage, its rule and the value that it saw; no rule where the
    document was kept.
    """

    stage: str = ""
    rule: str | None = None
    value: float = 0.0


def verdicts(part: Part, store: Store) -> list[Verdict]:
    """The verdict on every document of a part: that of the first stage that removed it."""
    result: list[Verdict] | None = None
    for stage in STAGES:
        table = store.read_verdict(stage, part.name, ["rule", "value"])
        if table is None:
            continue
        result = result or [Verdict()] * table.num_rows
        for row in np.flatnonzero(table["rule"].is_valid().to_numpy()):
            if result[row].rule is None:
                result[row] = Verdict(
                    stage, table["rule"][row].as_py(), table["value"][row].as_py()
                )
    return result


def mended(text: str, mojibake: bool) -> str:
    """A text in NFC, decoded again where it shows signs of having been decoded wrongly."""
    if mojibake:
        import ftfy

        text = ftfy.fix_encoding(text)
    return unicodedata.normalize("NFC", text)


def finish(
    part: Part,
    store: Store,
    rules: dict[str, Rule | None],
    taggers: Collection[str],
    seed: int,
    key: str,
) -> None:
    """Writes the documents that are left, mended and masked, and the part's figures.

    Args:
      rules: of the part's source, for the bounds that the samples show.
      taggers: of which there are attributes.
      seed: of the sample of removals.
      key: of what is written.
    """
    figures, corpus = f"figures/{part.name}.json", f"corpus/{part.name}.parquet"
    if store.is_done(figures, key) and store.is_done(corpus, key):
        return
    table = store.read_table(f"documents/{part.name}.parquet")
    verdict = verdicts(part, store)
    kept = np.flatnonzero([one.rule is None for one in verdict])
    texts, items = dedup.remaining_texts(part, store, kept), Counter()
    mojibake, other = _to_mend(part, store)
    for i in np.flatnonzero((mojibake | other)[kept]):
        text = mended(texts[i], mojibake[kept[i]])
        spans = find_pii(text)
        items.update(span.kind for span in spans)
        texts[i] = mask_pii(text, spans)
    chosen = table.take(pyarrow.array(kept)).set_column(
        SCHEMA.get_field_index("text"), SCHEMA.field("text"), pyarrow.array(texts, pyarrow.string())
    )
    store.write_table(corpus, chosen, key)
    n_bytes = sizes(table)
    summary = {
        "documents": table.num_rows,
        "bytes": int(n_bytes.sum()),
        "kept": {"documents": len(texts), "bytes": int(sizes(chosen).sum())},
        "removed": _removed(verdict, n_bytes),
        "samples": _samples(table, verdict, rules, seed),
        "masked": dict(sorted(items.items())),
        "histograms": {
            name: _histogram(part, store, name, kept)
            for name in HISTOGRAMS
            if name.split(".")[0] in taggers
        },
        "clusters": {stage: _cluster_sizes(part, store, stage) for stage in ("exact", "near")},
        "cut_paragraphs": _cut_paragraphs(part, store),
    }
    store.write_json(figures, summary, key)


def sizes(table: pyarrow.Table) -> np.ndarray:
    """int64 [d]: bytes of the texts of a table of documents."""
    return pyarrow.compute.binary_length(table["text"]).to_numpy().astype(np.int64)


def _to_mend(part: Part, store: Store) -> tuple[np.ndarray, np.ndarray]:
    """bool [d], twice: what shows signs of mojibake, and what else is not kept as it is: not in
    NFC, or with personal data.

    Paragraphs that were cut bring none: no rule for personal data looks across the end of a line.
    """
    form = store.read_table(
        f"attributes/normalisation/{part.name}.parquet", ["mojibake", "not_nfc"]
    )
    items = store.read_table(f"attributes/pii/{part.name}.parquet", ["items"])["items"].to_numpy()
    return form["mojibake"].to_numpy() > 0, form["not_nfc"].to_numpy() | (items > 0)


def _removed(verdict: list[Verdict], n_bytes: np.ndarray) -> dict:
    """Stage -> rule -> documents and bytes."""
    result: dict[str, dict[str, dict[str, int]]] = {}
    for one, size in zip(verdict, n_bytes):
        if one.rule:
            entry = result.setdefault(one.stage, {}).setdefault(
                one.rule, {"documents": 0, "bytes": 0}
            )
            entry["documents"] += 1
            entry["bytes"] += int(size)
    return result


def order_of(doc_id: str, seed: int) -> str:
    """A hash by which documents are sampled: the least ones are the sample, however the corpus is
    cut into parts.
    """
    return hashlib.sha256(f"{seed} {doc_id}".encode()).hexdigest()[:16]


def _samples(
    table: pyarrow.Table, verdict: list[Verdict], rules: dict[str, Rule | None], seed: int
) -> dict[str, list[dict]]:
    """Rule -> removed documents with the value that the rule saw and its bounds."""
    by_rule: dict[str, list[tuple[str, int]]] = {}
    ids = table["doc_id"].to_pylist()
    for row, one in enumerate(verdict):
        if one.rule:
            by_rule.setdefault(one.rule, []).append((order_of(ids[row], seed), row))
    result = {}
    for name, found in sorted(by_rule.items()):
        rule = rules.get(name)
        bounds = {"attribute": rule.attribute, "min": rule.min, "max": rule.max} if rule else {}
        result[name] = [
            {
                "order": order,
                "doc_id": ids[row],
                "value": verdict[row].value,
                "text": masked(table["text"][row].as_py())[:_EXCERPT],
                **bounds,
            }
            for order, row in sorted(found)[:SAMPLES]
        ]
    return result


def _histogram(part: Part, store: Store, attribute: str, kept: np.ndarray) -> dict[str, list[int]]:
    tagger, column = attribute.split(".")
    values = store.read_table(f"attributes/{tagger}/{part.name}.parquet", [column])[
        column
    ].to_numpy()
    count = lambda v: np.bincount(
        np.searchsorted(HISTOGRAMS[attribute], v, "right") - 1, minlength=len(HISTOGRAMS[attribute])
    ).tolist()
    return {"all": count(values), "kept": count(values[kept])}


def _cluster_sizes(part: Part, store: Store, stage: str) -> dict[str, int]:
    """Size -> clusters of which the document that stays is in this part."""
    table = store.read_verdict(stage, part.name, ["rule", "cluster_size"])
    if table is None:
        return {}
    sizes = table["cluster_size"].to_numpy()[table["rule"].is_null().to_numpy()]
    return {str(size): int(n) for size, n in zip(*np.unique(sizes[sizes > 1], return_counts=True))}


def _cut_paragraphs(part: Part, store: Store) -> dict[str, int]:
    table = store.read_verdict("paragraph", part.name, ["starts", "ends"])
    if table is None:
        return {}
    starts, ends = (
        table[name].combine_chunks().flatten().to_numpy() for name in ("starts", "ends")
    )
    return {"paragraphs": len(starts), "chars": int((ends - starts).sum())}
