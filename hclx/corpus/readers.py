"""Raw files of every format as documents: the stage `documents` of the pipeline.

The formats here stand on the reader of `hclx.text.documents`. The policy of the corpus is to set
aside what cannot be read, with file, line and reason, and to read on.

  documents/SOURCE/FILE-SHARD.parquet   doc_id (SOURCE/ID), source, url, title, date, licence, text;
                                        text and title are normalised, see `hclx.corpus.normalize`
  documents/SOURCE/FILE.json            `file`; `parts`, the shards, with `name`, `documents` and
                                        `bytes`; `quarantined`, reason -> number; written last
  quarantine/SOURCE/FILE.jsonl          `file`, `line`, `reason` and masked `beginning` of a record
"""

import codecs
import dataclasses
import functools
import gzip
import html
import io
import json
import re
from collections import Counter
from collections.abc import Iterator

import pyarrow
import pyarrow.parquet

from hclx.corpus.layout import (
    DOCUMENTS,
    FIELDS,
    MANIFEST,
    QUARANTINE,
    SCHEMA,
    Build,
    RawFile,
    largest_first,
)
from hclx.corpus.normalize import is_blank, normalize_document
from hclx.corpus.pii import masked
from hclx.corpus.store import Store, key_of, open_bytes
from hclx.errors import ConfigError
from hclx.text.documents import (
    FORMATS,
    Document,
    Reading,
    Unreadable,
    UnreadableRecordError,
    decode,
    numbered_lines,
    parse_record,
    text_field,
)

Records = Iterator[Document | Unreadable]
_SUFFIXES = {"jsonl": "jsonl", "json": "jsonl", "txt": "text", "md": "text", "parquet": "parquet"}
# Some versions leave the quotes of titles bare; options, and the reader of Cirrus dumps, add a
# revision and a language.
_DOC = re.compile(
    rb'^<doc id="([^"]*)"(?: revid="[^"]*")? url="([^"]*)" title="(.*?)"(?: language="[^"]*"'
    rb' revision="[^"]*")?>\s*$'
)
_NOT_ESCAPED = re.compile("[<>]|&(?!(?:amp|lt|gt);)")
_SURROGATE = re.compile("[\ud800-\udfff]")
_DIFFERS = re.compile(r" at byte \d+| \(.*")  # the part of a reason that differs from file to file
_BEGINNING_CHARS = 100


def ingest(build: Build, key: str) -> None:
    """Reads every raw file, and writes its documents in shards.

    Args:
      build: the inputs of the corpus; its shards exist afterwards.
      key: not used; the documents of a raw file have a key of their own, a hash of the file's path,
        size and time and of how it is read.
    Raises:
      HclxError: see `Runner.map`.
    """
    read = functools.partial(ingest_file, store=build.store)
    build.runner.map(read, largest_first(build.files), "documents", "file")


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
    rows, size, shards, quarantined = [], 0, [], []

    def write_shard():
        nonlocal rows, size
        if rows:
            name = raw.shard_name(len(shards))
            table = pyarrow.Table.from_pylist(rows, SCHEMA)
            store.write_table(DOCUMENTS.format(name=name), table, key_of(raw.key, name))
            shards.append({"name": name, "documents": len(rows), "bytes": size})
        rows, size = [], 0

    with open_bytes(raw.path) as file:
        for record in read_documents(file, raw.path, raw.reading):
            if isinstance(record, Unreadable):
                quarantined.append(
                    {
                        "file": raw.shown,
                        "line": record.line,
                        "reason": record.reason,
                        "beginning": record.beginning,
                    }
                )
                continue
            fields = {name: getattr(record, name) for name in ("text", *FIELDS)}
            rows.append({"doc_id": f"{raw.source}/{record.id}", "source": raw.source, **fields})
            size += len(record.text.encode())
            if size >= raw.shard_bytes:
                write_shard()
    write_shard()
    lines = [json.dumps(record, ensure_ascii=False) + "\n" for record in quarantined]
    store.write_text(raw.file(QUARANTINE), "".join(lines))
    reasons = Counter(general_reason(record["reason"]) for record in quarantined)
    manifest = {"file": raw.shown, "parts": shards, "quarantined": dict(sorted(reasons.items()))}
    store.write_json(raw.file(MANIFEST), manifest, raw.key)


def _is_ingested(raw: RawFile, store: Store) -> bool:
    if not store.is_done(raw.file(MANIFEST), raw.key) or not store.exists(raw.file(QUARANTINE)):
        return False
    names = [shard["name"] for shard in store.read_json(raw.file(MANIFEST))["parts"]]
    return all(store.is_done(DOCUMENTS.format(name=name), key_of(raw.key, name)) for name in names)


def general_reason(reason: str) -> str:
    """Removes from a reason the details that differ from record to record, so that records can be
    counted by it: " at byte N", and all that follows an opening parenthesis.
    """
    return _DIFFERS.sub("", reason)


