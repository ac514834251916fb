"""Runs of tuning in this process: packed rows, resuming, the base, and what is left."""

import dataclasses
import json

import jax
import numpy as np
import pytest

from hclx.config import MeshConfig
from hclx.errors import CheckpointError, ConfigError, DataError
from hclx.infer.load import load_for_inference
from hclx.parallel import make_mesh
from hclx.train.run import RunOptions
from hclx.train.state import merge
from hclx.tune import begin, make_tuning_loss
from hclx.tune.artefact import base_fingerprint, check_artefact, read_artefact
from hclx.tune.packed_loader import PackedLoader
from hclx.tune.row_files import Row
from hclx.tune.tuning_data import TuningText
from hclx.tune.tuning_run import ARTEFACT, read_base, tune, tuning_parts
from hclx.tune.tuning_settings import load_settings
from tests.helpers.runs import numbers
from tests.helpers.tuning_runs import KINDS, MESH, Killed, run, settings, write_base


@pytest.mark.parametrize("kind", ["prompt_tune", "prefix_tune", "lora"])
def test_the_loss_of_packed_rows_is_that_of_each_example_alone(place, kind):
    experiment, config = settings(place, kind)
    text = TuningText("rows", place.rows, place.rows[:1], place.prompt)
    parts, data = tuning_parts(experiment, config, text, MESH)
    with jax.set_mesh(MESH):
        program = parts.make_program(())
        base = read_params(place, program)
        params = merge(*begin(experiment.model, config, base))
        losses = lambda rows: np.asarray(program.token_losses(params, rows)) * rows.weights_bt
        packed = losses(data.train)
        alone = losses(pack_alone(data.train))
    assert len(packed) < len(alone) == 12
    np.testing.assert_allclose(
        sorted(packed[packed > 0]), sorted(alone[alone > 0]), rtol=1e-4, atol=1e-5
    )


def read_params(place, program):
    from hclx.train.checkpoint import Checkpointer

    with Checkpointer(place.base, read_only=True) as checkpointer:
        return checkpointer.restore_params(program.abstract_state.frozen)[0]


def pack_alone(rows):
    """The same examples, each in a row of its own from its beginning."""
    fields = []
    for n in range(len(rows.tokens_bt)):
        for segment in np.unique(rows.segments_bt[n]):
            inside = rows.segments_bt[n] == segment
            if rows.weights_bt[n][inside].any():
                fields.append([np.zeros(64, field.dtype) for field in rows])
                for own, field in zip(fields[-1], rows):
                    own[: inside.sum()] = field[n][inside]
                fields[-1][3][inside.sum() :] = fields[-1][3][0] + 1
    return type(rows)(*map(np.stack, zip(*fields)))


@pytest.mark.parametrize(
    "kind", [k if k == "lora" else pytest.param(k, marks=pytest.mark.long) for k in KINDS]
)
def test_a_run_that_ends_anywhere_resumes_to_the_last_digit(place, tmp_path, kind, monkeypatch):
    _, figures = run(place, tmp_path / "whole", kind, dropout=0.1)
    iterate = PackedLoader.iterate

    def until_the_fourth(self, index):
        for position, batch in iterate(self, index):
            if position >= 8:
                raise Killed
            yield position, batch

    monkeypatch.setattr(PackedLoader, "iterate", until_the_fourth)
    with pytest.raises(Killed):
        run(place, tmp_path / "killed", kind, dropout=0.1)
    assert not (tmp_path / "killed" / ARTEFACT).exists()
    monkeypatch.undo()
    _, again = run(place, tmp_path / "killed", kind, dropout=0.1)
    assert again == figures and set(figures) >= {"validation_loss", "validation_accuracy"}
    assert numbers(tmp_path / "killed") == numbers(tmp_path / "whole")
    events = [json.loads(line) for line in (tmp_path / "killed/events.jsonl").open()]
    assert [e["step"] for e in events if e["event"] == "restore"] == [4]
    if kind == "finetune":
        return
    whole, resumed = (tmp_path / name / ARTEFACT for name in ("whole", "killed"))
    assert whole.read_bytes() == resumed.read_bytes()
    artefact = read_artefact(whole)
    assert artefact.metrics == figures and artefact.prompt["name"] == "taste"
    meta = checkpoint_meta(place.base, 0)
    check_artefact(artefact, base_fingerprint(meta["fingerprint"]), meta["hashes"]["vocabulary"])


