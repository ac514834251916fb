"""What is done to the checkpoints of a run while it does not train: look at them, verify them, go
back to one.
"""

import dataclasses
import shutil
from pathlib import Path

import numpy as np

from hclx.config import MeshConfig
from hclx.data.sampler import skip_ranges
from hclx.errors import CheckpointError, ConfigError
from hclx.parallel import make_mesh
from hclx.train.checkpoint import CORRUPT, REWOUND, Checkpointer, checkpoints_of, timestamp
from hclx.train.events import EventLog
from hclx.train.metrics_writer import FILE as METRICS
from hclx.train.optimizer import decay_mask, make_optimizer
from hclx.train.rewind_history import Lineage, Rewind, read_lineage, write_lineage
from hclx.train.run_dir import read_run
from hclx.train.run_lock import Lease
from hclx.train.state import TrainState, abstract_state


@dataclasses.dataclass(frozen=True)
class Listed:
    """One line about a checkpoint."""

    name: str
    step: int
    n_bytes: int
    next_index: int | None  # position in the order of the run; None where it cannot be read
    note: str  # "" for one that a run may go on from


def list_checkpoints(model_dir: str | Path) -> list[Listed]:
    """All checkpoints of a run, also those that were set aside, oldest step first."""
    found = []
    with _reader(model_dir) as reader:
        for path in sorted(reader.directory.iterdir(), key=lambda p: (_step_of(p) or 0, p.name)):
            step = _step_of(path)
            if step is None:
                continue
            note, next_index = _note(path), None
            if not note:
                try:
                    next_index = reader.describe(step)[1]["next_index"]
                except CheckpointError as error:
                    note = str(error)
            size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
            found.append(Listed(path.name, step, size, next_index, note))
    return found


def verify_checkpoints(model_dir: str | Path, steps: list[int]) -> list[tuple[int, str]]:
    """(step, what is wrong with it, or "") of `steps`, or of all where none is named; nothing is
    changed.

    Raises:
      CheckpointError: a step is not there.
    """
    with _reader(model_dir) as reader:
        there, abstract = reader.steps(), _abstract(model_dir)
        missing = [step for step in steps if step not in there]
        if missing or not there:
            raise CheckpointError(
                f"{reader.directory} has no step {missing or ''}; it has {there or 'none'}"
            )
        return [(step, reader.problem(step, abstract)) for step in steps or there]


def rewind(
    model_dir: str | Path,
    step: int,
    skip: tuple[tuple[int, int], ...] = (),
    learning_rate_factor: float = 1.0,
    lease_seconds: float = 30.0,
) -> Lineage:
    """Makes a run go on from an older step; what came after it is renamed and kept.

    The history is written before anything is renamed: a rewind that is killed is finished by the
      same call, and until
    then no run goes on.

    Args:
      model_dir: of a run that is not training.
      step: of a good checkpoint; 0: from scratch.
      skip: [first, last) examples that are left out from there on.
      learning_rate_factor: of every step from there on.
      lease_seconds: see `Lease`.
    Returns:
      The history, with this rewind.
    Raises:
      ConfigError: a run that is alive holds the folder, or the step has seen examples that are to
        be left out.
      CheckpointError: there is no such step, or it is damaged.
    """
    if learning_rate_factor <= 0:
        raise ConfigError(
            f"the factor of the learning rate must be positive, got {learning_rate_factor}"
        )
    with Lease(model_dir, lease_seconds):
        history = read_lineage(model_dir)
        seen = _examples_seen(model_dir, step, history) if step else 0
        early = [pair for pair in skip if pair[0] < seen]
        if early:
            raise ConfigError(
                f"step {step} has seen all examples before {seen}, so {early[0][0]}:{early[0][1]}"
                " cannot be left out; go back further"
            )
        now = timestamp()
        new, last = Rewind(step, skip, learning_rate_factor, now), history.rewinds[-1:]
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
        if metrics.is_file():  # the run drops what comes after the step
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


def _examples_seen(model_dir: str | Path, step: int, history: Lineage) -> int:
    """How many examples of the order lie before the next one of a checkpoint, which must be
    good.
    """
    ((_, problem),) = verify_checkpoints(model_dir, [step])
    if problem:
        raise CheckpointError(f"step {step} is damaged: {problem}; choose an older one")
    with _reader(model_dir) as reader:
        loop = reader.describe(step)[1]
    kept = Lineage(history.rewinds[: len(loop["lineage"])])
    return int(skip_ranges(np.array([loop["next_index"]]), kept.skip)[0])


def _reader(model_dir: str | Path) -> Checkpointer:
    if not checkpoints_of(model_dir).is_dir():
        raise CheckpointError(
            f"{checkpoints_of(model_dir)} does not exist; --model_dir must name the folder of a"
            " training run"
        )
    return Checkpointer(model_dir, read_only=True)


def _abstract(model_dir: str | Path) -> TrainState:
    """The state of a run over all devices at hand."""
    experiment, _ = read_run(model_dir)
    return abstract_state(
        experiment.model,
        experiment.train,
        make_optimizer(experiment.optimizer, decay_mask(experiment.model)),
        make_mesh(MeshConfig()),
    )


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
