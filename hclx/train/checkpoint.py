"""Checkpoints that are known to be what was saved. The only module that knows orbax.

MODEL_DIR/checkpoints/STEP/ holds four items:
  params     the decoder's parameters, restorable alone
  opt_state  the optimizer's moments
  loop       JSON: step, next_index, guard, lineage (all that the loop needs to go on)
  meta       JSON: the fingerprint of every array, the checksum of `loop`, shapes, versions, hashes
Beside them lie STEP.corrupt-TIME, which was found damaged and set aside, and STEP.rewound-TIME,
which a rewind left behind.

Orbax lets processes meet on their devices in the middle of a restore, where one that cannot read
its files would leave the others waiting for ever. So items are read by orbax's handlers, which do
not meet, and the outcome is agreed on here.
"""

import logging
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import jax
import orbax.checkpoint as ocp

from hclx.config import ModelConfig
from hclx.errors import CheckpointError, StorageError
from hclx.hashing import json_hash as checksum
from hclx.model import Params, abstract_params
from hclx.parallel import any_process_error, is_distributed
from hclx.train.fingerprint import fingerprint
from hclx.train.run_dir import read_run
from hclx.train.state import TrainState
from hclx.train.step_skipping import guard_from_json, guard_to_json

_LOG = logging.getLogger(__name__)

FORMAT = 2
SUBDIRECTORY = "checkpoints"
ARRAYS = ("params", "opt_state")
CORRUPT, REWOUND = ".corrupt-", ".rewound-"
MAX_FAILED_SAVES = 3  # one after the other

Report = Callable[..., None]  # (event, **fields): see hclx.train.events


class Restored(NamedTuple):
    """A checkpoint that was verified."""

    state: TrainState
    loop: dict
    meta: dict


