"""Reads raw files of any kind into documents, and sets aside what cannot be read, with file, line
and reason.
"""

import codecs
import dataclasses
import gzip
import html
import io
import json
import re
import zlib
from collections.abc import Iterator

import pyarrow.parquet

from hclx.corpus.pii import masked
from hclx.errors import ConfigError

FIELDS = ("url", "title", "date", "licence")
FORMATS = ("jsonl", "text", "parquet", "wikiextractor")
SPLITS = ("file", "line", "blank_line")
# Some versions leave the quotes of titles bare; options, and the reader of Cirrus dumps, add a
# revision and a language.
_DOC = re.compile(
    rb'^<doc id="([^"]*)"(?: revid="[^"]*")? url="([^"]*)" title="(.*?)"(?: language="[^"]*"'
    rb' revision="[^"]*")?>\s*$'
)
_NOT_ESCAPED = re.compile("[<>]|&(?!(?:amp|lt|gt);)")
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclasses.dataclass(frozen=True)
class Reading:
    """How the files of a source are read.

    format: one of FORMATS; "" tells it from the file's name.
    split: what a document of a text file is: the file, a line, or what stands between blank lines.
    fields: our name -> theirs, where a record calls a field otherwise (`{"text": "content"}`).
    licence: of documents that name none.
    max_bytes: of one line or document; longer ones are set aside, and never held in memory.
    """

    format: str = ""
    split: str = "file"
    fields: tuple[tuple[str, str], ...] = ()
    licence: str = ""
    max_bytes: int = 64 << 20


@dataclasses.dataclass(frozen=True)
class Document:
    """A document as it was found; `line` counts from 1, or is a Parquet file's row."""

    id: str
    text: str
    line: int
    url: str = ""
    title: str = ""
    date: str = ""
    licence: str = ""


@dataclasses.dataclass(frozen=True)
class Unreadable:
    """What could not be read: where it begins, why, and its first bytes as text."""

    line: int
    reason: str
    beginning: str = ""


class _Refused(Exception):
    """Why a record is set aside."""


def format_of(path: str, reading: Reading) -> str:
    """How a file is read.

    Raises:
      ConfigError: its name does not tell, or the format is unknown.
    """
    if reading.format in FORMATS:
        return reading.format
    if reading.format:
        raise ConfigError(f"format={reading.format!r} is not one of {', '.join(FORMATS)}")
    name = path.rsplit("/", 1)[-1].removesuffix(".gz")
    for suffixes, found in (
        (("jsonl", "json"), "jsonl"),
        (("txt", "md"), "text"),
        (("parquet",), "parquet"),
    ):
        if name.rsplit(".", 1)[-1] in suffixes:
            return found
    if re.fullmatch(r"wiki_\d+", name):
        return "wikiextractor"
    raise ConfigError(
        f"{path}: what it holds cannot be told from its name; give the source a format:"
        f" {', '.join(FORMATS)}"
    )


def read_documents(
    file: io.BufferedIOBase, path: str, reading: Reading
) -> Iterator[Document | Unreadable]:
    """Everything in a file, in order: documents, and what is no document.

    Args:
      file: its bytes, not decompressed; Parquet needs one that can seek.
      path: its name, for the format; ids are made of its last part where records have none.
      reading: see there.
    Raises:
      ConfigError: the format is unknown.
    """
    kind = format_of(path, reading)
    if kind == "parquet":
        yield from _parquet(file, path, reading)
        return
    if path.endswith(".gz"):
        file = gzip.GzipFile(fileobj=file)
    lines = _lines(file, reading.max_bytes)
    split = {"jsonl": _json_lines, "text": _text, "wikiextractor": _wikiextractor}[kind]
    yield from split(lines, path.rsplit("/", 1)[-1], reading)


