"""Reads the rows and records of files, plain or gzipped, with the place of each, so that a reader
can say where a value is wrong.
"""

import csv
import dataclasses
import gzip
import io
import json
import math
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hclx.errors import DataError, shown


@dataclasses.dataclass(frozen=True)
class Record:
    """A row of a table, or an object of a JSON file.

    Attributes:
      values: field -> value; a row's values are texts.
      file: the path, and the number of the line, from 1, where the file has a record a line.
      trail: where in a JSON file, such as `data[0].paragraphs[2]`; records are counted from 0.
    """

    values: Mapping[str, Any]
    file: str
    trail: str = ""

    def error(self, field: str, problem: str) -> DataError:
        """Returns an error about a field of this record."""
        place = f"{self.file}: {self.trail}" if self.trail else self.file
        return DataError(f"{place}: field {field!r}: {problem}")

    def value(self, field: str) -> Any:
        """Returns a value. Raises DataError if there is none."""
        if field not in self.values:
            raise self.error(field, "missing")
        return self.values[field]

    def text(self, field: str, may_be_empty: bool = False) -> str:
        """Returns a text, as it stands. Raises DataError if it is none, or blank."""
        value = self.value(field)
        if not isinstance(value, str):
            raise self.error(field, f"{shown(value)} is no text")
        if not value.strip() and not may_be_empty:
            raise self.error(field, "empty; a text is expected")
        return value

    def label(self, field: str, keys: Mapping[str, str] | Sequence[str]) -> str:
        """Returns the key of a label.

        Args:
          field: its name.
          keys: the label as the publisher writes it -> key; or labels that are keys themselves.
        Raises:
          DataError: it is another text.
        """
        value = self.text(field).strip()
        if value not in keys:
            raise self.error(field, f"{shown(value)} is none of {', '.join(keys)}")
        return keys[value] if isinstance(keys, Mapping) else value

    def number(self, field: str, low: float, high: float) -> float:
        """Returns a number, or what a text holds. Raises DataError if it is not in [low, high]."""
        value = self.value(field)
        try:
            number = math.nan if isinstance(value, bool) else float(value)
        except (TypeError, ValueError):
            number = math.nan
        if not low <= number <= high:
            raise self.error(field, f"{shown(value)} is no number from {low:g} to {high:g}")
        return number

    def whole(self, field: str, low: int, high: float = math.inf) -> int:
        """Returns a whole number, or what a text holds. Raises DataError if it is none of them."""
        number = self.number(field, low, high)
        if not number.is_integer():
            raise self.error(field, f"{shown(self.values[field])} is no whole number")
        return int(number)

    def flag(self, field: str) -> bool:
        """Returns a truth value of JSON. Raises DataError if it is none."""
        value = self.value(field)
        if not isinstance(value, bool):
            raise self.error(field, f"{shown(value)} is neither true nor false")
        return value

    def texts(self, field: str) -> list[str]:
        """Returns a list of texts. Raises DataError if it is none, or one of them is blank."""
        values = self._list(field)
        inner = [Record({field: value}, self.file, self.trail) for value in values]
        return [record.text(field) for record in inner]

    def record(self, field: str) -> "Record":
        """Returns an object. Raises DataError if it is none."""
        return self._inner(field, self.value(field), field)

    def records(self, field: str) -> list["Record"]:
        """Returns a list of objects. Raises DataError if it is none."""
        values = self._list(field)
        return [self._inner(field, v, f"{field}[{number}]") for number, v in enumerate(values)]

    def _list(self, field: str) -> list:
        values = self.value(field)
        if not isinstance(values, list):
            raise self.error(field, f"{shown(values)} is no list")
        return values

    def _inner(self, field: str, value: object, step: str) -> "Record":
        if not isinstance(value, dict):
            raise self.error(field, f"{shown(value)} is no object")
        return Record(value, self.file, f"{self.trail}.{step}" if self.trail else step)