def format_of(path: str, reading: Reading) -> str:
    """Returns the format of a file: "jsonl", "text", "parquet" or "wikiextractor".

    Args:
      path: its name decides, if `reading` names no format.
      reading: how the files of its source are read.
    Raises:
      ConfigError: its name does not tell, or the format is unknown.
    """
    if reading.format in FORMATS:
        return reading.format
    if reading.format:
        raise ConfigError(f"format={reading.format!r} is not one of {', '.join(FORMATS)}")
    name = path.rsplit("/", 1)[-1].removesuffix(".gz")
    suffix = name.rsplit(".", 1)[-1]
    if suffix in _SUFFIXES:
        return _SUFFIXES[suffix]
    if re.fullmatch(r"wiki_\d+", name):
        return "wikiextractor"
    raise ConfigError(
        f"{path}: its format cannot be told from its name; give the source a format:"
        f" {', '.join(FORMATS)}"
    )


def read_documents(file: io.BufferedIOBase, path: str, reading: Reading) -> Records:
    """Yields everything in a file, in order: a Document each, or an Unreadable for a record that is
    none, with at most 100 characters of its beginning, masked.

    A damaged file (gzip that is cut off, broken Parquet) ends with an Unreadable in place of what
    cannot be read; the records before it are yielded. A document of a text file, or an article,
    that the damage cuts off is not.

    Args:
      file: its bytes, not decompressed; Parquet needs a file that can seek.
      path: its name, for the format; documents without an id get one of its last part, NAME:LINE,
        or NAME if the file is one document.
      reading: how it is read.
    Raises:
      ConfigError: the format is unknown.
    """
    read = _READERS[format_of(path, reading)]
    empty_brackets = "remove" if read is _wikiextractor else reading.empty_brackets
    if path.endswith(".gz") and read is not _parquet:
        file = gzip.GzipFile(fileobj=file)
    for record in read(file, path, reading):
        if isinstance(record, Unreadable):
            beginning = masked(record.beginning)[:_BEGINNING_CHARS]
            yield dataclasses.replace(record, beginning=beginning)
        else:
            yield normalize_document(record, reading.html, empty_brackets)


def _lines(file, reading: Reading) -> Iterator[tuple[int, bytes | Unreadable]]:
    """Numbered lines without a byte order mark."""
    for number, raw in numbered_lines(file, reading.max_bytes):
        if number == 1 and isinstance(raw, bytes):
            raw = raw.removeprefix(codecs.BOM_UTF8)
        yield number, raw


def _check_text(text: str) -> None:
    if not text.strip():
        raise UnreadableRecordError("no text")
    if "\0" in text:
        raise UnreadableRecordError("NUL in the text")
    if _SURROGATE.search(text):
        raise UnreadableRecordError("a lone surrogate in the text")


def _document(record: dict, default_id: str, path: str, line: int, reading: Reading) -> Document:
    names = dict(reading.fields)
    value = lambda name: record.get(names.get(name, name))
    text = text_field(record, names.get("text", "text"))
    _check_text(text)
    fields = {name: _SURROGATE.sub("\ufffd", str(value(name) or "")) for name in FIELDS}
    fields["licence"] = fields["licence"] or reading.licence
    own_id = value("id")
    doc_id = default_id if own_id in (None, "") else _SURROGATE.sub("\ufffd", str(own_id))
    return Document(text, path, line, doc_id, **fields)


def _too_long(max_bytes: int) -> UnreadableRecordError:
    return UnreadableRecordError(f"a document of more than {max_bytes:,} bytes")


def _file_name(path: str) -> str:
    return path.rsplit("/", 1)[-1]


def _json_lines(file, path: str, reading: Reading) -> Records:
    """An object a line; blank lines are no records."""
    for line, raw in _lines(file, reading):
        if isinstance(raw, Unreadable):
            yield raw
        elif raw.strip():
            yield _json_line(raw, path, line, reading)


def _json_line(raw: bytes, path: str, line: int, reading: Reading) -> Document | Unreadable:
    try:
        record = parse_record(decode(raw)[0])
        return _document(record, f"{_file_name(path)}:{line}", path, line, reading)
    except UnreadableRecordError as error:
        return error.at(line, raw)


class _Lines:
    """The lines of a document while it is read; no more of them are held than it may have."""

    def __init__(self, line: int, max_bytes: int):
        self.line, self._max_bytes = line, max_bytes
        self.is_whole, self._size, self._lines = True, 0, []

    def append(self, raw: bytes) -> None:
        """Adds a line."""
        self._size += len(raw)
        if self._size <= self._max_bytes:
            self._lines.append(raw)

    @property
    def raw(self) -> bytes:
        """The lines that are held."""
        return b"".join(self._lines)

    def finish(self, make) -> Records:
        """Yields the document `make(bytes)`, if there is one and no line of it was unreadable."""
        if not self.is_whole:
            return
        try:
            if self._size > self._max_bytes:
                raise _too_long(self._max_bytes)
            if document := make(self.raw):
                yield document
        except UnreadableRecordError as error:
            yield error.at(self.line, self.raw)


