"""Tells runs whose checkpoints hold a whole model from those of tuning, which hold a part of it."""

from pathlib import Path

from hclx.config import Experiment
from hclx.errors import ConfigError
from hclx.train.run_dir import FILE, read_config, read_run


def read_whole_model(model_dir: str | Path) -> tuple[Experiment, str]:
    """The configuration of a run whose checkpoints hold a whole model, and the folder of its
    tokenizer, as `hclx.train.run_dir.read_run` returns them.

    Raises:
      ConfigError: the run tuned a model, and its checkpoints hold the parameters of the method.
      CheckpointError, DataError: as `read_run`.
    """
    run = read_run(model_dir)
    tuned = (read_config(model_dir) or {}).get("tune") or {}
    kind = tuned.get("kind", "finetune")
    if tuned.get("objective") == "pair":
        raise ConfigError(
            f"{Path(model_dir) / FILE} is of a judge of pairs, whose head is no part of a language"
            " model; hclx.tune.text_reader reads it, and not this command"
        )
    if kind == "finetune":
        return run
    remedy = (
        "give the base as --model_dir, and its artefact.safetensors as --artefact of `hclx"
        " generate` or `hclx evaluate`"
    )
    if kind == "lora":
        remedy += "; or run the same `hclx tune` command again with --merge_to=FOLDER, a plain run"
    raise ConfigError(
        f"{Path(model_dir) / FILE} is of a run of {kind}, whose checkpoints hold what was trained"
        f" and not the model that was tuned; {remedy}"
    )
