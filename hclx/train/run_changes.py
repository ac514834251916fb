"""Changes of configuration between two starts of a run: refused if nobody asked for them."""

from hclx.config import Experiment
from hclx.errors import ConfigError
from hclx.train.run_dir import differences, has_begun, read_config

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


def changes_of(model_dir: str, experiment: Experiment) -> list[tuple[str, object, object]]:
    """Returns (section.field, before, now) of each field that differs from the last start of a run;
    [] if it has no checkpoint yet.
    """
    old = read_config(model_dir) if has_begun(model_dir) else None
    return differences(old["config"], experiment) if old else []