class Checkpointer:
    """Saves and restores the train state of one run; asynchronous, so close it (or use it as a
    context).
    """

    def __init__(
        self,
        model_dir: str | Path,
        *,
        keep_last: int = 3,
        keep_every: int = 0,
        read_only: bool = False,
        save_timeout: int = 600,
        report: Report = lambda event, **fields: None,
    ):
        """Opens MODEL_DIR/checkpoints.

        Args:
          model_dir: of the run.
          keep_last: newest checkpoints that are kept.
          keep_every: checkpoints whose step is a multiple of this are kept for good; 0: none.
          read_only: for readers: nothing is made, cleaned, set aside or removed.
          save_timeout: seconds that processes wait for each other to write; one whose disk is full
            keeps the others waiting.
          report: takes the events `save`, `save_failed` and `quarantine`.
        """
        self.directory = checkpoints_of(model_dir)
        managers = ocp.checkpoint_managers
        keep = [managers.LatestN(keep_last)] + (
            [managers.EveryNSteps(keep_every)] if keep_every else []
        )
        # The names of steps stay orbax's default: a reader with another setting would silently see
        # none (or partial) ones.
        self._options = ocp.CheckpointManagerOptions(
            preservation_policy=managers.AnyPreservationPolicy(keep),
            cleanup_tmp_directories=not read_only,
            create=not read_only,
            read_only=read_only,
            async_options=ocp.AsyncOptions(timeout_secs=save_timeout),
        )
        self._manager = self._open()
        self._read_only, self._report = read_only, report
        self._saving: tuple[int, float] | None = None  # step, and when it began
        self._failed_saves = 0

    def __enter__(self):
        return self

    def __exit__(self, kind, error, traceback):
        # After a failed computation with others, one of them may be gone: nothing that waits for it
        # would come back.
        if not (isinstance(error, jax.errors.JaxRuntimeError) and is_distributed()):
            self.close()

    def steps(self) -> list[int]:
        """Steps that have a committed checkpoint, oldest first."""
        self._manager.reload()
        return sorted(self._manager.all_steps())

    def save(self, state: TrainState, loop: dict, meta: dict) -> None:
        """Starts a save; the state may be donated as soon as this returns.

        A save that fails is reported, when it is known, and the run goes on: the next one may find
        room again.

        Args:
          state: named by its own `step`.
          loop: JSON values that the loop goes on from.
          meta: JSON values that describe the run.
        Raises:
          StorageError: `MAX_FAILED_SAVES` failed one after the other.
        """
        step, begun = int(state.step), time.time()
        self._finish()
        loop = {**loop, "guard": guard_to_json(state.guard)}
        arrays = {name: getattr(state, name) for name in ARRAYS}
        described = {
            "format": FORMAT,
            "step": step,
            "fingerprint": fingerprint(arrays),
            "loop_checksum": checksum(loop),
            **meta,
        }
        args = ocp.args.Composite(
            **{name: ocp.args.StandardSave(array) for name, array in arrays.items()},
            loop=ocp.args.JsonSave(loop),
            meta=ocp.args.JsonSave({**described, "checksum": checksum(described)}),
        )
        _, problem = _together(lambda: self._manager.save(step, args=args, force=True))
        if problem:
            self._failed(step, problem)
        else:
            self._saving = step, begun

    def wait(self) -> bool:
        """Waits for the save in flight; whether it is on disk (True where there was none).

        Raises:
          StorageError: it is not, and it was the last of `MAX_FAILED_SAVES`.
        """
        return self._finish()

    def problem(self, step: int, abstract: TrainState) -> str:
        """Reads a step and says what is wrong with it; "" where it is what was saved."""
        return self._load(step, abstract, keep=False)[1]

    def verify(self, step: int, abstract: TrainState) -> bool:
        """Reads a step back, item by item; one that is not what was saved is set aside."""
        problem = self.problem(step, abstract)
        if problem:
            self._set_aside(step, problem)
        return not problem

    def restore(self, abstract: TrainState, *, from_scratch: bool = False) -> Restored | None:
        """The newest checkpoint that is what was saved, on the shardings of `abstract`.

        A damaged one is set aside (`read_only`: refused), by agreement of all processes, and the
        next older one is taken.

        Args:
          abstract: shapes, dtypes and shardings: see `hclx.train.state.abstract_state`.
          from_scratch: whether the run was told to begin again, though older attempts left steps
            behind.
        Returns:
          None where there is none, and none was set aside: a run that begins.
        Raises:
          CheckpointError: it is of another model, or there were checkpoints and none of them is
            good.
          StorageError: a damaged one cannot be set aside.
        """
        self._finish()
        for step in reversed(self.steps()):
            found, problem = self._load(step, abstract)
            if not problem:
                _LOG.info("checkpoint %d verified", step)
                return found
            if self._read_only:
                raise CheckpointError(
                    f"{self.directory / str(step)}: {problem}; name an older step, or let training"
                    " set this one aside"
                )
            self._set_aside(step, problem)
        left = [
            path.name
            for path in self.directory.iterdir()
            if CORRUPT in path.name or REWOUND in path.name
        ]
        lost = [name for name in left if not from_scratch or REWOUND not in name]
        if lost:
            raise CheckpointError(
                f"{self.directory} holds no good checkpoint ({', '.join(sorted(lost)[:3])}); put"
                " one back from a copy, or begin again with: launch/checkpoint.py rewind --step=0"
            )
        return None

    def restore_params(self, abstract: Params, step: int | None = None) -> tuple[Params, dict]:
        """The parameters alone, verified, and the meta item; the newest by default.

        Raises:
          CheckpointError: there is none, or it is not what was saved.
        """
        steps = self.steps()
        if not steps:
            raise CheckpointError(
                f"{self.directory} holds no checkpoint; has the run saved one yet?"
            )
        if step is not None and step not in steps:
            raise CheckpointError(f"{self.directory} has no step {step}; it has {steps}")
        step = step if step is not None else steps[-1]
        (found, meta, _), problem = self._read_verified(step, {"params": abstract})
        if problem:
            raise CheckpointError(
                f"{self.directory / str(step)}: {problem}; name an older step with --step"
            )
        return found["params"], meta

    def close(self) -> None:
        """Finishes the save in flight (leaving without this would lose it) and ends orbax's
        threads.
        """
        try:
            self._finish()
        finally:
            self._manager.close()

    def _open(self) -> ocp.CheckpointManager:
        return ocp.CheckpointManager(self.directory, options=self._options)

    def _finish(self) -> bool:
        """Waits for the save in flight, and makes sure that it is there: one that failed may have
        reported nothing.
        """
        if self._saving is None:
            return True
        (step, begun), self._saving = self._saving, None
        _, problem = _together(self._manager.wait_until_finished)
        problem = problem or any_process_error(
            "" if step in self.steps() else "it is not there after its save; is the disk full?"
        )
        if problem:
            self._failed(step, problem)
            return False
        self._failed_saves = 0
        self._report("save", step=step, seconds=round(time.time() - begun, 3))
        return True

    def _failed(self, step: int, problem: str) -> None:
        self._failed_saves += 1
        message = (
            f"could not save step {step} in {self.directory} ({self._failed_saves} of"
            f" {MAX_FAILED_SAVES} in a row): {problem}"
        )
        self._report("save_failed", step=step, reason=problem, in_a_row=self._failed_saves)
        if jax.process_index() == 0:  # what is left of it would take the room of the next one
            for path in self.directory.glob(f"{step}.orbax-checkpoint-tmp*"):
                shutil.rmtree(path, ignore_errors=True)
        if self._failed_saves >= MAX_FAILED_SAVES:
            raise StorageError(message)
        # The old one would raise this error once more at its next save, in the process that had it,
        # and leave the others waiting.
        fresh, problem = _together(self._open)
        self._manager = self._manager if problem else fresh
        _LOG.error(message)

    def _load(
        self, step: int, abstract: TrainState, keep: bool = True
    ) -> tuple[Restored | None, str]:
        """A step, or what is wrong with it; `keep=False`: read and verified item by item, and
        thrown away.
        """
        (found, meta, loop), problem = self._read_verified(
            step, {name: getattr(abstract, name) for name in ARRAYS}, keep
        )
        if problem or not keep:
            return None, problem
        number = jax.device_put(jax.numpy.int32(step), abstract.step.sharding)
        guard = guard_from_json(loop["guard"], abstract.guard)
        return Restored(TrainState(number, **found, guard=guard), loop, meta), ""

    def _read_verified(
        self, step: int, items: dict, keep: bool = True
    ) -> tuple[tuple[dict, dict, dict], str]:
        """({item: arrays}, meta, loop) of a step, and what is wrong with it.

        Raises:
          CheckpointError: nothing is damaged, but it is of another model or of another version of
            this program.
        """
        described, problem = _together(lambda: self.describe(step))
        if problem:
            return ({}, {}, {}), problem
        (meta, loop), found = described, {}
        if meta["format"] != FORMAT:
            raise CheckpointError(
                f"{self.directory / str(step)} has format {meta['format']}, and this version reads"
                f" {FORMAT}; use the version that wrote it"
            )
        _check_shapes(self.directory / str(step), meta["fingerprint"], items)
        for name, target in items.items():
            read = lambda: ocp.StandardCheckpointHandler().restore(
                self.directory / str(step) / name, args=ocp.args.StandardRestore(target)
            )
            arrays, problem = _together(read)
            problem = problem or _differences(meta["fingerprint"], {name: arrays})
            if problem:
                return ({}, meta, loop), problem
            if keep:
                found[name] = arrays
        return (found, meta, loop), ""

    def describe(self, step: int) -> tuple[dict, dict]:
        """The JSON items of a step, meta and loop, which have checksums of their own.

        Raises:
          CheckpointError: one of them cannot be read, or is not what was saved.
        """
        try:
            read = lambda item: ocp.JsonCheckpointHandler().restore(
                self.directory / str(step) / item
            )
            meta, loop = dict(read("meta")), dict(read("loop"))
        # OSError, ValueError and orbax's own, by what is wrong with the files
        except Exception as error:
            raise CheckpointError(
                f"the items loop and meta cannot be read: {_one_line(error)}"
            ) from error
        if meta.pop("checksum", None) != checksum(meta):
            raise CheckpointError("item meta is damaged")
        if meta["loop_checksum"] != checksum(loop):
            raise CheckpointError("item loop is damaged")
        return meta, loop

    def _set_aside(self, step: int, problem: str) -> None:
        path = self.directory / str(step)
        aside = path.with_name(f"{step}{CORRUPT}{timestamp()}")
        problem = any_process_error(problem)
        _, failure = _together(lambda: path.rename(aside) if jax.process_index() == 0 else None)
        if failure:
            raise StorageError(f"{path}: {problem}, and cannot be set aside: {failure}")
        self._manager.reload()
        self._report("quarantine", step=step, reason=problem, name=aside.name)
        _LOG.error("%s: %s; it is now %s", path, problem, aside.name)


