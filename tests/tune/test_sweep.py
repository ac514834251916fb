"""A sweep: the grid against its product, the table and the choice against figures made by hand, and
runs that are ended and go on.
"""

import itertools
import json

import pytest

from hclx.errors import ConfigError
from hclx.train import pretrain as pretrain_module
from hclx.train.metrics_writer import read_metrics
from hclx.train.run import RunOptions
from hclx.tune import sweep as sweep_module
from hclx.tune.sweep import FILE, best_of, cases_of, parse_grid, sweep, table
from hclx.tune.tuning_data import TuningText
from tests.helpers.tuning_runs import MESH, Killed, settings


@pytest.mark.parametrize(
    "text, grid",
    [
        ("TuneConfig.rank=4,8", {"TuneConfig.rank": ["4", "8"]}),
        (
            " A.b=1e-4,3e-4  C.d='q,v',\"k\" E.f=x ",
            {"A.b": ["1e-4", "3e-4"], "C.d": ["'q,v'", '"k"'], "E.f": ["x"]},
        ),
    ],
)
def test_a_grid_is_read(text, grid):
    assert parse_grid(text) == grid


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "cannot be read"),
        ("rank 4", "'rank 4' cannot be read; write CLASS.FIELD=VALUE"),
        ("A.b=1,,2", "cannot be read"),
        ("A.b=1 A.b=2", "A.b is there twice"),
        ("A.b=1,1", "A.b is there twice, or one of its values"),
    ],
)
def test_what_is_no_grid_is_refused(text, message):
    with pytest.raises(ConfigError, match=message):
        parse_grid(text)


def load_of(place, **options):
    """Takes the place of gin: bindings of TuneConfig and TrainConfig alone."""

    def load(bindings):
        pairs = [binding.split("=", 1) for binding in bindings]
        own = {k.removeprefix("TuneConfig."): int(v) for k, v in pairs if k.startswith("Tune")}
        return settings(place, **options, **own)

    return load


def test_every_pair_of_values_is_a_run_of_its_own(place, tmp_path):
    grid = parse_grid("TuneConfig.rank=4,8 TuneConfig.seed=0,1,2")
    cases = cases_of(grid, load_of(place), str(tmp_path))
    pairs = [(case.config.rank, case.config.seed) for case in cases]
    assert pairs == list(itertools.product((4, 8), (0, 1, 2)))
    assert cases[4].folder == str(tmp_path / "rank=8,seed=1")
    with pytest.raises(ConfigError, match="holds a run; choose another --model_dir"):
        cases_of(grid, load_of(place), place.base)


FIGURES = [
    {"step": 20, "last_step": 40, "validation_loss": loss, "bits_per_byte": 1.0}
    | {"validation_accuracy": accuracy, "validation_choice_loss": choice_loss}
    for loss, accuracy, choice_loss in ((0.5, 0.8, 0.6), (0.4, 0.9, 0.5), (0.45, 0.9, 0.4))
]


@pytest.mark.parametrize("select_by, best", [("auto", 2), ("validation_loss", 1)])
def test_the_best_run_and_the_table(place, tmp_path, select_by, best):
    grid = parse_grid("TuneConfig.rank=4,8,16")
    cases = cases_of(grid, load_of(place, select_by=select_by), str(tmp_path))
    assert best_of(cases, FIGURES) == best
    assert best_of(cases, FIGURES[:2]) == 1
    lines = table(cases, FIGURES, best).split("\n")
    assert lines[0].split() == [
        *("TuneConfig.rank", "step", "last", "step", "validation", "loss"),
        *("validation", "accuracy", "validation", "choice", "loss"),
    ]
    stars = [number for number, line in enumerate(lines[1:]) if line.startswith("*")]
    assert stars == [best]
    assert lines[1].split() == ["4", "20", "40", "0.5000", "0.8000", "0.6000"]


@pytest.mark.long
def test_a_sweep_that_is_killed_goes_on(place, tmp_path, capsys, monkeypatch):
    train = {"total_steps": 2, "eval_every": 1, "checkpoint_every": 1}
    cases = cases_of(parse_grid("TuneConfig.rank=2,4"), load_of(place, train=train), str(tmp_path))
    text, start = (
        TuningText("rows", place.rows, prompt=place.prompt),
        RunOptions(init_from=place.base),
    )
    one_step, steps = pretrain_module.one_step, []

    def until_the_fourth(*arguments):
        steps.append(1)
        if len(steps) == 4:
            raise Killed
        return one_step(*arguments)

    monkeypatch.setattr(pretrain_module, "one_step", until_the_fourth)
    with pytest.raises(Killed):
        sweep(cases, text, str(tmp_path), start, MESH)
    assert len((tmp_path / FILE).read_text().splitlines()) == 1
    best = sweep(cases, text, str(tmp_path), start, MESH)
    assert len(steps) == 5  # the fourth again, and none of the first run
    lines = [json.loads(line) for line in (tmp_path / FILE).read_text().splitlines()]
    assert [line["settings"] for line in lines] == [{"TuneConfig.rank": n} for n in ("2", "4")]
    for line, case in zip(lines, cases):
        records = {record["step"]: record for record in read_metrics(case.folder)}
        assert line["validation_loss"] == pytest.approx(records[line["step"]]["validation_loss"])
    out = capsys.readouterr().out
    assert f"best: TuneConfig.rank={best.config.rank}, in {best.folder}" in out
    assert "sweep, 2 of 2: TuneConfig.rank=4" in out


def test_runs_that_cannot_be_compared_are_refused(place, tmp_path, monkeypatch):
    monkeypatch.setattr(sweep_module, "tune", None)  # before any work
    start = RunOptions(init_from=place.base)
    cases = cases_of(parse_grid("TuneConfig.rank=2,4"), load_of(place), str(tmp_path))
    text = TuningText("rows", place.rows, [], place.prompt)
    with pytest.raises(ConfigError, match="--sweep compares runs by held-out rows"):
        sweep(cases, text, str(tmp_path), start, MESH)
