"""A tiny base as a run, rows to tune it on, and commands and functions that do so."""

import dataclasses
import json

import jax

from hclx.config import (
    ComputeConfig,
    DataConfig,
    Experiment,
    MeshConfig,
    ModelConfig,
    OptimizerConfig,
    TokenizerConfig,
    TrainConfig,
)
from hclx.model import init_params
from hclx.parallel import make_mesh
from hclx.text import load_tokenizer
from hclx.train.run import RunOptions
from hclx.tune import TuneConfig, tuning_run
from hclx.tune.merged_run import write_plain_run
from hclx.tune.tuning_data import TuningText
from tests.helpers.commands import launch
from tests.helpers.meshes import ONE, devices_of

# A run with evaluations and a best step.
SHORT_RUN = TrainConfig(
    total_steps=6,
    global_batch_size=2,
    sequence_length=64,
    log_every=1,
    eval_every=2,
    checkpoint_every=2,
    keep_best=1,
)

# Wide enough that a few changes of the blocks can move its logits far.
SHAPE = {"n_layers": 2, "d_model": 32, "n_heads": 2, "max_length": 96, "init_std": 0.3}
KINDS = ("prompt_tune", "p_tune", "prefix_tune", "lora", "finetune")
SMALL = (
    "--gin.TrainConfig.total_steps=8",
    "--gin.TrainConfig.global_batch_size=2",
    "--gin.TrainConfig.sequence_length=64",
    "--gin.TrainConfig.log_every=1",
    "--gin.TrainConfig.eval_every=2",
    "--gin.TrainConfig.checkpoint_every=2",
    "--gin.OptimizerConfig.warmup_steps=1",
    "--gin.TuneConfig.length=3",
    "--gin.DataConfig.validation_permille=250",
)
MESH = make_mesh(ONE, devices_of(ONE))
PROMPT = {
    "schema": "hclx.prompt/1",
    "name": "taste",
    "input": "글: {text}\n평: ",
    "answer": "{answer}",
    "choices": {"good": "좋음", "bad": "나쁨"},
    "parser": {"kind": "choice"},
}
TEXTS = ("국이 맑고 따뜻하다", "밥이 식어서 굳었다", "차가 향기롭다", "빵이 눅눅하다")


def write_base(folder, tokenizer_dir, seed=0, scale=1.0, **shape):
    """Writes a base of `SHAPE` and `shape` with random weights, and token vectors `scale` times as
    long: how sure the model can be of a token is limited by their length, as it ends in a norm.
    """
    vocab_size = load_tokenizer(tokenizer_dir).vocab_size
    model = ModelConfig(vocab_size=vocab_size, **{**SHAPE, **shape})
    experiment = Experiment(
        model=model,
        compute=ComputeConfig(dtype="float32"),
        mesh=MeshConfig(),
        optimizer=OptimizerConfig(),
        data=DataConfig(mixture="random weights", tokenizer_dir=str(tokenizer_dir)),
        tokenizer=TokenizerConfig(),
        train=TrainConfig(sequence_length=64),
    )
    params = jax.device_get(jax.jit(init_params, static_argnums=0)(model, jax.random.key(seed)))
    params["embedding"]["token"] = scale * params["embedding"]["token"]
    write_plain_run(folder, params, experiment)
    return folder


def write_prompt(path, **changes):
    path.write_text(json.dumps({**PROMPT, **changes}, ensure_ascii=False), encoding="utf-8")
    return path


def labelled_rows(n=12):
    labels = ("good", "bad")
    return [{"text": f"{TEXTS[i % 4]} {i}", "answer": labels[i % 2]} for i in range(n)]


def write_rows(path, rows):
    lines = [json.dumps(row, ensure_ascii=False) for row in rows]
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def tune(kind, base, model_dir, *arguments, small=SMALL, **options):
    own = (f"--gin_file=runs/{kind}.gin", f"--base={base}", f"--model_dir={model_dir}")
    return launch("tune.py", *own, *small, *arguments, **options)


class Killed(BaseException):
    """Ends a run as a signal does that cannot be answered."""


def settings(place, kind="lora", rate=1e-2, train={}, **fields):
    """The configuration of a run in this process; `place` is that of tests/tune/conftest.py."""
    of_base, tokenizer_dir = tuning_run.read_base(place.base)
    experiment = dataclasses.replace(
        of_base,
        mesh=ONE,
        optimizer=OptimizerConfig(learning_rate=rate, warmup_steps=1, weight_decay=0.0),
        data=DataConfig(input="rows", tokenizer_dir=tokenizer_dir, validation_permille=250),
        train=dataclasses.replace(SHORT_RUN, **train),
    )
    return experiment, TuneConfig(kind=kind, **{"length": 3, **fields})


def run(place, model_dir, kind="lora", text=None, base=None, **options):
    """Tunes in this process."""
    experiment, config = settings(place, kind, **options)
    text = text or TuningText("rows", place.rows, prompt=place.prompt)
    start = RunOptions(init_from=base or place.base, lease_seconds=1.0)
    return tuning_run.tune(experiment, config, text, str(model_dir), start, MESH)
