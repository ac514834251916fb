"""The resources of a run while it trains: its folder, loaders, checkpointer, lock and log."""

import contextlib
import dataclasses
import logging
import time
from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp

from hclx.config import Experiment
from hclx.data import BatchLoader
from hclx.errors import exit_code
from hclx.parallel import is_distributed, process_0_first
from hclx.train.checkpoint import Checkpointer
from hclx.train.events import EventLog
from hclx.train.goodput import write_goodput
from hclx.train.initial_weights import choose_initial_weights
from hclx.train.preemption import FILE as STOP_FILE
from hclx.train.rewind_history import Lineage, read_lineage
from hclx.train.run_dir import claim_folder, describe_run, record_run
from hclx.train.run_lock import Lease
from hclx.train.run_parts import RunParts
from hclx.train.signal_watch import SignalWatch
from hclx.train.state import TrainState
from hclx.train.step import Program
from hclx.train.step_selection import BestStep
from hclx.train.timing import StepClock
from hclx.train.watchdog import Watchdog

_LOG = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class RunOptions:
    """Settings of one start of a run that do not change what it computes.

    Attributes:
      profile_steps: the first and the last step that are traced into MODEL_DIR/profile.
      step_timeout: seconds without progress after which the process ends with 70; 0: never.
      lease_seconds: after which the lock of a silent run is taken over.
      save_timeout: seconds that processes wait for each other to write a checkpoint.
      log_examples: writes MODEL_DIR/examples: see hclx/train/example_log.py.
      init_from: the weights to begin with: see hclx/train/initial_weights.py.
      allow_changes: of what changes results: see hclx/train/run_changes.py.
      suite: (run, step, state) -> name -> value: evaluates `TrainConfig.suite`; all processes call
        it. See hclx/evaluate/in_training.py.
      started: `time.time()` when the command began.
    """

    profile_steps: tuple[int, int] | None = None
    step_timeout: float = 1800.0
    lease_seconds: float = 30.0
    save_timeout: int = 600
    log_examples: bool = False
    init_from: str = ""
    allow_changes: bool = False
    suite: Callable[["Run", int, TrainState], dict[str, float]] | None = None
    started: float | None = None


@dataclasses.dataclass
class Progress:
    """How far a start of a run has come."""

    step: int = 0
    next_index: int = 0  # position in the order of examples
    evaluated: tuple[int, float | None] = (0, None)  # the last step that was, and its loss
    rank: tuple[float, ...] | None = None  # of that step: see `Selection`
    best: BestStep = BestStep()  # stays as it is in a run without a `Selection`
    stopping: bool = False  # whether a signal or the file STOP ends this start


@dataclasses.dataclass(frozen=True)
class Run:
    """All that a run has open while it trains; `validation` is None if it never evaluates."""

    experiment: Experiment
    model_dir: str
    options: RunOptions
    program: Program
    lineage: Lineage
    description: dict  # the content of config.json once this start has made a step
    parts: RunParts
    loader: BatchLoader
    validation: BatchLoader | None
    token_bytes: jax.Array  # float32 [v]
    checkpointer: Checkpointer
    lease: Lease
    log: EventLog
    watchdog: Watchdog
    clock: StepClock
    progress: Progress

    @property
    def ends_early(self) -> bool:
        """Whether so many evaluations were no better than the best that no more steps are made."""
        selection = self.parts.selection
        return bool(selection) and 0 < selection.patience <= self.progress.best.waited

    @property
    def is_done(self) -> bool:
        """Whether there are no more steps to make."""
        return self.ends_early or self.progress.step >= self.experiment.train.total_steps

    def event(self, event: str, **fields) -> None:
        """Writes an event of the run once, however many processes it has; the arguments are those
        of `EventLog.write`.
        """
        if jax.process_index() == 0:
            self.log.write(event, **fields)

    def record(self) -> None:
        """Makes config.json describe this start, once it has made a step."""
        if jax.process_index() == 0:
            record_run(self.model_dir, self.description)


