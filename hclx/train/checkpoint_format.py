"""The content of a checkpoint: its JSON items, the verification of its arrays, and older formats.

MODEL_DIR/checkpoints/STEP/ holds four items:
  params     the trainable parameters, restorable alone
  opt_state  the optimizer's moments
  loop       JSON: step, next_index, lineage and guard, from which the loop resumes
  meta       JSON: format, the fingerprint of every array (also of frozen ones, which are not
             stored), the checksum of `loop`, shapes, versions, hashes, validation_loss
"""

from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import orbax.checkpoint as ocp
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from hclx.errors import CheckpointError, StorageError, StuckError
from hclx.hashing import json_hash
from hclx.model import Params
from hclx.model.legacy import from_format_2, leaf_from_format_2, to_format_2
from hclx.read_errors import DAMAGED, UNDECODED, UNREADABLE, diagnose
from hclx.train.fingerprint import fingerprint
from hclx.train.state import TrainState, guard_to_json, map_moments

FORMAT = 3
READABLE = (2, 3)  # 2: queries, keys and values in one parameter


class LoopState(NamedTuple):
    """The position of the loop, which a checkpoint holds beside the train state.

    Attributes:
      next_index: position in the order of examples.
      lineage: the rewinds that led here, as `Lineage.to_json` returns them.
    """

    next_index: int
    lineage: list[dict]


def array_items(state: TrainState) -> dict:
    """Returns the parts of a state that a checkpoint stores as arrays: item -> tree of arrays, for
    the trainable parameters, `params`, and the state of the optimizer, `opt_state`.
    """
    return {"params": state.trainable, "opt_state": state.opt_state}


def json_items(state: TrainState, loop: LoopState, meta: dict) -> dict[str, dict]:
    """The JSON items of a checkpoint.

    Args:
      state: is read for its step, guard and fingerprints.
      loop: where the loop stands.
      meta: name -> JSON value, further fields of the item `meta`. Training gives `hashes`,
        `versions`, `init_from`, `model` and `validation_loss` (see hclx/train/retention.py).
    Returns:
      "loop" -> {step, next_index, lineage, guard}, and "meta" -> {format, step, fingerprint (path
      of an array -> its fingerprint), loop_checksum, checksum} and the fields of `meta`.
    """
    step = int(jax.device_get(state.step))
    loop_item = {"step": step, **loop._asdict(), "guard": guard_to_json(state.guard)}
    meta_item = {
        "format": FORMAT,
        "step": step,
        "fingerprint": fingerprint({**array_items(state), "frozen": state.frozen}),
        "loop_checksum": json_hash(loop_item),
        **meta,
    }
    return {"loop": loop_item, "meta": {**meta_item, "checksum": json_hash(meta_item)}}


def read_json_items(path: Path) -> tuple[dict, dict]:
    """The items `meta` and `loop` of a checkpoint, which have checksums of their own.

    Args:
      path: of the checkpoint, MODEL_DIR/checkpoints/STEP.
    Returns:
      `meta`, without its field `checksum`, and `loop`, as `json_items` made them.
    Raises:
      CheckpointError: one of them is missing, damaged, or not what was saved.
      StorageError, StuckError: one of them cannot be read now.
    """
    try:
        meta, loop = (
            dict(ocp.JsonCheckpointHandler().restore(path / item)) for item in ("meta", "loop")
        )
    except Exception as error:  # OSError, ValueError and orbax's own, by what is wrong
        kind, reason = diagnose(error, path)
        reason = f"the items loop and meta cannot be read: {reason}"
        if kind in (DAMAGED, UNDECODED):  # JSON that is undecodable by whatever reads it
            raise CheckpointError(reason) from error
        raised = StorageError if kind == UNREADABLE else StuckError
        raise raised(f"{path}: {reason}; nothing was renamed") from error
    if meta.pop("checksum", None) != json_hash(meta):
        raise CheckpointError("item meta is damaged")
    if meta["loop_checksum"] != json_hash(loop):
        raise CheckpointError("item loop is damaged")
    return meta, loop


def check_step(path: Path, meta: dict) -> None:
    """Refuses a checkpoint that lies in the folder of another step.

    Raises:
      CheckpointError: names both.
    """
    if meta["step"] != int(path.name):
        raise CheckpointError(
            f"{path} holds the checkpoint of step {meta['step']}, and its name says {path.name};"
            f" rename it to {meta['step']}, or remove it"
        )


def check_format(path: Path, saved_format: int) -> None:
    """Refuses a checkpoint of a format that this version cannot read.

    Args:
      path: of the checkpoint, for the message.
      saved_format: `format` in its meta item.
    Raises:
      CheckpointError: the format is older or newer.
    """
    if saved_format not in READABLE:
        formats = " and ".join(map(str, READABLE))
        raise CheckpointError(
            f"{path} has format {saved_format}, and this version reads {formats}; use the version"
            " that wrote it"
        )


