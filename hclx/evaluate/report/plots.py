"""The plots of a task: its main metric against examples, parameters and steps."""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from markupsafe import Markup

from hclx.evaluate.report.glance import model_label
from hclx.evaluate.report.published import PublishedTable
from hclx.evaluate.report.results_file import Results, Run
from hclx.evaluate.report.svg import COLORS, Axis, Point, Series, line_plot
from hclx.progress import counted

_UNITS = ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "K"))


class Plot(NamedTuple):
    """A plot with its caption and legend."""

    svg: Markup
    caption: str
    series: list[Series]


class _Lines(NamedTuple):
    """Series, and the number of those for which there is no colour."""

    series: list[Series]
    left_out: int = 0


def task_plots(
    evaluations: Sequence[Results], task: str, tables: Sequence[PublishedTable]
) -> list[Plot]:
    """Returns the plots of a task for which there are points enough.

    Args:
      evaluations: all that the page shows.
      task: its name.
      tables: published figures of it; those of a metric stand beside the sizes.
    """
    pairs = [(r, run) for r in evaluations for run in r.runs if run.task == task]
    main = pairs[0][1].main if pairs else ""
    pairs = [(results, run) for results, run in pairs if run.main == main]
    pairs.sort(key=lambda pair: pair[0].model.step or 0)  # of equal sizes the last step is drawn
    models = [results.model for results in evaluations]
    chance = next((run.chance for _, run in pairs if run.chance is not None), None)
    label = lambda results: model_label(results.model, models)
    plots = [
        _against_shots(pairs, label if len(evaluations) > 1 else None),
        _against_sizes(pairs, [table for table in tables if table.metric == main]),
        _against_steps(pairs),
    ]
    titles = ("examples in the prompt", "parameters of the model", "training step")
    return [
        Plot(
            line_plot(lines.series, axis, chance, f"{task}: {main} by {title}"),
            f"{main} by {title}{_left_out(lines)}",
            lines.series,
        )
        for title, (lines, axis) in zip(titles, plots)
        if lines.series
    ]


def _against_shots(pairs: Sequence, label: Callable | None) -> tuple[_Lines, Axis]:
    """A line for each model and template; nothing if no line has two points."""
    groups = _grouped(
        pairs,
        lambda results, run: (label(results) + ", " if label else "") + run.template,
        lambda results, run: float(run.shots),
    )
    ticks = sorted({point.x for line in groups.series for point in line.points})
    if all(len(line.points) < 2 for line in groups.series):
        return _Lines([]), Axis("", ())
    return groups, Axis("examples", tuple(ticks), math.log1p)


def _against_sizes(pairs: Sequence, tables: Sequence) -> tuple[_Lines, Axis]:
    """A line for each template with the most examples that a model has of it, and published
    figures in grey; nothing if there is a single size.
    """
    most: dict[tuple, int] = {}
    for results, run in pairs:
        key = results.model.label, run.template
        most[key] = max(most.get(key, 0), run.shots_asked)
    pairs = [(r, run) for r, run in pairs if run.shots_asked == most[r.model.label, run.template]]
    own = _grouped(pairs, _setting, lambda results, run: results.model.parameters)
    series = [*filter(None, map(_published, tables)), *own.series]
    sizes = sorted({point.x for line in series for point in line.points})
    if len(sizes) < 2 or not own.series:
        return _Lines([]), Axis("", ())
    return _Lines(series, own.left_out), Axis("parameters", _powers(sizes), math.log10, size_label)


def _against_steps(pairs: Sequence) -> tuple[_Lines, Axis]:
    """A line for each run, template and number of examples; nothing if no model has two steps."""
    named = lambda results, run: f"{results.model.label}, {_setting(results, run)}"
    groups = _grouped(pairs, named, lambda results, run: results.model.step)
    if all(len(line.points) < 2 for line in groups.series):
        return _Lines([]), Axis("", ())
    ticks = sorted({point.x for line in groups.series for point in line.points})
    return groups, Axis("step", tuple(ticks), float, lambda step: f"{step:,.0f}")


def _setting(results: Results, run: Run) -> str:
    asked = " asked for" if run.shots < run.shots_asked else ""
    return f"{run.template}, {counted(run.shots_asked, 'example')}{asked}"


def _grouped(pairs: Iterable, name: Callable, x: Callable) -> _Lines:
    """Lines of points by name, at most as many as there are colours: those with most points, of
    these the ones with most examples, as those stand for the task.
    """
    groups: dict[str, dict[float, Point]] = {}
    shots: dict[str, int] = {}
    for results, run in pairs:
        at, figure = x(results, run), run.figure
        shots[name(results, run)] = max(shots.get(name(results, run), 0), run.shots_asked)
        if at is not None:
            note = f"{figure.mean:.3f}"
            if figure.interval:
                note += " [{:.3f}, {:.3f}]".format(*figure.interval)
            point = Point(float(at), figure.mean, figure.interval, note)
            groups.setdefault(name(results, run), {})[float(at)] = point
    kept = sorted(groups, key=lambda group: (-len(groups[group]), -shots[group]))[:COLORS]
    names = [group for group in groups if group in kept]
    series = [
        Series(group, tuple(groups[group][at] for at in sorted(groups[group])), color)
        for color, group in enumerate(names)
    ]
    return _Lines(series, len(groups) - len(names))


def _left_out(lines: _Lines) -> str:
    return f" ({counted(lines.left_out, 'more line')} left out)" if lines.left_out else ""


def _published(table: PublishedTable) -> Series | None:
    """The rows of a table whose sizes are known, by its fullest column; None for fewer than three
    of one family: a line through different families would say nothing.
    """
    family = table.rows[-1].model.split()[0]
    rows = [row for row in table.rows if row.parameters and row.model.split()[0] == family]
    filled = [sum(row.values[c] is not None for row in rows) for c in range(len(table.shots))]
    column = filled.index(max(filled))
    points = tuple(
        Point(row.parameters, row.values[column] / table.scale, note=f"{row.model}, published")
        for row in rows
        if row.values[column] is not None
    )
    name = f"{family} as published, {table.shots[column]} examples"
    return Series(name, points, "published") if len(points) > 2 else None


def _powers(sizes: Sequence[float]) -> tuple[float, ...]:
    """The powers of ten around all sizes."""
    first, last = math.floor(math.log10(sizes[0])), math.ceil(math.log10(sizes[-1]))
    return tuple(10.0**power for power in range(first, last + 1))


def size_label(size: float) -> str:
    """Returns a number of parameters as models are named: 58M, 1.3B."""
    for least, unit in _UNITS:
        if size >= least:
            return f"{size / least:.3g}{unit}"
    return f"{size:.0f}"
