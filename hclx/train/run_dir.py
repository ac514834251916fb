"""MODEL_DIR/config.json: the description of a run. A folder belongs to one configuration, and
another one is refused.
"""

import dataclasses
import json
import platform
import shutil
from importlib import metadata
from pathlib import Path
from typing import get_type_hints

import hclx
from hclx.config import Experiment
from hclx.errors import CheckpointError, ConfigError, DataError
from hclx.train.jsonl import replace_text

FILE = "config.json"
PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "tensorstore", "numpy", "hclx")

# Fields that may change between one start of a run and the next (None: all of a section): how it is
# computed, how often it reports, how long it lasts (the cosine then ends at the new length).
# Everything else decides the numbers and must stay.
MAY_CHANGE = {
    "compute": None,
    "mesh": None,
    "data": ("tokenizer_dir", "cache_dir", "input", "task_module"),
    "tokenizer": None,
    "train": (
        *(
            "total_steps",
            "log_every",
            "eval_every",
            "eval_windows",
            "checkpoint_every",
            "keep_last",
            "keep_every",
        ),
        # Examples are counted and not steps: another batch size continues with the next example.
        *(
            "global_batch_size",
            "accumulation_steps",
            "max_skipped",
            "spike_sigmas",
            "spike_window",
            "replay_every",
        ),
    ),
}


def versions() -> dict[str, str]:
    """The versions of "python" and of `PACKAGES`, which decide the numbers, by their names. A
    package that cannot be asked for its version, because it is only on the import path, has
    "unknown".
    """
    return {"python": platform.python_version(), **{name: _version(name) for name in PACKAGES}}


def _version(package: str) -> str:
    if package == "hclx":  # a checkout need not be installed
        return hclx.__version__
    try:
        return metadata.version(package) or "unknown"
    except metadata.PackageNotFoundError:
        return "unknown"


def describe_run(
    experiment: Experiment,
    tokenizer_dir: str,
    hashes: dict[str, str],
    init_from: dict | None = None,
) -> dict:
    """The content of config.json.

    Args:
      experiment: the whole configuration.
      tokenizer_dir: folder of the tokenizer.
      hashes: fingerprints of "vocabulary" and "text".
      init_from: the weights that the run began with, as `choose_initial_weights` returns them.
    Returns:
      `config` (section -> field -> value), `tokenizer_dir` (absolute), `hashes`, `versions` (of
      the libraries in PACKAGES, by name) and `init_from`, which may be None.
    """
    return {
        "config": dataclasses.asdict(experiment),
        "tokenizer_dir": str(Path(tokenizer_dir).absolute()),
        "hashes": hashes,
        "versions": versions(),
        "init_from": init_from,
    }


def claim_folder(model_dir: str | Path, run: dict, *, write: bool = True) -> list[str]:
    """Claims a folder for a run, or checks that it already belongs to this run.

    Args:
      model_dir: the folder.
      run: see `describe_run`.
      write: whether config.json is written too, in a folder that is made if it is missing; one of
        several processes does.

    Returns:
      Fields that differ from the last start of the run, and may: "train.total_steps: 40 -> 60"; []
      if there was no start.
    Raises:
      ConfigError: the folder holds a run of another configuration; the fields that differ are
        named.
      DataError: the configuration is the same, but vocabulary or text are not.
    """
    path, changes = Path(model_dir) / FILE, []
    old = read_config(model_dir)
    if old is not None:
        _check_same(path, old, run)
        changes = [
            f"{name}: {before!r} -> {now!r}"
            for name, before, now in _differences(old["config"], run["config"])
        ]
    if not write:
        return changes
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_text(path, json.dumps(run, indent=2, ensure_ascii=False) + "\n")
    return changes


def remove_run(model_dir: str | Path, mixture: str) -> None:
    """Removes the folder of a run of one mixture. A folder that is missing, empty, or holds no more
    than a tokenizer and a token cache, as before a run's first step, stays as it is.

    Args:
      model_dir: the folder.
      mixture: `DataConfig.mixture` of the run that may be removed.
    Raises:
      ConfigError: the folder holds anything else, and nothing of it is removed.
    """
    folder = Path(model_dir)
    names = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    is_begun = {name for name in names if name[0] != "."} <= {"tokenizer", "cache"}
    if is_begun and not folder.is_file():
        return
    try:
        is_run_of_mixture = read_config(folder)["config"]["data"]["mixture"] == mixture
    except (OSError, ValueError, TypeError, KeyError):
        is_run_of_mixture = False
    if not is_run_of_mixture:
        raise ConfigError(
            f"--model_dir={model_dir} holds something other than a run of the mixture {mixture!r},"
            " which is not removed; name a new folder"
        )
    shutil.rmtree(folder)


def read_config(model_dir: str | Path) -> dict | None:
    """The content of config.json, as `describe_run` makes it; None if the folder holds no run.

    Raises:
      ValueError: the file is not JSON.
    """
    path = Path(model_dir) / FILE
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def read_run(model_dir: str | Path) -> tuple[Experiment, str]:
    """The configuration of a run at its last start, and the absolute folder of its tokenizer.

    Raises:
      CheckpointError: the folder holds no run.
    """
    run = read_config(model_dir)
    if run is None:
        raise CheckpointError(
            f"{Path(model_dir) / FILE} does not exist; --model_dir must name the folder of a"
            " training run"
        )
    return (
        Experiment(
            **{
                name: kind(**run["config"][name])
                for name, kind in get_type_hints(Experiment).items()
            }
        ),
        run["tokenizer_dir"],
    )


def check_configuration(model_dir: str | Path, experiment: Experiment) -> None:
    """Refuses a folder of another configuration before any work: the part of `claim_folder` that
    needs no data.

    Raises:
      ConfigError: as `claim_folder`.
    """
    run = read_config(model_dir)
    if run is not None:
        _check_config(Path(model_dir) / FILE, run["config"], dataclasses.asdict(experiment))


def _check_same(path: Path, old: dict, new: dict) -> None:
    _check_config(path, old["config"], new["config"])
    for name, value in new["hashes"].items():
        if old["hashes"].get(name) != value:
            raise DataError(
                f"{path.parent} was trained with another {name}"
                f" ({str(old['hashes'].get(name))[:12]}, now {value[:12]}); give the one that it"
                " was trained with, or choose another --model_dir"
            )


def _check_config(path: Path, old: dict, new: dict) -> None:
    is_free = lambda section, field: (
        MAY_CHANGE.get(section, ()) is None or field in MAY_CHANGE.get(section, ())
    )
    differences = [
        f"{name}: {a!r} there, {b!r} now"
        for name, a, b in _differences(old, new)
        if not is_free(*name.split("."))
    ]
    if differences:
        raise ConfigError(
            f"{path.parent} holds a run of another configuration ({'; '.join(differences)}); choose"
            " another --model_dir"
        )


def _differences(old: dict, new: dict) -> list[tuple[str, object, object]]:
    """(section.field, before, now) of each field that differs."""
    # Read as a configuration, an old section gets the new names of its fields, and for fields that
    # came later their defaults, which are what the run has done all along.
    kinds = {field.name: field.type for field in dataclasses.fields(Experiment)}
    before = {name: dataclasses.asdict(kinds[name](**old.get(name, {}))) for name in new}
    return [
        (f"{s}.{f}", before[s][f], value)
        for s, fields in new.items()
        for f, value in fields.items()
        if before[s][f] != value
    ]
