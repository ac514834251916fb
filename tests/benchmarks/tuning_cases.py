"""The cases of the table of tests/benchmarks/tuning.py: a method on a task, with a seed."""

import contextlib
import dataclasses
import gc
import shutil
import statistics
import sys
import time
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from hclx.config import ComputeConfig, Experiment, ModelConfig
from hclx.data.batch import Batch
from hclx.evaluate.item_prompts import reader_of
from hclx.evaluate.metrics import METRICS
from hclx.evaluate.statistics import summarise
from hclx.evaluate.suite import run_suite
from hclx.evaluate.trial import read_text
from hclx.infer.model_source import RunFolder
from hclx.model import head_weights, project_to_vocab
from hclx.parallel import make_mesh
from hclx.text import load_tokenizer
from hclx.train import step
from hclx.train.initial_weights import choose_initial_weights
from hclx.train.metrics_writer import read_metrics
from hclx.train.run import RunOptions
from hclx.tune import TuneConfig, apply_method, count_trainable, tuned_hidden_states
from hclx.tune.choice_accuracy import choice_accuracy
from hclx.tune.examples import prompt_encoder
from hclx.tune.tuning_data import TuningText
from hclx.tune.tuning_memory import state_memory
from hclx.tune.tuning_run import ARTEFACT, tune, tuning_parts
from hclx.tune.tuning_settings import load_settings
from tests.benchmarks.tuning_tasks import BenchmarkTask

# Method -> the gin file of runs/, and what it sets.
TUNED = {
    "prompt_tune": ("prompt_tune", ()),
    "p_tune_lstm": ("p_tune", ("TuneConfig.encoder=lstm",)),
    "p_tune_mlp": ("p_tune", ("TuneConfig.encoder=mlp",)),
    "prefix_tune": ("prefix_tune", ()),
    "lora": ("lora", ()),
    "finetune": ("finetune", ()),
}
METHODS = ("few_shot", *TUNED)
DECODED_ROWS = 8  # at once


class Setup(NamedTuple):
    """What all cases have in common.

    Attributes:
      run: the base, MODEL_DIR of a run of hclx.
      work: a folder for the runs of the cases, which are removed when their case is done.
      steps, batch, length: of tuning; rows and tokens of a row.
      generated: at most so many texts are generated, of a task without choices.
      bindings: of gin, for all methods.
    """

    run: str
    work: Path
    steps: int
    batch: int
    length: int
    generated: int
    bindings: tuple[str, ...] = ()


def few_shot(setup: Setup, task: BenchmarkTask, seed: int, folder: Path) -> dict:
    """Evaluates the base by the functions of `hclx evaluate`; the seed draws the examples."""
    begin = time.monotonic()
    items = task.spec.items
    if not task.spec.prompt.choices:
        items = items[: setup.generated]
    spec = dataclasses.replace(task.spec, items=items, seed=seed)
    source = RunFolder(setup.run, None, None, rows=16)
    with source.open() as engine:
        reader = reader_of(source.reads, None, None, None)
        facts = {**source.facts(), "max_length": reader.max_length}
        (record,) = run_suite(engine, [spec], reader, facts, folder)["runs"]
    mean = lambda values: values[spec.main]["mean"]
    return {
        spec.main: mean(record["metrics"]),
        "calibrated": {name: mean(values) for name, values in record["calibrated"].items()},
        "shots": record["shots"],
        "items": len(items),
        "seconds": round(time.monotonic() - begin, 1),
    }


def tuned(setup: Setup, task: BenchmarkTask, method: str, seed: int, folder: Path) -> dict:
    """Tunes the base by the functions of `hclx tune`, chooses the best step by the rows that are
    held out, and measures it on the test items.
    """
    experiment, config = settings(setup, method, seed)
    mesh = make_mesh(experiment.mesh, jax.devices()[:1])
    text = TuningText(task.spec.name, task.train, task.held_out, task.spec.prompt, "drop")
    memory = _memory(setup, experiment, config, text, mesh)
    options = RunOptions(init_from=setup.run, lease_seconds=1.0)
    begin = time.monotonic()
    with contextlib.redirect_stdout(sys.stderr):
        state, figures = tune(experiment, config, text, str(folder), options, mesh)
    seconds = time.monotonic() - begin
    times = [r["step_time"] for r in read_metrics(folder) if r.get("step_time")]
    artefact = folder / ARTEFACT
    return {
        **_test(setup, task, experiment, config, state, mesh),
        "best_step": figures["step"],
        "validation_loss": figures.get("validation_loss"),
        "trainable": count_trainable(experiment.model, config),
        "artefact_bytes": artefact.stat().st_size if artefact.exists() else None,
        **memory,
        "steps": setup.steps,
        "step_seconds": round(statistics.median(times), 4) if times else None,
        "seconds": round(seconds, 1),
    }


