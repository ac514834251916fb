"""Saves and restores checkpoints; checkpoint_read.py verifies each array that is read.

Only this module, checkpoint_read.py, checkpoint_format.py and retention.py use orbax.

MODEL_DIR/checkpoints/ holds a folder STEP for each checkpoint. Beside them lie STEP.corrupt-TIME,
which was found damaged and set aside, and STEP.rewound-TIME, which a rewind left behind.
"""

import logging
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import jax
import orbax.checkpoint as ocp

from hclx.errors import CheckpointError, NumericsError, StorageError, StuckError
from hclx.model import Params
from hclx.parallel import any_process_error, is_distributed
from hclx.train import checkpoint_format
from hclx.train.checkpoint_format import LoopState, array_items, json_items
from hclx.train.checkpoint_read import Problem, Take, not_read, read_verified, together
from hclx.train.fingerprint import not_finite
from hclx.train.retention import LowestLoss, preservation_policy, rank_of
from hclx.train.state import TrainState, guard_from_json
from hclx.utf8 import check_path

_LOG = logging.getLogger(__name__)

SUBDIRECTORY = "checkpoints"
CORRUPT, REWOUND = ".corrupt-", ".rewound-"
MAX_FAILED_SAVES = 3  # in a row

Report = Callable[..., None]  # (event, **fields): see hclx.train.events


class Restored(NamedTuple):
    """A checkpoint that was verified; `meta` is the content of its item of this name."""

    state: TrainState
    loop: LoopState
    meta: dict


