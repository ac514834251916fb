"""Checks a run of tuning before a process of its own runs it: settings and all rows are read as
that process will read them, so that what is wrong with them is told at once.
"""

import dataclasses
import math
import threading
from collections.abc import Mapping
from pathlib import Path

import jax

from hclx.config import Experiment
from hclx.field_checks import require
from hclx.model import n_params
from hclx.prompts import PromptDocument
from hclx.text import Tokenizer
from hclx.train.run import RunOptions
from hclx.tune.row_files import read_rows
from hclx.tune.text_rows import prepare_groups
from hclx.tune.trainable import count_trainable
from hclx.tune.tune_config import TuneConfig
from hclx.tune.tuning_data import TuningData, TuningText, prepare_examples
from hclx.tune.tuning_run import check_run
from hclx.tune.tuning_settings import load_settings

_GIN = threading.Lock()  # its reader keeps the classes that it reads in the module
_STEPS, _BATCH = "TrainConfig.total_steps", "TrainConfig.global_batch_size"
_EXAMPLES = 8  # of a step, where a number of epochs is asked for
_MOST_TRAINED = 2**26  # parameters that are trained, even if they are more than the base has
_WARM_UP_SHARE = 10  # of the steps, where fewer than the usual ones


@dataclasses.dataclass(frozen=True)
class TuningPlan:
    """A run of tuning that was asked for.

    Attributes:
      base: MODEL_DIR[:STEP].
      kind: of `hclx.tune.tune_config.KINDS`; its gin file has the defaults.
      settings: "CLASS.FIELD" -> value, of the classes that `hclx tune` sets.
      data, validation: files of rows; `validation` None: a share of the others is held out.
      prompt: the document whose fields the rows have; None: they say what they mean.
      too_long: "refuse" or "drop".
      epochs: how often the data are read, in place of a number of steps; 0: by the settings.
      most_steps, most_batch_tokens: the largest run that is allowed, and tokens of its step.
    """

    base: str
    kind: str
    settings: Mapping[str, bool | int | float | str]
    data: Path
    validation: Path | None = None
    prompt: PromptDocument | None = None
    too_long: str = "refuse"
    epochs: float = 0
    most_steps: int = 2**31 - 1
    most_batch_tokens: int = 2**31 - 1


@dataclasses.dataclass(frozen=True)
class CheckedTuning:
    """A run of tuning that can be started.

    Attributes:
      settings: as of the plan, with the steps that were computed.
      total_steps: of the run.
      n_train, n_held_out: examples.
      n_dropped: examples that are too long, and left out.
      writes_text: whether the result is a model that writes text.
    """

    settings: Mapping[str, bool | int | float | str]
    total_steps: int
    n_train: int
    n_held_out: int
    n_dropped: int
    writes_text: bool


def check_tuning(plan: TuningPlan, tokenizer: Tokenizer) -> CheckedTuning:
    """Reads settings and rows, and refuses what `hclx tune` would refuse. It may be called from
    several threads.

    Args:
      plan: of the run.
      tokenizer: that of the base.
    Raises:
      ConfigError, DataError, CheckpointError: as `hclx.tune.tuning_run.tune`.
    """
    settings, asked = dict(plan.settings), plan.settings.get(_STEPS)
    decides_steps = plan.epochs > 0 or (type(asked) is int and asked > 0)
    if decides_steps:  # until the rows are counted, as many steps as any warm-up needs
        settings[_STEPS] = 2**30
    experiment, config = _loaded(plan, settings)
    _check_sizes(plan, experiment, config)
    rows = read_rows(plan.data, experiment.data.encoding, experiment.data.max_documents)
    held_out = read_rows(plan.validation, experiment.data.encoding) if plan.validation else None
    text = TuningText(str(plan.data), rows, held_out, plan.prompt, plan.too_long)
    prepare = prepare_examples if config.writes_text else prepare_groups
    length, permille = experiment.train.sequence_length, experiment.data.validation_permille
    data = prepare(text, tokenizer, experiment.model.vocab_size, config, length, permille)
    if decides_steps:
        batch = _batch_of(plan, experiment, config, data)
        steps = math.ceil(plan.epochs * len(data.train.tokens_bt) / batch) or asked
        settings |= _of_steps(steps, experiment, plan.settings)
        if batch != experiment.train.global_batch_size:
            settings[_BATCH] = batch
        experiment, config = _loaded(plan, settings)
    check_run(experiment, config, None, RunOptions(init_from=plan.base))
    steps = experiment.train.total_steps
    require(
        steps <= plan.most_steps,
        f"TrainConfig.total_steps={steps:,} are more than the {plan.most_steps:,} that are allowed",
    )
    counts = data.n_train, data.n_held_out, data.n_dropped
    return CheckedTuning(settings, steps, *counts, config.writes_text)


def gin_file_of(kind: str) -> str:
    """Returns the gin file with the defaults of a kind of tuning."""
    return f"runs/{kind}.gin"


def bindings_of(settings: Mapping[str, bool | int | float | str]) -> list[str]:
    """Returns settings as gin reads them: NAME=VALUE, with texts in quotes."""
    return [f"{name}={value!r}" for name, value in settings.items()]


def _loaded(plan: TuningPlan, settings: Mapping) -> tuple[Experiment, TuneConfig]:
    with _GIN:
        bindings = [*bindings_of(settings), f"DataConfig.input={plan.data.name!r}"]
        return load_settings([gin_file_of(plan.kind)], bindings, plan.base)


def _check_sizes(plan: TuningPlan, experiment: Experiment, config: TuneConfig) -> None:
    """Refuses what would fill the memory before a row is read: a row has all slots before it."""
    train, base = experiment.train, n_params(experiment.model)
    tokens = train.global_batch_size * train.sequence_length
    require(
        tokens <= plan.most_batch_tokens,
        f"TrainConfig.global_batch_size={train.global_batch_size:,} sequences have {tokens:,}"
        f" tokens, and {plan.most_batch_tokens:,} are allowed in a step",
    )
    require(
        config.kind in ("lora", "finetune") or config.length < train.sequence_length,
        f"TuneConfig.length={config.length:,} leaves no room for text in"
        f" TrainConfig.sequence_length={train.sequence_length:,}",
    )
    n_trained = count_trainable(experiment.model, config)
    require(
        n_trained <= max(base, _MOST_TRAINED),
        f"{config.kind} would train {n_trained:,} parameters of a base of {base:,}; give a smaller"
        " TuneConfig.rank or encoder_size",
    )


def _batch_of(
    plan: TuningPlan, experiment: Experiment, config: TuneConfig, data: TuningData
) -> int:
    """The sequences of a step: those of the settings; or, for epochs, as few as have some examples
    together, because short texts fill few sequences, and a small file would be a single step.
    """
    usual = experiment.train.global_batch_size
    is_asked = {_BATCH, "TrainConfig.accumulation_steps"} & set(plan.settings)
    if is_asked or not plan.epochs or not config.writes_text:
        return usual
    n_sequences = math.ceil(_EXAMPLES * len(data.train.tokens_bt) / data.n_train)
    devices = jax.device_count()
    return max(1, min(usual, math.ceil(n_sequences / devices) * devices))


def _of_steps(steps: int, experiment: Experiment, asked: Mapping) -> dict[str, int]:
    """The settings that follow from a number of steps, but for those that were asked for."""
    warm_up = min(experiment.optimizer.warmup_steps, steps // _WARM_UP_SHARE)
    name = "OptimizerConfig.warmup_steps"
    return {_STEPS: steps} | ({} if name in asked else {name: warm_up})
