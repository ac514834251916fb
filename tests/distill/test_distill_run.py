"""Runs of distillation: the teacher's cache, killed and resumed, refusals, and the command."""

import dataclasses
import json
from types import SimpleNamespace

import jax
import numpy as np
import pytest

from hclx.config import ModelConfig, OptimizerConfig
from hclx.distill import DistillConfig, ask_teacher, distill_run
from hclx.distill.ask_teacher import find_teacher
from hclx.distill.distill_run import distill
from hclx.distill.distill_settings import load_distill_settings
from hclx.distill.sequences import write_sequences
from hclx.distill.taught_batch import TaughtLoader
from hclx.distill.teacher_cache import TeacherCache
from hclx.errors import CheckpointError, ConfigError, DataError
from hclx.infer import SamplingConfig
from hclx.infer.load import load_for_inference
from hclx.model import hidden_states, unembed
from hclx.parallel import make_mesh
from hclx.prompts import load_prompt
from hclx.train.run import RunOptions
from hclx.tune.packed_loader import PackedLoader
from hclx.tune.row_files import Row, read_rows
from hclx.tune.tuning_data import TuningText
from hclx.tune.tuning_run import read_base
from tests.helpers.commands import launch, refused
from tests.helpers.meshes import ONE, devices_of
from tests.helpers.runs import numbers
from tests.helpers.tuning import FP32
from tests.helpers.tuning_runs import (
    SHORT_RUN,
    labelled_rows,
    write_base,
    write_prompt,
    write_rows,
)

MESH = make_mesh(ONE, devices_of(ONE))
CONFIG = DistillConfig(top_k=4, temperature=1.5)
TRAIN = dataclasses.replace(SHORT_RUN, keep_best=0)


@pytest.fixture(scope="module")
def place(tmp_path_factory, tokenizer_dirs):
    """A teacher, and rows of text that is learnt whole."""
    folder = tmp_path_factory.mktemp("distillation")
    rows = [
        {"prompt": "", "completion": f"{row['text']} 그리고 {n}"}
        for n, row in enumerate(labelled_rows(16))
    ]
    return SimpleNamespace(
        folder=folder,
        teacher=str(write_base(folder / "teacher", tokenizer_dirs["plain"])),
        rows=read_rows(write_rows(folder / "rows.jsonl", rows)),
    )


def settings(place, train=TRAIN):
    of_teacher, tokenizer_dir = read_base(place.teacher)
    vocab_size = of_teacher.model.vocab_size
    model = ModelConfig(vocab_size=vocab_size, n_layers=1, d_model=16, n_heads=2, max_length=96)
    data = dataclasses.replace(
        of_teacher.data,
        mixture="",
        input="rows",
        tokenizer_dir=tokenizer_dir,
        validation_permille=250,
    )
    optimizer = OptimizerConfig(learning_rate=1e-2, warmup_steps=1)
    return dataclasses.replace(
        of_teacher, model=model, mesh=ONE, data=data, optimizer=optimizer, train=train
    )


def run(place, model_dir, config=CONFIG, teacher=None, train=TRAIN, **options):
    start = RunOptions(lease_seconds=1.0)
    return distill(
        settings(place, train),
        config,
        TuningText("rows", place.rows),
        str(model_dir),
        teacher or place.teacher,
        start,
        mesh=MESH,
        **options,
    )


class Killed(BaseException):
    """Ends a run as a signal does that cannot be answered."""


def dies_at(monkeypatch, owner, name, count):
    """Lets a method end the process when it is called for the time `count`."""
    method, calls = getattr(owner, name), []

    def wrapped(*arguments, **options):
        calls.append(name)
        if len(calls) == count:
            raise Killed
        return method(*arguments, **options)

    monkeypatch.setattr(owner, name, wrapped)


def until_the_fourth(self, index):
    for position, batch in PackedLoader.iterate(self, index):
        if position >= 8:
            raise Killed
        yield position, batch


