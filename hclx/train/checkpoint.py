"""Checkpoints that are known to be what was saved. The only module that knows orbax.

MODEL_DIR/checkpoints/STEP/ holds four items:
  params     the decoder's parameters, restorable alone
  opt_state  the optimizer's moments
  loop       JSON: step, next_index (all that the data needs to go on)
  meta       JSON: the fingerprint of every array, the checksum of `loop`, shapes, versions, hashes
"""

import json
import logging
from pathlib import Path

import jax
import orbax.checkpoint as ocp

from hclx.config import ModelConfig
from hclx.data.cache import checksum
from hclx.errors import CheckpointError, StorageError
from hclx.model import Params
from hclx.train.fingerprint import fingerprint
from hclx.train.state import TrainState

_LOG = logging.getLogger(__name__)

FORMAT = 1
SUBDIRECTORY = "checkpoints"


class Checkpointer:
    """Saves and restores the train state of one run; asynchronous, so close it (or use it as a context)."""

    def __init__(self, model_dir: str | Path, *, keep_last: int = 3, keep_every: int = 0, read_only: bool = False):
        """Opens MODEL_DIR/checkpoints.

        Args:
          model_dir: of the run.
          keep_last: newest checkpoints that are kept.
          keep_every: checkpoints whose step is a multiple of this are kept for good; 0: none.
          read_only: for readers: nothing is made, cleaned or removed.
        """
        self.directory = Path(model_dir).absolute() / SUBDIRECTORY
        managers = ocp.checkpoint_managers
        keep = [managers.LatestN(keep_last)] + ([managers.EveryNSteps(keep_every)] if keep_every else [])
        # The names of steps stay orbax's default: a reader with another setting would silently see none (or partial) ones.
        options = ocp.CheckpointManagerOptions(
            preservation_policy=managers.AnyPreservationPolicy(keep),
            cleanup_tmp_directories=not read_only,
            create=not read_only,
            read_only=read_only,
        )
        self._manager = ocp.CheckpointManager(self.directory, options=options)
        self._last_saved: int | None = None

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        self.close()

    def steps(self) -> list[int]:
        """Steps that have a committed checkpoint, oldest first."""
        self._manager.reload()
        return sorted(self._manager.all_steps())

    def save(self, state: TrainState, loop: dict, meta: dict) -> None:
        """Starts a save; the state may be donated as soon as this returns.

        Args:
          state: named by its own `step`.
          loop: JSON values that the loop goes on from.
          meta: JSON values that describe the run.
        Raises:
          StorageError: this save, or the one before it, failed.
        """
        step = int(state.step)
        self.wait()
        described = {
            "format": FORMAT,
            "step": step,
            "fingerprint": fingerprint({"params": state.params, "opt_state": state.opt_state}),
            "loop_checksum": checksum(loop),
            **meta,
        }
        args = ocp.args.Composite(
            params=ocp.args.StandardSave(state.params),
            opt_state=ocp.args.StandardSave(state.opt_state),
            loop=ocp.args.JsonSave(loop),
            meta=ocp.args.JsonSave({**described, "checksum": checksum(described)}),
        )
        try:
            self._manager.save(step, args=args, force=True)
        except OSError as error:
            raise StorageError(f"could not save step {step} in {self.directory}: {error}") from error
        self._last_saved = step

    def wait(self) -> None:
        """Waits for the save in flight and makes sure that it is on disk.

        Raises:
          StorageError: it is not.
        """
        if self._last_saved is None:
            return
        step, self._last_saved = self._last_saved, None
        try:
            self._manager.wait_until_finished()
        except Exception as error:  # orbax raises what its writer thread met: OSError, ValueError, RuntimeError
            raise StorageError(f"could not save step {step} in {self.directory}: {_one_line(error)}") from error
        if step not in self.steps():  # a failed save may report nothing
            raise StorageError(f"step {step} is not in {self.directory} after its save; is the disk full?")

    def restore(self, abstract: TrainState, step: int | None = None) -> tuple[TrainState, dict, dict] | None:
        """Restores onto the shardings of `abstract` and verifies every array.

        Args:
          abstract: shapes, dtypes and shardings: see `hclx.train.state.abstract_state`.
          step: which; the newest by default.
        Returns:
          (state, loop, meta), or None where there is no checkpoint at all.
        Raises:
          CheckpointError: it cannot be read, or is not what was saved.
        """
        step = self._choose(step)
        if step is None:
            return None
        meta = self._meta(step)
        items = self._read(
            step,
            params=ocp.args.StandardRestore(abstract.params),
            opt_state=ocp.args.StandardRestore(abstract.opt_state),
            loop=ocp.args.JsonRestore(),
        )
        if checksum(items.loop) != meta["loop_checksum"]:
            raise CheckpointError(f"{self.directory / str(step)}: item loop is damaged; remove this step to use an older one")
        self._verify(step, meta, {"params": items.params, "opt_state": items.opt_state})
        number = jax.device_put(jax.numpy.int32(step), abstract.step.sharding)
        return TrainState(number, items.params, items.opt_state), items.loop, meta

    def restore_params(self, abstract: Params, step: int | None = None) -> tuple[Params, dict]:
        """The parameters alone, verified, and the meta item."""
        step = self._choose(step)
        if step is None:
            raise CheckpointError(f"{self.directory} holds no checkpoint; has the run saved one yet?")
        meta = self._meta(step)
        items = self._read(step, params=ocp.args.StandardRestore(abstract))
        self._verify(step, meta, {"params": items.params})
        return items.params, meta

    def close(self) -> None:
        """Finishes the save in flight (leaving without this would lose it) and ends orbax's threads."""
        try:
            self.wait()
        finally:
            self._manager.close()

    def _choose(self, step: int | None) -> int | None:
        self.wait()
        steps = self.steps()
        if step is not None and step not in steps:
            raise CheckpointError(f"{self.directory} has no step {step}; it has {steps or 'none'}")
        return step if step is not None else (steps[-1] if steps else None)

    def _read(self, step: int, **args):
        try:
            return self._manager.restore(step, args=ocp.args.Composite(**args))
        except Exception as error:  # orbax and tensorstore raise ValueError, KeyError, OSError and their own for damage
            raise CheckpointError(f"{self.directory / str(step)} cannot be read: {_one_line(error)}") from error

    def _meta(self, step: int) -> dict:
        meta = dict(self._read(step, meta=ocp.args.JsonRestore()).meta)
        expected = meta.pop("checksum", None)
        if expected != checksum(meta):
            raise CheckpointError(f"{self.directory / str(step)}: item meta is damaged; remove this step to use an older one")
        return meta

    def _verify(self, step: int, meta: dict, tree) -> None:
        expected, found = meta["fingerprint"], fingerprint(tree)
        wrong = [name for name, value in found.items() if expected.get(name) != value]
        if wrong:
            raise CheckpointError(
                f"{self.directory / str(step)}: {len(wrong)} array(s) are not what was saved, first {wrong[0]}; "
                "the files are damaged: remove this step to use an older one"
            )
        _LOG.info("checkpoint %d verified: %d arrays", step, len(found))


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__


def load_for_inference(model_dir: str | Path, step: int | None = None) -> tuple[Params, ModelConfig, str, dict]:
    """What decoding needs of a run: parameters on the first device, the model's shape, its tokenizer's folder, meta.

    Raises:
      CheckpointError: the folder holds no run, or the checkpoint is damaged.
    """
    from hclx.model import abstract_params

    config_file = Path(model_dir) / "config.json"
    if not config_file.is_file():
        raise CheckpointError(f"{config_file} does not exist; --model_dir must name the folder of a training run")
    run = json.loads(config_file.read_text(encoding="utf-8"))
    model = ModelConfig(**run["config"]["model"])
    sharding = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    abstract = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), abstract_params(model))
    with Checkpointer(model_dir, read_only=True) as checkpointer:
        params, meta = checkpointer.restore_params(abstract, step)
    return params, model, run["tokenizer_dir"], meta
