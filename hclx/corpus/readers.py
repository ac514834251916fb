"""Raw files as documents: the stage `documents` of the pipeline.

The formats are those of `hclx.text.formats`. The policy of the corpus is to set aside what cannot
be read, with file, line and reason, and to read on; and to split documents that are too long.

  documents/SOURCE/FILE-SHARD.parquet   doc_id (SOURCE/ID), source, url, title, date, licence, text;
                                        text and title are normalised, see `hclx.corpus.normalize`
  documents/SOURCE/FILE.json            `file`; `parts`, the shards, with `name`, `documents` and
                                        `bytes`; `quarantined`, reason -> number; `examples`, reason
                                        -> the first such record; `long`, how many `documents` were
                                        split into how many `parts`; `text_lines`, the lines of a
                                        text file that is one document; written last
  quarantine/SOURCE/FILE.jsonl          `file`, `line`, `reason` and masked `beginning` of a record;
                                        the first 1,000 of each reason
"""

import contextlib
import dataclasses
import functools
import io
import json
import logging
import re
from collections import Counter
from collections.abc import Iterator, Mapping

import pyarrow

from hclx.corpus.layout import (
    CONTENT,
    DOCUMENTS,
    MANIFEST,
    QUARANTINE,
    SCHEMA,
    Build,
    RawFile,
    largest_first,
)
from hclx.corpus.normalize import normalize_document
from hclx.corpus.runner import advance
from hclx.corpus.store import Store, key_of, open_bytes, table_digest
from hclx.errors import DataError
from hclx.progress import counted
from hclx.read_errors import naming
from hclx.text.formats import format_of, read_records
from hclx.text.pii import masked
from hclx.text.records import (
    FIELDS,
    Document,
    Reading,
    Unreadable,
    UnreadableRecordError,
)
from hclx.text.splitting import split_text

_LOG = logging.getLogger(__name__)
_TOLD_BYTES = 1 << 20  # of a file, after which its progress is told
LISTED = 1000  # records of one reason that the quarantine of a file lists
# After so many records and no document, reasons that tell of the whole file end its reading.
HOPELESS = 1000
_SURROGATE = re.compile("[\ud800-\udfff]")
_DIFFERS = re.compile(r" at byte \d+| \(.*")  # the part of a reason that differs from file to file
_BEGINNING_CHARS = 100
_MANY_LINES = 200  # of a text file that is one document: perhaps it holds many
_REASONS = 3  # that a message names
_MOST_NUL = 0.01  # of the characters of a text: a program left them there, and they are dropped


def ingest(build: Build, key: str) -> None:
    """Reads every raw file, and writes its documents in shards.

    Args:
      build: the inputs of the corpus; its shards exist afterwards.
      key: not used; the documents of a raw file have a key of their own, a hash of the file's path,
        size and time and of how it is read.
    Raises:
      DataError: a source has no document at all; the message says why.
      HclxError: see `Runner.map`.
    """
    read = functools.partial(ingest_file, store=build.store)
    missing = [raw for raw in largest_first(build.files) if not _is_ingested(raw, build.store)]
    if len(missing) < len(build.files):
        done = len(build.files) - len(missing)
        known = f"{done:,} of {counted(len(build.files), 'file')}"
        _LOG.info("documents: %s need not be read again", known)
    build.runner.map(read, missing, "documents", "file")
    for source in build.settings.sources:
        files = [raw for raw in build.files if raw.source == source]
        manifests = [build.store.read_json(raw.file(MANIFEST)) for raw in files]
        if not any(manifest["parts"] for manifest in manifests):
            raise DataError(_nothing(source, manifests, build.store))


def _nothing(source: str, manifests: list[dict], store: Store) -> str:
    """The message for a source without a document."""
    aside, examples = Counter(), []
    for manifest in manifests:
        aside.update(manifest["quarantined"])
        examples += [f"{manifest['file']}:{e}" for e in manifest["examples"].values()]
    message = f"source {source} has no document"
    if not aside:
        return f"{message}: no text is in {', '.join(m['file'] for m in manifests[:3])}"
    return (
        f"{message}: {counted(aside.total(), 'record')} set aside, {main_reasons(aside)}; for"
        f" example {'; '.join(examples[:1])}; all are in {store.path('quarantine')}/{source}"
    )


