"""Reads labelled texts of one's own: CSV or TSV with a head, or a JSON object a line."""

import csv
import dataclasses
import io
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from hclx.errors import ConfigError, DataError, shown
from hclx.text.decoding import TextFile, check_encoding, decompressed
from hclx.text.documents import TrainingReading, composed
from hclx.text.records import Unreadable, UnreadableRecordError

_FORMATS = {".csv": ",", ".tsv": "\t", ".jsonl": ""}


@dataclasses.dataclass(frozen=True)
class Seed:
    """A labelled text.

    Attributes:
      id: of the column `id`, or the number of its line.
      text: one line, in NFC, without spaces around it.
      label: the key of its class.
      place: the file and the line, for messages.
    """

    id: str
    text: str
    label: str
    place: str = dataclasses.field(default="", compare=False)


@dataclasses.dataclass(frozen=True)
class Row:
    """A row of a table, or an object of a file with one a line: its place, and column -> text."""

    place: str
    values: Mapping[str, str]

    def text(self, column: str) -> str:
        """Returns a value as one line in NFC. Raises DataError if it is missing or empty."""
        if column not in self.values:
            have = ", ".join(self.values) or "none"
            raise DataError(f"{self.place}: no column {column!r}; the file has {have}")
        value = self.values[column]
        if not isinstance(value, str) or not value.strip():
            raise DataError(f"{self.place}: {column}={shown(value)} is no text")
        return composed(" ".join(value.split()))


def read_seeds(
    path: str | Path, text: str = "text", label: str = "label", encoding: str = ""
) -> tuple[Seed, ...]:
    """Reads labelled texts.

    Args:
      path: a file, see `read_rows`.
      text, label: the columns. Numbers of JSON count as texts in the label.
      encoding: see `read_rows`.
    Raises:
      DataError: names the file and the line that is wrong, or says that there are no rows.
    """
    seeds, lines_of = [], {}
    for number, row in enumerate(read_rows(path, encoding), 1):
        own = row.values.get("id")
        seed = Seed(
            str(number) if own in (None, "") else str(own),
            row.text(text),
            _label(row, label),
            row.place,
        )
        if seed.id in lines_of:
            raise DataError(f"{row.place}: the id {shown(seed.id)} is that of {lines_of[seed.id]}")
        lines_of[seed.id] = row.place
        seeds.append(seed)
    if not seeds:
        raise DataError(f"{path} has no rows; give labelled texts")
    return tuple(seeds)


def _label(row: Row, column: str) -> str:
    value = row.values.get(column)
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    return str(value) if is_whole else row.text(column)


def read_rows(path: str | Path, encoding: str = "") -> Iterator[Row]:
    """Yields the rows of a file, plain or compressed.

    Args:
      path: of .csv or .tsv with a head, or .jsonl; .gz, .bz2, .xz or .zst may follow. Quotes of
        .csv hold commas and newlines; those of .tsv are text. Blank lines are skipped.
      encoding: "" is UTF-8, or UTF-16 with a byte order mark.
    Raises:
      ConfigError: the encoding is unknown.
      DataError: the file is missing or of another format, or a line cannot be read: names it.
    """
    path = str(path)
    endings = [ending for ending in Path(path).suffixes if ending.lower() in _FORMATS]
    if not endings:
        raise ConfigError(f"{path} is of no known format; name a file of .csv, .tsv or .jsonl")
    if encoding:
        check_encoding(encoding)
    delimiter = _FORMATS[endings[-1].lower()]
    read = (lambda lines: _table(path, lines, delimiter)) if delimiter else _objects
    try:
        with open(path, "rb") as file:
            yield from read(_lines(file, path, encoding))
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist; name a file of .csv, .tsv or .jsonl") from error


def _lines(file: io.BufferedReader, path: str, encoding: str) -> Iterator[tuple[str, str]]:
    """Yields (place, line with its end)."""
    reading = TrainingReading(max_bytes=None, encoding=encoding, flags="--", settings=("encoding",))
    text_file = TextFile(decompressed(file, path), reading)
    for number, raw in text_file.lines():
        place = f"{path}:{number}"
        try:
            if isinstance(raw, Unreadable):
                raise UnreadableRecordError(raw.reason, raw.advice)
            yield place, text_file.decode(raw)[0]
        except UnreadableRecordError as error:
            advice = f"; {error.advice}" if error.advice else ""
            raise DataError(f"{place}: {error}{advice}") from error


def _objects(lines: Iterator[tuple[str, str]]) -> Iterator[Row]:
    for place, line in lines:
        if not line.strip():
            continue
        try:
            values = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{place} is no JSON: {error}") from error
        if not isinstance(values, dict):
            raise DataError(f"{place} is no JSON object but {shown(values)}")
        yield Row(place, values)


def _table(path: str, lines: Iterator[tuple[str, str]], delimiter: str) -> Iterator[Row]:
    place = f"{path}:1"

    def texts():
        nonlocal place
        for place, line in lines:  # noqa: B007, the place of the line that was read last
            yield line

    quoting = csv.QUOTE_MINIMAL if delimiter == "," else csv.QUOTE_NONE
    rows = csv.reader(texts(), delimiter=delimiter, quoting=quoting, strict=True)
    head: list[str] = []
    try:
        for row in rows:
            if not row:
                continue
            if not head:
                head = [name.strip() for name in row]
                continue
            if len(row) != len(head):
                raise DataError(f"{place} has {len(row)} columns, and the head has {len(head)}")
            yield Row(place, dict(zip(head, row)))
    except csv.Error as error:
        raise DataError(f"{place} cannot be read: {error}; mend its quotes") from error
