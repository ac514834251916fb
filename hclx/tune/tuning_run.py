"""Tuning, from rows to an artefact: the run is that of pretraining, on the parts of a method."""

import dataclasses
import functools
import logging
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
from jax.sharding import Mesh

from hclx.config import ComputeConfig, Experiment
from hclx.errors import CheckpointError, ConfigError
from hclx.model import Params
from hclx.parallel import make_mesh
from hclx.progress import counted, size_in_words
from hclx.prompts import prompt_to_json
from hclx.text import Tokenizer, load_tokenizer
from hclx.train.checkpoint import checkpoints_of
from hclx.train.compilation_cache import keep_compiled_programs
from hclx.train.dry_run import check_before_work
from hclx.train.initial_weights import (
    find_checkpoint,
    fingerprints_of,
    read_initial_weights,
)
from hclx.train.malloc import computes_on_cpu, keep_freed_memory
from hclx.train.messages import changes_in_words, ending
from hclx.train.pretrain import starting_point, train_loop
from hclx.train.retention import ranked, ranks_of
from hclx.train.run import Run, RunOptions, claimed_folder, open_run
from hclx.train.run_changes import changes_of
from hclx.train.run_dir import has_begun, read_config
from hclx.train.run_parts import RunParts, Weights
from hclx.train.state import TrainState
from hclx.train.step import Program, Training, check_device, make_program
from hclx.train.validation import evaluate
from hclx.train.whole_model import read_whole_model
from hclx.tune.artefact import Artefact, base_fingerprint, write_artefact
from hclx.tune.best_step import check_patience, metrics_of, selection_of
from hclx.tune.choice_accuracy import choice_accuracy
from hclx.tune.class_balance import classes_in_words
from hclx.tune.frozen_base import read_held_base
from hclx.tune.held_out_texts import text_metrics
from hclx.tune.initial_values import Tokens
from hclx.tune.packing import ChoiceBatch
from hclx.tune.text_groups import Layout
from hclx.tune.text_losses import make_text_loss, make_text_token_losses
from hclx.tune.text_rows import prepare_groups
from hclx.tune.trainable import (
    abstract_tuning_state,
    begin_state,
    count_trainable,
    trainable_bytes,
    tuning_decay_mask,
)
from hclx.tune.tune_config import TuneConfig
from hclx.tune.tuning_data import TuningData, TuningText, prepare_examples
from hclx.tune.tuning_loss import make_tuned_token_losses, make_tuning_loss

_LOG = logging.getLogger(__name__)

ARTEFACT = "artefact.safetensors"  # in the folder of a run


def read_base(base: str) -> tuple[Experiment, str]:
    """Returns the configuration of a base and the folder of its tokenizer.

    Args:
      base: MODEL_DIR or MODEL_DIR:STEP of a run.
    Raises:
      ConfigError, CheckpointError: there is no such run or step.
      DataError: its config.json is damaged.
    """
    try:
        folder, _ = find_checkpoint(base)
    except (ConfigError, CheckpointError) as error:
        raise type(error)(str(error).replace("--init_from", "--base")) from error
    return read_whole_model(folder)


