"""The stages that take one file after the other: raw files to documents, documents to attributes,
attributes to a verdict.

  documents/SOURCE/FILE-PART.parquet      as they were found; never changed again
  documents/SOURCE/FILE.json              what a raw file became, written last: it is the sign that
  the file is done quarantine/SOURCE/FILE.jsonl            what could not be read, and why
  attributes/TAGGER/SOURCE/FILE-PART.parquet   a row a document, in the documents' order
  verdicts/filter/SOURCE/FILE-PART.parquet     the first rule that each document breaks, and the
  value

A part is named SOURCE/FILE-PART. Every function here does one unit of work, does nothing where it
is done, and gives the same bytes whoever calls it.
"""

import dataclasses
import json
import re
from collections import Counter
from collections.abc import Mapping

import numpy as np
import pyarrow

from hclx.corpus.quality_models import fingerprint
from hclx.corpus.readers import FIELDS, Reading, Unreadable, read_documents
from hclx.corpus.settings import Rule
from hclx.corpus.store import Store, key_of, open_bytes
from hclx.corpus.taggers import all_taggers, attributes
from hclx.corpus.text_batch import TextBatch
from hclx.errors import ConfigError

FORMAT = 2  # of the files below, and of what taggers compute: part of every key
# that are tagged together: the arrays of so many stay in the processor's cache
_BATCH_CHARS = 1 << 19
SCHEMA = pyarrow.schema(
    [(name, pyarrow.string()) for name in ("doc_id", "source", *FIELDS, "text")]
)


@dataclasses.dataclass(frozen=True)
class RawFile:
    """One raw file: `index` is its place among those of its source, `shown` its path below the
    input folder.
    """

    source: str
    index: int
    path: str
    shown: str
    size: int
    modified: int  # nanoseconds since 1970
    reading: Reading
    part_bytes: int

    @property
    def name(self) -> str:
        """SOURCE/FILE"""
        return f"{self.source}/{self.index:05d}"

    @property
    def key(self) -> str:
        """Of the documents that it gives."""
        return key_of(
            FORMAT,
            self.shown,
            self.size,
            self.modified,
            self.source,
            self.index,
            self.reading,
            self.part_bytes,
        )


@dataclasses.dataclass(frozen=True)
class Part:
    """One part: its name, SOURCE/FILE-PART, its place in the order of all of them, and the bytes of
    its texts.
    """

    name: str
    index: int
    size: int = 0


def ingest(raw: RawFile, store: Store) -> None:
    """Writes a raw file's documents, and what cannot be read of it."""
    manifest, quarantine = f"documents/{raw.name}.json", f"quarantine/{raw.name}.jsonl"
    if store.is_done(manifest, raw.key):
        names = [part["name"] for part in store.read_json(manifest)["parts"]]
        if store.exists(quarantine) and all(
            store.is_done(f"documents/{name}.parquet", key_of(raw.key, name)) for name in names
        ):
            return
    rows, size, parts, refused = [], 0, [], []

    def flush():
        nonlocal rows, size
        if rows:
            part = f"{raw.name}-{len(parts):05d}"
            table = pyarrow.Table.from_pylist(rows, SCHEMA)
            store.write_table(f"documents/{part}.parquet", table, key_of(raw.key, part))
            parts.append({"name": part, "documents": len(rows), "bytes": size})
        rows, size = [], 0

    with open_bytes(raw.path) as file:
        for found in read_documents(file, raw.path, raw.reading):
            if isinstance(found, Unreadable):
                refused.append(
                    {
                        "file": raw.shown,
                        "line": found.line,
                        "reason": found.reason,
                        "beginning": found.beginning,
                    }
                )
                continue
            about = {name: getattr(found, name) for name in FIELDS}
            rows.append(
                {
                    "doc_id": f"{raw.source}/{found.id}",
                    "source": raw.source,
                    "text": found.text,
                    **about,
                }
            )
            size += len(found.text.encode())
            if size >= raw.part_bytes:
                flush()
    flush()
    lines = [json.dumps(one, ensure_ascii=False) + "\n" for one in refused]
    store.write_text(quarantine, "".join(lines))
    reasons = Counter(re.sub(r" at byte \d+| \(.*", "", one["reason"]) for one in refused)
    store.write_json(
        manifest,
        {"file": raw.shown, "parts": parts, "quarantined": dict(sorted(reasons.items()))},
        raw.key,
    )


