"""The formats of files as documents: JSON lines, text and WikiExtractor, and `parquet_rows`.

`read_records` is the one reader of all commands. What becomes of an `Unreadable` is decided by
whoever calls it: `hclx.text.documents` raises, `hclx.corpus.readers` sets it aside.
"""

import dataclasses
import functools
import html
import json
import re
from collections.abc import Callable, Iterator
from typing import BinaryIO

from hclx.errors import ConfigError
from hclx.text.decoding import (
    COMPRESSIONS,
    TextFile,
    check_encoding,
    decompressed,
    is_blank,
    is_compressed,
)
from hclx.text.records import (
    FIELDS,
    FORMATS,
    Document,
    Reading,
    Unreadable,
    UnreadableRecordError,
)

Records = Iterator[Document | Unreadable]
_FORMAT_OF = {"jsonl": "jsonl", "json": "jsonl", "txt": "text", "md": "text", "parquet": "parquet"}
ENDINGS = tuple(f".{name}" for name in _FORMAT_OF)
KINDS = f"{', '.join(ENDINGS)} or wiki_NN, each plain or compressed ({', '.join(COMPRESSIONS)})"
# Some versions leave the quotes of titles bare; options, and the reader of Cirrus dumps, add a
# revision and a language.
_DOC = re.compile(
    rb'^<doc id="([^"]*)"(?: revid="[^"]*")? url="([^"]*)" title="(.*?)"(?: language="[^"]*"'
    rb' revision="[^"]*")?>\s*$'
)
_NOT_ESCAPED = re.compile("[<>]|&(?!(?:amp|lt|gt);)")
_SURROGATE = re.compile("[\ud800-\udfff]")
_EACH_LINE = "each line must be one JSON object with `text`"
_SHOWN_FIELDS = 8  # that a message names
_TEXT_NAMES = ("content", "body", "document", "article", "contents", "본문", "내용")


def format_of(path: str, reading: Reading = Reading()) -> str:
    """Returns the format of a file, one of FORMATS.

    Args:
      path: its name decides, if `reading` names no format; the endings of compressed files do not
        count, nor does the case of letters.
      reading: how the files of its source are read.
    Raises:
      ConfigError: its name does not tell, or the format is unknown.
    """
    if reading.format in FORMATS:
        return reading.format
    if reading.format:
        raise ConfigError(f"format={reading.format!r} is not one of {', '.join(FORMATS)}")
    if known := known_format(path):
        return known
    raise ConfigError(
        f"{path}: its format cannot be told from its name, which is none of {KINDS}; rename it, or"
        f" give its source a format: {', '.join(FORMATS)}"
    )


def known_format(path: str) -> str:
    """Returns the format that a file's name tells, one of FORMATS, or ""."""
    name = path.rsplit("/", 1)[-1].lower()
    while is_compressed(name):
        name = name.rpartition(".")[0]
    stem, _, suffix = name.rpartition(".")
    if stem and suffix in _FORMAT_OF:
        return _FORMAT_OF[suffix]
    return "wikiextractor" if re.fullmatch(r"wiki_\d+", name) else ""


def accept(text: str) -> None:
    """Accepts every text; a check of `read_records`."""


def read_records(
    file: BinaryIO,
    path: str,
    reading: Reading = Reading(),
    name: str = "",
    check: Callable[[str], None] = accept,
) -> Records:
    """Yields everything in a file, in order: a Document each, or an Unreadable for a record that is
    none.

    A damaged file (gzip that is truncated, broken Parquet) ends with an Unreadable in place of what
    cannot be read; the records before it are yielded. A document of a text file, or an article,
    that the damage cuts off is not.

    Args:
      file: its bytes as they are on disk; Parquet needs a file that can seek.
      path: its name, for the format and the documents.
      reading: how it is read.
      name: documents without an id get NAME:LINE, or NAME if the file is one document; default:
        the last part of `path`.
      check: raises UnreadableRecordError for a text that is refused.
    Raises:
      ConfigError: the format or the encoding is unknown, or a library for it is missing.
      OSError: the disk or the network cannot be read.
    """
    kind = format_of(path, reading)
    if reading.encoding:
        check_encoding(reading.encoding)
    parser = Parser(path, name or path.rsplit("/", 1)[-1], reading, check)
    file = decompressed(file, path)
    if kind == "parquet":
        from hclx.text.parquet_rows import parquet_rows  # imports pyarrow

        return parquet_rows(file, parser)
    text = TextFile(file, reading)
    return {"jsonl": _json_lines, "text": _texts, "wikiextractor": _articles}[kind](text, parser)