class Checkpointer:
    """Saves and restores the train state of one run.

    Saves are asynchronous, so close it, or use it as a context.
    """

    def __init__(
        self,
        model_dir: str | Path,
        *,
        keep_last: int = 3,
        keep_every: int = 0,
        keep_best: int = 0,
        read_only: bool = False,
        save_timeout: int = 600,
        report: Report = lambda event, **fields: None,
    ):
        """Opens MODEL_DIR/checkpoints.

        Args:
          model_dir: folder of the run.
          keep_last: how many of the newest checkpoints are kept.
          keep_every: checkpoints whose step is a multiple of this are kept for good; 0: none.
          keep_best: how many of those with the lowest validation loss are kept.
          read_only: nothing is created, cleaned, set aside or removed.
          save_timeout: seconds that processes wait for each other to write. (A process whose disk
            is full keeps the others waiting.)
          report: takes the events `save`, `save_failed` and `quarantine`.
        """
        check_path(model_dir)
        self.directory = checkpoints_of(model_dir)
        self._lowest_loss = LowestLoss(keep_best, self.directory)
        # The names of steps stay orbax's default: a reader with another setting would silently see
        # none (or partial) ones.
        self._options = ocp.CheckpointManagerOptions(
            preservation_policy=preservation_policy(keep_last, keep_every, self._lowest_loss),
            cleanup_tmp_directories=not read_only,
            create=not read_only,
            read_only=read_only,
            async_options=ocp.AsyncOptions(timeout_secs=save_timeout),
        )
        self._manager = self._open()
        self._read_only, self._report = read_only, report
        self._saving: tuple[int, float] | None = None  # step, and when it began
        self._is_reported = False  # whether the event of this save was written
        self._failed_saves = 0

    def __enter__(self):
        return self

    def __exit__(self, kind, error, traceback):
        # After a failed computation with others, one of them may be gone: nothing that waits for it
        # would come back.
        if not (isinstance(error, jax.errors.JaxRuntimeError) and is_distributed()):
            self.close()

    def steps(self) -> list[int]:
        """Steps that have a committed checkpoint, oldest first; [] if there is none."""
        self._manager.reload()
        return sorted(self._manager.all_steps())

    def save(self, state: TrainState, loop: LoopState, meta: dict) -> None:
        """Starts a save; the state may be donated as soon as this returns.

        A save that fails is reported as soon as the failure is known, and the run continues: the
        next save may find room again.

        Args:
          state: named by its own `step`.
          loop: where the loop stands.
          meta: see `hclx.train.checkpoint_format.json_items`.
        Raises:
          NumericsError: a parameter or moment is not finite; nothing is saved.
          StorageError: `MAX_FAILED_SAVES` saves failed in a row.
        """
        begun = time.monotonic()
        self._finish()
        wrong = not_finite(array_items(state))
        if wrong:
            raise NumericsError(
                f"{wrong[0]} of step {int(jax.device_get(state.step))} holds values that are not"
                f" finite, as do {len(wrong) - 1} other array(s): it is not saved. The last save"
                f" holds none of them; lower the learning rate, or go back with"
                " hclx checkpoint rewind"
            )
        jsons = json_items(state, loop, meta)
        step = jsons["meta"]["step"]
        args = ocp.args.Composite(
            **{name: ocp.args.StandardSave(tree) for name, tree in array_items(state).items()},
            **{name: ocp.args.JsonSave(value) for name, value in jsons.items()},
        )
        self._lowest_loss.record(step, rank_of(jsons["meta"]))
        _, problem = together(lambda: self._manager.save(step, args=args, force=True))
        if problem:
            self._failed(step, problem)
        else:
            self._saving, self._is_reported = (step, begun), False

    def look(self) -> None:
        """Looks whether the save in flight is done, so that its event has its own time; call it
        once a step. With one process a save that failed is known from then on, with several at the
        next save, where they agree.
        """
        if self._saving is None or self._manager.is_saving_in_progress():
            return
        if not is_distributed():
            self._finish()
        elif (self.directory / str(self._saving[0])).is_dir():
            self._report_save(*self._saving)

    def wait(self) -> bool:
        """Waits for the save in flight; returns whether it is on disk (True if there was none).

        Raises:
          StorageError: it failed, as the last of `MAX_FAILED_SAVES` in a row.
        """
        return self._finish()

    def problem(self, step: int, abstract: TrainState) -> str:
        """Reads a step and returns what is wrong with it, in a line; "" if it is what was saved.

        Args:
          step: of a checkpoint, one of `steps`.
          abstract: as in `restore`.
        Raises:
          CheckpointError, StorageError, StuckError: as `read_verified`.
        """
        problem = self._load(step, abstract, keep=False)[1]
        return problem.text if problem else ""

    def verify(self, step: int, abstract: TrainState) -> bool:
        """Reads a step back, item by item, and sets it aside if it is not what was saved.

        Returns:
          Whether it is what was saved.
        Raises:
          CheckpointError, StuckError: as `read_verified`; also where its reader gives up.
          StorageError: it cannot be read now, or cannot be set aside.
        """
        problem = self._load(step, abstract, keep=False)[1]
        if problem and not problem.is_proved:
            raise not_read(StuckError, self.directory / str(step), problem.text)
        if problem:
            self._set_aside(step, problem.text)
        return not problem

    def restore(
        self, abstract: TrainState, frozen: Params = {}, *, from_scratch: bool = False
    ) -> Restored | None:
        """The newest checkpoint that is what was saved, on the shardings of `abstract`.

        All processes agree to set a damaged one aside (with `read_only`: to refuse it), and the
        next older one is taken. One whose reader gives up counts as damaged if an older one is
        read well, which proves that the reader is right.

        Args:
          abstract: shapes, dtypes and shardings: see `hclx.train.state.abstract_state`.
          frozen: the frozen parameters of the run, which must be those that it was saved with.
          from_scratch: whether the run was rewound to step 0, so that checkpoints of earlier
            attempts may be left behind.
        Returns:
          None if there is none and none was set aside: the run has not begun.
        Raises:
          CheckpointError: it is of another model or has other frozen parameters, or there were
            checkpoints and none of them is good.
          StorageError: a damaged one cannot be set aside, or one cannot be read now.
          StuckError: the reader gives up at every one, or there is too little memory.
        """
        self._finish()
        undecoded: list[tuple[int, Problem]] = []
        for step in reversed(self.steps()):
            restored, problem = self._load(step, abstract, frozen)
            if not problem:
                for newer, why in undecoded:
                    self._set_aside(newer, why.text)
                _LOG.info("checkpoint %d verified", step)
                return restored
            if self._read_only:
                raise CheckpointError(
                    f"{self.directory / str(step)}: {problem.text}; name an older step, or let"
                    " training set this one aside"
                )
            if problem.is_proved:
                self._set_aside(step, problem.text)
            else:
                undecoded.append((step, problem))
        if undecoded:
            step, problem = undecoded[0]
            raise not_read(StuckError, self.directory / str(step), problem.text)
        aside = [
            path.name
            for path in self.directory.iterdir()
            if CORRUPT in path.name or REWOUND in path.name
        ]
        lost = [name for name in aside if not from_scratch or REWOUND not in name]
        if lost:
            raise CheckpointError(
                f"{self.directory} holds no good checkpoint ({', '.join(sorted(lost)[:3])}); put"
                " one back from a copy, or begin again with: hclx checkpoint rewind --step=0"
            )
        return None

    def restore_params(
        self, abstract: Params, step: int | None = None, take: Take | None = None
    ) -> tuple[Params, dict]:
        """Reads the stored parameters alone and verifies them.

        Args:
          abstract: shapes, dtypes and shardings of all of them.
          step: of the checkpoint; None: the newest.
          take: takes each parameter as soon as it is verified, so that no more are in memory.
        Returns:
          The parameters on the shardings of `abstract`, None where `take` took them, and the meta
          item.
        Raises:
          CheckpointError: there is no such checkpoint, it is of another model or format, or it is
            not what was saved.
          StorageError, StuckError: as `read_verified`.
        """
        steps = self.steps()
        if not steps:
            raise CheckpointError(
                f"{self.directory} holds no checkpoint; has the run saved one yet?"
            )
        if step is not None and step not in steps:
            raise CheckpointError(f"{self.directory} has no step {step}; it has {steps}")
        step = step if step is not None else steps[-1]
        path = self.directory / str(step)
        stored, problem = read_verified(path, {"params": abstract}, take)
        if problem:
            raise CheckpointError(f"{path}: {problem.text}; name an older step")
        return stored.arrays.get("params"), stored.meta

    def describe(self, step: int) -> tuple[dict, LoopState]:
        """The meta item of a step, and where its loop stands, without its arrays.

        Raises:
          CheckpointError: one of the JSON items is damaged, or is of another step.
        """
        path = self.directory / str(step)
        meta, loop = checkpoint_format.read_json_items(path)
        checkpoint_format.check_step(path, meta)
        return meta, LoopState(loop["next_index"], loop["lineage"])

    def close(self) -> None:
        """Finishes the save in flight, which would be lost otherwise, and ends orbax's threads.

        Raises:
          StorageError: as `wait`.
        """
        try:
            self._finish()
        finally:
            self._manager.close()

    def _open(self) -> ocp.CheckpointManager:
        return ocp.CheckpointManager(self.directory, options=self._options)

    def _finish(self) -> bool:
        """Waits for the save in flight and checks that it is on disk, as some failures are silent.

        Returns:
          False if it is not.
        """
        if self._saving is None:
            return True
        (step, begun), self._saving = self._saving, None
        _, problem = together(self._manager.wait_until_finished)
        problem = problem or any_process_error(
            "" if step in self.steps() else "it is missing after its save; is the disk full?"
        )
        if problem:
            self._failed(step, problem)
            return False
        self._failed_saves = 0
        self._report_save(step, begun)
        return True

    def _report_save(self, step: int, begun: float) -> None:
        if not self._is_reported:
            self._report("save", step=step, seconds=round(time.monotonic() - begun, 3))
        self._is_reported = True

    def _failed(self, step: int, problem: str) -> None:
        self._failed_saves += 1
        message = (
            f"could not save step {step} in {self.directory} ({self._failed_saves} of"
            f" {MAX_FAILED_SAVES} in a row): {problem}"
        )
        self._report("save_failed", step=step, reason=problem, in_a_row=self._failed_saves)
        if jax.process_index() == 0:  # its remains would take the room of the next one
            _remove_remains(self.directory, f"{step}.orbax-checkpoint-tmp*")
        if self._failed_saves >= MAX_FAILED_SAVES:
            raise StorageError(message)
        # The old manager would raise this error again at its next save, in one process only, and
        # leave the others waiting.
        fresh, problem = together(self._open)
        self._manager = self._manager if problem else fresh
        _LOG.error(message)

    def _load(
        self, step: int, abstract: TrainState, frozen: Params = {}, keep: bool = True
    ) -> tuple[Restored | None, Problem | None]:
        """Reads a step, and what is wrong with it; `keep=False` verifies it item by item and
        returns no state.
        """
        path = self.directory / str(step)
        take = None if keep else lambda name, array: None
        stored, problem = read_verified(path, array_items(abstract), take)
        if problem or not keep:
            return None, problem
        arrays, meta, loop = stored
        checkpoint_format.check_frozen(path, meta["fingerprint"], frozen)
        number = jax.device_put(jax.numpy.int32(step), abstract.step.sharding)
        guard = guard_from_json(loop["guard"], abstract.guard)
        state = TrainState(number, arrays["params"], frozen, arrays["opt_state"], guard)
        return Restored(state, LoopState(loop["next_index"], loop["lineage"]), meta), None

    def _set_aside(self, step: int, problem: str) -> None:
        path = self.directory / str(step)
        aside = path.with_name(f"{step}{CORRUPT}{timestamp()}")
        while aside.exists():  # another one of the same second
            aside = aside.with_name(f"{aside.name}-again")
        problem = any_process_error(problem)
        _, failure = together(lambda: path.rename(aside) if jax.process_index() == 0 else None)
        if failure:
            raise StorageError(f"{path}: {problem}, and cannot be set aside: {failure}")
        self._manager.reload()
        self._report("quarantine", step=step, reason=problem, name=aside.name)
        _LOG.error("%s: %s; it is now %s", path, problem, aside.name)


def _remove_remains(folder: Path, pattern: str, seconds: float = 5.0) -> None:
    """Removes what a failed save left, in which its threads may still write for a while."""
    deadline = time.monotonic() + seconds
    while (remains := list(folder.glob(pattern))) and time.monotonic() < deadline:
        for path in remains:
            shutil.rmtree(path, ignore_errors=True)
        time.sleep(0.1)


def checkpoints_of(model_dir: str | Path) -> Path:
    """The folder of a run's checkpoints, absolute, whether it exists or not."""
    return Path(model_dir).absolute() / SUBDIRECTORY


def timestamp() -> str:
    """Now in UTC, for names: 20261121T093000Z."""
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