def _lines(file, limit: int) -> Iterator[tuple[int, bytes | Unreadable]]:
    """Numbered lines; one that is too long, and the point where a damaged file breaks off, in place
    of them.
    """
    number = 0
    try:
        while line := file.readline(limit + 1):
            number += 1
            if len(line) <= limit:
                yield number, line.removeprefix(codecs.BOM_UTF8) if number == 1 else line
                continue
            beginning = _beginning(line)
            while line and not line.endswith(b"\n"):
                line = file.readline(1 << 20)
            yield number, Unreadable(number, f"a line of more than {limit:,} bytes", beginning)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        yield (
            number + 1,
            Unreadable(
                number + 1, f"damaged or cut off here ({error}); nothing after this line was read"
            ),
        )


def _beginning(raw: bytes) -> str:
    return masked(raw[:200].decode("utf-8", "replace"))[:100]


def _decode(raw: bytes) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _Refused(f"invalid UTF-8 at byte {error.start}") from error


def _checked(text) -> str:
    if not isinstance(text, str):
        raise _Refused("no string field `text`")
    if not text.strip():
        raise _Refused("no text")
    if "\0" in text:
        raise _Refused("NUL in the text")
    if _SURROGATE.search(text):
        raise _Refused("a lone surrogate in the text")
    return text


def _document(record: dict, default_id: str, line: int, reading: Reading) -> Document:
    names = dict(reading.fields)
    value = lambda name: record.get(names.get(name, name))
    text = _checked(value("text"))
    about = {name: _SURROGATE.sub("\ufffd", str(value(name) or "")) for name in FIELDS}
    about["licence"] = about["licence"] or reading.licence
    id_ = value("id")
    return Document(
        id=default_id if id_ in (None, "") else _SURROGATE.sub("\ufffd", str(id_)),
        text=text,
        line=line,
        **about,
    )


def _json_lines(lines, name: str, reading: Reading) -> Iterator[Document | Unreadable]:
    for number, raw in lines:
        if isinstance(raw, Unreadable):
            yield raw
        elif raw.strip():
            try:
                yield _document(_record(raw), f"{name}:{number}", number, reading)
            except _Refused as refusal:
                yield Unreadable(number, str(refusal), _beginning(raw))


def _record(raw: bytes) -> dict:
    try:
        record = json.loads(_decode(raw))
    except RecursionError as error:
        raise _Refused("not JSON (nested too deeply)") from error
    except ValueError as error:  # of thousands of digits in one number, too
        raise _Refused(f"not JSON ({getattr(error, 'msg', error)})") from error
    if not isinstance(record, dict):
        raise _Refused("not a JSON object")
    return record


def _text(lines, name: str, reading: Reading) -> Iterator[Document | Unreadable]:
    """Documents of a text file; one that is too long, or has a part that cannot be read, is set
    aside as a whole.
    """
    first, parts, size, whole = 1, [], 0, True

    def finished():
        if not whole:
            return []
        if size > reading.max_bytes:
            return [
                Unreadable(
                    first,
                    f"a document of more than {reading.max_bytes:,} bytes",
                    _beginning(b"".join(parts)),
                )
            ]
        raw = b"".join(parts)
        if not raw.strip():
            return []
        try:
            record = {"text": _decode(raw).strip("\r\n")}
            return [
                _document(
                    record, name if reading.split == "file" else f"{name}:{first}", first, reading
                )
            ]
        except _Refused as refusal:
            return [Unreadable(first, str(refusal), _beginning(raw))]

    for number, raw in lines:
        at_end = reading.split == "line"
        if isinstance(raw, Unreadable):
            yield raw
            whole = False
        elif reading.split == "blank_line" and not raw.strip():
            at_end = True
        else:
            size += len(raw)
            if size <= reading.max_bytes or not parts:
                parts.append(raw)
        if at_end:
            yield from finished()
            first, parts, size, whole = number + 1, [], 0, True
    yield from finished()