def tag(part: Part, store: Store, taggers: Mapping[str, str]) -> None:
    """Writes the attributes of a part that are not there yet.

    Args:
      taggers: name -> file of its model, "" where it has none.
    """
    documents = f"documents/{part.name}.parquet"
    files = {name: path for name, path in taggers.items() if path}
    keys = {
        name: key_of(FORMAT, name, store.key(documents), fingerprint(path) if path else "")
        for name, path in taggers.items()
    }
    missing = [
        name
        for name in taggers
        if not store.is_done(f"attributes/{name}/{part.name}.parquet", keys[name])
    ]
    if not missing:
        return
    functions = {name: tagger for name, tagger in all_taggers(files).items() if name in missing}
    table = store.read_table(documents, ["text", "title"])
    columns: dict[str, list[dict]] = {name: [] for name in missing}
    for batch in batches(table["text"].to_pylist(), table["title"].to_pylist()):
        for name, found in attributes(functions, batch).items():
            columns[name].append(found)
    for name in missing:
        joined = {
            column: np.concatenate([found[column] for found in columns[name]])
            for column in columns[name][0]
        }
        store.write_table(
            f"attributes/{name}/{part.name}.parquet", pyarrow.table(joined), keys[name]
        )


def batches(texts: list[str], titles: list[str]):
    """The documents in batches of about the same size; a long one makes a batch of its own."""
    start = size = 0
    for i, text in enumerate(texts):
        if size and size + len(text) > _BATCH_CHARS:
            yield TextBatch.of(texts[start:i], titles[start:i])
            start, size = i, 0
        size += len(text)
    yield TextBatch.of(texts[start:], titles[start:])


def judge(
    part: Part, store: Store, rules: Mapping[str, Mapping[str, Rule | None]], key: str
) -> None:
    """Writes the first rule that each document breaks (null: none) and the value that broke it.

    Args:
      rules: of every source.
      key: of the verdicts.
    """
    if store.is_done(f"verdicts/filter/{part.name}.parquet", key):
        return
    own = {name: rule for name, rule in rules[part.name.split("/")[0]].items() if rule is not None}
    used = sorted({rule.attribute.split(".")[0] for rule in own.values()})
    attributes = {name: store.read_table(f"attributes/{name}/{part.name}.parquet") for name in used}
    n = store.read_table(f"documents/{part.name}.parquet", ["doc_id"]).num_rows
    reasons, values = np.full(n, None, object), np.zeros(n, np.float32)
    for name, rule in own.items():
        tagger, column = rule.attribute.split(".")
        value = attributes[tagger][column].to_numpy()
        breaks = np.equal(reasons, None) & broken(rule, value)
        reasons[breaks], values[breaks] = name, value[breaks]
    store.write_verdict(
        "filter",
        part.name,
        pyarrow.table({"rule": pyarrow.array(reasons, pyarrow.string()), "value": values}),
        key,
    )


def broken(rule: Rule, values: np.ndarray) -> np.ndarray:
    """bool [d]: which values lie outside of a rule's bounds."""
    below = values < rule.min if rule.min is not None else False
    above = values > rule.max if rule.max is not None else False
    return np.zeros(len(values), bool) | below | above


def check_rules(rules: Mapping[str, Rule | None], models: Mapping[str, str], where: str) -> None:
    """Refuses rules on attributes that no tagger gives.

    Raises:
      ConfigError: names the rule, and what there is.
    """
    for name, rule in rules.items():
        if rule:
            check_attribute(rule.attribute, models, f"{where}.rules.{name}")


def check_attribute(attribute: str, models: Mapping[str, str], where: str) -> None:
    """Refuses an attribute, `tagger.column`, that no tagger gives.

    Args:
      models: as in the settings.
      where: the field that names it, for the message.
    Raises:
      ConfigError: names what there is.
    """
    tagger, _, column = attribute.partition(".")
    taggers = all_taggers(models)
    columns = list(taggers[tagger](TextBatch.of(["가"]))) if tagger in taggers else []
    if column not in columns:
        known = f"{tagger}: {', '.join(columns)}" if columns else f"taggers: {', '.join(taggers)}"
        raise ConfigError(f"{where}: no attribute {attribute!r}; {known}")
