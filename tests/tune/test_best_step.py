"""Which step of a run of tuning is kept, and where the run ends: against courses of figures that
are made by hand.
"""

import dataclasses
import json
import math

import pytest

from hclx.errors import ConfigError
from hclx.train import pretrain as pretrain_module
from hclx.train.metrics_writer import read_metrics
from hclx.train.step_selection import BestStep
from hclx.tune import TuneConfig, tuning_run
from hclx.tune.artefact import read_artefact
from hclx.tune.best_step import metrics_of, selection_of
from hclx.tune.tuning_data import TuningText
from hclx.tune.tuning_run import ARTEFACT
from tests.helpers.tuning_runs import Killed, run

EVERY = {"total_steps": 7, "eval_every": 1, "checkpoint_every": 1, "keep_last": 1}


def best_of(ranks):
    best = BestStep()
    for step, rank in enumerate(ranks, 1):
        best = BestStep.from_json(json.loads(json.dumps(best.after(step, rank).to_json())))
    return best


@pytest.mark.parametrize(
    "ranks, step, waited",
    [
        ([(3.0,), (2.0,), (2.5,), (2.4,)], 2, 2),
        ([(2.0,), (2.0,)], 1, 1),  # an equal one is not better
        ([(-0.5, 2.0), (-0.5, 1.0), (-0.4, 0.1)], 2, 2),  # its loss is better, which none waits for
        ([(math.nan,), (3.0,), (-math.inf,)], 2, 1),
        ([(math.nan,), (math.nan,)], 0, 2),
    ],
)
def test_the_best_evaluation_so_far(ranks, step, waited):
    assert best_of(ranks)[::2] == (step, waited)


def test_the_figure_that_decides():
    figures = {"validation_loss": 1.0, "validation_choice_loss": 2.0, "validation_accuracy": 0.5}

    def rank(name, has_choices=True):
        config = TuneConfig(select_by=name)
        return selection_of(config, metrics_of(config, has_choices)).rank(figures)

    assert rank("auto") == rank("validation_accuracy") == (-0.5, 2.0)
    assert rank("auto", has_choices=False)[0] == rank("validation_loss")[0] == 1.0
    assert rank("validation_choice_loss")[0] == 2.0
    with pytest.raises(ConfigError, match="'validation_accuracy' is not .* document with choices"):
        rank("validation_accuracy", has_choices=False)


@pytest.mark.parametrize(
    "settings, expected",
    [
        ({"objective": "contrast"}, "validation_r1"),
        ({"objective": "similarity"}, "validation_pearson"),
        ({"objective": "pair"}, "validation_pearson"),
        ({"objective": "pair", "labels": "a,b"}, "validation_accuracy"),
    ],
)
def test_vectors_and_pairs_are_chosen_by_their_metric(settings, expected):
    config = TuneConfig(**settings)
    selection = selection_of(config, metrics_of(config, False))
    assert selection.name == expected
    assert selection.rank({expected: 0.25, "validation_loss": 3.0}) == (-0.25, 3.0)
    with pytest.raises(ConfigError, match="'validation_choice_loss' is not .*; give TuneConfig"):
        unmeasured = dataclasses.replace(config, select_by="validation_choice_loss")
        selection_of(unmeasured, metrics_of(config, False))


def course(monkeypatch, accuracies, losses):
    """Lets runs be evaluated to these figures at steps 1, 2, ..."""

    def evaluate(run, state):
        number = int(state.step) - 1
        figures = {"validation_loss": losses[number], "bits_per_byte": 1.0}
        choices = {"validation_accuracy": accuracies[number], "validation_choice_loss": 1.0}
        return figures | choices

    monkeypatch.setattr(pretrain_module, "evaluate", evaluate)
    monkeypatch.setattr(pretrain_module, "evaluate_beginning", lambda *_: None)
    monkeypatch.setattr(tuning_run, "evaluate", lambda run, state: {"validation_loss": 0.0})


def test_the_best_step_by_accuracy_is_kept_and_patience_ends_the_run(
    place, tmp_path, monkeypatch, capsys
):
    """Killed before its last evaluation and resumed, it ends at the same step."""
    course(monkeypatch, [0.5, 0.8, 0.7, 0.8, 0.9, 0.9, 0.9], [4.0, 5.0, 3.0, 2.0, 1.0, 0.0, 0.0])
    one_step = pretrain_module.one_step

    def until_the_fourth(own, state, batch):
        if own.progress.step == 4:
            raise Killed
        return one_step(own, state, batch)

    monkeypatch.setattr(pretrain_module, "one_step", until_the_fourth)
    with pytest.raises(Killed):
        run(place, tmp_path / "run", train=EVERY, patience=2)
    monkeypatch.setattr(pretrain_module, "one_step", one_step)
    for _ in range(2):  # the second start has nothing to do
        _, figures = run(place, tmp_path / "run", train=EVERY, patience=2)
        assert (figures["step"], figures["last_step"]) == (2, 4)
        out = capsys.readouterr().out
        assert "done: 2 evaluations without a better validation_accuracy" in out
        assert "best by validation_accuracy at step 2" in out
    assert [record["best_step"] for record in read_metrics(tmp_path / "run")] == [1, 2, 2, 2]
    assert read_artefact(tmp_path / "run" / ARTEFACT).metrics["step"] == 2
    folders = (tmp_path / "run" / "checkpoints").iterdir()
    assert sorted(int(path.name) for path in folders if path.name.isdecimal()) == [2, 4]
    events = [json.loads(line) for line in (tmp_path / "run/events.jsonl").open()]
    assert [e["reason"] for e in events if e["event"] == "exit"][1:] == ["early stopping"] * 2


def test_by_the_loss_another_step_is_the_best(place, tmp_path, monkeypatch):
    course(monkeypatch, [0.5, 0.8, 0.7], [4.0, 5.0, 3.0])
    train = EVERY | {"total_steps": 3}
    _, figures = run(place, tmp_path / "run", train=train, select_by="validation_loss")
    assert figures["step"] == 3


def test_patience_needs_what_it_compares(place, tmp_path):
    with pytest.raises(ConfigError, match="patience=2 needs each evaluated step on disk"):
        run(place, tmp_path / "run", train={"eval_every": 2, "checkpoint_every": 4}, patience=2)
    text = TuningText("rows", place.rows, [], place.prompt)
    with pytest.raises(ConfigError, match="none are held out; give --validation"):
        run(place, tmp_path / "run", text=text, patience=2)
