"""Lists, verifies and rewinds the checkpoints of a run: hclx checkpoint
list|verify|rewind --model_dir=runs/demo

  list    lists every checkpoint, also those that were set aside, with their validation losses
  verify  reads checkpoints (all, or those of --step) and compares every array with what was saved;
          exit code 65 if one is damaged
  rewind  returns the run to --step (0: its beginning); from there on it skips --skip_examples and
          applies --learning_rate_factor
"""

from absl import flags

from hclx.errors import CheckpointError, ConfigError
from hclx.launching import run
from hclx.shared_flags import MOST_SECONDS

MODEL_DIR = flags.DEFINE_string("model_dir", None, "Folder of the run.")
STEP = flags.DEFINE_multi_integer("step", [], "Step of a checkpoint; repeatable for verify.", 0)
SKIP = flags.DEFINE_multi_string(
    "skip_examples",
    [],
    "FIRST:LAST examples to skip after a rewind, LAST not included; repeatable.",
)
FACTOR = flags.DEFINE_float(
    "learning_rate_factor", 1.0, "Multiplies the learning rate after a rewind."
)
LEASE = flags.DEFINE_float(
    "lease_seconds",
    30,
    "Seconds after which the lock of a silent run is taken over.",
    lower_bound=1,
    upper_bound=MOST_SECONDS,
)


def main(argv):
    if not MODEL_DIR.value:
        raise ConfigError("--model_dir is missing; give the folder of a training run")
    return {"list": show, "verify": verify, "rewind": rewind_run}[argv[1]](MODEL_DIR.value)


def show(model_dir: str) -> None:
    """Prints a line for each checkpoint."""
    from hclx.train.checkpoint_tools import list_checkpoints

    for entry in list_checkpoints(model_dir):
        at = "" if entry.next_index is None else f"next example {entry.next_index:,}"
        loss = entry.validation_loss
        evaluated = "" if loss is None else f"validation {loss:.4f}{' best' * entry.is_best}"
        size = f"{entry.n_bytes / 1e6:>12,.1f} MB"
        print(f"{entry.name:<34} {size}  {evaluated:<24}  {entry.note or at}")


def verify(model_dir: str) -> None:
    """Prints what is wrong with each checkpoint."""
    from hclx.train.checkpoint_tools import verify_checkpoints

    results = verify_checkpoints(model_dir, STEP.value)
    for step, problem in results:
        print(f"{step}: {problem or 'good'}")
    damaged = [str(step) for step, problem in results if problem]
    if damaged:
        raise CheckpointError(
            f"{len(damaged)} of {len(results)} checkpoint(s) are damaged: {', '.join(damaged)};"
            " training will set them aside"
        )


def rewind_run(model_dir: str) -> None:
    """Rewinds the run, and prints the result."""
    from hclx.train.checkpoint_tools import rewind
    from hclx.train.rewind_history import parse_skip

    if len(STEP.value) != 1:
        raise ConfigError("rewind needs one --step: that of a checkpoint, or 0 to begin again")
    history = rewind(model_dir, STEP.value[0], parse_skip(SKIP.value), FACTOR.value, LEASE.value)
    skipped = sum(last - first for first, last in history.skip)
    print(
        f"rewound to step {STEP.value[0]} ({len(history.rewinds)} rewind(s) in all, {skipped:,}"
        " examples skipped); re-run the same command to resume"
    )


if __name__ == "__main__":
    run(main, commands=("list", "verify", "rewind"))
