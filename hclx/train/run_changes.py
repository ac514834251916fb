"""Changes of configuration between two starts of a run: refused if nobody asked for them."""

from pathlib import Path

from hclx.config import Experiment
from hclx.errors import ConfigError, DataError
from hclx.text import has_tokenizer, load_tokenizer
from hclx.train.run_data import folders
from hclx.train.run_dir import TOKENIZER, differences, has_begun, read_config, read_run

# Fields that a run may change, but that change its results: most often a flag was forgotten.
ASKED_FOR = ("train.global_batch_size", "compute.dtype", "compute.matmul")


def refuse_unasked_changes(model_dir: str, experiment: Experiment, allow_changes: bool) -> None:
    """Refuses to resume a run with another batch size or precision, which may change, but hardly
    ever should.

    Args:
      model_dir: of the run.
      experiment: of this start.
      allow_changes: whether the user asked for it.
    Raises:
      ConfigError: names each field with both values.
    """
    changed = [entry for entry in changes_of(model_dir, experiment) if entry[0] in ASKED_FOR]
    if changed and not allow_changes:
        listed = "; ".join(f"{name}: {a!r} there, {b!r} now" for name, a, b in changed)
        raise ConfigError(
            f"{model_dir} was trained otherwise ({listed}); give the flags that it was started"
            " with, or --allow_changes to go on in the new way"
        )


def refuse_other_tokenizer(model_dir: str, experiment: Experiment) -> None:
    """Refuses to resume a run with another tokenizer than its own, before one is trained: most
    often the flag that named it was forgotten.

    Args:
      model_dir: of the run.
      experiment: of this start.
    Raises:
      ConfigError: names the flags with the folders that the run was started with.
      DataError: the same, where there is a tokenizer, and it is another one.
    """
    if not has_begun(model_dir) or (run := read_config(model_dir)) is None:
        return
    (before, recorded), (now, cache_dir) = read_run(model_dir), folders(experiment, model_dir)
    is_same = Path(now).absolute() == Path(recorded)
    if not is_same and has_tokenizer(now):  # a copy will do
        is_same = load_tokenizer(now).fingerprint == run["hashes"].get("vocabulary")
    if is_same:
        return
    advice = f"give {_folder_flags(before, recorded, model_dir, cache_dir)} to go on with it"
    if not has_tokenizer(recorded):
        advice = (
            "its folder is no longer there: put it back, or name a copy of it with"
            " --gin.DataConfig.tokenizer_dir"
        )
    elif Path(recorded) == Path(model_dir).absolute() / TOKENIZER:
        advice = "leave out DataConfig.tokenizer_dir to go on with it"
    kind = DataError if has_tokenizer(now) else ConfigError
    raise kind(
        f"{model_dir} was trained with another vocabulary, that of the tokenizer in {recorded}, and"
        f" not with {now}; {advice}, or choose another --model_dir"
    )


def _folder_flags(before: Experiment, recorded: str, model_dir: str, cache_dir: str) -> str:
    """The flags for the tokenizer of a run and, if this start has another one, for its cache, with
    the paths as they were given as far as they still lead there.
    """
    typed = before.data.tokenizer_dir
    leads_there = bool(typed) and Path(typed).absolute() == Path(recorded)
    flags = [f"--gin.DataConfig.tokenizer_dir={typed if leads_there else recorded}"]
    before_cache = folders(before, model_dir)[1]
    if before_cache != cache_dir and Path(before_cache).is_dir():
        flags.append(f"--gin.DataConfig.cache_dir={before_cache}")
    return " ".join(flags)


def changes_of(model_dir: str, experiment: Experiment) -> list[tuple[str, object, object]]:
    """Returns (section.field, before, now) of each field that differs from the last start of a run
    that trained; [] if it has no checkpoint yet.
    """
    old = read_config(model_dir) if has_begun(model_dir) else None
    return differences(old["config"], experiment) if old else []