def read_text(path: str) -> str:
    """Reads a file of UTF-8, gzipped if its name ends with .gz, without a byte order mark.

    Raises:
      DataError: it is not UTF-8, or damaged.
    """
    raw = Path(path).read_bytes()
    try:
        raw = gzip.decompress(raw) if path.endswith(".gz") else raw
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{path} is damaged, or not gzipped: {error}") from error
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise DataError(f"{path}:{line} is not in UTF-8; convert the file to it") from error


def lines(path: str) -> Iterator[tuple[int, str]]:
    """Yields the lines of a file, without their ends, and their numbers from 1.

    Lines end with a newline alone: other characters that separate lines may be in a text.
    """
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        yield number, line.removesuffix("\r")


def tsv_records(path: str, columns: Sequence[str]) -> Iterator[Record]:
    """Yields the rows of a table with a head, whose columns tabs separate. Quotes are part of the
    text. Blank lines are skipped.

    Args:
      path: of the file.
      columns: those that it must have, among others, in any order.
    Raises:
      DataError: a column is missing, or a row has another number of columns.
    """
    rows = ((number, line.split("\t")) for number, line in lines(path) if line)
    return _table(path, rows, columns)


def csv_records(path: str, columns: Sequence[str]) -> Iterator[Record]:
    """Yields the rows of a table with a head, whose columns commas separate; a text in quotes may
    have commas and newlines. See `tsv_records`.
    """
    return _table(path, _csv_rows(path), columns)


def json_value(path: str) -> object:
    """Reads a JSON file. Raises DataError, with the line, if it is none."""
    return _json(read_text(path), path)


def json_records(path: str) -> list[Record]:
    """Reads a JSON file that is a list of objects.

    Raises:
      DataError: it is none.
    """
    values = json_value(path)
    if not isinstance(values, list):
        raise DataError(f"{path} is no list of objects but {shown(values)}")
    for number, value in enumerate(values):
        if not isinstance(value, dict):
            raise DataError(f"{path}: [{number}]: {shown(value)} is no object")
    return [Record(value, path, f"[{number}]") for number, value in enumerate(values)]


def json_object(path: str) -> Record:
    """Reads a JSON file that is an object. Raises DataError if it is none."""
    value = json_value(path)
    if not isinstance(value, dict):
        raise DataError(f"{path} is no object but {shown(value)}")
    return Record(value, path)


def jsonl_records(path: str) -> Iterator[Record]:
    """Yields the objects of a file with one a line. Blank lines are skipped.

    Raises:
      DataError: a line is none.
    """
    for number, line in lines(path):
        if line.strip():
            value = _json(line, path, number)
            if not isinstance(value, dict):
                raise DataError(f"{path}:{number}: {shown(value)} is no object")
            yield Record(value, f"{path}:{number}")


def _json(text: str, path: str, line: int = 1) -> object:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise DataError(f"{path}:{line + error.lineno - 1} is no JSON: {error.msg}") from error
    except (ValueError, RecursionError) as error:  # digits or brackets without end
        raise DataError(f"{path}:{line} is no JSON: {error}") from error


def _csv_rows(path: str) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(io.StringIO(read_text(path), newline=""), strict=True)
    number = 1
    try:
        for row in reader:
            if row:
                yield number, row
            number = reader.line_num + 1
    except csv.Error as error:
        raise DataError(f"{path}:{number} is no row of a table: {error}") from error


def _table(
    path: str, rows: Iterator[tuple[int, list[str]]], columns: Sequence[str]
) -> Iterator[Record]:
    first, head = next(rows, (1, []))
    for column in columns:
        if column not in head:
            raise DataError(f"{path}:{first} has no column {column!r} but {', '.join(head)}")
    for number, row in rows:
        if len(row) != len(head):
            raise DataError(
                f"{path}:{number} has {len(row)} columns, and the head has {len(head)}:"
                f" {', '.join(head)}"
            )
        yield Record(dict(zip(head, row, strict=True)), f"{path}:{number}")