def checkpoint_meta(model_dir, step):
    from hclx.train.checkpoint import checkpoints_of
    from hclx.train.checkpoint_format import read_json_items

    return read_json_items(checkpoints_of(model_dir) / str(step))[0]


@pytest.mark.long
def test_a_mesh_of_several_devices_learns_the_same(place, tmp_path):
    experiment, config = settings(place, train={"total_steps": 2})
    text = TuningText("rows", place.rows, prompt=place.prompt)
    start = RunOptions(init_from=place.base, lease_seconds=1.0)
    shape = MeshConfig(data=2, fsdp=1, model=2)
    mesh = make_mesh(shape, jax.devices()[:4])
    experiment = dataclasses.replace(experiment, mesh=shape)
    _, several = tune(experiment, config, text, str(tmp_path / "several"), start, mesh)
    _, alone = run(place, tmp_path / "alone", train={"total_steps": 2})
    assert several == pytest.approx(alone, rel=1e-4)
    assert base_of(tmp_path / "several") == base_of(tmp_path / "alone")


def base_of(model_dir):
    return read_artefact(model_dir / ARTEFACT).base


def test_the_best_step_is_the_artefact(place, tmp_path):
    _, figures = run(
        place, tmp_path / "run", rate=3.0, train={"total_steps": 8}, select_by="validation_loss"
    )
    losses = {r["step"]: r.get("validation_loss") for r in numbers(tmp_path / "run")}
    evaluated = {step: loss for step, loss in losses.items() if loss is not None}
    assert set(evaluated) == {2, 4, 6, 8}
    best = min(evaluated, key=evaluated.get)
    assert figures["step"] == best and best < 8  # at this rate it gets worse
    assert figures["validation_loss"] == pytest.approx(evaluated[best], rel=1e-6)
    checkpoint = checkpoint_meta(tmp_path / "run", best)
    assert {path.split("/")[0] for path in checkpoint["fingerprint"]} == {
        *("params", "opt_state", "frozen")
    }
    saved = {path for path in checkpoint["fingerprint"] if path.startswith("params/")}
    assert saved and all(path.startswith("params/tune/") for path in saved)
    assert checkpoint["init_from"]["model_dir"] == place.base


def test_choices_are_learnt_and_measured_by_their_loss(place, tmp_path):
    train = {"total_steps": 12, "eval_every": 12, "checkpoint_every": 12, "sequence_length": 96}
    text = TuningText("rows", place.rows, place.rows[:4], place.prompt)
    options = {"objective": "choices", "rate": 3e-2}
    _, figures = run(place, tmp_path / "run", text=text, train=train, **options)
    losses = [record["loss"] for record in numbers(tmp_path / "run")]
    assert losses[-1] < 0.7 * losses[0]
    experiment, config = settings(place, train=train, objective="choices")
    held_out = TuningText("rows", place.rows[:4], place.rows[:1], place.prompt)
    parts, data = tuning_parts(experiment, config, held_out, MESH)
    with jax.set_mesh(MESH):
        state, _ = run(place, tmp_path / "run", text=text, train=train, **options)
        loss_fn = make_tuning_loss(experiment.model, experiment.compute, config)
        total, weight = jax.jit(loss_fn)(state.params, data.train)
    assert weight == 4 and data.train.answers_bt.max() > 1
    assert figures["validation_choice_loss"] == pytest.approx(float(total / weight), rel=1e-4)
    with pytest.raises(ConfigError, match="TuneConfig.objective='choices' needs a prompt document"):
        tuning_parts(experiment, config, TuningText("rows", place.rows), MESH)
    with pytest.raises(ConfigError, match="leave it out with TuneConfig.objective='choices'"):
        run(place, tmp_path / "other", train={"z_loss": 0.1}, objective="choices")