@dataclasses.dataclass(frozen=True)
class Parser:
    """Makes documents of the records of a file; for the attributes see `read_records`."""

    path: str
    name: str
    reading: Reading
    check: Callable[[str], None]

    def document(
        self, record: dict, line: int, doc_id: str = "", replaced: bool = False
    ) -> Document:
        """The document of a record.

        Args:
          record: name in the file -> value.
          line: where it begins, from 1.
          doc_id: if the record has no id; default: NAME:LINE.
          replaced: see `Document`.
        Raises:
          UnreadableRecordError: it has no text, or one that is refused.
        """
        names = self._names
        text = record.get(names["text"])
        if names["text"] not in record:
            strings = {key: value for key, value in record.items() if isinstance(value, str)}
            raise self.without_text(list(record), {key: len(text) for key, text in strings.items()})
        if not isinstance(text, str):
            kind = "null" if text is None else type(text).__name__
            reason = f"no string field `{names['text']}` (it is of type {kind})"
            raise UnreadableRecordError(reason, "" if self._is_parquet else _EACH_LINE)
        self.check(text)
        fields = {name: _string(record.get(names[name])) for name in FIELDS}
        fields["licence"] = fields["licence"] or self.reading.licence
        own = record.get(names["id"])
        own = "" if own is None else _SURROGATE.sub("\ufffd", str(own))  # an id may be 0
        doc_id = own or doc_id or f"{self.name}:{line}"
        return Document(text, self.path, line, doc_id, **fields, replaced=replaced)

    @functools.cached_property
    def _names(self) -> dict[str, str]:
        """Our name of each field -> its name in the file."""
        return {name: name for name in ("id", "text", *FIELDS)} | dict(self.reading.fields)

    def without_text(self, fields: list[str], lengths: dict[str, float]) -> UnreadableRecordError:
        """The error for a record that has no field for its text; it advises which one could be it.

        Args:
          fields: names of the fields that there are.
          lengths: names of those that hold strings -> the length of the string.
        """
        shown = ", ".join(map(str, fields[:_SHOWN_FIELDS]))
        more = ", ..." if len(fields) > _SHOWN_FIELDS else ""
        texts = {
            name: n for name, n in lengths.items() if n and name not in (*FIELDS, self._names["id"])
        }
        known = [name for known in _TEXT_NAMES for name in texts if name.lower() == known]
        hint = f"; {self._name_text((known or [max(texts, key=texts.get)])[0])}" if texts else ""
        held = f"the record has fields {shown}{more}{hint}" if fields else "the record is empty"
        reason = f"no string field `{self._names['text']}` ({held})"
        return UnreadableRecordError(reason, "" if self._is_parquet else _EACH_LINE, True)

    def _name_text(self, field: str) -> str:
        """The advice for records whose text is in another field."""
        if advice := self.reading.advise("fields", f"{{text: {field}}}"):
            return advice
        if self._is_parquet:
            return f"rename the column {field} to text"
        return f"rename it with `jq -c '{{text: .[\"{field}\"]}}' FILE`"

    @property
    def _is_parquet(self) -> bool:
        return format_of(self.path, self.reading) == "parquet"


def _string(value) -> str:
    return _SURROGATE.sub("\ufffd", str(value)) if value else ""


def parse_record(text: str, hint: str = "") -> dict:
    """The object of a JSON line.

    Args:
      text: the line.
      hint: a guess at what the file is, for the message.
    Raises:
      UnreadableRecordError: the line holds no JSON object.
    """
    hint = f"; {hint}" if hint else ""
    try:
        record = json.loads(text)
    except RecursionError as error:
        raise UnreadableRecordError("not JSON (nested too deeply)", _EACH_LINE) from error
    except ValueError as error:  # this includes numbers of thousands of digits
        message = getattr(error, "msg", error)
        raise UnreadableRecordError(f"not JSON ({message}{hint})", _EACH_LINE, True) from error
    if not isinstance(record, dict):
        hint = f" ({hint.removeprefix('; ')})" if hint else ""
        raise UnreadableRecordError(f"not a JSON object{hint}", _EACH_LINE, True)
    return record


def _guess(raw: bytes, file: TextFile) -> str:
    """A guess at the kind of a file whose first line is no JSON object; "" without one."""
    if b"\0" in raw:
        return file.hint(raw).removeprefix(", ")
    raw = raw.strip()
    if raw.startswith(b"["):
        kind, command = "a JSON array", "jq -c '.[]'"
    elif raw.startswith(b"{") and not raw.endswith(b"}") and not raw.endswith(b","):
        kind, command = "one JSON document over many lines", "jq -c ."
    elif raw.startswith(b"{") and raw.endswith(b"},"):
        return "a comma follows the object; remove it from each line"
    else:
        return ""
    return f"the file looks like {kind}; write one object a line, as `{command} FILE` does"


def _json_lines(file: TextFile, parser: Parser) -> Records:
    """An object a line; blank lines are no records."""
    guess = None
    for line, raw in file.lines(parser.reading.max_bytes):
        if isinstance(raw, Unreadable):
            yield raw
        elif raw.strip():
            record = _json_line(file, raw, line, parser, guess or "")
            if guess is None:  # the first line tells
                guess = _guess(raw, file) if isinstance(record, Unreadable) else ""
                record = _json_line(file, raw, line, parser, guess) if guess else record
            yield record