def tune(
    experiment: Experiment,
    config: TuneConfig,
    text: TuningText,
    model_dir: str,
    options: RunOptions,
    mesh: Mesh | None = None,
) -> tuple[TrainState, dict[str, float]]:
    """Tunes a base on rows. A run that was started before resumes.

    Args:
      experiment: the model is that of the base, and `data.tokenizer_dir` the base's tokenizer.
      config: the method and its settings.
      text: the rows.
      model_dir: takes what a run of pretraining leaves, but for tokenizer and cache; and the
        artefact of the best step, unless all parameters are trained.
      options: of this start; `init_from` names the base.
      mesh: the devices; None: all, as the configuration lays them out.
    Returns:
      The state of the best step (without moments of its own), and its figures: "step" and, if
      examples are held out, "last_step", `validation_loss`, `bits_per_byte` and, for choices,
      `validation_accuracy` and `validation_choice_loss`; for vectors and pairs, see
      `hclx.tune.held_out_texts`. The last state, if the file STOP ended the run.
    Raises:
      ConfigError, DataError and others: as `hclx.train.pretrain.pretrain`.
    """
    if computes_on_cpu():
        keep_freed_memory()
    check_run(experiment, config, model_dir, options)
    changes = changes_of(model_dir, experiment)
    keep_compiled_programs()
    mesh = mesh or make_mesh(experiment.mesh)
    say = print if jax.process_index() == 0 else lambda *_, **__: None
    with claimed_folder(model_dir, options) as lease:
        parts, data = tuning_parts(experiment, config, text, mesh)
        say(summary(experiment, config, data, options.init_from), flush=True)
        opened = open_run(experiment, model_dir, options, parts, lease)
        with jax.set_mesh(mesh), opened as run:
            state = starting_point(run)
            for line in changes_in_words(changes, experiment, model_dir, run.progress.step):
                say(line, flush=True)
            state = train_loop(run, state)
            if not run.is_done:
                say(ending(run))
                return state, {"step": run.progress.step}
            state, figures = _best(run, state)
            if config.kind != "finetune":
                _write(run, state, config, text, figures)
    say(ending(run))
    say(_in_words(model_dir, config, figures))
    return state, figures


def tuning_parts(
    experiment: Experiment, config: TuneConfig, text: TuningText, mesh: Mesh
) -> tuple[RunParts, TuningData]:
    """Returns the parts of a run of tuning, and its data.

    Raises:
      ConfigError, DataError: as `prepare_examples`.
    """
    model, train = experiment.model, experiment.train
    tokenizer = load_tokenizer(experiment.data.tokenizer_dir)
    permille = experiment.data.validation_permille
    prepare = prepare_examples if config.writes_text else prepare_groups
    data = prepare(text, tokenizer, model.vocab_size, config, train.sequence_length, permille)
    tokens = _initial_texts(config, text, tokenizer)
    token_bytes = np.zeros(model.vocab_size, np.float32)
    if config.writes_text:
        token_bytes[: tokenizer.vocab_size] = tokenizer.token_bytes()
    metrics = _metrics(experiment, config, data, mesh)
    training = functools.partial(_training, experiment, config, mesh, data.layout)

    def program(factors: tuple[tuple[int, float], ...]) -> Program:
        made = make_program(experiment, mesh, factors, training())
        abstract = made.abstract_batch
        if config.objective == "choices":
            abstract = ChoiceBatch(*abstract, abstract.segments_bt)
        return dataclasses.replace(made, abstract_batch=abstract)

    def begin(program: Program, weights: Weights, frozen: Params) -> TrainState:
        abstract, optimizer = program.abstract_state, program.optimizer
        own = {name: tree for name, tree in abstract.trainable.items() if name != "tune"}
        base = frozen or read_initial_weights(weights, own)
        return begin_state(model, train, config, optimizer, base, abstract, tokens)

    def read_frozen(program: Program, weights: Weights) -> Params:
        if config.kind == "finetune":
            return {}
        return read_held_base(weights, model, config.base_dtype, program.mesh)

    parts = RunParts(
        tokenizer_dir=experiment.data.tokenizer_dir,
        hashes={"vocabulary": tokenizer.fingerprint, **data.hashes},
        token_bytes=token_bytes,
        make_program=program,
        open_loader=functools.partial(data.open_loader, train),
        open_validation=functools.partial(data.open_validation, train),
        begin=begin,
        read_frozen=read_frozen,
        metrics=metrics or (lambda program, state: {}),
        selection=selection_of(config, metrics_of(config, bool(data.choices)) if metrics else ()),
        name="tune",
        description={"tune": dataclasses.asdict(config)},
    )
    return parts, data