def test_an_example_is_learnt_by_heart(place, tmp_path, tokenizer_dirs):
    base = str(write_base(tmp_path / "base", tokenizer_dirs["plain"], scale=3.0))
    text = TuningText("rows", [Row("1", {"prompt": TEXT, "completion": " 그리고 남았다"})])
    train = {"total_steps": 120, "eval_every": 0, "checkpoint_every": 120, "keep_best": 0}
    wide = {"targets": "q,k,v,out,wi,wo", "rank": 8, "alpha": 32.0}
    state, figures = run(
        place, tmp_path / "run", text=text, base=base, rate=3e-2, train=train, **wide
    )
    losses = [record["loss"] for record in numbers(tmp_path / "run")]
    assert losses[0] > 3 and losses[-1] < 0.02 and figures == {"step": 120}


TEXT = "처음 본 글"


def test_another_base_is_refused(place, tmp_path, tokenizer_dirs):
    other = str(write_base(tmp_path / "other", tokenizer_dirs["plain"], seed=1))
    run(place, tmp_path / "run", train={"total_steps": 2})
    more = {"train": {"total_steps": 4}}
    with pytest.raises(ConfigError, match="holds a run that began from .*base:0"):
        run(place, tmp_path / "run", base=other, **more)
    moved = tmp_path / "base"
    write_base(moved, tokenizer_dirs["plain"])
    run(place, tmp_path / "own", base=str(moved), train={"total_steps": 2})
    for path in sorted(moved.rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    write_base(moved, tokenizer_dirs["plain"], seed=1)
    with pytest.raises(CheckpointError, match="holds other weights than when this run was started"):
        run(place, tmp_path / "own", base=str(moved), **more)
    with pytest.raises(CheckpointError, match="--base=.*does not exist"):
        read_base(str(tmp_path / "missing"))
    wrong = TuningText("rows", place.rows[:-1], prompt=place.prompt)
    with pytest.raises(DataError, match="trained with another text"):
        run(place, tmp_path / "run", text=wrong, **more)
    with pytest.raises(ConfigError, match="TuneConfig.rank: 8 there, 4 now"):
        run(place, tmp_path / "run", rank=4, **more)
    _, figures = run(place, tmp_path / "run", **more)
    assert figures["step"] in (2, 4)


@pytest.mark.parametrize("kind, remedy", [("lora", "--merge_to"), ("prompt_tune", "artefact")])
def test_a_run_that_holds_no_whole_model_is_refused_where_such_is_read(
    place, tmp_path, kind, remedy
):
    run(place, tmp_path / "run", kind=kind, train={"total_steps": 2})
    for read in (load_for_inference, read_base):
        with pytest.raises(ConfigError, match=f"is of a run of {kind}, .*{remedy}"):
            read(str(tmp_path / "run"))


def test_gin_sets_the_method_and_not_the_base(place):
    bindings = ["DataConfig.input=rows.csv", "TuneConfig.rank=4", "DataConfig.encoding=cp949"]
    bindings.append("TrainConfig.sequence_length=64")
    experiment, config = load_settings(["runs/lora.gin"], bindings, place.base)
    assert (config.kind, config.rank, experiment.data.encoding) == ("lora", 4, "cp949")
    assert experiment.model == read_base(place.base)[0].model
    for binding, message in (
        ("ModelConfig.d_model=8", "there is no class 'ModelConfig'"),
        ("TuneConfig.ranks=4", "TuneConfig has no field named 'ranks'.*TuneConfig.rank"),
        ("TuneConfig.kind=adapter", "TuneConfig.kind='adapter' is not"),
        ("TrainConfig.sequence_length=128", "more than the 96 tokens that the base reads"),
    ):
        with pytest.raises(ConfigError, match=message):
            load_settings(["runs/lora.gin"], [*bindings, binding], place.base)
