"""Whatever a file holds, a reader returns items or says what is wrong: seeded random damage."""

import copy
import json
import random

import pytest

from hclx.errors import DataError
from hclx.evaluate.items import Item
from tests.tasks import test_readers_of_json as of_json
from tests.tasks import test_readers_of_lines as of_lines
from tests.tasks import test_readers_of_tables as of_tables

ROUNDS = 100
VALUES = (None, True, 1, -1.5, 10**20, float("inf"), float("nan"), "", " ", "가", "1", [], [1], {})
STRINGS = (
    "",
    "\t",
    "\n",
    '"',
    "\r",
    " ",
    "0",
    "9",
    "가",
    "- ",
    "## klue-",
    "[",
    "}",
    "\x00",
    "\ud800",
)


def outcome(read, path):
    """Returns whether a file was read; it must be, or be refused by its name."""
    try:
        items = read(str(path))
    except DataError as error:
        assert str(path).removesuffix(".tsv") in str(error)
        return False
    assert all(isinstance(item, Item) and isinstance(item.answer, str) for item in items)
    return True


def places(value, trail=()):
    """Yields the paths of all values in a value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value)
    for step, part in inner:
        yield (*trail, step)
        if isinstance(part, (dict, list)):
            yield from places(part, (*trail, step))


def damaged_json(content, stream):
    damaged = copy.deepcopy(content)
    *steps, last = stream.choice(list(places(damaged)))
    inner = damaged
    for step in steps:
        inner = inner[step]
    if stream.random() < 0.3:
        del inner[last]
    else:
        inner[last] = stream.choice(VALUES)
    return damaged


@pytest.mark.parametrize("name", of_json.FORMATS)
def test_json_with_a_value_of_another_kind(name, tmp_path):
    read, content, _ = of_json.FORMATS[name]
    stream, path = random.Random(name), tmp_path / "a.json"
    results = set()
    for _ in range(ROUNDS):
        path.write_text(json.dumps(damaged_json(content, stream)))
        results.add(outcome(read, path))
    assert results == {True, False}


@pytest.mark.parametrize("name", of_json.LINES)
def test_json_lines_with_a_value_of_another_kind(name, tmp_path):
    read, content, _ = of_json.LINES[name]
    stream, path = random.Random(name), tmp_path / "a.jsonl"
    results = set()
    for _ in range(ROUNDS):
        records = damaged_json(content, stream)
        path.write_text("".join(json.dumps(record) + "\n" for record in records))
        results.add(outcome(read, path))
    assert results == {True, False}


@pytest.mark.parametrize("name", [*of_tables.FORMATS, *of_lines.FORMATS])
def test_lines_with_damage(name, tmp_path):
    formats = {**of_tables.FORMATS, **{key: (entry[0], "a_dev.tsv", entry[1])
                                       for key, entry in of_lines.FORMATS.items()}}  # fmt: skip
    read, file, content = formats[name][:3]
    stream, path = random.Random(name), tmp_path / file
    results = set()
    for _ in range(ROUNDS):
        start = stream.randrange(len(content))
        end = start + stream.choice((0, 1, 2, 8))
        text = content[:start] + stream.choice(STRINGS) + content[end:]
        path.write_bytes(text.encode("utf-8", "surrogatepass"))
        results.add(outcome(read, path))
    assert results == {True, False}
