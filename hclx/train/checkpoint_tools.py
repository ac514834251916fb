"""Tools for the checkpoints of a run that is not training: list them, verify them, rewind to
one.
"""

import dataclasses
import shutil
from pathlib import Path

import jax
import numpy as np

from hclx.config import MeshConfig
from hclx.data.sampler import skip_ranges
from hclx.errors import CheckpointError, ConfigError
from hclx.parallel import make_mesh
from hclx.train.checkpoint import CORRUPT, REWOUND, Checkpointer, checkpoints_of, timestamp
from hclx.train.checkpoint_format import abstract_from_fingerprints, read_json_items
from hclx.train.events import EventLog
from hclx.train.metrics_writer import FILE as METRICS
from hclx.train.optimizer import decay_mask, make_optimizer
from hclx.train.retention import LOSS, rank_of, ranked
from hclx.train.rewind_history import Lineage, Rewind, read_lineage, write_lineage
from hclx.train.run_dir import read_config, read_run
from hclx.train.run_lock import Lease
from hclx.train.state import TrainState, abstract_state, abstract_state_of


@dataclasses.dataclass(frozen=True)
class Listed:
    """A checkpoint in a listing.

    Attributes:
      name: of its folder, STEP or STEP with a suffix.
      step: the step.
      n_bytes: bytes of its files.
      next_index: position in the order of examples; None if it cannot be read.
      validation_loss: nats a token; None if it has none.
      note: why no run may resume from it; "" if a run may.
      is_best: whether its loss is the lowest of those that a run may resume from, or its rank where
        steps are compared by another figure.
    """

    name: str
    step: int
    n_bytes: int
    next_index: int | None
    validation_loss: float | None
    note: str
    is_best: bool = False


def list_checkpoints(model_dir: str | Path) -> list[Listed]:
    """Lists all checkpoints of a run, oldest step first.

    Unfinished saves and checkpoints that were set aside, as damaged or by a rewind, are listed too,
    with a `note` that says so.

    Raises:
      CheckpointError: the folder holds no run.
    """
    listed, ranks = [], {}
    with _reader(model_dir) as reader:
        for path in sorted(reader.directory.iterdir(), key=lambda p: (_step_of(p) or 0, p.name)):
            step = _step_of(path)
            if step is None:
                continue
            note, next_index, loss = _note(path), None, None
            if not note:
                try:
                    meta, loop = reader.describe(step)
                    next_index, loss = loop.next_index, meta.get(LOSS)
                    ranks[step] = rank_of(meta)
                except CheckpointError as error:
                    note = str(error)
            size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
            listed.append(Listed(path.name, step, size, next_index, loss, note))
    best = ranked(ranks)[:1]
    is_best = lambda entry: entry.step in best and not entry.note
    return [dataclasses.replace(entry, is_best=is_best(entry)) for entry in listed]


def verify_checkpoints(model_dir: str | Path, steps: list[int]) -> list[tuple[int, str]]:
    """Verifies checkpoints, and changes nothing.

    Args:
      model_dir: of the run.
      steps: of its checkpoints; []: all.
    Returns:
      (step, what is wrong with it) pairs, in the order of `steps`, or oldest first; "" for a good
      one.
    Raises:
      CheckpointError: the folder holds no run or no checkpoint, a step is missing, or one is of
        another model or format.
    """
    with _reader(model_dir) as reader:
        saved = reader.steps()
        abstract = _abstract(model_dir, saved)
        missing = [step for step in steps if step not in saved]
        if missing or not saved:
            what = f"step {', '.join(map(str, missing))}" if missing else "checkpoint"
            raise CheckpointError(
                f"{reader.directory} has no {what}; it has {', '.join(map(str, saved)) or 'none'}"
            )
        return [(step, reader.problem(step, abstract)) for step in steps or saved]


