"""The weights of another run as the beginning of a run: --init_from=MODEL_DIR[:STEP]."""

from pathlib import Path

from hclx.errors import CheckpointError, ConfigError
from hclx.hashing import json_hash
from hclx.model import Params
from hclx.train.checkpoint import Checkpointer, checkpoints_of
from hclx.train.checkpoint_format import as_saved, check_format, check_shapes, read_json_items
from hclx.train.run_dir import read_config


def choose_initial_weights(
    model_dir: str | Path, init_from: str, abstract: Params, vocabulary: str
) -> dict | None:
    """The weights that a run begins with: the recorded ones if the run was started before, else
    those asked for.

    Only JSON is read, so that what does not fit is refused before the folder is claimed.

    Args:
      model_dir: folder of the run that begins or resumes.
      init_from: "MODEL_DIR", "MODEL_DIR:STEP", "MODEL_DIR/checkpoints/STEP", or "" for none; the
        step is the newest one by default.
      abstract: shapes and dtypes of the run's parameters.
      vocabulary: the fingerprint of the run's tokenizer.
    Returns:
      `model_dir` (absolute), `step` and `fingerprint` (a hash of those of the parameters), for
      config.json and every checkpoint; None for a run that begins with random weights.
    Raises:
      ConfigError: the run was started with other weights.
      CheckpointError: the checkpoint is missing, or is of another model or vocabulary.
    """
    config = read_config(model_dir)
    source, step = _parse(init_from) if init_from else (None, None)
    if config is not None:
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
    source, step = find_checkpoint(init_from)
    fingerprints = _check(checkpoints_of(source) / str(step), abstract, vocabulary)
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
    folder = checkpoints_of(source)
    steps = sorted(int(path.name) for path in folder.glob("*") if path.name.isdecimal())
    form = "write --init_from=MODEL_DIR or MODEL_DIR:STEP of a run that has saved"
    if not steps:
        lacks = "has no checkpoint" if folder.is_dir() else "does not exist"
        raise CheckpointError(f"--init_from={init_from}: {folder} {lacks}; {form}")
    if step not in (None, *steps):
        raise CheckpointError(
            f"--init_from={init_from}: {folder} has no step {step}; it has {steps}"
        )
    return source, steps[-1] if step is None else step


def read_initial_weights(chosen: dict, abstract: Params) -> Params:
    """Reads and verifies the weights that `choose_initial_weights` returned.

    Args:
      chosen: its result, not None.
      abstract: shapes, dtypes and shardings of all parameters.
    Returns:
      The parameters, on the shardings of `abstract`.
    Raises:
      CheckpointError: they are damaged, or are not those that were chosen.
    """
    with Checkpointer(chosen["model_dir"], read_only=True) as checkpointer:
        params, meta = checkpointer.restore_params(abstract, chosen["step"])
    if json_hash(_params_only(meta)) != chosen["fingerprint"]:
        raise CheckpointError(
            f"{checkpoints_of(chosen['model_dir']) / str(chosen['step'])} holds other weights than"
            " when this run was started; put them back, or choose another --model_dir"
        )
    return params


def _parse(init_from: str) -> tuple[str, int | None]:
    """Splits the value of --init_from into the folder of a run and a step."""
    folder, colon, step = init_from.rpartition(":")
    if not (colon and step.isdecimal()):
        folder, step = init_from, ""
    path = Path(folder).absolute()
    if not step and path.parent.name == checkpoints_of("").name and path.name.isdecimal():
        path, step = path.parent.parent, path.name
    return str(path), int(step) if step else None


def _check(path: Path, abstract: Params, vocabulary: str) -> dict[str, str]:
    """Refuses a checkpoint that does not fit; returns the fingerprints of its parameters."""
    try:
        meta, _ = read_json_items(path)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}; name an older step") from error
    check_format(path, meta["format"])
    check_shapes(path, meta["fingerprint"], as_saved(meta["format"], {"params": abstract}))
    other = meta["hashes"]["vocabulary"]
    if other != vocabulary:
        raise CheckpointError(
            f"{path} was trained with another vocabulary ({other[:12]}, here {vocabulary[:12]});"
            " set DataConfig.tokenizer_dir to the tokenizer of that run"
        )
    return _params_only(meta)


def _params_only(meta: dict) -> dict[str, str]:
    return {k: v for k, v in meta["fingerprint"].items() if k.split("/")[0] == "params"}
