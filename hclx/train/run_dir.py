"""MODEL_DIR/config.json: the description of a run. A folder belongs to one configuration, and
another one is refused.
"""

import dataclasses
import json
import os
import platform
import shutil
from importlib import metadata
from pathlib import Path
from typing import get_type_hints

import hclx
from hclx.config import Experiment, ModelConfig
from hclx.errors import CheckpointError, ConfigError, DataError, StorageError
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
            "suite",
            "suite_every",
            "suite_limit",
            "checkpoint_every",
            "keep_last",
            "keep_every",
            "keep_best",
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

# Fields that a section has got since runs were first described: an older config.json lacks them,
# and their defaults are what its run has done all along. No other field may be missing.
FIRST_FIELDS_OF_MODEL = (
    *("vocab_size", "n_layers", "d_model", "n_heads", "max_length"),
    *("layer_norm_epsilon", "init_std"),
)
LATER_FIELDS = {
    # Those of other families than GPT-3's too, see hclx/model_config.py.
    "model": tuple(
        field.name
        for field in dataclasses.fields(ModelConfig)
        if field.name not in FIRST_FIELDS_OF_MODEL
    ),
    "compute": ("matmul", "pipeline_microbatches", "pipeline_repeats"),
    "data": ("task_module", "corpus"),
    "tokenizer": ("morphemes", "mode"),
    "train": (
        *("z_loss", "max_skipped", "spike_sigmas", "spike_window", "replay_every", "keep_best"),
        *("suite", "suite_every", "suite_limit"),
    ),
}


