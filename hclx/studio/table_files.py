"""Tables of files that people bring: CSV, TSV and JSON lines, in UTF-8 or an encoding of Korean."""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import PurePath

from hclx.errors import DataError, shown
from hclx.field_checks import either, require
from hclx.text.decoding import guess_encoding
from hclx.tune.row_files import rows_of_text

MOST_ROWS = 20_000
MOST_BYTES = 2**24  # of a file, and of the rows of a table as JSON
MOST_COLUMNS = 200
ENDINGS = (".csv", ".tsv", ".jsonl")
ENCODINGS = ("utf-8", "cp949", "euc-kr", "johab", "utf-16", "utf-16-le", "utf-16-be")
_LONGEST_NAME = 200  # of a file or a column
_UTF_16_MARKS = (b"\xff\xfe", b"\xfe\xff")


@dataclasses.dataclass(frozen=True)
class TableFile:
    """The table of a file.

    Attributes:
      columns: their names.
      rows: lists of as many texts.
      encoding: that the file has: of `ENCODINGS`.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    encoding: str


def read_table(name: str, content: bytes, encoding: str = "") -> TableFile:
    """Reads a file. Values of JSON that are no texts become texts as JSON writes them, and null and
    what a line has not become empty ones.

    Args:
      name: of the file, whose ending says how it is written.
      content: the whole of it.
      encoding: of `ENCODINGS`; "": it is told by the content.
    Raises:
      ConfigError: the name or the encoding is none that is known.
      DataError: a line is wrong, which is named, the encoding cannot be told, or there is too much
        or nothing.
    """
    ending = PurePath(name).suffix.lower()
    is_plain = name.isprintable() and "/" not in name and len(name) <= _LONGEST_NAME
    endings = f"name={shown(name)}: give the name of a file with {either(ENDINGS)}"
    require(is_plain and ending in ENDINGS, endings)
    known = f"encoding={shown(encoding)}: give {either(ENCODINGS)}, or none"
    require(encoding in ("", *ENCODINGS), known)
    encoding, text = _decoded(name, content, encoding)
    read = rows_of_text(name, text.removeprefix("\ufeff"), MOST_ROWS + 1)
    if len(read) > MOST_ROWS:
        raise DataError(f"{name} has more than {MOST_ROWS:,} rows; split it")
    columns = list(dict.fromkeys(field for row in read for field in row.fields))
    rows = [[_cell(row.fields.get(column)) for column in columns] for row in read]
    check_table(columns, rows)
    return TableFile(columns, rows, encoding)


def check_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Raises DataError if columns and rows are no table, or too large a one."""
    if not 1 <= len(columns) <= MOST_COLUMNS:
        text = f"columns: there are {len(columns):,} of them; give from 1 to {MOST_COLUMNS}"
        raise DataError(text)
    if long := next((name for name in columns if len(name) > _LONGEST_NAME), ""):
        text = f"columns: {shown(long)} has more than {_LONGEST_NAME} characters; shorten it"
        raise DataError(text)
    if len(set(columns)) < len(columns):
        twice = next(name for name in columns if columns.count(name) > 1)
        raise DataError(f"columns: {shown(twice)} stands there twice; rename one of them")
    if len(rows) > MOST_ROWS:
        raise DataError(f"rows: there are {len(rows):,} of them; give at most {MOST_ROWS:,}")
    for number, row in enumerate(rows):
        if len(row) != len(columns):
            text = f"rows[{number}] has {len(row)} texts, and there are {len(columns)} columns"
            raise DataError(text)


def _decoded(name: str, content: bytes, encoding: str) -> tuple[str, str]:
    """Returns the encoding of a file and its text."""
    if not encoding:
        encoding = "utf-16" if content.startswith(_UTF_16_MARKS) else "utf-8"
        try:
            return encoding, content.decode(encoding)
        except UnicodeDecodeError as error:
            # The first line that is not in UTF-8: those before may have no Hangul.
            start = content.rfind(b"\n", 0, error.start) + 1
            encoding = guess_encoding(content[start:])
    if encoding == "utf-8" or not encoding:
        encoding = "utf-8"
    try:
        return encoding, content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        text = f"{name}:{line} is not in {encoding}; give the encoding of the file, or save it as"
        raise DataError(f"{text} CSV in UTF-8") from error


def _cell(value: object) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
