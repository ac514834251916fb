"""The reader of documents: JSON lines and text files as `Document` or `Unreadable`, in order.

A policy on top decides what happens to an `Unreadable`: `read_documents` raises it, or asks for
invalid UTF-8 to be replaced; the corpus pipeline sets it aside (`hclx.corpus.readers`, which adds
formats to this reader).
"""

import dataclasses
import glob
import gzip
import json
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import BinaryIO

from hclx.errors import ConfigError, DataError

SUFFIXES = (".jsonl", ".jsonl.gz", ".txt", ".txt.gz")
_BEGINNING_BYTES = 200
# Formats of raw files of a corpus; `hclx.corpus.readers` reads those that are not read here.
FORMATS = ("jsonl", "text", "parquet", "wikiextractor")
SPLITS = ("file", "line", "blank_line")
HTML = ("keep", "strip")
EMPTY_BRACKETS = ("keep", "remove")


@dataclasses.dataclass(frozen=True)
class Reading:
    """The way in which the files of a source are read.

    Attributes:
      format: one of FORMATS; if it is "", the file's name decides.
      split: one of SPLITS: whether a document of a text file is the file, a line, or the text
        between blank lines.
      fields: (our name, name in the file) pairs, such as ("text", "content").
      licence: of documents that name none.
      max_bytes: of one line or document; longer ones are quarantined, and never held in memory.
      html: one of HTML: whether tags are left as they are, or stripped and entities decoded.
      empty_brackets: one of EMPTY_BRACKETS: whether brackets without content are kept or removed;
        those of the format wikiextractor always are removed.
    """

    format: str = ""
    split: str = "file"
    fields: tuple[tuple[str, str], ...] = ()
    licence: str = ""
    max_bytes: int = 64 << 20
    html: str = "keep"
    empty_brackets: str = "keep"


@dataclasses.dataclass(frozen=True)
class Document:
    """A text and where it was found.

    Attributes:
      path: the file.
      line: where it begins, from 1; in a Parquet file, its row.
      id, url, title, date, licence: fields of its record; "" if the record has none.
      replaced: invalid UTF-8 in its record was replaced by U+FFFD.
    """

    text: str
    path: str = ""
    line: int = 0
    id: str = ""
    url: str = ""
    title: str = ""
    date: str = ""
    licence: str = ""
    replaced: bool = False


@dataclasses.dataclass(frozen=True)
class Unreadable:
    """A record that is no document.

    Attributes:
      line: where it begins, from 1; in a Parquet file, its row.
      reason: what is wrong with it.
      beginning: its first bytes as text.
      advice: what the owner of the file can do.
    """

    line: int
    reason: str
    beginning: str = ""
    advice: str = dataclasses.field(default="", compare=False)


class UnreadableRecordError(Exception):
    """The reason why a record is no document, and the advice for the owner of its file."""

    def __init__(self, reason: str, advice: str = ""):
        super().__init__(reason)
        self.advice = advice

    def at(self, line: int, raw: bytes = b"") -> Unreadable:
        """The record, which begins on this line (from 1) with these bytes."""
        return Unreadable(line, str(self), beginning(raw), self.advice)


def expand_globs(patterns: str) -> list[str]:
    """Files that match GLOB[,GLOB...], sorted, each once; `**` matches folders of any depth.

    Raises:
      ConfigError: no pattern is given, or a file is of a kind that cannot be read.
      DataError: a pattern matches nothing.
    """
    names = [pattern.strip() for pattern in patterns.split(",") if pattern.strip()]
    if not names:
        raise ConfigError("no input is given; name files as GLOB[,GLOB...]")
    paths = set()
    for pattern in names:
        matches = glob.glob(pattern, recursive=True)
        if not matches:
            raise DataError(f"{pattern} matches no file; input is {', '.join(SUFFIXES)}")
        paths.update(matches)
    for path in paths:
        if not path.endswith(SUFFIXES):
            raise ConfigError(f"{path} is none of {', '.join(SUFFIXES)}")
    return sorted(paths)


def read_documents(
    paths: Iterable[str], invalid_utf8: str = "refuse", counts: Counter | None = None
) -> Iterator[Document]:
    """Yields the documents of files in the order of `paths`, and raises at what cannot be read.

    Args:
      paths: `.jsonl[.gz]` holds one object with a string `text` a line; `.txt[.gz]` is one
        document.
      invalid_utf8: "refuse", or "replace" each bad sequence by U+FFFD.
      counts: takes the numbers of `documents`, of those that were `empty` (skipped) or had
        `invalid_utf8`, and of `file_bytes`: how much of the files, as they are on disk, was read.
    Yields:
      Documents whose text is not empty, with `path`, `line` and `replaced` set.
    Raises:
      DataError: names the file and line that cannot be read.
      OSError: a file cannot be opened.
    """
    counts = Counter() if counts is None else counts
    for path in paths:
        with open(path, "rb") as file:
            position = 0
            for record in read_file(file, path, invalid_utf8):
                counts["file_bytes"] += file.tell() - position
                position = file.tell()
                if isinstance(record, Unreadable):
                    raise DataError(f"{path}:{record.line}: {record.reason}; {record.advice}")
                counts.update(invalid_utf8=1) if record.replaced else None
                counts["documents" if record.text else "empty"] += 1
                if record.text:
                    yield record


