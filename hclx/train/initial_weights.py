"""The weights of another run as the beginning of a run: --init_from=MODEL_DIR[:STEP]."""

import dataclasses
from pathlib import Path

from hclx.config import ModelConfig
from hclx.errors import CheckpointError, ConfigError, DataError
from hclx.hashing import json_hash
from hclx.model import Params, abstract_params
from hclx.train.checkpoint import Checkpointer, checkpoints_of
from hclx.train.checkpoint_format import (
    as_saved,
    check_format,
    check_shapes,
    check_step,
    read_json_items,
)
from hclx.train.checkpoint_read import Take
from hclx.train.run_dir import has_begun, read_config, read_run, section_of

# Draws fresh weights and nothing else, so that two runs of one model may differ in it.
_OF_FRESH_WEIGHTS = ("init_std",)


def choose_initial_weights(
    model_dir: str | Path | None, init_from: str, model: ModelConfig, vocabulary: str | None = None
) -> dict | None:
    """The weights that a run begins with: the recorded ones if the run was started before, else
    those asked for.

    Only JSON is read, so that what does not fit is refused before the folder is claimed, and before
    any data is prepared.

    Args:
      model_dir: folder of the run that begins or resumes; None if it is not known.
      init_from: "MODEL_DIR", "MODEL_DIR:STEP", "MODEL_DIR/checkpoints/STEP", or "" for none; the
        step is the newest one by default.
      model: of the run.
      vocabulary: the fingerprint of the tokenizer; None, while there is none, is not compared.
    Returns:
      `model_dir` (absolute), `step` and `fingerprint` (a hash of those of the parameters), for
      config.json and every checkpoint; None for a run that begins with random weights.
    Raises:
      ConfigError: `init_from` names no step or the run's own folder, or the run was started with
        other weights.
      CheckpointError: the checkpoint is missing, or is of another model or vocabulary.
      DataError: a config.json is damaged.
    """
    config = read_config(model_dir) if model_dir else None
    source, step = _parse(init_from) if init_from else (None, None)
    # Before the first checkpoint the run may begin in another way.
    if config is not None and (source is None or has_begun(model_dir)):
        recorded = config.get("init_from")
        known = recorded or {"model_dir": None, "step": None}
        if source and (source != known["model_dir"] or step not in (None, known["step"])):
            began = f"{known['model_dir']}:{known['step']}" if recorded else "random weights"
            raise ConfigError(
                f"--init_from={init_from}: {model_dir} holds a run that began from {began}; choose"
                " another --model_dir"
            )
        return recorded
    if source is None:
        return None
    if model_dir and Path(source).resolve() == Path(model_dir).resolve():
        raise ConfigError(
            f"--init_from={init_from} is the folder of this run itself; name the folder of another"
            " run, or leave the flag out to resume this one"
        )
    source, step = find_checkpoint(init_from)
    fingerprints = _check(Path(source), step, model, vocabulary)
    return {"model_dir": source, "step": step, "fingerprint": json_hash(fingerprints)}


def find_checkpoint(init_from: str) -> tuple[str, int]:
    """Finds the checkpoint that a value of --init_from names, before anything else is done for it.

    Args:
      init_from: as in `choose_initial_weights`, not "".
    Returns:
      The absolute path of the run's folder, and the step.
    Raises:
      CheckpointError: the folder is no run with checkpoints, or has none of this step.
    """
    source, step = _parse(init_from)
    folder, advice = checkpoints_of(source), "give the folder of a run that has saved a checkpoint"
    if not Path(source).is_dir():
        parent = next(path for path in Path(source).parents if path.is_dir())
        raise CheckpointError(
            f"--init_from={init_from}: the folder {source} does not exist; {parent}"
            f" {_content(parent)}; {advice}"
        )
    steps = sorted(int(path.name) for path in folder.glob("*") if path.name.isdecimal())
    if not steps:
        where = folder if folder.is_dir() else Path(source)
        raise CheckpointError(
            f"--init_from={init_from}: {folder} holds no checkpoint; {where} {_content(where)};"
            f" {advice}, as {checkpoints_of('').name}/STEP in it"
        )
    if step not in (None, *steps):
        raise CheckpointError(
            f"--init_from={init_from}: {folder} has no step {step}; it has {steps}; name one of"
            " these, or no step for the newest"
        )
    return source, steps[-1] if step is None else step


def read_initial_weights(chosen: dict, abstract: Params, take: Take | None = None) -> Params:
    """Reads and verifies the weights that `choose_initial_weights` returned.

    Args:
      chosen: its result, not None.
      abstract: shapes, dtypes and shardings of all parameters.
      take: see `hclx.train.checkpoint.Checkpointer.restore_params`.
    Returns:
      The parameters, on the shardings of `abstract`; None where `take` took them.
    Raises:
      CheckpointError: they are damaged, or are not those that were chosen.
    """
    with Checkpointer(chosen["model_dir"], read_only=True) as checkpointer:
        params, meta = checkpointer.restore_params(abstract, chosen["step"], take)
    if json_hash(_params_only(meta)) != chosen["fingerprint"]:
        raise CheckpointError(
            f"{checkpoints_of(chosen['model_dir']) / str(chosen['step'])} holds other weights than"
            " when this run was started; put them back, or choose another --model_dir"
        )
    return params