def _json_line(
    file: TextFile, raw: bytes, line: int, parser: Parser, guess: str = ""
) -> Document | Unreadable:
    try:
        text, replaced = file.decode(raw)
        return parser.document(parse_record(text, guess), line, replaced=replaced)
    except UnreadableRecordError as error:
        return error.at(line, raw)


class _Lines:
    """The lines of a document while it is read; no more of them are held than it may have."""

    def __init__(self, line: int, max_bytes: int | None):
        self.line, self._max_bytes = line, max_bytes
        self.is_whole, self._size, self._lines = True, 0, []

    def append(self, raw: bytes) -> None:
        """Adds a line."""
        self._size += len(raw)
        if not self._is_too_long:
            self._lines.append(raw)

    @property
    def _is_too_long(self) -> bool:
        return self._max_bytes is not None and self._size > self._max_bytes

    @property
    def raw(self) -> bytes:
        """The lines that are held."""
        return b"".join(self._lines)

    def finish(self, make) -> Records:
        """Yields the document `make(bytes)`, if there is one and no line of it was unreadable."""
        if not self.is_whole:
            return
        try:
            if self._is_too_long:
                raise too_long(self._max_bytes)
            if document := make(self.raw):
                yield document
        except UnreadableRecordError as error:
            yield error.at(self.line, self.raw)


def too_long(max_bytes: int) -> UnreadableRecordError:
    """The error for a document of more than this many bytes."""
    reason = f"a document of more than {max_bytes:,} bytes"
    return UnreadableRecordError(reason, "split the file by line or blank_line, or raise max_bytes")


def _texts(file: TextFile, parser: Parser) -> Records:
    """Documents of a text file; one that is too long, or has a part that cannot be read, is set
    aside as a whole.
    """
    split, max_bytes = parser.reading.split or "file", parser.reading.max_bytes
    lines = _Lines(1, max_bytes)

    def document(raw: bytes) -> Document | None:
        if is_blank(raw):
            return None
        text, replaced = file.decode(raw)
        doc_id = parser.name if split == "file" else ""
        record = {dict(parser.reading.fields).get("text", "text"): text.strip("\r\n")}
        return parser.document(record, lines.line, doc_id, replaced)

    for line, raw in file.lines(max_bytes):
        is_end = split == "line"
        if isinstance(raw, Unreadable):
            yield raw
            lines.is_whole = False
        elif split == "blank_line" and is_blank(raw):
            is_end = True
        else:
            lines.append(raw)
        if is_end:
            yield from lines.finish(document)
            lines = _Lines(line + 1, max_bytes)
    yield from lines.finish(document)


def _articles(file: TextFile, parser: Parser) -> Records:
    """`<doc id= url= title=>`, the title, an empty line, paragraphs, `</doc>`; or an object a line
    (its --json).

    Both hold titles as the dump does, with entities. Version 3 escapes texts too, unless it is told
    otherwise; version 2 does not.
    """
    max_bytes = parser.reading.max_bytes
    head, lines = None, _Lines(1, max_bytes)
    not_closed = UnreadableRecordError("a <doc> that is not closed")
    for line, raw in file.lines(max_bytes):
        if isinstance(raw, Unreadable):
            yield raw
            lines.is_whole = False  # the document around it, if there is one
        elif head is None and raw.startswith(b"{"):
            yield _unescape(_json_line(file, raw, line, parser))
        elif match := _DOC.match(raw):
            if head is not None and lines.is_whole:
                yield not_closed.at(lines.line, lines.raw)
            head, lines = match, _Lines(line, max_bytes)
        elif head is not None and raw.rstrip() == b"</doc>":
            yield from lines.finish(functools.partial(_article, head, lines.line, file, parser))
            head = None
        elif head is not None:
            lines.append(raw)
        elif raw.strip():
            yield UnreadableRecordError("text outside of <doc>").at(line, raw)
    if head is not None and lines.is_whole:
        yield not_closed.at(lines.line, lines.raw)


def _article(head: re.Match, line: int, file: TextFile, parser: Parser, raw: bytes) -> Document:
    doc_id, url, title = (file.decode(group)[0] for group in head.groups())
    text, replaced = file.decode(raw)
    text = text.strip("\r\n")
    first, _, rest = text.partition("\n")
    if html.unescape(first.rstrip()) == html.unescape(title):
        text = rest.lstrip("\r\n")
    record = {"id": doc_id, "url": html.unescape(url), "title": title, "text": text}
    names = dict(parser.reading.fields)
    record = {names.get(name, name): value for name, value in record.items()}
    return _unescape(parser.document(record, line, doc_id, replaced))


def _unescape(record: Document | Unreadable) -> Document | Unreadable:
    """A document of WikiExtractor with the characters that its entities denote."""
    if isinstance(record, Unreadable):
        return record
    # An escaped text holds no bare < or &.
    text = record.text if _NOT_ESCAPED.search(record.text) else html.unescape(record.text)
    return dataclasses.replace(record, title=html.unescape(record.title), text=text)