def settings(setup: Setup, method: str, seed: int) -> tuple[Experiment, TuneConfig]:
    """Returns the configuration of a case: the gin file of its kind, with the benchmark's steps."""
    kind, own = TUNED[method]
    every = max(1, setup.steps // 4)
    bindings = [
        f"TrainConfig.total_steps={setup.steps}",
        f"TrainConfig.global_batch_size={setup.batch}",
        f"TrainConfig.sequence_length={setup.length}",
        f"TrainConfig.seed={seed}",
        f"TuneConfig.seed={seed}",
        f"TrainConfig.eval_every={every}",
        f"TrainConfig.checkpoint_every={every}",
        f"OptimizerConfig.warmup_steps={min(10, setup.steps - 1)}",
        "DataConfig.input=benchmark",
    ]
    return load_settings([f"runs/{kind}.gin"], [*bindings, *own, *setup.bindings], setup.run)


def _memory(setup, experiment, config, text, mesh) -> dict:
    """The bytes of the state of the run, as planned, and as the arrays of a first state have them;
    gradients, which exist within a step alone, are planned.
    """
    parts, data = tuning_parts(experiment, config, text, mesh)
    weights = choose_initial_weights(None, setup.run, experiment.model)
    with jax.set_mesh(mesh):
        program = parts.make_program(())
        planned, before = state_memory(program.abstract_state), live_bytes()
        state = parts.begin(program, weights, parts.read_frozen(program, weights))
        measured = live_bytes() - before
        del state
    filled = data.n_train / len(data.train.tokens_bt)
    return {
        "state_bytes_planned": planned.held,
        "state_bytes": measured,
        "step_bytes_planned": planned.total,
        "examples_a_step": round(filled * experiment.train.global_batch_size, 1),
        "too_long": data.n_dropped,
    }


def live_bytes() -> int:
    """Returns the bytes of all arrays of JAX in this process."""
    gc.collect()
    return sum(array.nbytes for array in jax.live_arrays())


def _test(setup, task, experiment, config, state, mesh) -> dict:
    """The figures of a tuned model on the test items."""
    text = TuningText(task.spec.name, task.held_out, task.test, task.spec.prompt, "drop")
    train = dataclasses.replace(experiment.train, eval_windows=len(task.test))
    with jax.set_mesh(mesh):
        parts, data = tuning_parts(experiment, config, text, mesh)
        program = parts.make_program(())
        with data.open_validation(train, program) as loader:
            token_bytes = jnp.asarray(parts.token_bytes, jnp.float32)
            n = loader.n_sequences
            losses = step.evaluate(program, state.params, loader, token_bytes, n)
        figures = {"loss": losses["validation_loss"], "items": data.n_held_out}
        if task.spec.prompt.choices:
            accuracy = choice_accuracy(data.choices, data.labels, train)(program, state)
            return {"accuracy": accuracy["validation_accuracy"], **figures}
        return {**figures, "chrf": _chrf(setup, task, experiment, config, state)}


def _chrf(setup, task, experiment, config, state) -> float:
    """chrF of the likeliest texts, token by token, of the first test items."""
    model, tokenizer = experiment.model, load_tokenizer(experiment.data.tokenizer_dir)
    has_slots = config.kind in ("prompt_tune", "p_tune")
    slots = range(model.vocab_size, model.vocab_size + config.length) if has_slots else ()
    encode, spec = prompt_encoder(task.spec.prompt, tokenizer, slots), task.spec
    items, texts = spec.items[: setup.generated], []
    examples = [encode(row) for row in task.test[: setup.generated]]
    contexts = [example.tokens[example.weights == 0] for example in examples]
    compute = dataclasses.replace(experiment.compute, attention="xla")
    step = next_tokens(model, compute, config)
    for begin in range(0, len(contexts), DECODED_ROWS):
        rows = contexts[begin : begin + DECODED_ROWS]
        ids = decode(step, state.params, rows, spec.prompt.sampling["max_tokens"], tokenizer.eod_id)
        texts += [tokenizer.decode(row).split("\n")[0] for row in ids]
    predictions = [read_text(spec, text) for text in texts]
    return summarise(METRICS["chrf"], items, [predictions], seed=0).mean


def next_tokens(model: ModelConfig, compute: ComputeConfig, config: TuneConfig):
    """Returns (params, tokens_bt, ends_b) -> the likeliest token behind each row."""

    @jax.jit
    def step(params, tokens_bt, ends_b):
        shape = tokens_bt.shape
        positions_bt = jnp.broadcast_to(jnp.arange(shape[1]), shape)
        zeros_bt = jnp.zeros(shape, jnp.int32)
        batch = Batch(tokens_bt, zeros_bt, jnp.zeros(shape), zeros_bt, positions_bt)
        tuned = apply_method(params, model, config)
        x_btd = tuned_hidden_states(tuned, batch, model, compute)
        x_bd = jnp.take_along_axis(x_btd, ends_b[:, None, None] - 1, axis=1)[:, 0]
        return project_to_vocab(x_bd, head_weights(tuned.params, model)).argmax(-1)

    return step


def decode(step, params, contexts, n: int, eod: int) -> list[list[int]]:
    """Writes at most `n` tokens behind each context, without a cache, as any method can be read so;
    a text ends before the token that ends a document.
    """
    length = -(-(max(map(len, contexts)) + n) // 32) * 32
    tokens_bt = np.zeros((DECODED_ROWS, length), np.int32)
    ends = np.ones(DECODED_ROWS, np.int32)
    for row, context in enumerate(contexts):
        tokens_bt[row, : len(context)], ends[row] = context, len(context)
    for _ in range(n):
        tokens_bt[np.arange(DECODED_ROWS), ends] = np.asarray(step(params, tokens_bt, ends))
        ends += 1
    written = [tokens_bt[row, len(context) : ends[row]] for row, context in enumerate(contexts)]
    return [row[: [*row.tolist(), eod].index(eod)].tolist() for row in written]


def run_case(setup: Setup, task: BenchmarkTask, method: str, seed: int) -> dict:
    """Runs a case in a folder of its own, where it goes on if it was killed."""
    folder = setup.work / f"{task.spec.task}.{method}.{seed}"
    if method == "few_shot":
        figures = few_shot(setup, task, seed, folder)
    else:
        figures = tuned(setup, task, method, seed, folder)
    shutil.rmtree(folder, ignore_errors=True)
    return figures
