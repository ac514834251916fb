"""Saves parameters alone, as step 0 of a folder that decoding and --init_from read."""

from pathlib import Path

import jax
import orbax.checkpoint as ocp

from hclx.errors import StorageError
from hclx.hashing import json_hash
from hclx.model import Params
from hclx.train.checkpoint import checkpoints_of
from hclx.train.checkpoint_format import FORMAT, one_line
from hclx.train.fingerprint import fingerprint


def save_weights(model_dir: str | Path, params: Params, meta: dict) -> None:
    """Writes MODEL_DIR/checkpoints/0 with the parameters and without moments of an optimizer.

    Args:
      model_dir: the folder; it holds no checkpoint yet.
      params: float32, on any mesh.
      meta: see `hclx.train.checkpoint_format.json_items`.
    Raises:
      StorageError: it cannot be written.
    """
    loop = {"step": 0, "next_index": 0, "lineage": [], "guard": {}}
    described = {
        "format": FORMAT,
        "step": 0,
        "fingerprint": fingerprint({"params": params, "frozen": {}}),
        "loop_checksum": json_hash(loop),
        **meta,
    }
    arguments = ocp.args.Composite(
        params=ocp.args.PyTreeSave(params),
        loop=ocp.args.JsonSave(loop),
        meta=ocp.args.JsonSave({**described, "checksum": json_hash(described)}),
    )
    # TensorStore keeps what it writes until it is on disk, and by default orbax begins with all
    # arrays at the same time. One array is the least that it takes.
    most = (1 + max(array.nbytes for array in jax.tree.leaves(params))) / 1e9
    try:
        with ocp.CheckpointManager(
            checkpoints_of(model_dir),
            options=ocp.CheckpointManagerOptions(enable_async_checkpointing=False),
            item_handlers={
                "params": ocp.PyTreeCheckpointHandler(save_concurrent_gb=most),
                "loop": ocp.JsonCheckpointHandler(),
                "meta": ocp.JsonCheckpointHandler(),
            },
        ) as manager:
            manager.save(0, args=arguments)
    except (OSError, ValueError) as error:
        raise StorageError(
            f"cannot write {checkpoints_of(model_dir)}: {one_line(error)}"
        ) from error
    jax.block_until_ready(params)
