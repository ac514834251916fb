"""Published figures and one's own in one table for each metric."""

from collections.abc import Sequence
from typing import NamedTuple

from hclx.evaluate.report.published import PublishedTable
from hclx.evaluate.report.results_file import Run


class TableRow(NamedTuple):
    """A model in a table: values by column, and the number of its note; 0 for one's own."""

    model: str
    values: dict[str, float | None]
    note: int


class MetricTable(NamedTuple):
    """All figures of a metric: columns are numbers of examples; notes are (source, caveat)."""

    metric: str
    columns: list[str]
    rows: list[TableRow]
    notes: list[tuple[str, str]]


def tables_with_own_rows(
    tables: Sequence[PublishedTable], own: Sequence[tuple[str, Run]]
) -> list[MetricTable]:
    """Returns a table for each metric that is published and was measured: one's own rows first.

    Args:
      tables: published ones of a task.
      own: (name of the model, run) of the same task.
    """
    metrics = [m for m in dict.fromkeys(t.metric for t in tables) if _has(own, m)]
    return [_table(m, [t for t in tables if t.metric == m], own) for m in metrics]


def _has(own: Sequence[tuple[str, Run]], metric: str) -> bool:
    return any(metric in run.metrics for _, run in own)


def _table(metric: str, tables: Sequence[PublishedTable], own: Sequence) -> MetricTable:
    rows: dict[str, dict[str, float | None]] = {}
    for label, run in own:
        if metric in run.metrics:
            values = rows.setdefault(f"{label}, {run.template}", {})
            values[str(run.shots)] = run.metrics[metric].mean
    result = [TableRow(name, values, 0) for name, values in rows.items()]
    for note, table in enumerate(tables, start=1):
        for row in table.rows:
            scaled = [None if value is None else value / table.scale for value in row.values]
            result.append(TableRow(row.model, dict(zip(table.shots, scaled)), note))
    columns = {shots for row in result for shots in row.values}
    notes = [(table.source, table.caveat) for table in tables]
    return MetricTable(metric, sorted(columns, key=_order), result, notes)


def _order(column: str) -> tuple:
    """Numbers first, by their size; then words."""
    return (0, int(column), "") if column.isdecimal() else (1, 0, column)
