"""Reads the rows of CSV and JSONL files from which a model is tuned."""

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from hclx.errors import ConfigError, DataError, shown

_FORMATS = {".csv": "csv", ".tsv": "csv", ".jsonl": "jsonl", ".json": "jsonl"}


class Row(NamedTuple):
    """A row.

    Attributes:
      where: "FILE:LINE", for messages.
      fields: name -> value, texts in a CSV file.
    """

    where: str
    fields: dict[str, Any]


def read_rows(path: str | Path, encoding: str = "", limit: int = 0) -> list[Row]:
    """Reads a file: CSV with the names of its columns in the first line (.csv; .tsv with tabs), or
    a JSON object a line (.jsonl).

    Args:
      path: of the file.
      encoding: such as "cp949"; "": UTF-8, with or without a byte order mark.
      limit: at most so many of the first rows; 0: all.
    Raises:
      ConfigError: the ending of the name or the encoding is not known.
      DataError: the file is missing, empty, of another encoding, or has a malformed line, which is
        named.
    """
    path = Path(path)
    if path.suffix.lower() not in _FORMATS:
        raise ConfigError(f"--data={path}: give a file .csv, .tsv or .jsonl")
    return rows_of_text(path, _decoded(path, encoding), limit)


def rows_of_text(path: str | Path, text: str, limit: int = 0) -> list[Row]:
    """Reads the rows of the text of a file.

    Args:
      path: names the file; its ending says how it is written, see `read_rows`.
      text: the whole of it, without a byte order mark.
      limit: at most so many of the first rows; 0: all.
    Raises:
      DataError: there are no rows, or a line is malformed, which is named.
    """
    path = Path(path)
    read = _csv_rows if _FORMATS[path.suffix.lower()] == "csv" else _json_rows
    rows = []
    for row in read(path, text):
        rows.append(row)
        if len(rows) == limit:
            break
    if not rows:
        raise DataError(f"{path} has no rows; give one or more")
    return rows


def _decoded(path: Path, encoding: str) -> str:
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist; name a file .csv or .jsonl") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
    try:
        return content.decode(encoding or "utf-8-sig")
    except LookupError as error:
        raise ConfigError(f"DataConfig.encoding={encoding!r} is not known to Python") from error
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise DataError(
            f"{path}:{line} is not {encoding or 'UTF-8'}; give the encoding of the file, such as"
            f" --gin.DataConfig.encoding={'cp949' if not encoding else 'utf-8'}"
        ) from error


def _csv_rows(path: Path, text: str) -> Iterator[Row]:
    """Reads rows of as many cells as the first line names; a cell in quotes may have newlines."""
    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    names, line = None, 1
    try:
        for cells in reader:
            where, line = f"{path}:{line}", reader.line_num + 1
            if not cells:
                continue
            if names is None:
                names = cells
                if len(set(names)) < len(names):
                    raise DataError(f"{where}: two columns have one name: {shown(names)}")
            elif len(cells) != len(names):
                raise DataError(
                    f"{where} has {len(cells)} cells, and the first line names {len(names)}:"
                    f" {', '.join(names)}; put a text with commas or newlines in quotes"
                )
            else:
                yield Row(where, dict(zip(names, cells)))
    except csv.Error as error:
        raise DataError(f"{path}:{reader.line_num} is no CSV: {error}") from error


def _json_rows(path: Path, text: str) -> Iterator[Row]:
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        where = f"{path}:{number}"
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{where} is no JSON: {error}") from error
        if not isinstance(record, dict):
            raise DataError(f"{where} is {shown(record)}, and no object with fields")
        yield Row(where, record)