def files_of(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.mark.long  # the loop is that of tuning, whose runs are resumed in the quick group
def test_a_run_that_ends_anywhere_resumes_to_the_last_digit(place, tmp_path, monkeypatch):
    monkeypatch.setattr("hclx.distill.teacher_cache.ROWS", 2)
    run(place, tmp_path / "whole")
    whole, killed = (tmp_path / name / distill_run.CACHE for name in ("whole", "killed"))
    with monkeypatch.context() as patch:  # while the teacher is asked
        dies_at(patch, TeacherCache, "write", 2)
        with pytest.raises(Killed):
            run(place, tmp_path / "killed")
    assert [path.name for path in sorted(killed.glob("*.npy"))] == ["00000.npy"]
    asked = []
    make = ask_teacher.make_top_k
    monkeypatch.setattr(ask_teacher, "make_top_k", lambda *a: asked.append(1) or make(*a))
    with monkeypatch.context() as patch:  # while the student learns
        patch.setattr(TaughtLoader, "iterate", until_the_fourth)
        with pytest.raises(Killed):
            run(place, tmp_path / "killed")
    assert files_of(killed) == files_of(whole) and asked == [1]
    run(place, tmp_path / "killed")
    assert asked == [1], "the teacher was asked again"
    assert numbers(tmp_path / "killed") == numbers(tmp_path / "whole")
    events = [json.loads(line) for line in (tmp_path / "killed/events.jsonl").open()]
    assert [e["step"] for e in events if e["event"] == "restore"] == [4]
    losses = [r["validation_loss"] for r in numbers(tmp_path / "whole") if "validation_loss" in r]
    assert len(losses) == 3 and losses[-1] < losses[0]
    model = load_for_inference(tmp_path / "whole", mesh=MESH)  # a plain run
    assert model.config.n_layers == 1


def test_the_cache_has_what_the_teacher_says(place, tmp_path, monkeypatch):
    monkeypatch.setattr("hclx.distill.teacher_cache.ROWS", 2)
    seen = []
    monkeypatch.setattr(distill_run, "_parts", lambda *a: seen.append(a) or stop())
    with pytest.raises(Killed):
        run(place, tmp_path / "run")
    data, cache = seen[0][4], seen[0][5]
    rows = data.train
    model = load_for_inference(place.teacher, mesh=MESH, dtype="float32")
    params = stacked(model.params)
    packed = rows.tokens_bt, rows.segments_bt, rows.positions_bt
    logits = unembed(params, hidden_states(params, *packed, model.config, FP32), model.config)
    log_p = np.asarray(jax.nn.log_softmax(logits / CONFIG.temperature))
    chosen = np.arange(len(rows.tokens_bt))[::-1]
    ids, log_probs = cache.read(chosen)
    weighs = rows.weights_bt[chosen] > 0
    expected = -np.sort(-log_p[chosen], axis=-1)[..., : CONFIG.top_k]
    np.testing.assert_allclose(log_probs[weighs], expected[weighs], atol=1e-4)
    of_ids = np.take_along_axis(log_p[chosen], ids, -1)
    np.testing.assert_allclose(log_probs[weighs], of_ids[weighs], atol=1e-4)
    assert (log_probs[~weighs] == 0).all() and 0 < weighs.mean() < 1


def stop():
    raise Killed


def stacked(params):
    """The parameters of a model for inference as training has them."""
    blocks = jax.tree.map(lambda *layers: np.stack(layers), *params["blocks"])
    return {**params, "blocks": blocks}


@pytest.mark.long
def test_another_teacher_and_other_settings_are_refused(place, tmp_path, tokenizer_dirs):
    other = str(write_base(tmp_path / "other", tokenizer_dirs["plain"], seed=1))
    short = dataclasses.replace(TRAIN, total_steps=2)
    run(place, tmp_path / "run", train=short)
    with pytest.raises(ConfigError, match="holds a run of other settings.*teacher"):
        run(place, tmp_path / "run", teacher=other)
    with pytest.raises(ConfigError, match="soft_weight: 0.9 there, 0.5 now"):
        run(place, tmp_path / "run", dataclasses.replace(CONFIG, soft_weight=0.5))
    cache = str(tmp_path / "run" / distill_run.CACHE)
    with pytest.raises(ConfigError, match="what another teacher said.*teacher .* there"):
        run(place, tmp_path / "next", teacher=other, cache_dir=cache)
    with pytest.raises(ConfigError, match="top_k 4 there, 5 now"):
        run(place, tmp_path / "third", dataclasses.replace(CONFIG, top_k=5), cache_dir=cache)
    run(place, tmp_path / "fourth", train=short, cache_dir=cache)  # students share it
    assert not (tmp_path / "fourth" / distill_run.CACHE).exists()
    path = tmp_path / "run" / distill_run.CACHE / "00000.npy"
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match="00000.npy is not what was written"):
        run(place, tmp_path / "fifth", cache_dir=cache)


