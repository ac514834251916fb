"""Small files of a run. They are replaced as a whole or appended to line by line, so that a kill
never leaves half a file.
"""

import json
import os
from pathlib import Path

from hclx.errors import DataError


def replace_text(path: Path, text: str) -> None:
    """Replaces a file atomically: a reader sees either the old content or the new.

    Args:
      path: in a folder that exists; the file may be missing. PATH.tmp beside it is overwritten.
      text: the whole content, written as UTF-8 without a further newline.
    """
    temporary = path.with_name(f"{path.name}.tmp")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)


def to_line(record: dict) -> str:
    """A record as one line of JSON, with its newline; characters beyond ASCII stay as they are.

    Args:
      record: JSON values. Numbers that are not finite become NaN and Infinity, which Python reads
        and JSON does not know.
    Raises:
      TypeError: a value is none of JSON, such as an array or an integer of numpy.
    """
    return json.dumps(record, ensure_ascii=False) + "\n"


def read_records(path: Path) -> list[dict]:
    """The JSON lines of a file, [] if it is missing; a last line that a killed process left
    unfinished, so that it has no newline, is dropped.

    Raises:
      DataError: another line is not a JSON object; it is named.
    """
    records = []
    lines = path.read_bytes().split(b"\n")[:-1] if path.is_file() else []
    for number, line in enumerate(lines, start=1):
        try:
            record = json.loads(line.decode("utf-8"))
            if not isinstance(record, dict):
                raise ValueError("it is no object")
        except ValueError as error:
            raise DataError(
                f"{path}, line {number} is damaged ({error}); put the file back from a copy, or"
                " remove that line"
            ) from error
        records.append(record)
    return records


def drop_records_after(path: Path, step: int) -> None:
    """Removes the records whose field `step` is greater than `step`, which a resumed run writes
    again. A file that is missing is made, empty, in a folder that exists. Every record has
    `step`; a line that cannot be read is treated as `read_records` does.
    """
    replace_text(
        path, "".join(to_line(record) for record in read_records(path) if record["step"] <= step)
    )
