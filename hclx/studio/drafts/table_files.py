"""Tables of files that people bring: CSV, TSV and JSON lines, in UTF-8 or an encoding of Korean."""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import PurePath

from hclx.errors import DataError, shown
from hclx.field_checks import either, require
from hclx.text.decoding import guess_encoding
from hclx.text.documents import composed
from hclx.tune.row_files import rows_of_text

MOST_ROWS, MOST_COLUMNS = 20_000, 200
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
    what a line has not become empty ones. Names of columns are put into NFC, as slots are.

    Args:
      name: of the file, whose ending says how it is written.
      content: the whole of it.
      encoding: of `ENCODINGS`; "": it is told by the content.
    Raises:
      ConfigError: the name or the encoding is none that is known, or it makes no table.
      DataError: a line is wrong, which is named, the encoding cannot be told, or there is too much
        or nothing.
    """
    is_plain = name.isprintable() and "/" not in name and len(name) <= _LONGEST_NAME
    is_known = is_plain and PurePath(name).suffix.lower() in ENDINGS
    require(is_known, f"name={shown(name)}: give the name of a file with {either(ENDINGS)}")
    is_known = encoding in ("", *ENCODINGS)
    require(is_known, f"encoding={shown(encoding)}: give {either(ENCODINGS)}, or none")
    encoding, text = _decoded(name, content, encoding)
    read = rows_of_text(name, text.removeprefix("\ufeff"), MOST_ROWS + 1)
    fields = list(dict.fromkeys(field for row in read for field in row.fields))
    columns = [*map(composed, fields)]
    check_columns(columns)  # first: each of a million columns would have a million texts
    rows = [[_cell(row.fields.get(field)) for field in fields] for row in read]
    check_rows(rows, len(columns))
    return TableFile(columns, rows, encoding)


def check_columns(columns: Sequence[str]) -> None:
    """Raises ConfigError unless texts may be the names of the columns of a table."""
    is_whole = 1 <= len(columns) <= MOST_COLUMNS
    require(is_whole, f"columns: there are {len(columns):,}; give from 1 to {MOST_COLUMNS}")
    for name in columns:
        is_short = len(name) <= _LONGEST_NAME
        require(is_short, f"columns: {shown(name)} has more than {_LONGEST_NAME} characters")
        require(_is_text(name), f"columns: {shown(name)} has half of a character")
        require(columns.count(name) == 1, f"columns: {shown(name)} stands there twice; rename one")


def check_rows(rows: Sequence[Sequence[str]], n_columns: int) -> None:
    """Raises ConfigError unless texts may be the rows of a table of so many columns."""
    require(len(rows) <= MOST_ROWS, f"rows: there are more than {MOST_ROWS:,}; split the table")
    for number, row in enumerate(rows):
        fits = len(row) == n_columns
        text = f"rows[{number}] has {len(row)} texts, and there are {n_columns} columns"
        require(fits, text)
        require(all(map(_is_text, row)), f"rows[{number}] has half of a character")


def _decoded(name: str, content: bytes, encoding: str) -> tuple[str, str]:
    """Returns the encoding of a file and its text."""
    if not encoding:
        encoding = "utf-16" if content.startswith(_UTF_16_MARKS) else "utf-8"
        try:
            return encoding, content.decode(encoding)
        except UnicodeDecodeError as error:
            # The first line that is no UTF-8: those before it may have no Hangul.
            start = content.rfind(b"\n", 0, error.start) + 1
            encoding = guess_encoding(content[start:]) or encoding
    try:
        return encoding, content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        text = f"{name}:{line} is not in {encoding}; give the encoding that the file has"
        raise DataError(f"{text}, or save it in UTF-8") from error


def _is_text(text: str) -> bool:
    """Whether a text has no half of a surrogate pair, which JSON can write."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _cell(value: object) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
