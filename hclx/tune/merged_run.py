"""Writes a base with what LoRA has learnt as a plain run, which every command reads."""

import dataclasses
import shutil
from collections.abc import Iterator
from pathlib import Path

import jax

from hclx.config import Experiment
from hclx.errors import ConfigError
from hclx.model import Params, abstract_params
from hclx.text import load_tokenizer
from hclx.text.new_folder import new_folder
from hclx.train.run_dir import claim_folder, describe_run, versions
from hclx.train.state import TrainState
from hclx.train.weights_checkpoint import Rows, save_weights
from hclx.tune.lora import merge_lora
from hclx.tune.tune_config import TuneConfig


def check_merge(folder: str, config: TuneConfig) -> None:
    """Refuses a folder that is in use, methods that change no weight, and a rounded base.

    Raises:
      ConfigError: says which.
    """
    path = Path(folder)
    if config.objective == "pair":
        raise ConfigError(
            "--merge_to writes a language model, which has no place for the head of"
            " TuneConfig.objective='pair'; leave it out, and use the artefact"
        )
    if config.kind != "lora":
        raise ConfigError(f"--merge_to is for lora, and TuneConfig.kind is {config.kind!r}")
    if config.base_dtype != "float32":
        raise ConfigError(
            f"--merge_to adds to weights in float32, and TuneConfig.base_dtype is"
            f" {config.base_dtype!r}; leave that out, or serve the artefact beside its base"
        )
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise ConfigError(f"--merge_to={folder} exists and is not empty; name another folder")


def write_merged(
    folder: str, state: TrainState, experiment: Experiment, config: TuneConfig
) -> None:
    """Writes the merged weights as `write_plain_run` does.

    Args:
      folder: missing or empty; it appears whole or not at all.
      state: of tuning by LoRA, of one process.
      experiment, config: of the run.
    Raises:
      ConfigError, StorageError, OSError: the folder cannot be written.
    """
    params = jax.device_get(merge_lora(state.params, experiment.model, config))
    write_plain_run(folder, params, experiment)


def write_plain_run(folder: str | Path, params: Params, experiment: Experiment) -> None:
    """Writes step 0 of a run with these weights, and a copy of the tokenizer.

    Args:
      folder, experiment: as in `write_merged`; `data.tokenizer_dir` is the tokenizer.
      params: arrays of numpy, float32.
    Raises:
      ConfigError, StorageError, OSError: the folder cannot be written.
    """
    model, source = experiment.model, experiment.data.tokenizer_dir
    with new_folder(Path(folder)) as new:
        shutil.copytree(source, new / "tokenizer")
        hashes = {"vocabulary": load_tokenizer(source).fingerprint, "text": ""}
        own = dataclasses.replace(experiment.data, tokenizer_dir="")
        described = dataclasses.replace(experiment, data=own)
        claim_folder(new, describe_run(described, str(new / "tokenizer"), hashes))
        meta = {"hashes": hashes, "versions": versions(), "init_from": None}
        meta |= {"model": dataclasses.asdict(model)}
        save_weights(new, abstract_params(model), _parts(params), meta)


def _parts(params: Params) -> Iterator[Rows]:
    for path, array in jax.tree_util.tree_leaves_with_path(params):
        yield Rows(jax.tree_util.keystr(path, simple=True, separator="/"), 0, array)
