"""Small files of a run. They are replaced as a whole or appended to line by line, so that a kill
never leaves half a file.
"""

import json
import logging
import os
from pathlib import Path

_LOG = logging.getLogger(__name__)


def replace_text(path: Path, text: str) -> None:
    """Replaces a file atomically: a reader sees either the old content or the new.

    Args:
      path: in a folder that exists; the file may be missing. PATH.tmp beside it is overwritten.
      text: the whole content, written as UTF-8 without a further newline.
    """
    temporary = path.with_name(f"{path.name}.tmp")
    with temporary.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())  # or a power cut may leave the new name and no content
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


def read_records(path: Path, fields: dict[str, type] = {"step": int}) -> list[dict]:
    """The JSON lines of a file, [] if it is missing; a last line that a killed process left
    unfinished, so that it has no newline, is dropped.

    Logs are for people, and no damage to one ends a run: a line that is no JSON object, or lacks a
    field, is left out with a warning for all of them.

    Args:
      path: of the file.
      fields: name -> class of the value, of fields that every record has.
    """
    records, damaged = [], []
    lines = path.read_bytes().split(b"\n")[:-1] if path.is_file() else []
    for number, line in enumerate(lines, start=1):
        try:
            record = json.loads(line.decode("utf-8"))
        except (ValueError, RecursionError) as error:
            damaged.append((number, str(error)))
            continue
        if not isinstance(record, dict):
            damaged.append((number, "it is no object"))
        elif wrong := [name for name, kind in fields.items() if type(record.get(name)) is not kind]:
            damaged.append((number, f"field {wrong[0]!r} is missing or of another kind"))
        else:
            records.append(record)
    if damaged:
        number, reason = damaged[0]
        more = f", and {len(damaged) - 1} more" if len(damaged) > 1 else ""
        _LOG.warning("%s: line %d is damaged and left out (%s)%s", path, number, reason, more)
    return records


def drop_records_after(path: Path, step: int) -> None:
    """Removes the records whose field `step` is greater than `step`, which a resumed run writes
    again. A file that is missing is made, empty, in a folder that exists. Every record has
    `step`; a line that cannot be read is treated as `read_records` does.
    """
    replace_text(
        path, "".join(to_line(record) for record in read_records(path) if record["step"] <= step)
    )
