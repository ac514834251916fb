"""A run of tuning is checked before it is started: sizes, rows, and what follows from epochs."""

import dataclasses
import math

import jax
import pytest

from hclx.errors import ConfigError, DataError
from hclx.text import load_tokenizer
from hclx.tune.run_progress import progress_of
from hclx.tune.tuning_check import TuningPlan, bindings_of, check_tuning
from hclx.tune.tuning_run import read_base
from tests.helpers.tuning_runs import labelled_rows, write_rows

SETTINGS = {"TrainConfig.sequence_length": 64}


@pytest.fixture(scope="module")
def tokenizer(tuning_base):
    return load_tokenizer(read_base(tuning_base)[1])


@pytest.fixture
def plan(tuning_base, tmp_path):
    rows = [{"prompt": f"글 {i}", "completion": f"평 {i}"} for i in range(40)]
    return TuningPlan(tuning_base, "lora", SETTINGS, write_rows(tmp_path / "rows.jsonl", rows))


def test_the_steps_of_epochs_read_each_sequence_so_often(plan, tokenizer):
    settings = {**SETTINGS, "TrainConfig.global_batch_size": 2}
    steps = {
        epochs: check_tuning(
            dataclasses.replace(plan, settings=settings, epochs=epochs), tokenizer
        ).total_steps
        for epochs in (1, 4)
    }
    assert steps[4] in range(4 * steps[1] - 3, 4 * steps[1] + 1)
    one_step = {**SETTINGS, "TrainConfig.global_batch_size": 1}
    n_sequences = check_tuning(
        dataclasses.replace(plan, settings=one_step, epochs=1), tokenizer
    ).total_steps
    assert steps[1] == math.ceil(n_sequences / 2)


def test_small_files_are_more_than_a_step_an_epoch(plan, tokenizer, monkeypatch):
    monkeypatch.setattr(jax, "device_count", lambda: 1)
    checked = check_tuning(dataclasses.replace(plan, epochs=8), tokenizer)
    assert checked.settings["TrainConfig.global_batch_size"] < 8
    # each of the 36 or so examples 8 times, a few of them a step
    assert 8 * checked.n_train / 20 < checked.total_steps < 8 * checked.n_train / 3
    monkeypatch.setattr(jax, "device_count", lambda: 4)
    checked = check_tuning(dataclasses.replace(plan, epochs=8), tokenizer)
    assert checked.settings["TrainConfig.global_batch_size"] == 4


def test_a_warm_up_gives_way_to_few_steps_unless_it_is_asked_for(plan, tokenizer):
    settings = {**SETTINGS, "TrainConfig.total_steps": 5}
    checked = check_tuning(dataclasses.replace(plan, settings=settings), tokenizer)
    assert checked.settings["OptimizerConfig.warmup_steps"] == 0
    settings["OptimizerConfig.warmup_steps"] = 9
    with pytest.raises(ConfigError, match="warmup_steps=9 is not below"):
        check_tuning(dataclasses.replace(plan, settings=settings), tokenizer)


@pytest.mark.parametrize(
    "kind, settings, words",
    [
        ("prompt_tune", {"TuneConfig.length": 10**9}, "no room for text"),
        ("prefix_tune", {"TuneConfig.length": 64}, "no room for text"),
        ("lora", {"TuneConfig.rank": 10**9}, "would train"),
        ("p_tune", {"TuneConfig.encoder_size": 10**8}, "would train"),
        ("lora", {"TrainConfig.global_batch_size": 10**6}, "allowed in a step"),
        ("lora", {"TrainConfig.total_steps": 10**6}, "that are allowed"),
    ],
)
def test_what_is_too_large_is_refused_before_it_fills_the_memory(
    plan, tokenizer, kind, settings, words
):
    large = dataclasses.replace(
        plan,
        kind=kind,
        settings={**SETTINGS, **settings},
        most_steps=1000,
        most_batch_tokens=10_000,
    )
    with pytest.raises(ConfigError, match=words):
        check_tuning(large, tokenizer)


def test_a_row_that_does_not_fit_is_named(plan, tokenizer, tmp_path):
    with pytest.raises(DataError, match="rows.jsonl:1 "):
        rows = write_rows(tmp_path / "rows.jsonl", labelled_rows())
        check_tuning(dataclasses.replace(plan, data=rows), tokenizer)


def test_texts_are_bound_as_they_are(plan, tokenizer):
    text = "a'\nimport os\n\"%b @c()"
    settings = {**SETTINGS, "TuneConfig.init": "text", "TuneConfig.init_text": text}
    prompt = dataclasses.replace(plan, kind="prompt_tune", settings=settings)
    checked = check_tuning(prompt, tokenizer)
    assert checked.settings["TuneConfig.init_text"] == text
    assert not any("\n" in binding for binding in bindings_of(checked.settings))


def test_the_progress_of_a_run_is_that_of_its_metrics(tmp_path):
    assert progress_of(tmp_path) == (0, {})
    lines = [
        '{"step": 1, "loss": 2.5, "mfu": 0.1, "validation_accuracy": 0.5}',
        '{"step": 2, "loss": 2.25, "grad_norm": null}',
        '{"step": 3, "loss": 1',
    ]
    (tmp_path / "metrics.jsonl").write_text("\n".join(lines), encoding="utf-8")
    assert progress_of(tmp_path) == (2, {"loss": 2.25, "validation_accuracy": 0.5})