def rewind(
    model_dir: str | Path,
    step: int,
    skip: tuple[tuple[int, int], ...] = (),
    learning_rate_factor: float = 1.0,
    lease_seconds: float = 30.0,
) -> Lineage:
    """Returns a run to an older step; later checkpoints are renamed STEP.rewound-TIME and kept.

    The history is written before anything is renamed: repeat a rewind that was killed to finish it;
    until then the run does not resume.

    Args:
      model_dir: of a run that is not training.
      step: of a good checkpoint; 0: the beginning of the run.
      skip: [first, last) examples that are skipped from there on.
      learning_rate_factor: multiplies the learning rate of every step from there on.
      lease_seconds: see `Lease`.
    Returns:
      The history with this rewind.
    Raises:
      ConfigError: a run that is alive holds the folder, examples to skip were seen before the step,
        or a field of the rewind is out of range, such as a factor that is not positive.
      CheckpointError: there is no such step, or it is damaged; for step 0 no checkpoint is read.
    """
    now = timestamp()
    new = Rewind(step, skip, learning_rate_factor, now)
    if not checkpoints_of(model_dir).is_dir():  # before the lock would make the folder
        raise CheckpointError(
            f"{checkpoints_of(model_dir)} does not exist; --model_dir must name the folder of a"
            " training run"
        )
    with Lease(model_dir, lease_seconds):
        history = read_lineage(model_dir)
        if step:
            _check_not_seen(model_dir, step, skip, history)
        last = history.rewinds[-1:]
        after = [
            p
            for p in checkpoints_of(model_dir).iterdir()
            if (_step_of(p) or 0) > step and REWOUND not in p.name
        ]
        interrupted = bool(after and last and dataclasses.replace(last[0], time=now) == new)
        if not interrupted:
            history = Lineage((*history.rewinds, new))
            write_lineage(model_dir, history)
        metrics = Path(model_dir) / METRICS
        if metrics.is_file():  # the run will drop the records after the step
            shutil.copyfile(metrics, metrics.with_name(f"{METRICS}{REWOUND}{now}"))
        for path in after:
            path.rename(path.with_name(f"{path.name}{REWOUND}{now}"))
        EventLog(model_dir).write(
            "rewind",
            step=step,
            skip=skip,
            learning_rate_factor=learning_rate_factor,
            set_aside=sorted(p.name for p in after),
        )
    return history


def _check_not_seen(
    model_dir: str | Path, step: int, skip: tuple[tuple[int, int], ...], history: Lineage
) -> None:
    """Refuses to skip examples that precede the next one of a checkpoint, which must be good."""
    ((_, problem),) = verify_checkpoints(model_dir, [step])
    if problem:
        raise CheckpointError(f"step {step} is damaged: {problem}; choose an older one")
    with _reader(model_dir) as reader:
        loop = reader.describe(step)[1]
    kept = Lineage(history.rewinds[: len(loop.lineage)])
    seen = int(skip_ranges(np.array([loop.next_index]), kept.skip)[0])
    early = [pair for pair in skip if pair[0] < seen]
    if early:
        raise ConfigError(
            f"step {step} has seen all examples before {seen}, so {early[0][0]}:{early[0][1]}"
            " cannot be skipped; go back further"
        )


def _reader(model_dir: str | Path) -> Checkpointer:
    if not checkpoints_of(model_dir).is_dir():
        raise CheckpointError(
            f"{checkpoints_of(model_dir)} does not exist; --model_dir must name the folder of a"
            " training run"
        )
    return Checkpointer(model_dir, read_only=True)


def _abstract(model_dir: str | Path, steps: list[int]) -> TrainState:
    """The state of a run with checkpoints of these steps, sharded over all devices of this machine.
    That of a run of tuning has the parameters that its newest checkpoint names.
    """
    experiment, _ = read_run(model_dir)
    model, train, mesh = experiment.model, experiment.train, make_mesh(MeshConfig())
    if not steps or "tune" not in read_config(model_dir):
        optimizer = make_optimizer(experiment.optimizer, decay_mask(model))
        return abstract_state(model, train, optimizer, mesh)
    meta, _ = read_json_items(checkpoints_of(model_dir) / str(steps[-1]))
    trainable = abstract_from_fingerprints(meta["fingerprint"], mesh)
    nothing_decays = jax.tree.map(lambda _: False, trainable)
    optimizer = make_optimizer(experiment.optimizer, nothing_decays)
    return abstract_state_of(trainable, {}, train, optimizer, mesh)


def _step_of(path: Path) -> int | None:
    number = path.name.partition(".")[0]
    return int(number) if number.isdecimal() and path.is_dir() else None


def _note(path: Path) -> str:
    for mark, meaning in (
        (REWOUND, "left behind by a rewind"),
        (CORRUPT, "set aside as damaged"),
        ("tmp", "an unfinished save"),
    ):
        if mark in path.name:
            return meaning
    return ""
