"""A sweep: runs of tuning over a small grid of settings, and the best of them."""

import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import jax
from jax.sharding import Mesh

from hclx.config import Experiment
from hclx.errors import ConfigError
from hclx.train.jsonl import replace_text, to_line
from hclx.train.run import RunOptions
from hclx.train.run_dir import read_config
from hclx.tune.best_step import metrics_of, selection_of
from hclx.tune.tune_config import TuneConfig
from hclx.tune.tuning_data import TuningText, split_rows
from hclx.tune.tuning_run import check_run, tune

FILE = "sweep.jsonl"  # in the folder of a sweep: a line for each run that is done
_VALUE = r"""(?:'[^']*'|"[^"]*"|[^\s,'"]+)"""
_SETTING = re.compile(rf"\s*([\w.]+)=({_VALUE}(?:,{_VALUE})*)(?=\s|$)\s*")
Grid = Mapping[str, Sequence[str]]


class Case(NamedTuple):
    """A run of a sweep.

    Attributes:
      values: field -> value, as they were written.
      folder: of the run.
      experiment, config: its whole configuration.
    """

    values: dict[str, str]
    folder: str
    experiment: Experiment
    config: TuneConfig


def parse_grid(text: str) -> dict[str, list[str]]:
    """Reads "TuneConfig.rank=4,8 OptimizerConfig.learning_rate=1e-4,3e-4"; a value with commas or
    spaces is in quotes. Returns field -> values, in their order.

    Raises:
      ConfigError: names the place that cannot be read, or a field or value that is there twice.
    """
    grid, position = {}, 0
    while position < len(text) or not grid:
        match = _SETTING.match(text, position)
        if not match:
            raise ConfigError(
                f"--sweep: {text[position:]!r} cannot be read; write CLASS.FIELD=VALUE,VALUE with"
                " spaces between fields, and a value with commas or spaces in quotes"
            )
        name, values = match[1], re.findall(_VALUE, match[2])
        if name in grid or len(set(values)) < len(values):
            raise ConfigError(f"--sweep: {name} is there twice, or one of its values; give it once")
        grid[name], position = values, match.end()
    return grid


def cases_of(
    grid: Grid, load: Callable[[list[str]], tuple[Experiment, TuneConfig]], model_dir: str
) -> list[Case]:
    """Returns the runs of a grid, the last field varying fastest.

    Args:
      grid: see `parse_grid`.
      load: bindings "CLASS.FIELD=VALUE" -> the configuration with them.
      model_dir: of the sweep.
    Raises:
      ConfigError: a field or a value is not known, or the folder is that of a run.
    """
    if read_config(model_dir) is not None:
        raise ConfigError(f"{model_dir} holds a run; choose another --model_dir for a sweep")
    cases = []
    for chosen in itertools.product(*grid.values()):
        values = dict(zip(grid, chosen))
        folder = ",".join(f"{name.rpartition('.')[2]}={value}" for name, value in values.items())
        path = Path(model_dir) / re.sub(r"[^\w.,=+-]", "_", folder)
        bindings = [f"{name}={value}" for name, value in values.items()]
        cases.append(Case(values, str(path), *load(bindings)))
    if len({case.folder for case in cases}) < len(cases):
        raise ConfigError("--sweep: two fields or values have one name of a folder; rename a value")
    return cases


def sweep(
    cases: Sequence[Case],
    text: TuningText,
    model_dir: str,
    options: RunOptions,
    mesh: Mesh | None = None,
) -> Case | None:
    """Tunes each case in its folder, one after the other, and prints a table. The same call resumes
    where it was ended; a run that is done is read back and measured again.

    Args:
      cases: see `cases_of`.
      text, options, mesh: as in `hclx.tune.tuning_run.tune`.
      model_dir: of the sweep; it takes `FILE`.
    Returns:
      The best case by `TuneConfig.select_by`, the first of several that are equal; None if the file
      STOP ended a run, and with it the sweep.
    Raises:
      ConfigError: nothing is held out by which runs could be compared; and others, as `tune`.
    """
    for case in cases:
        check_run(case.experiment, case.config, case.folder, options)
        permille = case.experiment.data.validation_permille
        if not (case.experiment.train.eval_every and split_rows(text, permille)[1]):
            raise ConfigError(
                "--sweep compares runs by held-out rows; give --validation, or a larger"
                " DataConfig.validation_permille, and an eval_every"
            )
    is_first = jax.process_index() == 0
    results: list[dict[str, float]] = []
    for number, case in enumerate(cases, 1):
        if is_first:
            print(f"sweep, {number} of {len(cases)}: {_named(case)}", flush=True)
        _, figures = tune(case.experiment, case.config, text, case.folder, options, mesh)
        if "validation_loss" not in figures:
            return None
        results.append(figures)
        if is_first:
            lines = [
                {"settings": c.values, "folder": Path(c.folder).name, **f}
                for c, f in zip(cases, results)
            ]
            replace_text(Path(model_dir) / FILE, "".join(map(to_line, lines)))
    best = best_of(cases, results)
    if is_first:
        print(table(cases, results, best))
        print(f"best: {_named(cases[best])}, in {cases[best].folder}", flush=True)
    return cases[best]


def best_of(cases: Sequence[Case], results: Sequence[Mapping[str, float]]) -> int:
    """Returns the index of the best run, as the first case compares its steps."""
    config = cases[0].config
    measured = [name for name in metrics_of(config, has_choices=True) if name in results[0]]
    selection = selection_of(config, measured)
    return min(range(len(results)), key=lambda index: selection.rank(results[index]))


def table(cases: Sequence[Case], results: Sequence[Mapping[str, float]], best: int) -> str:
    """Returns a line for each run: its settings, its best step and the figures of that; the best
    run has a star.
    """
    figures = [name for name in results[0] if name not in ("bits_per_byte",)]
    shown = lambda value: f"{value:.4f}" if isinstance(value, float) else f"{value:,}"
    rows = [["", *cases[0].values, *(name.replace("_", " ") for name in figures)]]
    for index, (case, result) in enumerate(zip(cases, results)):
        star = "*" if index == best else ""
        rows.append([star, *case.values.values(), *(shown(result[name]) for name in figures)])
    widths = [max(map(len, column)) for column in zip(*rows)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows
    )


def _named(case: Case) -> str:
    return " ".join(f"{name}={value}" for name, value in case.values.items())