def main_reasons(reasons: Mapping[str, int]) -> str:
    """Names the most frequent reasons, with their numbers.

    Args:
      reasons: reason -> number of records.
    """
    most = sorted(reasons.items(), key=lambda item: (-item[1], item[0]))
    more = ", ..." if len(most) > _REASONS else ""
    return ", ".join(f"{reason} {n:,}" for reason, n in most[:_REASONS]) + more


class _Shards:
    """Writes the documents of a raw file, shard after shard; `written` lists the shards."""

    def __init__(self, raw: RawFile, store: Store):
        self._raw, self._store = raw, store
        self._rows, self._size, self.written = [], 0, []

    def append(self, record: Document, doc_id: str, text: str) -> None:
        """Adds a document, or a part of one, whose id and text are given."""
        fields = {name: getattr(record, name) for name in FIELDS}
        source = self._raw.source
        row = {"doc_id": f"{source}/{doc_id}", "source": source, "text": text, **fields}
        self._rows.append(row)
        self._size += len(text.encode())
        if self._size >= self._raw.shard_bytes:
            self.flush()

    def flush(self) -> None:
        """Writes what is held."""
        if not self._rows:
            return
        name = self._raw.shard_name(len(self.written))
        table = pyarrow.Table.from_pylist(self._rows, SCHEMA)
        key, digests = key_of(self._raw.key, name), {CONTENT: table_digest(table)}
        self._store.write_table(DOCUMENTS.format(name=name), table, key, digests)
        shard = {"name": name, "documents": len(self._rows), "bytes": self._size}
        self.written.append(shard)
        self._rows, self._size = [], 0


class _Quarantine(contextlib.ExitStack):
    """Writes the records of a raw file that are no documents, as they come; of a file without one
    it writes nothing.
    """

    def __init__(self, raw: RawFile, store: Store):
        super().__init__()
        self._raw, self._store = raw, store
        self.reasons, self.examples, self.of_file = Counter(), {}, 0

    def append(self, record: Unreadable) -> None:
        """Counts a record; the first ones of each reason are written."""
        if not self.reasons:
            self._stream = self.enter_context(self._store.writing(self._raw.file(QUARANTINE)))
        reason = general_reason(record.reason)
        self.reasons[reason] += 1
        self.of_file += record.is_of_file
        self.examples.setdefault(reason, f"{record.line}: {record.reason}")
        if self.reasons[reason] <= LISTED:
            shown = {
                "file": self._raw.shown,
                "line": record.line,
                "reason": record.reason,
                "beginning": record.beginning,
            }
            line = json.dumps(shown, ensure_ascii=False) + "\n"
            self._stream.write(line.encode("utf-8", "surrogatepass"))


def ingest_file(raw: RawFile, store: Store) -> None:
    """Writes the files of documents/ and quarantine/ that belong to a raw file. A file whose
    outputs all exist with its key is not read again.

    Args:
      raw: the file; its `key` is a hash of all that its documents depend on.
      store: the folder of the corpus.
    Raises:
      ConfigError: the format of the file is unknown.
      OSError: there is no such file. What is damaged in it is set aside, see `read_documents`.
    """
    if _is_ingested(raw, store):
        return
    shards, long, lines = _Shards(raw, store), Counter(documents=0, parts=0), 0
    with _Quarantine(raw, store) as quarantine, open_bytes(raw.path) as file:
        has_documents, position = False, 0
        read = lambda: read_documents(file, raw.path, raw.reading, raw.document_name)
        for record in naming(raw.path, read):
            if (here := file.tell()) - position >= _TOLD_BYTES:
                advance(here - position)
                position = here
            if isinstance(record, Unreadable):
                quarantine.append(record)
                if not has_documents and quarantine.of_file >= HOPELESS:
                    quarantine.append(_hopeless(record, quarantine.reasons.total()))
                    break
                continue
            has_documents = True
            parts = list(split_text(record.text, raw.reading.max_chars))
            for number, part in enumerate(parts, 1):
                doc_id = record.id if len(parts) == 1 else f"{record.id}#{number}"
                shards.append(record, doc_id, part)
            if len(parts) > 1:
                long.update(documents=1, parts=len(parts))
            if record.id == raw.document_name and not raw.reading.split:
                lines = record.text.count("\n") + 1
        # A table without rows is as it should be, a text without characters is none.
        is_text = format_of(raw.path, raw.reading) == "text"
        if is_text and not has_documents and not quarantine.reasons:
            quarantine.append(Unreadable(1, "no text"))
    if not quarantine.reasons and store.exists(raw.file(QUARANTINE)):
        store.remove(raw.file(QUARANTINE))  # of the file as it was before
    shards.flush()
    manifest = {
        "file": raw.shown,
        "parts": shards.written,
        "quarantined": dict(sorted(quarantine.reasons.items())),
        "examples": quarantine.examples,
        "long": dict(long),
        "text_lines": lines,
    }
    store.write_json(raw.file(MANIFEST), manifest, raw.key)


