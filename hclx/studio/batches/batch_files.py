"""The rows of a batch as a file: CSV for spreadsheets, or JSON lines."""

import csv
import io
import json
from collections.abc import Sequence
from typing import Any

from hclx.studio.store.batch_records import BatchRecord
from hclx.studio.store.batch_row_records import BatchRow

BOM = "\ufeff"  # by which spreadsheets know UTF-8
# Of columns that the batch adds to its own.
_ADDED = ("answer", "text", "probability", "error")
# A spreadsheet takes a cell that begins with one of these for a formula, which may send what else
# is in the sheet away; full-width ones are read alike.
_OF_FORMULAS = tuple("=+-@\t\r\n＝＋－＠")


def row_facts(record: BatchRecord, row: BatchRow) -> dict[str, Any]:
    """Returns a row as JSON has it: `number`, `fields`, and what has come of it, or None."""
    names = ("answer", "text", "choices", "usage", "ms")
    facts = {name: (row.answer or {}).get(name) for name in names}
    fields = dict(zip(record.columns, row.fields))
    return {"number": row.number, "fields": fields, **facts, "error": row.error}


def jsonl_of(record: BatchRecord, rows: Sequence[BatchRow]) -> str:
    """Returns rows as lines of JSON, exactly as the store has them."""
    lines = (json.dumps(row_facts(record, row), ensure_ascii=False) + "\n" for row in rows)
    return "".join(lines)


def csv_head(record: BatchRecord) -> str:
    """Returns the byte order mark and the line of names; a name that the batch adds and the rows
    have too has an underscore behind it.
    """
    added = []
    for name in _ADDED:
        while name in record.columns:
            name += "_"
        added.append(name)
    return BOM + _line([*record.columns, *added])


def csv_of(record: BatchRecord, rows: Sequence[BatchRow]) -> str:
    """Returns rows as lines of CSV: the fields, then answer, text, probability and error."""
    return "".join(_line([*row.fields, *_outcome(row)]) for row in rows)


def safe_cell(text: str) -> str:
    """Returns a text that no spreadsheet takes for a formula: with an apostrophe before it, if it
    begins like one.
    """
    return f"'{text}" if text.startswith(_OF_FORMULAS) else text


def _outcome(row: BatchRow) -> list[str]:
    answer = row.answer or {}
    key = answer.get("answer")
    share = (answer.get("choices") or {}).get(key)
    error = row.error["message"] if row.error else ""
    return [key or "", answer.get("text") or "", "" if share is None else f"{share:.4f}", error]


def _line(cells: Sequence[str]) -> str:
    line = io.StringIO()
    csv.writer(line).writerow([safe_cell(cell) for cell in cells])
    return line.getvalue()