def read_file(
    file: BinaryIO, path: str, invalid_utf8: str = "refuse"
) -> Iterator[Document | Unreadable]:
    """Everything in a JSON lines or text file, in order.

    Args:
      file: its bytes, compressed if `path` ends in `.gz`.
      path: its name, for the format and the documents.
      invalid_utf8: "refuse" makes a record with a bad sequence unreadable; "replace" replaces the
        sequence by U+FFFD.
    Yields:
      A document for each line of JSON, blank lines left out, or for the whole text file, or
      `Unreadable` in its place. The text may be empty; `path`, `line` and `replaced` are set.
    """
    lines = numbered_lines(gzip.GzipFile(fileobj=file) if path.endswith(".gz") else file)
    is_json = ".jsonl" in path
    for line, raw in lines if is_json else _joined_lines(lines):
        if isinstance(raw, Unreadable):
            yield raw
            continue
        try:
            text, replaced = decode(raw, invalid_utf8)
            if is_json:
                if not text.strip():
                    continue
                text = text_field(parse_record(text))
            yield Document(text, path, line, replaced=replaced)
        except UnreadableRecordError as error:
            yield error.at(line, raw)


def numbered_lines(
    file: BinaryIO, max_bytes: int | None = None
) -> Iterator[tuple[int, bytes | Unreadable]]:
    """Lines with their numbers, from 1.

    Args:
      file: its bytes, not compressed.
      max_bytes: a longer line is unreadable, and is never held in memory.
    Yields:
      (number, line) pairs: the line as bytes with its newline, if it has one, or `Unreadable` in
      place of a line that is too long and at the point where a damaged gzip file ends.
    """
    number, size = 0, -1 if max_bytes is None else max_bytes + 1
    try:
        while line := file.readline(size):
            number += 1
            if max_bytes is None or len(line) <= max_bytes:
                yield number, line
                continue
            start = beginning(line)
            while line and not line.endswith(b"\n"):
                line = file.readline(1 << 20)
            yield number, Unreadable(number, f"a line of more than {max_bytes:,} bytes", start)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        reason = f"damaged or truncated here ({error}); nothing after this line was read"
        yield number + 1, Unreadable(number + 1, reason, advice="get the file again")


def _joined_lines(lines) -> Iterator[tuple[int, bytes | Unreadable]]:
    """All lines of a file as one, or the first that cannot be read."""
    whole = []
    for line, raw in lines:
        if isinstance(raw, Unreadable):
            yield line, raw
            return
        whole.append(raw)
    yield 1, b"".join(whole)


def beginning(raw: bytes) -> str:
    """The first 200 bytes of a record as text, invalid UTF-8 as U+FFFD."""
    return raw[:_BEGINNING_BYTES].decode("utf-8", "replace")


def decode(raw: bytes, invalid_utf8: str = "refuse") -> tuple[str, bool]:
    """Text of UTF-8, and whether anything in it was replaced.

    Args:
      raw: the bytes.
      invalid_utf8: "refuse", or "replace" each bad sequence by U+FFFD.
    Raises:
      UnreadableRecordError: the bytes are not UTF-8, and `invalid_utf8` is "refuse".
    """
    try:
        return raw.decode("utf-8"), False
    except UnicodeDecodeError as error:
        if invalid_utf8 == "replace":
            return raw.decode("utf-8", "replace"), True
        raise UnreadableRecordError(
            f"invalid UTF-8 at byte {error.start}", "mend the file, or choose invalid_utf8=replace"
        ) from error


_EACH_LINE = "each line must be one JSON object with `text`"


def parse_record(text: str) -> dict:
    """The object of a JSON line.

    Raises:
      UnreadableRecordError: the line holds no JSON object.
    """
    try:
        record = json.loads(text)
    except RecursionError as error:
        raise UnreadableRecordError("not JSON (nested too deeply)", _EACH_LINE) from error
    except ValueError as error:  # this includes numbers of thousands of digits
        message = getattr(error, "msg", error)
        raise UnreadableRecordError(f"not JSON ({message})", _EACH_LINE) from error
    if not isinstance(record, dict):
        raise UnreadableRecordError("not a JSON object", _EACH_LINE)
    return record


def text_field(record: dict, name: str = "text") -> str:
    """The text of a record, from the field of this name.

    Raises:
      UnreadableRecordError: the field is missing or holds no string.
    """
    text = record.get(name)
    if not isinstance(text, str):
        raise UnreadableRecordError("no string field `text`", _EACH_LINE)
    return text