@contextlib.contextmanager
def claimed_folder(model_dir: str, options: RunOptions) -> Iterator[Lease]:
    """Locks the folder of a run before any work that another run in it would do too, and answers
    signals meanwhile.

    Args:
      model_dir, options: as in `hclx.train.pretrain.pretrain`.
    Raises:
      ConfigError: a run that is alive has the folder.
    """
    with SignalWatch(), contextlib.ExitStack() as held:
        lease = Lease(model_dir, options.lease_seconds)
        claim = lambda: held.enter_context(lease) if jax.process_index() == 0 else None
        process_0_first("lock", claim)
        yield lease


@contextlib.contextmanager
def open_run(
    experiment: Experiment,
    model_dir: str,
    options: RunOptions,
    parts: RunParts,
    lease: Lease | None = None,
) -> Iterator[Run]:
    """Claims the folder of a run, opens all that the run uses, and closes it when the context ends.
    The events `start` and `exit` and MODEL_DIR/goodput.json are written here.

    Args:
      experiment, model_dir, options: as in `pretrain`.
      parts: what this kind of training gives it; their mesh is also the ambient one.
      lease: of the folder, which process 0 has entered; None: it is claimed here.
    Raises:
      ConfigError, DataError: as in `pretrain`.
    """
    lineage, hashes = read_lineage(model_dir), parts.hashes
    program = parts.make_program(lineage.rate_factors)
    is_first, is_claimed = jax.process_index() == 0, lease is not None
    lease = lease or Lease(model_dir, options.lease_seconds)
    log = EventLog(model_dir, jax.process_index())
    with contextlib.ExitStack() as stack:

        def claim() -> tuple[dict, list[str]]:
            if is_first and not is_claimed:
                stack.enter_context(lease)
            weights = choose_initial_weights(
                model_dir, options.init_from, experiment.model, hashes["vocabulary"]
            )
            description = describe_run(experiment, parts.tokenizer_dir, hashes, weights)
            description |= parts.description
            return description, claim_folder(model_dir, description, write=is_first)

        description, changes = process_0_first("folder", claim)
        run = Run(
            experiment=experiment,
            model_dir=model_dir,
            options=options,
            program=program,
            lineage=lineage,
            description=description,
            parts=parts,
            loader=stack.enter_context(parts.open_loader(program, lineage.skip)),
            validation=stack.enter_context(parts.open_validation(program)),
            token_bytes=jnp.asarray(parts.token_bytes, jnp.float32),
            checkpointer=stack.enter_context(_checkpointer(experiment, model_dir, options, log)),
            lease=lease,
            log=log,
            watchdog=stack.enter_context(Watchdog(options.step_timeout, log.write)),
            clock=StepClock(),
            progress=Progress(),
        )
        with _start_and_exit_events(run, changes):
            yield run


def _checkpointer(
    experiment: Experiment, model_dir: str, options: RunOptions, log: EventLog
) -> Checkpointer:
    return Checkpointer(
        model_dir,
        keep_last=experiment.train.keep_last,
        keep_every=experiment.train.keep_every,
        keep_best=experiment.train.keep_best,
        save_timeout=options.save_timeout,
        report=log.write if jax.process_index() == 0 else lambda event, **fields: None,
    )


@contextlib.contextmanager
def _start_and_exit_events(run: Run, changes: list[str]):
    """Writes the event `start`, and at the end the event `exit` and the goodput of the run."""
    started = run.options.started
    run.event(
        "start",
        seconds=round(time.time() - started if started else 0.0, 3),
        changes=changes,
        previous=run.lease.before,
        versions=run.description["versions"],
        processes=jax.process_count(),
        devices=jax.device_count(),
        mesh=dict(run.program.mesh.shape),
    )
    code, reason, progress = 0, "done", run.progress
    try:
        yield
        if not run.is_done:
            reason = f"file {STOP_FILE}"
        elif run.ends_early:
            reason = "early stopping"
    except BaseException as error:
        code = exit_code(error, is_distributed())
        reason = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
        raise
    finally:
        is_first = jax.process_index() == 0
        if is_first or code:
            where = {"step": progress.step, "next_index": progress.next_index}
            run.log.write("exit", code=code, reason=reason, **where, spent=dict(run.clock.spent))
        if is_first:
            _LOG.info(write_goodput(run.model_dir))