TOKENIZER = "tokenizer"  # the folder of the tokenizer in that of a run, unless it is elsewhere


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
      `config` (section -> field -> value), `tokenizer_dir` (absolute; a path within the run is
      written relative to it), `hashes`, `versions` (of
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
    """Claims a folder for a run, or checks that it already belongs to this run. A folder without a
    checkpoint belongs to no run yet, and gets the description of this start. That of a run that has
    begun stays until this start has made a step, see `record_run`; but where its tokenizer is no
    longer there, the place of the one that this start has is written.

    Args:
      model_dir: the folder.
      run: see `describe_run`.
      write: whether config.json may be written, in a folder that is made if it is missing; one of
        several processes does.

    Returns:
      Fields that differ from the last start of the run that trained, and may:
      "train.total_steps: 40 -> 60"; [] if there was none.
    Raises:
      ConfigError: the folder holds a run of another configuration; the fields that differ are
        named.
      DataError: the configuration is the same, but vocabulary or text are not.
    """
    path = Path(model_dir) / FILE
    old = read_config(model_dir) if has_begun(model_dir) else None
    if old is None:
        if write:
            path.parent.mkdir(parents=True, exist_ok=True)
            record_run(model_dir, run)
        return []
    _check_same(path, old, run)
    if write and not Path(_find_tokenizer(path.parent, old["tokenizer_dir"])).is_dir():
        record_run(model_dir, {**old, "tokenizer_dir": run["tokenizer_dir"]})
    return [
        f"{name}: {before!r} -> {now!r}"
        for name, before, now in _differences(old["config"], run["config"])
    ]


def record_run(model_dir: str | Path, run: dict) -> None:
    """Writes config.json, or replaces it. A start of a run that has begun does so with its first
    step: one that trains nothing changes nothing in the record.

    Args:
      model_dir: the folder, which exists.
      run: see `describe_run`.
    """
    path = Path(model_dir) / FILE
    tokenizer, folder = Path(run["tokenizer_dir"]).absolute(), path.parent.absolute()
    if tokenizer.is_relative_to(folder):  # so that the run may be copied or moved
        run = run | {"tokenizer_dir": str(tokenizer.relative_to(folder))}
    replace_text(path, json.dumps(run, indent=2, ensure_ascii=False) + "\n")


def has_begun(model_dir: str | Path) -> bool:
    """Returns whether a folder has a checkpoint, be it damaged or left behind by a rewind. Until
    then nothing was trained that another configuration would spoil.
    """
    return any(
        path.name[0].isdecimal() and ".orbax-checkpoint-tmp" not in path.name
        for path in (Path(model_dir) / "checkpoints").glob("*")
    )


def read_config(model_dir: str | Path) -> dict | None:
    """The content of config.json, as `describe_run` makes it; None if the folder holds no run.

    Raises:
      DataError: the file is damaged: it cannot be read, is not JSON, lacks a field, or has one that
        is unknown or out of range.
    """
    path = Path(model_dir) / FILE
    if not path.is_file():
        return None
    try:
        run = json.loads(path.read_text(encoding="utf-8"))
        _check_described(run)
    except (OSError, ValueError, RecursionError, ConfigError) as error:
        raise DataError(
            f"{path} does not describe a run: {error}; put the file back from a copy, or choose"
            " another --model_dir"
        ) from error
    return run


def _check_described(run: dict) -> None:
    """Raises ValueError or ConfigError if JSON is not what `describe_run` makes."""
    is_source = lambda value: isinstance(value, dict) and {"model_dir", "step"} <= value.keys()
    if not isinstance(run, dict):
        raise ValueError(f"it holds {type(run).__name__}, and not an object with fields")
    for name, kind in {"config": dict, "tokenizer_dir": str, "hashes": dict}.items():
        if not isinstance(run.get(name), kind):
            raise ValueError(f"field {name!r} is missing, or not a {kind.__name__}")
    if not (run.get("init_from") is None or is_source(run["init_from"])):
        raise ValueError(f"field 'init_from' is {run['init_from']!r}")
    for name in get_type_hints(Experiment):
        section_of(run["config"], name)


def section_of(config: dict, name: str):
    """Reads one section of the configuration of a run.

    An old section gets the new names of its fields, and for fields that came later their defaults.

    Args:
      config: section -> field -> value, as `describe_run` writes it.
      name: of the section, "model".
    Returns:
      The section as its dataclass, such as `ModelConfig`.
    Raises:
      ValueError: the section or a field is missing, or a field is unknown.
      ConfigError: the value of a field is of another type or out of range.
    """
    kind, values = get_type_hints(Experiment)[name], config.get(name)
    if not isinstance(values, dict):
        raise ValueError(f"section {name!r} of the configuration is missing, or no object")
    fields = {field.name for field in dataclasses.fields(kind)}
    unknown, missing = values.keys() - fields, fields - values.keys()
    missing -= {*LATER_FIELDS.get(name, ())}
    if unknown or missing:
        which, names = ("unknown", unknown) if unknown else ("missing", missing)
        listed = ", ".join(f"{kind.__name__}.{field}" for field in sorted(names))
        raise ValueError(f"{listed} is {which}" if len(names) == 1 else f"{listed} are {which}")
    return kind(**values)


def read_run(model_dir: str | Path) -> tuple[Experiment, str]:
    """The configuration of a run at its last start that trained, and the absolute folder of its
    tokenizer.

    Raises:
      CheckpointError: the folder holds no run.
      DataError: as `read_config`.
    """
    run = read_config(model_dir)
    if run is None:
        raise CheckpointError(
            f"{Path(model_dir) / FILE} does not exist; --model_dir must name the folder of a"
            " training run, or, for commands that read a model, of one of transformers"
        )
    sections = {name: section_of(run["config"], name) for name in get_type_hints(Experiment)}
    try:
        return Experiment(**sections), _find_tokenizer(Path(model_dir), run["tokenizer_dir"])
    except ConfigError as error:  # two sections do not fit each other
        raise DataError(
            f"{Path(model_dir) / FILE} does not describe a run: {error}; put the file back from a"
            " copy"
        ) from error


def remove_run(model_dir: str | Path, mixture: str) -> None:
    """Removes the folder of a run of one mixture. A folder that is missing, empty, or holds no more
    than a tokenizer and a token cache, as before a run's first step, stays as it is.

    Args:
      model_dir: the folder.
      mixture: `DataConfig.mixture` of the run that may be removed.
    Raises:
      ConfigError: the folder holds anything else, and nothing of it is removed.
      StorageError: it cannot be removed.
    """
    folder = Path(model_dir)
    try:
        if not os.path.lexists(folder) or _is_before_first_step(folder):
            return
        held = _held_instead(folder, mixture)
        if held:
            raise ConfigError(
                f"--model_dir={folder} {held}, and is not removed; choose another --model_dir, or"
                " remove it yourself"
            )
        shutil.rmtree(folder)
    except OSError as error:
        raise StorageError(
            f"cannot remove {error.filename or folder}: {error.strerror}; remove {folder} yourself,"
            " or choose another --model_dir"
        ) from error


def _is_before_first_step(folder: Path) -> bool:
    """Returns whether a folder holds nothing, or no more than a tokenizer and a token cache."""
    if folder.is_symlink() or not folder.is_dir():
        return False
    names = {path.name for path in folder.iterdir() if not path.name.startswith(".")}
    return names <= {"tokenizer", "cache"}


def _held_instead(folder: Path, mixture: str) -> str:
    """Says what a path is, if it is no folder of a run on a mixture; else ""."""
    if folder.is_symlink() or not folder.is_dir():
        return "is not a folder"
    try:
        run = read_config(folder)
    except DataError as error:
        return f"holds something else than a run ({error})"
    if run is None:
        return f"holds no run (it has files, and no {FILE})"
    text = section_of(run["config"], "data")
    other = text.mixture or text.corpus or text.input
    return "" if text.mixture == mixture else f"holds a run on {other!r}, and not on {mixture!r}"


def _find_tokenizer(model_dir: Path, recorded: str) -> str:
    """The folder of a run's tokenizer: a path in the run is relative to it, as a run may be copied
    or moved; one outside may be gone, or be the absolute path that an old run recorded of its own.
    """
    folder, own = (model_dir / recorded).absolute(), model_dir.absolute() / TOKENIZER
    return str(own if not folder.is_dir() and own.is_dir() else folder)


def check_configuration(model_dir: str | Path, experiment: Experiment) -> None:
    """Refuses a folder of another configuration before any work: the part of `claim_folder` that
    needs no data.

    Raises:
      ConfigError: as `claim_folder`.
    """
    run = read_config(model_dir) if has_begun(model_dir) else None
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
    changed = [entry for entry in _differences(old, new) if not is_free(*entry[0].split("."))]
    if changed:
        listed = "; ".join(f"{name}: {a!r} there, {b!r} now" for name, a, b in changed)
        flags = " ".join(_flag(name, before) for name, before, _ in changed)
        raise ConfigError(
            f"{path.parent} holds a run of another configuration ({listed}); give {flags} to go on"
            " with it, or choose another --model_dir"
        )


def _flag(name: str, value) -> str:
    """The flag of `hclx pretrain` for "section.field"."""
    section, field = name.split(".")
    return f"--gin.{get_type_hints(Experiment)[section].__name__}.{field}={value}"


def differences(old: dict, new: Experiment) -> list[tuple[str, object, object]]:
    """Returns (section.field, before, now) of each field that differs.

    Args:
      old: `config` of config.json.
      new: a configuration.
    """
    return _differences(old, dataclasses.asdict(new))


def _differences(old: dict, new: dict) -> list[tuple[str, object, object]]:
    """(section.field, before, now) of each field that differs."""
    before = {name: dataclasses.asdict(section_of(old, name)) for name in new}
    return [
        (f"{s}.{f}", before[s][f], value)
        for s, fields in new.items()
        for f, value in fields.items()
        if before[s][f] != value
    ]