def fingerprints_of(chosen: dict) -> dict[str, str]:
    """Returns "params/..." -> the fingerprint of each of the weights that `choose_initial_weights`
    returned, as their checkpoint has them.

    Raises:
      CheckpointError: the checkpoint is gone or damaged.
    """
    meta, _ = read_json_items(checkpoints_of(chosen["model_dir"]) / str(chosen["step"]))
    return _params_only(meta)


def _parse(init_from: str) -> tuple[str, int | None]:
    """Splits the value of --init_from into the folder of a run and a step.

    Raises:
      ConfigError: there is a colon, and what follows it is no step.
    """
    folder, colon, step = init_from.rpartition(":")
    if not colon or "/" in step or Path(init_from).is_dir():
        folder, step = init_from, ""
    elif not (folder and step.isdecimal()):
        raise ConfigError(
            f"--init_from={init_from}: {step!r} after the colon is not a step"
            f"{'' if folder else ', or no folder is before it'}; write MODEL_DIR:STEP, as in"
            " runs/mine:4000, or MODEL_DIR alone for its newest checkpoint"
        )
    path = Path(folder).absolute()
    if not step and path.parent.name == checkpoints_of("").name and path.name.isdecimal():
        path, step = path.parent.parent, path.name
    return str(path), int(step) if step else None


def _content(folder: Path, n: int = 8) -> str:
    """Says what a folder has, for a message: the names of its first entries."""
    names = sorted(path.name for path in folder.iterdir())
    more = f" and {len(names) - n} more" if len(names) > n else ""
    return f"has {', '.join(names[:n])}{more}" if names else "is empty"


def _check(source: Path, step: int, model: ModelConfig, vocabulary: str | None) -> dict[str, str]:
    """Refuses a checkpoint that does not fit; returns the fingerprints of its parameters."""
    path = checkpoints_of(source) / str(step)
    try:
        meta, _ = read_json_items(path)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}; name an older step") from error
    check_step(path, meta)
    check_format(path, meta["format"])
    differing = "; ".join(_model_differences(path, source, meta, model))
    abstract = as_saved(meta["format"], {"params": abstract_params(model)})
    try:
        check_shapes(path, meta["fingerprint"], abstract)
    except CheckpointError as error:
        message = f"{error} ({differing})" if differing else str(error)
        if "ModelConfig.vocab_size" in differing:
            message += f"; {_name_tokenizer(source)}"
        raise CheckpointError(message) from error
    if differing:
        raise CheckpointError(
            f"{path} is of another model: {differing}; set these fields as they are there, or begin"
            " from a run of this model"
        )
    other = meta["hashes"]["vocabulary"]
    if vocabulary not in (None, other):
        raise CheckpointError(
            f"{path} was trained with another vocabulary ({other[:12]}, here {vocabulary[:12]});"
            f" {_name_tokenizer(source)}"
        )
    return _params_only(meta)


def _name_tokenizer(source: Path) -> str:
    """The advice to take the tokenizer of a run, whose vocabulary the model then has."""
    try:
        tokenizer_dir = read_run(source)[1]
    except DataError:  # its checkpoints may be all that was copied
        tokenizer_dir = f"TOKENIZER_OF_{source.name}"
    return f"take its tokenizer with --gin.DataConfig.tokenizer_dir={tokenizer_dir}"


def _model_differences(path: Path, source: Path, meta: dict, model: ModelConfig) -> list[str]:
    """Names the fields in which the model of a checkpoint differs from that of this run: shapes do
    not show all of them. An old checkpoint does not record its model; config.json of its run does.
    """
    saved = (
        {"model": meta["model"]} if "model" in meta else (read_config(source) or {}).get("config")
    )
    if saved is None:
        return []
    try:
        source_model = section_of(saved, "model")
    except (ValueError, ConfigError) as error:
        raise CheckpointError(
            f"{path} describes a model that this version cannot compute: {error}; use the version"
            " that wrote it"
        ) from error
    return [
        f"ModelConfig.{field.name} is {getattr(source_model, field.name)!r} there and"
        f" {getattr(model, field.name)!r} here"
        for field in dataclasses.fields(ModelConfig)
        if field.name not in _OF_FRESH_WEIGHTS
        and getattr(source_model, field.name) != getattr(model, field.name)
    ]


def _params_only(meta: dict) -> dict[str, str]:
    return {k: v for k, v in meta["fingerprint"].items() if k.split("/")[0] == "params"}
