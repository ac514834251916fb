"""A suite that is evaluated while a run trains: the same figures as of its checkpoints."""

import json

import pytest

from hclx.errors import ConfigError
from hclx.evaluate.in_training import figures
from hclx.evaluate.item_prompts import reader_of
from hclx.evaluate.suite import run_suite
from hclx.infer.model_source import RunFolder
from hclx.tasks.suite_runs import Selection, all_runs
from hclx.train.metrics_writer import read_metrics
from tests.helpers.commands import refused
from tests.helpers.few_shot import PROMPT, REVIEWS, reviews
from tests.helpers.runs import pretrain

MESH = [f"--gin.MeshConfig.{axis}=2" for axis in ("data", "fsdp", "model")]


@pytest.fixture(scope="module")
def suite(tmp_path_factory):
    folder = tmp_path_factory.mktemp("suite")
    for name, items in (("items", reviews(40)), ("examples", reviews(len(REVIEWS), "e"))):
        lines = ({"id": item.id, **item.fields, "answer": item.answer} for item in items)
        (folder / f"{name}.jsonl").write_text("\n".join(map(json.dumps, lines)))
    (folder / "line.json").write_text(json.dumps({**PROMPT, "input": "{document}("}))
    entry = {"task": "mine", "prompt": "line.json", "items": "items.jsonl", "shots": 1}
    (folder / "suite.json").write_text(json.dumps([{**entry, "examples": "examples.jsonl"}]))
    return folder / "suite.json"


@pytest.mark.long
def test_figures_of_a_sharded_run_are_those_of_its_checkpoints(suite, tmp_path):
    run_dir = tmp_path / "run"
    options = ["suite_every=10", "suite_limit=24", f"suite='{suite}'", "total_steps=20"]
    settings = [f"--gin.TrainConfig.{option}" for option in options]
    done = pretrain(run_dir, *settings, *MESH, devices=8)
    assert done.returncode == 0, done.stderr
    name = "suite/mine.line.1shot/accuracy"
    recorded = {r["step"]: r[name] for r in read_metrics(run_dir) if name in r}
    assert set(recorded) == {10, 20}
    # The validation loss of the same step is still there.
    assert all("validation_loss" in r for r in read_metrics(run_dir) if name in r)
    specs = all_runs(str(suite), Selection(limit=24))
    for step, value in recorded.items():
        source = RunFolder(str(run_dir), step, None, 16)
        with source.open() as engine:
            results = run_suite(
                engine, specs, reader_of(source.reads), {"step": step}, tmp_path / str(step)
            )
        assert figures(results) == {name: pytest.approx(value)}
        (folder,) = (run_dir / "evaluation").glob(f"{step}-*")
        inside = json.loads((folder / "results.json").read_text())
        path = results["runs"][0]["samples"][0]
        pairs = zip(
            (folder / path).read_text().splitlines(),
            (tmp_path / str(step) / path).read_text().splitlines(),
            strict=True,
        )
        assert inside["model"]["step"] == step and len(specs[0].items) == 24
        for sharded, alone in (map(json.loads, pair) for pair in pairs):
            for key in ("0", "1"):
                total = sharded["scores"][key]["total"]
                assert total == pytest.approx(alone["scores"][key]["total"], abs=1e-3)


def test_a_suite_that_cannot_be_is_refused_before_the_run_begins(tmp_path):
    settings = ["--gin.TrainConfig.suite='none'", "--gin.TrainConfig.suite_every=10"]
    assert "--suite=none: there is none but" in refused(pretrain(tmp_path / "a", *settings), 64)
    settings = ["--gin.TrainConfig.suite_every=10"]
    message = "TrainConfig.suite='' and TrainConfig.suite_every=10 go together"
    assert message in refused(pretrain(tmp_path / "a", *settings), 64)
    settings = ["--gin.TrainConfig.suite='kobest'", "--gin.TrainConfig.suite_every=10"]
    done = pretrain(tmp_path / "a", *settings, variables={"HCLX_DATA_DIR": None})
    assert "lacks files: kobest_boolq" in refused(done, 65)
    assert not (tmp_path / "a").exists()
    with pytest.raises(ConfigError, match="there is none but"):
        all_runs("none", Selection())