def _text(file, path: str, reading: Reading) -> Records:
    """Documents of a text file; one that is too long, or has a part that cannot be read, is set
    aside as a whole.
    """
    lines, name = _Lines(1, reading.max_bytes), _file_name(path)

    def document(raw: bytes) -> Document | None:
        doc_id = name if reading.split == "file" else f"{name}:{lines.line}"
        if is_blank(raw):
            return None
        record = {"text": decode(raw)[0].strip("\r\n")}
        return _document(record, doc_id, path, lines.line, reading)

    for line, raw in _lines(file, reading):
        is_end = reading.split == "line"
        if isinstance(raw, Unreadable):
            yield raw
            lines.is_whole = False
        elif reading.split == "blank_line" and is_blank(raw):
            is_end = True
        else:
            lines.append(raw)
        if is_end:
            yield from lines.finish(document)
            lines = _Lines(line + 1, reading.max_bytes)
    yield from lines.finish(document)


def _wikiextractor(file, path: str, reading: Reading) -> Records:
    """`<doc id= url= title=>`, the title, an empty line, paragraphs, `</doc>`; or an object a line
    (its --json).

    Both hold titles as the dump does, with entities. Version 3 escapes texts too, unless it is told
    otherwise; version 2 does not.
    """
    head, lines = None, _Lines(1, reading.max_bytes)
    not_closed = UnreadableRecordError("a <doc> that is not closed")
    for line, raw in _lines(file, reading):
        if isinstance(raw, Unreadable):
            yield raw
            lines.is_whole = False  # the document around it, if there is one
        elif head is None and raw.startswith(b"{"):
            yield _unescape(_json_line(raw, path, line, reading))
        elif match := _DOC.match(raw):
            if head is not None and lines.is_whole:
                yield not_closed.at(lines.line, lines.raw)
            head, lines = match, _Lines(line, reading.max_bytes)
        elif head is not None and raw.rstrip() == b"</doc>":
            article = functools.partial(_article, head, path=path, line=lines.line, reading=reading)
            yield from lines.finish(article)
            head = None
        elif head is not None:
            lines.append(raw)
        elif raw.strip():
            yield UnreadableRecordError("text outside of <doc>").at(line, raw)
    if head is not None and lines.is_whole:
        yield not_closed.at(lines.line, lines.raw)


def _article(head: re.Match, raw: bytes, path: str, line: int, reading: Reading) -> Document:
    doc_id, url, title = (decode(group)[0] for group in head.groups())
    text = decode(raw)[0].strip("\r\n")
    first, _, rest = text.partition("\n")
    if html.unescape(first.rstrip()) == html.unescape(title):
        text = rest.lstrip("\r\n")
    record = {"id": doc_id, "url": html.unescape(url), "title": title, "text": text}
    return _unescape(_document(record, doc_id, path, line, reading))


def _unescape(record: Document | Unreadable) -> Document | Unreadable:
    """A document of WikiExtractor with the characters that its entities denote."""
    if isinstance(record, Unreadable):
        return record
    # An escaped text holds no bare < or &.
    text = record.text if _NOT_ESCAPED.search(record.text) else html.unescape(record.text)
    return dataclasses.replace(record, title=html.unescape(record.title), text=text)


def _parquet(file, path: str, reading: Reading) -> Records:
    names, row = dict(reading.fields), 0
    try:
        table = pyarrow.parquet.ParquetFile(file)
        columns = [names.get(field, field) for field in ("id", "text", *FIELDS)]
        columns = [column for column in columns if column in table.schema_arrow.names]
        for batch in table.iter_batches(batch_size=256, columns=columns):
            cells = list(zip(batch.schema.names, batch.columns))
            for index in range(batch.num_rows):
                row += 1
                try:
                    record = {column: _value(values[index]) for column, values in cells}
                    yield _parquet_row(record, path, row, reading)
                except UnreadableRecordError as error:
                    yield error.at(row)
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
        message = str(error).splitlines()[0]
        reason = f"damaged Parquet ({message}); nothing after this row was read"
        yield Unreadable(row + 1, reason)


def _parquet_row(record: dict, path: str, row: int, reading: Reading) -> Document:
    text = record.get(dict(reading.fields).get("text", "text"))
    if len(str(text or "").encode("utf-8", "replace")) > reading.max_bytes:
        raise _too_long(reading.max_bytes)
    return _document(record, f"{_file_name(path)}:{row}", path, row, reading)


def _value(scalar: pyarrow.Scalar):
    try:
        return scalar.as_py()
    except UnicodeDecodeError as error:
        raise UnreadableRecordError(f"invalid UTF-8 at byte {error.start}") from error


_READERS = {
    "jsonl": _json_lines,
    "text": _text,
    "parquet": _parquet,
    "wikiextractor": _wikiextractor,
}