def checkpoints_of(model_dir: str | Path) -> Path:
    """The folder of a run's checkpoints."""
    return Path(model_dir).absolute() / SUBDIRECTORY


def timestamp() -> str:
    """Now, for names: 20261121T093000Z."""
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())


def _together(work: Callable) -> tuple[object, str]:
    """Does work that may fail in one process alone; returns its result and the problem that any
    process had.
    """
    try:
        result, problem = work(), ""
    # orbax and tensorstore raise ValueError, KeyError, OSError and their own for what went wrong
    except Exception as error:
        result, problem = None, _one_line(error)
    return result, any_process_error(problem)


def _check_shapes(path: Path, saved: dict[str, str], items: dict) -> None:
    """Refuses another model's checkpoint: its fingerprints begin with dtype and shape."""
    wanted = {}
    for leaf, x in jax.tree_util.tree_leaves_with_path(items):
        wanted[jax.tree_util.keystr(leaf, simple=True, separator="/")] = f"{x.dtype}{list(x.shape)}"
    there = {
        name: value.rpartition(":")[0]
        for name, value in saved.items()
        if name.split("/")[0] in items
    }
    for name in sorted(wanted.keys() | there.keys()):
        if wanted.get(name) != there.get(name):
            raise CheckpointError(
                f"{path} is of another model: {name} is {there.get(name)} there and"
                f" {wanted.get(name)} here"
            )


def _differences(expected: dict[str, str], tree: dict) -> str:
    wrong = [name for name, value in fingerprint(tree).items() if expected.get(name) != value]
    return f"{len(wrong)} array(s) are not what was saved, first {wrong[0]}" if wrong else ""


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__


def load_for_inference(
    model_dir: str | Path, step: int | None = None
) -> tuple[Params, ModelConfig, str, dict]:
    """What decoding needs of a run: parameters on the first device, the model's shape, its
    tokenizer's folder, meta.

    Raises:
      CheckpointError: the folder holds no run, or the checkpoint is damaged.
    """
    experiment, tokenizer_dir = read_run(model_dir)
    sharding = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    place = lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding)
    abstract = jax.tree.map(place, abstract_params(experiment.model))
    with Checkpointer(model_dir, read_only=True) as checkpointer:
        params, meta = checkpointer.restore_params(abstract, step)
    return params, experiment.model, tokenizer_dir, meta