def _hopeless(record: Unreadable, n: int) -> Unreadable:
    reason = f"the rest of the file was not read (its first {n:,} records are no documents)"
    return Unreadable(record.line + 1, reason)


def _is_ingested(raw: RawFile, store: Store) -> bool:
    if not store.is_done(raw.file(MANIFEST), raw.key):
        return False
    manifest = store.read_json(raw.file(MANIFEST))
    if manifest["quarantined"] and not store.exists(raw.file(QUARANTINE)):
        return False
    names = [shard["name"] for shard in manifest["parts"]]
    return all(store.is_done(DOCUMENTS.format(name=name), key_of(raw.key, name)) for name in names)


def general_reason(reason: str) -> str:
    """Removes from a reason the details that differ from record to record, so that records can be
    counted by it: " at byte N", and all that follows an opening parenthesis.
    """
    return _DIFFERS.sub("", reason)


def check_text(text: str) -> None:
    """Refuses a text that no corpus may hold.

    Raises:
      UnreadableRecordError: it is blank, holds half a surrogate pair, or so many NUL that it is no
        text.
    """
    if not text.strip():
        raise UnreadableRecordError("no text")
    if text.count("\0") > _MOST_NUL * len(text):
        most = f"more than {_MOST_NUL:.0%} of it: binary data, or another encoding"
        raise UnreadableRecordError(f"NUL in the text ({most})")
    if _SURROGATE.search(text):
        raise UnreadableRecordError("a lone surrogate in the text")


def read_documents(
    file: io.BufferedIOBase, path: str, reading: Reading, name: str = ""
) -> Iterator[Document | Unreadable]:
    """Yields everything in a file, in order: a Document each, or an Unreadable for a record that is
    none, with at most 100 characters of its beginning, masked.

    Args:
      file, path, reading, name: see `hclx.text.formats.read_records`.
    Raises:
      ConfigError, OSError: see there.
    """
    is_wiki = format_of(path, reading) == "wikiextractor"
    empty_brackets = "remove" if is_wiki else reading.empty_brackets
    for record in read_records(file, path, reading, name, check_text):
        if isinstance(record, Unreadable):
            beginning = masked(record.beginning)[:_BEGINNING_CHARS]
            yield dataclasses.replace(record, beginning=beginning)
        else:
            yield normalize_document(_without_nul(record), reading.html, empty_brackets)


def _without_nul(document: Document) -> Document:
    if "\0" not in document.text and "\0" not in document.title:
        return document
    text, title = (value.replace("\0", "") for value in (document.text, document.title))
    return dataclasses.replace(document, text=text, title=title)


def notes(manifests: list[dict]) -> list[str]:
    """Explains what became of the files of a source beside the documents that were found.

    Args:
      manifests: contents of the files MANIFEST of the source.
    Returns:
      Sentences: an example of each main reason why records were set aside, how many long documents
      were split, and whether a text file that is one document may hold many.
    """
    lines, shown = [], set()
    for manifest in manifests:
        for reason, example in manifest.get("examples", {}).items():
            if reason not in shown and len(shown) < _REASONS:
                shown.add(reason)
                lines.append(f"set aside: {manifest['file']}:{example}")
    long = Counter()
    for manifest in manifests:
        long.update(manifest.get("long", {}))
    if long["documents"]:
        lines.append(
            f"{counted(long['documents'], 'document')} of more than max_chars characters"
            f" became {long['parts']:,} parts"
        )
    most = max(manifests, key=lambda m: m.get("text_lines", 0), default={})
    if (n := most.get("text_lines", 0)) >= _MANY_LINES:
        lines.append(
            f"each text file is one document, {most['file']} one of {n:,} lines; if it holds many,"
            " write `split: line` or `split: blank_line`, else `split: file`"
        )
    return lines