def _metrics(
    experiment: Experiment, config: TuneConfig, data: TuningData, mesh: Mesh
) -> Callable[[Program, TrainState], dict[str, float]] | None:
    """The function that measures held-out rows beside their loss; None: there is nothing to."""
    if config.patience and data.held_out is None:
        raise ConfigError(
            f"TuneConfig.patience={config.patience} compares figures of held-out rows, and none are"
            " held out; give --validation, or a larger DataConfig.validation_permille"
        )
    if config.writes_text:
        return choice_accuracy(data.choices, data.labels, experiment.train)
    compute = _resolved(check_device(experiment, mesh.devices.flat[0]), experiment, config)
    return text_metrics(data, experiment.model, compute, config, experiment.train)


def summary(experiment: Experiment, config: TuneConfig, data: TuningData, base: str) -> str:
    """Returns lines about a run: what is trained, on what, and how often that is read."""
    train, model = experiment.train, experiment.model
    rows = len(data.train.tokens_bt)
    used = float((data.train.segments_bt < _padding(data.train)[:, None]).mean())
    left_out = f", {counted(data.n_dropped, 'example')} too long: left out"
    classes = ""
    if data.counts:
        classes = f"classes: {classes_in_words(data.counts, config.balance)}\n"
    return (
        f"{config.kind}: {count_trainable(model, config):,} parameters"
        f" ({size_in_words(trainable_bytes(model, config))}) on {base}\n{classes}"
        f"data: {counted(data.n_train, 'example')}, {data.n_held_out:,} held out"
        f"{left_out if data.n_dropped else ''}; {counted(rows, 'row')} of"
        f" {train.sequence_length} tokens, {used:.0%} filled · batch: {train.global_batch_size}"
        f" rows, {counted(train.total_steps, 'step')}: reads the data"
        f" {train.total_steps * train.global_batch_size / rows:.3g} times"
    )


def _padding(rows) -> np.ndarray:
    """[n], the number of the segment of each row that no example is."""
    last = rows.segments_bt.max(1)
    is_padded = [not w[s == n].any() for w, s, n in zip(rows.weights_bt, rows.segments_bt, last)]
    return last + ~np.array(is_padded)


def check_run(
    experiment: Experiment, config: TuneConfig, model_dir: str | None, options: RunOptions
) -> None:
    """Refuses what can be refused before any work.

    Args:
      experiment, config, options: as in `tune`.
      model_dir: of the run; None: it is not known.
    Raises:
      ConfigError, CheckpointError, DataError: as `tune`.
    """
    old = read_config(model_dir) if model_dir and has_begun(model_dir) else None
    if old is not None:
        # settings that a run of an earlier version does not name are at their defaults
        now = dataclasses.asdict(config)
        before = {**dataclasses.asdict(TuneConfig()), **old["tune"]} if "tune" in old else {}
        differing = [name for name in now if before.get(name) != now[name]]
        if differing:
            listed = "; ".join(
                f"TuneConfig.{name}: {before.get(name)!r} there, {now[name]!r} now"
                for name in differing
            )
            raise ConfigError(
                f"{model_dir} holds a run of other settings ({listed}); give those, or choose"
                " another --model_dir"
            )
    if config.objective == "choices" and experiment.train.z_loss:
        raise ConfigError(
            "TrainConfig.z_loss is added to the loss of tokens; leave it out with"
            " TuneConfig.objective='choices'"
        )
    check_patience(config, experiment.train)
    length, most = experiment.train.sequence_length, experiment.model.max_length
    if config.kind == "prefix_tune" and length + config.length > most:
        raise ConfigError(
            f"TuneConfig.length={config.length} positions of a prefix and"
            f" TrainConfig.sequence_length={length} are more than the {most} of the base; give a"
            " shorter sequence"
        )
    config.vector_sizes(experiment.model.d_model)
    if config.objective == "contrast" and experiment.train.accumulation_steps > 1:
        raise ConfigError(
            "TuneConfig.objective='contrast' compares a query with all texts of its batch, which"
            f" TrainConfig.accumulation_steps={experiment.train.accumulation_steps} would split;"
            " give 1"
        )
    try:
        check_before_work(experiment, model_dir, options)
    except (ConfigError, CheckpointError) as error:
        raise type(error)(str(error).replace("--init_from", "--base")) from error


