"""Published figures to stand beside one's own: published.json, each table with its source and with
the reason why it may not be comparable.
"""

import dataclasses
import functools
import json
from importlib import resources


@dataclasses.dataclass(frozen=True)
class Row:
    """A model of a table, and its value for each number of examples, None where there is none."""

    model: str
    parameters: int | None
    values: tuple[float | None, ...]


@dataclasses.dataclass(frozen=True)
class PublishedTable:
    """Figures of several models for a task and a metric.

    Attributes:
      shots: numbers of examples, or words such as "few": the columns.
      scale: of the values as they are published: 100 for percent. A value / scale is in the unit of
        this project's metrics.
    """

    task: str
    metric: str
    scale: float
    shots: tuple[str, ...]
    source: str
    caveat: str
    rows: tuple[Row, ...]


def tables_of(task: str) -> list[PublishedTable]:
    """Returns the tables for a task, in the order of the file; [] if nothing is known of it."""
    return [table for table in _tables() if table.task == task]


@functools.cache
def _tables() -> tuple[PublishedTable, ...]:
    file = resources.files("hclx.evaluate.report") / "published.json"
    tables = json.loads(file.read_text(encoding="utf-8"))["tables"]
    return tuple(
        PublishedTable(
            **{name: _frozen(value) for name, value in table.items() if name != "rows"},
            rows=tuple(Row(model, size, tuple(values)) for model, size, *values in table["rows"]),
        )
        for table in tables
    )


def _frozen(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value