def check_shapes(path: Path, saved: dict[str, str], items: dict) -> None:
    """Refuses the checkpoint of another model by its fingerprints, which begin with dtype and
    shape.

    Args:
      path: of the checkpoint, for the message.
      saved: path of an array, "params/..." -> its fingerprint, from the meta item.
      items: item -> tree of arrays or of `jax.ShapeDtypeStruct`, in the layout that was saved.
    Raises:
      CheckpointError: an array of these items is missing, or has another dtype or shape.
    """
    expected = {}
    for leaf, x in jax.tree_util.tree_leaves_with_path(items):
        name = jax.tree_util.keystr(leaf, simple=True, separator="/")
        expected[name] = f"{x.dtype}{list(x.shape)}"
    stored = {
        name: value.rpartition(":")[0]
        for name, value in saved.items()
        if name.split("/")[0] in items
    }
    for name in sorted(expected.keys() | stored.keys()):
        if expected.get(name) != stored.get(name):
            raise CheckpointError(
                f"{path} is of another model: {name} is {stored.get(name)} there and"
                f" {expected.get(name)} here; set ModelConfig as it was when the checkpoint was"
                " trained (config.json of its run has it), or name a checkpoint of this model"
            )


def abstract_from_fingerprints(saved: dict[str, str], mesh: Mesh) -> Params:
    """The parameters that a checkpoint holds, whole on every device.

    Args:
      saved: as in `check_shapes`.
      mesh: the devices.
    Returns:
      A nested dict of `jax.ShapeDtypeStruct`.
    """
    tree: Params = {}
    for path in sorted(name for name in saved if name.startswith("params/")):
        dtype, _, shape = saved[path].rpartition(":")[0].rstrip("]").partition("[")
        sizes = tuple(int(size) for size in shape.split(",") if size)
        *parents, leaf = path.removeprefix("params/").split("/")
        node = tree
        for parent in parents:
            node = node.setdefault(parent, {})
        node[leaf] = jax.ShapeDtypeStruct(
            sizes, jnp.dtype(dtype), sharding=NamedSharding(mesh, PartitionSpec())
        )
    return tree


def check_frozen(path: Path, saved: dict[str, str], frozen: Params) -> None:
    """Refuses a checkpoint that was trained on top of other frozen parameters.

    Args:
      path, saved: as in `check_shapes`.
      frozen: the frozen parameters of this run; {} if it has none.
    Raises:
      CheckpointError: a frozen parameter is missing, or has other values.
    """
    stored = {name: value for name, value in saved.items() if name.startswith("frozen/")}
    present = fingerprint({"frozen": frozen})
    for name in sorted(stored.keys() | present.keys()):
        if stored.get(name) != present.get(name):
            raise CheckpointError(
                f"{path} was trained with other frozen parameters: {name} is {stored.get(name)}"
                f" there and {present.get(name)} here; start from the weights that it was"
                " trained on"
            )


def differences(saved: dict[str, str], items: dict) -> str:
    """Compares arrays with the fingerprints that they were saved with.

    Args:
      saved: as in `check_shapes`.
      items: item -> tree of arrays, in the layout that was saved.
    Returns:
      A sentence that tells how many arrays differ and names the first; "" if all are the same.
    """
    wrong = [name for name, value in fingerprint(items).items() if saved.get(name) != value]
    return f"{len(wrong)} array(s) are not what was saved, first {wrong[0]}" if wrong else ""


def as_saved(saved_format: int, items: dict) -> dict:
    """Abstract items in the layout of the format that they were saved in.

    Args:
      saved_format: `format` in the meta item, one of `READABLE`.
      items: "params", and perhaps "opt_state" -> tree of `jax.ShapeDtypeStruct` in today's layout.
    Returns:
      The same items, with shardings if `items` have them.
    """
    return items if saved_format == FORMAT else _map_params(to_format_2, items)


def from_saved(saved_format: int, arrays: dict, items: dict) -> dict:
    """Converts arrays in the layout of the format that they were saved in to today's.

    Args:
      saved_format, items: as in `as_saved`; `items` have shardings.
      arrays: item -> tree of arrays, as they were read onto `as_saved(saved_format, items)`.
    Returns:
      Item -> tree of arrays in the layout and on the shardings of `items`.
    """
    if saved_format == FORMAT:
        return arrays
    shardings = jax.tree.map(lambda x: x.sharding, items)
    convert = lambda arrays: _map_params(from_format_2, arrays)
    return jax.jit(convert, out_shardings=shardings)(arrays)


def leaf_from_saved(saved_format: int, path: str, array: jax.Array) -> dict[str, jax.Array]:
    """Converts one array in the layout of the format that it was saved in.

    Args:
      saved_format: `format` in the meta item, one of `READABLE`.
      path: of the array in its item, such as "blocks/mlp/wi".
      array: as it was read.
    Returns:
      path -> array, of those of today's that it holds.
    """
    return {path: array} if saved_format == FORMAT else leaf_from_format_2(path, array)


def _map_params(convert, items: dict) -> dict:
    """Converts the parameters, and the moments of the optimizer, which are trees like them."""
    converted = {"params": convert(items["params"])}
    if "opt_state" in items:
        unchanged = lambda x: x
        converted["opt_state"] = map_moments(
            convert, unchanged, items["opt_state"], items["params"]
        )
    return converted


def one_line(error: Exception) -> str:
    """The message of an error, or its class if that is empty, in at most 300 characters without a
    newline.
    """
    return " ".join(str(error).split())[:300] or type(error).__name__