def _training(
    experiment: Experiment, config: TuneConfig, mesh: Mesh, layout: Layout | None
) -> Training:
    model, train = experiment.model, experiment.train
    resolved = functools.partial(_resolved, experiment=experiment, config=config)
    losses = (
        lambda compute: make_tuning_loss(model, resolved(compute), config, train.z_loss),
        lambda compute: make_tuned_token_losses(model, resolved(compute), config),
    )
    if layout:
        losses = (
            lambda compute: make_text_loss(model, resolved(compute), config, layout),
            lambda compute: make_text_token_losses(model, resolved(compute), config, layout),
        )
    return Training(
        tuning_decay_mask(model, config),
        lambda optimizer: abstract_tuning_state(model, train, config, optimizer, mesh),
        *losses,
    )


def _resolved(compute: ComputeConfig, experiment: Experiment, config: TuneConfig) -> ComputeConfig:
    # No kernel reads a prefix; where one was chosen by itself, another is.
    chosen = config.kind == "prefix_tune" and experiment.compute.attention == "auto"
    return dataclasses.replace(compute, attention="xla") if chosen else compute


def _initial_texts(config: TuneConfig, text: TuningText, tokenizer: Tokenizer) -> Tokens:
    """The tokens of the labels, or of the text, with which soft slots or a prefix begin."""
    if config.kind == "prompt_tune" and config.init == "labels":
        if not (text.prompt and text.prompt.shares_choices):
            raise ConfigError(
                "TuneConfig.init='labels' needs a prompt document (--prompt) whose choices are the"
                " same for all rows"
            )
        return [tokenizer.encode(choice.text({})) for choice in text.prompt.choices.values()]
    return [tokenizer.encode(config.init_text)] if config.init == "text" else ()


def _best(run: Run, state: TrainState) -> tuple[TrainState, dict[str, float]]:
    """The best of the kept steps, else the last one, and its figures."""
    ranks = ranks_of(checkpoints_of(run.model_dir), run.checkpointer.steps())
    step = (ranked(ranks) or [run.progress.step])[0]
    if step != run.progress.step:
        abstract = run.program.abstract_state.trainable
        state = state._replace(trainable=run.checkpointer.restore_params(abstract, step)[0])
    if not run.validation:
        return state, {"step": step}
    return state, {"step": step, "last_step": run.progress.step, **evaluate(run, state)}


def _write(
    run: Run, state: TrainState, config: TuneConfig, text: TuningText, figures: dict[str, float]
) -> None:
    """Writes the artefact, which process 0 does; all gather it."""
    # that of the checkpoint, in whatever dtype the base is held
    base = base_fingerprint(fingerprints_of(run.description["init_from"]))
    replicated = jax.sharding.NamedSharding(run.program.mesh, jax.sharding.PartitionSpec())
    tune = jax.jit(lambda tree: tree, out_shardings=replicated)(state.trainable["tune"])
    if jax.process_index() == 0:
        hashes, model = run.description["hashes"], run.experiment.model
        prompt = prompt_to_json(text.prompt) if text.prompt else None
        artefact = Artefact(
            *(config, jax.device_get(tune), model, base, hashes["vocabulary"], prompt),
            *(hashes["text"], figures),
        )
        write_artefact(Path(run.model_dir) / ARTEFACT, artefact)


def _in_words(model_dir: str, config: TuneConfig, figures: dict[str, float]) -> str:
    values = ", ".join(
        f"{name.replace('_', ' ')} {value:.4f}"
        for name, value in figures.items()
        if not name.endswith("step")
    )
    where = "" if config.kind == "finetune" else f", in {Path(model_dir) / ARTEFACT}"
    return f"step {figures['step']}: {values or 'nothing was held out'}{where}"