def _wikiextractor(lines, name: str, reading: Reading) -> Iterator[Document | Unreadable]:
    """`<doc id= url= title=>`, the title, an empty line, paragraphs, `</doc>`; or an object a line
    (its --json).

    Both hold titles as the dump does, with entities. Version 3 escapes texts too, where it is not
    told otherwise; version 2 does not.
    """
    head, first, parts, size, whole = None, 1, [], 0, True
    for number, raw in lines:
        if isinstance(raw, Unreadable):
            yield raw
            whole = False  # the document around it, if there is one
        elif head is None and raw.startswith(b"{"):
            yield from map(_unescaped, _json_lines([(number, raw)], name, reading))
        elif match := _DOC.match(raw):
            if head is not None and whole:
                yield Unreadable(first, "a <doc> that is not closed", _beginning(b"".join(parts)))
            head, first, parts, size, whole = match, number, [], 0, True
        elif head is not None and raw.rstrip() == b"</doc>":
            if whole:
                yield _article(head, b"".join(parts), first, size, reading)
            head = None
        elif head is not None:
            size += len(raw)
            if size <= reading.max_bytes:
                parts.append(raw)
        elif raw.strip():
            yield Unreadable(number, "text outside of <doc>", _beginning(raw))
    if head is not None and whole:
        yield Unreadable(first, "a <doc> that is not closed", _beginning(b"".join(parts)))


def _article(
    head: re.Match, raw: bytes, line: int, size: int, reading: Reading
) -> Document | Unreadable:
    if size > reading.max_bytes:
        return Unreadable(
            line, f"a document of more than {reading.max_bytes:,} bytes", _beginning(raw)
        )
    try:
        id_, url, title = (_decode(part) for part in head.groups())
        text = _decode(raw).strip("\r\n")
        first, _, rest = text.partition("\n")
        if html.unescape(first.rstrip()) == html.unescape(title):
            text = rest.lstrip("\r\n")
        return _unescaped(
            _document(
                {"id": id_, "url": html.unescape(url), "title": title, "text": text},
                id_,
                line,
                reading,
            )
        )
    except _Refused as refusal:
        return Unreadable(line, str(refusal), _beginning(raw))


def _unescaped(found: Document | Unreadable) -> Document | Unreadable:
    """A document of WikiExtractor with the characters that its entities stand for."""
    if isinstance(found, Unreadable):
        return found
    # one that was escaped holds no bare < or &
    text = found.text if _NOT_ESCAPED.search(found.text) else html.unescape(found.text)
    return dataclasses.replace(found, title=html.unescape(found.title), text=text)


def _parquet(file, path: str, reading: Reading) -> Iterator[Document | Unreadable]:
    name, names, row = path.rsplit("/", 1)[-1], dict(reading.fields), 0
    try:
        table = pyarrow.parquet.ParquetFile(file)
        wanted = [names.get(field, field) for field in ("id", "text", *FIELDS)]
        columns = [column for column in wanted if column in table.schema_arrow.names]
        for batch in table.iter_batches(batch_size=256, columns=columns):
            cells = list(zip(batch.schema.names, batch.columns))
            for index in range(batch.num_rows):
                row += 1
                try:
                    record = {column: _value(values[index]) for column, values in cells}
                    if (
                        len(
                            str(record.get(names.get("text", "text")) or "").encode(
                                "utf-8", "replace"
                            )
                        )
                        > reading.max_bytes
                    ):
                        raise _Refused(f"a document of more than {reading.max_bytes:,} bytes")
                    yield _document(record, f"{name}:{row}", row, reading)
                except _Refused as refusal:
                    yield Unreadable(row, str(refusal))
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
        yield Unreadable(
            row + 1,
            f"damaged Parquet ({str(error).splitlines()[0]}); nothing after this row was read",
        )


def _value(scalar: pyarrow.Scalar):
    try:
        return scalar.as_py()
    except UnicodeDecodeError as error:
        raise _Refused(f"invalid UTF-8 at byte {error.start}") from error