def test_another_tokenizer_is_refused(place, tmp_path, tokenizer_dirs):
    other = str(write_base(tmp_path / "other", tokenizer_dirs["train"]))
    with pytest.raises(CheckpointError, match="was trained with another vocabulary"):
        find_teacher(other, "0123")
    with pytest.raises(CheckpointError, match="vocabulary"):
        run(place, tmp_path / "run", teacher=other)


GIN = (
    "--gin_file=runs/distill.gin",
    "--gin.ModelConfig.n_layers=1",
    "--gin.ModelConfig.d_model=16",
    "--gin.ModelConfig.n_heads=2",
    "--gin.ModelConfig.max_length=64",
    "--gin.TrainConfig.total_steps=2",
    "--gin.TrainConfig.global_batch_size=2",
    "--gin.TrainConfig.sequence_length=64",
    "--gin.TrainConfig.eval_every=2",
    "--gin.TrainConfig.checkpoint_every=2",
    "--gin.OptimizerConfig.warmup_steps=1",
    "--gin.DistillConfig.top_k=4",
)


@pytest.mark.long
def test_the_command_leaves_a_plain_run(place, tmp_path):
    folders = f"--teacher={place.teacher}", f"--data={place.folder / 'rows.jsonl'}"
    result = launch("distill.py", *GIN, *folders, f"--model_dir={tmp_path / 'run'}")
    assert result.returncode == 0, result.stderr
    assert "done: step 2" in result.stdout and "teach" in result.stdout
    written = launch("generate.py", f"--model_dir={tmp_path / 'run'}", "--prompt=글:")
    assert written.returncode == 0, written.stderr
    missing = launch("distill.py", *GIN, *folders[:1], f"--model_dir={tmp_path / 'other'}")
    assert "--data is missing" in refused(missing, 64)


def test_the_student_may_begin_with_a_run(place):
    experiment, config = load_distill_settings(
        ["runs/distill.gin"],
        ["DataConfig.input=rows", "TrainConfig.sequence_length=64"],
        place.teacher,
        place.teacher,
    )
    assert experiment.model == read_base(place.teacher)[0].model and config == DistillConfig()
    with pytest.raises(ConfigError, match="there is no class 'ModelConfig'"):
        load_distill_settings(
            ["runs/distill.gin"], ["ModelConfig.d_model=8"], place.teacher, place.teacher
        )


def test_a_teacher_answers_rows_in_its_own_words(place, tmp_path):
    prompt = load_prompt(write_prompt(tmp_path / "prompt.json"))
    rows = [Row(str(n), row) for n, row in enumerate(labelled_rows(6))]
    path, sampling = tmp_path / "chosen.jsonl", SamplingConfig(max_tokens=6, temperature=0.0)
    write_sequences(place.teacher, TuningText("rows", rows, None, prompt), str(path), sampling)
    chosen = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert [row["text"] for row in chosen] == [row.fields["text"] for row in rows]
    assert {row["answer"] for row in chosen} <= {"good", "bad"}
    whole, killed = tmp_path / "whole.jsonl", tmp_path / "killed.jsonl"
    plain = TuningText("rows", [Row(str(n), {"prompt": f"글 {n}:"}) for n in range(5)])
    n_answers = write_sequences(place.teacher, plain, str(whole), sampling)
    assert n_answers == len(whole.read_text(encoding="utf-8").splitlines()) <= len(plain.rows)
    lines = whole.read_bytes().splitlines(keepends=True)
    assert 0 < len(lines) <= 5 and json.loads(lines[0])["completion"]
    write_sequences(place.teacher, plain, str(killed), sampling)
    killed.write_bytes(b"".join(lines[:2]) + lines[-1][:9])  # as a kill leaves it
    write_sequences(place.teacher, plain, str(killed), sampling)
    assert killed.read_bytes() == whole.read_bytes()
    assert read_rows(whole)[0].fields["prompt"] == "글 0:"  # what `hclx tune` learns
    with pytest.raises(ConfigError, match="begun with another sampling"):
        write_sequences(place.teacher, plain, str(killed), dataclasses.replace(sampling, seed=1))
    fewer = TuningText("rows", plain.rows[1:])
    with pytest.raises(DataError, match=":1 answers another row"):
        write_sequences(place.teacher, fewer, str(killed), sampling)
