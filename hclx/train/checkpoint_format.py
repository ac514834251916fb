"""The content of a checkpoint: its JSON items, the verification of its arrays, and older formats.

MODEL_DIR/checkpoints/STEP/ holds four items:
  params     the trainable parameters, restorable alone
  opt_state  the optimizer's moments
  loop       JSON: step, next_index, lineage and guard, from which the loop resumes
  meta       JSON: format, the fingerprint of every array (also of frozen ones, which are not
             stored), the checksum of `loop`, shapes, versions, hashes
"""

from pathlib import Path
from typing import NamedTuple

import jax
import orbax.checkpoint as ocp

from hclx.errors import CheckpointError
from hclx.hashing import json_hash
from hclx.model import Params
from hclx.model.legacy import from_format_2, to_format_2
from hclx.train.fingerprint import fingerprint
from hclx.train.state import TrainState, guard_to_json, map_moments

FORMAT = 3
READABLE = (2, 3)  # 2: queries, keys and values in one parameter


class LoopState(NamedTuple):
    """The position of the loop, which a checkpoint holds beside the train state."""

    next_index: int  # position in the order of examples
    lineage: list[dict]  # rewinds that led here: see hclx/train/rewind_history.py


def array_items(state: TrainState) -> dict:
    """Returns the parts of a state that a checkpoint stores as arrays: item -> tree of arrays, for
    the trainable parameters, `params`, and the state of the optimizer, `opt_state`.
    """
    return {"params": state.trainable, "opt_state": state.opt_state}


def json_items(state: TrainState, loop: LoopState, meta: dict) -> dict[str, dict]:
    """The items `loop` and `meta` of a state; `meta`: what else describes the run."""
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

    Raises:
      CheckpointError: one of them cannot be read, or is not what was saved.
    """
    try:
        meta, loop = (
            dict(ocp.JsonCheckpointHandler().restore(path / item)) for item in ("meta", "loop")
        )
    except Exception as error:  # OSError, ValueError and orbax's own, by what is wrong
        raise CheckpointError(
            f"the items loop and meta cannot be read: {one_line(error)}"
        ) from error
    if meta.pop("checksum", None) != json_hash(meta):
        raise CheckpointError("item meta is damaged")
    if meta["loop_checksum"] != json_hash(loop):
        raise CheckpointError("item loop is damaged")
    return meta, loop


def check_format(path: Path, saved: int) -> None:
    """Refuses a checkpoint of a format that this version cannot read.

    Raises:
      CheckpointError: the format is older or newer.
    """
    if saved not in READABLE:
        formats = " and ".join(map(str, READABLE))
        raise CheckpointError(
            f"{path} has format {saved}, and this version reads {formats}; use the version that"
            " wrote it"
        )


def check_shapes(path: Path, saved: dict[str, str], items: dict) -> None:
    """Refuses the checkpoint of another model by its fingerprints, which begin with dtype and
    shape.

    Args:
      path: of the checkpoint.
      saved: array -> fingerprint, from its meta item.
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
                f" {expected.get(name)} here"
            )


def check_frozen(path: Path, saved: dict[str, str], frozen: Params) -> None:
    """Refuses a checkpoint that was trained on top of other frozen parameters.

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
    """Names arrays that are not what was saved; "" if all are."""
    wrong = [name for name, value in fingerprint(items).items() if saved.get(name) != value]
    return f"{len(wrong)} array(s) are not what was saved, first {wrong[0]}" if wrong else ""


def as_saved(saved: int, items: dict) -> dict:
    """Abstract items in the layout of the format that they were saved in."""
    return items if saved == FORMAT else _map_params(to_format_2, items)


def from_saved(saved: int, arrays: dict, items: dict) -> dict:
    """Converts arrays in the layout of an older format to today's, on the shardings of `items`."""
    if saved == FORMAT:
        return arrays
    shardings = jax.tree.map(lambda x: x.sharding, items)
    convert = lambda arrays: _map_params(from_format_2, arrays)
    return jax.jit(convert, out_shardings=shardings)(arrays)


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
    """The message of an error, on one line of at most 300 characters."""
    return " ".join(str(error).split())[:300] or type(error).__name__
