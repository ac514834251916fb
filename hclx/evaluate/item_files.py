"""Reads items of one's own: a JSON object a line with the fields of an item and its `answer`."""

import json
from pathlib import Path

from hclx.errors import DataError, shown
from hclx.evaluate.items import Item


def read_items(path: str | Path) -> tuple[Item, ...]:
    """Reads a JSONL file of items.

    A line has `answer` (the key of a choice, or a text) or `answers` (several accepted texts),
    optionally `id` and `group`, and the fields that the prompt's slots name, all of them texts.

    Raises:
      DataError: names the line that is no item.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8-sig").split("\n")
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist; name a JSONL file of items") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not in UTF-8; convert the file") from error
    items, lines_of = [], {}
    for number, line in enumerate(lines, 1):
        if line.strip():
            item = _item(line, f"{path}:{number}", str(number))
            if item.id in lines_of:
                raise DataError(f"{path}:{number} has the id of line {lines_of[item.id]}")
            lines_of[item.id] = number
            items.append(item)
    if not items:
        raise DataError(f"{path} has no items; write one JSON object a line")
    return tuple(items)


def _item(line: str, where: str, number: str) -> Item:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where} is no JSON: {error}") from error
    if not isinstance(record, dict):
        raise DataError(f"{where} is no object")
    answers = record.pop("answers", ())
    answer = record.pop("answer", answers[0] if answers else None)
    if not isinstance(answer, str):
        raise DataError(f'{where} has no text in `answer`; write {{"answer": "..."}}')
    if isinstance(answers, str) or not all(isinstance(text, str) for text in answers):
        raise DataError(f"{where}: answers={shown(answers)} is no list of texts")
    item_id, group = record.pop("id", number), record.pop("group", "")
    for name, value in record.items():
        if not isinstance(value, str):
            raise DataError(f"{where}: {name}={shown(value)} is no text")
    return Item(str(item_id), record, answer, tuple(answers) or (answer,), group=str(group))
