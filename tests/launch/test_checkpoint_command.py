"""launch/checkpoint.py as a user types it, on a run of one process, and training that goes on after
a rewind.
"""

import json

import pytest

from hclx.train.example_log import read_examples
from hclx.train.metrics_writer import read_metrics
from tests.helpers.commands import launch, refused
from tests.helpers.runs import numbers, pretrain, sharing


def checkpoint(*arguments):
    return launch("checkpoint.py", *arguments)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """40 steps of 8 examples, with checkpoints 20, 30 and 40. Its programs are those of
    test_pretrain.py, so that they are compiled once.
    """
    folder = tmp_path_factory.mktemp("runs") / "whole"
    result = pretrain(folder, "--log_examples")
    assert result.returncode == 0, result.stderr
    return folder


@pytest.mark.long
def test_a_run_is_listed_verified_rewound_and_goes_on_without_the_examples(whole, tmp_path):
    before = numbers(whole)
    listed = checkpoint("list", f"--model_dir={whole}").stdout.splitlines()
    assert [line.split()[0] for line in listed] == ["20", "30", "40"] and listed[0].endswith(
        "next example 160"
    )
    verified = checkpoint("verify", f"--model_dir={whole}").stdout.splitlines()
    assert verified == ["20: good", "30: good", "40: good"]

    back = [
        "rewind",
        f"--model_dir={whole}",
        "--step=30",
        "--skip_examples=248:264",
        "--learning_rate_factor=0.5",
    ]
    result = checkpoint(*back)
    assert result.returncode == 0 and "16 examples skipped" in result.stdout, result.stderr
    assert pretrain(whole, "--log_examples", *sharing(whole)).returncode == 0

    records, examples = read_metrics(whole), read_examples(whole)
    assert numbers(whole)[:30] == before[:30]
    for old, new in zip(before[30:], records[30:], strict=True):
        assert new["learning_rate"] == pytest.approx(old["learning_rate"] / 2, rel=1e-6)
    seen = [number for step in range(31, 41) for number in sorted(examples[step])]
    assert seen == [*range(240, 248), *range(264, 264 + 72)]
    (rewound,) = whole.glob("metrics.jsonl.rewound-*")
    assert len(rewound.read_text().splitlines()) == 40
    assert any(
        line.split()[0].startswith("40.rewound-")
        for line in checkpoint("list", f"--model_dir={whole}").stdout.splitlines()
    )
    assert json.loads((whole / "lineage.json").read_text())[0]["step"] == 30


@pytest.mark.long
def test_the_best_checkpoint_is_kept_and_marked(whole, tmp_path):
    """A learning rate that rises until the model forgets."""
    rate = ["--gin.OptimizerConfig.learning_rate=0.5", "--gin.OptimizerConfig.warmup_steps=29"]
    often = ["eval_every=3", "checkpoint_every=3", "keep_last=1", "keep_best=1"]
    run = ["--gin.TrainConfig.total_steps=30", "--log_examples"]
    flags = [*run, *rate, *(f"--gin.TrainConfig.{setting}" for setting in often)]
    result = pretrain(tmp_path / "run", *flags, *sharing(whole))
    assert result.returncode == 0, result.stderr
    records = read_metrics(tmp_path / "run")
    losses = {r["step"]: r["validation_loss"] for r in records if "validation_loss" in r}
    best = min(losses, key=losses.get)
    assert best < 30 and list(losses) == list(range(3, 31, 3))
    assert f"; lowest validation loss {losses[best]:.4f} at step {best}" in result.stdout
    listed = checkpoint("list", f"--model_dir={tmp_path / 'run'}").stdout.splitlines()
    assert [line.split()[0] for line in listed] == [str(best), "30"]
    assert f"  validation {losses[best]:.4f} best  " in listed[0]
    assert f"  validation {losses[30]:.4f}  " in listed[1] and "best" not in listed[1]


def test_what_is_refused(whole, tmp_path):
    assert "the command is missing: list, verify, rewind" in refused(
        checkpoint(f"--model_dir={whole}"), 64
    )
    assert "does not exist" in refused(checkpoint("verify", f"--model_dir={tmp_path}"), 65)
    assert "rewind needs one --step" in refused(checkpoint("rewind", f"--model_dir={whole}"), 64)
    assert "--skip_examples=7 is not FIRST:LAST" in refused(
        checkpoint("rewind", f"--model_dir={whole}", "--step=20", "--skip_examples=7"), 64
    )
