"""Writes parameters alone, part by part, as step 0 of a folder that decoding and --init_from read.

The tree is never in memory: orbax writes the description of the arrays, and each part of an array
goes to TensorStore as it comes.
"""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
import orbax.checkpoint as ocp
import tensorstore
from orbax.checkpoint import type_handlers

from hclx.errors import HclxError, StorageError, known_error
from hclx.hashing import json_hash
from hclx.model import Params
from hclx.train.checkpoint import checkpoints_of
from hclx.train.checkpoint_format import FORMAT, one_line
from hclx.train.fingerprint import PartialFingerprint

# Of a part in a file. A process that reads a slice of an array decodes each chunk that it touches.
_CHUNK_BYTES = 16 << 20
# Parts that are written at the same time: one is compressed while the next is read.
_IN_FLIGHT = 2


class Rows(NamedTuple):
    """A part of a parameter: some rows of its first axis, which of a block's is that of layers.

    Attributes:
      path: of the parameter, such as "blocks/mlp/wi".
      begin: the first row.
      values: of these rows. All parts of a parameter but its last have the same number of rows.
    """

    path: str
    begin: int
    values: np.ndarray


def save_weights(
    model_dir: str | Path, abstract: Params, parts: Iterator[Rows], meta: dict
) -> None:
    """Writes MODEL_DIR/checkpoints/0 with the parameters and without moments of an optimizer.

    Args:
      model_dir: the folder; it holds no checkpoint yet. The step is whole when this returns: who
        calls it lets the folder appear only then.
      abstract: a tree of `jax.ShapeDtypeStruct`.
      parts: of all of these arrays, each row once, in their dtypes.
      meta: see `hclx.train.checkpoint_format.json_items`.
    Raises:
      StorageError: it cannot be written.
      HclxError: as `parts` raises them.
    """
    writer = _PartsWriter(parts)
    registry = type_handlers.create_type_handler_registry((jax.ShapeDtypeStruct, writer))
    folder = checkpoints_of(model_dir)
    try:
        with ocp.CheckpointManager(
            folder,
            options=ocp.CheckpointManagerOptions(enable_async_checkpointing=False),
            item_handlers={"params": ocp.PyTreeCheckpointHandler(type_handler_registry=registry)},
        ) as manager:
            manager.save(0, args=ocp.args.Composite(params=ocp.args.PyTreeSave(abstract)))
        # They come after the arrays, whose fingerprints they hold.
        for name, item in _json_items(writer.fingerprints(), meta).items():
            (folder / "0" / name).mkdir()
            ocp.JsonCheckpointHandler().save(folder / "0" / name, args=ocp.args.JsonSave(item))
    except HclxError:
        raise
    except (OSError, ValueError) as error:
        raise known_error(error) or StorageError(
            f"cannot write {folder}: {one_line(error)}"
        ) from error


def _json_items(fingerprints: dict[str, str], meta: dict) -> dict[str, dict]:
    loop = {"step": 0, "next_index": 0, "lineage": [], "guard": {}}
    described = {
        "format": FORMAT,
        "step": 0,
        "fingerprint": fingerprints,
        "loop_checksum": json_hash(loop),
        **meta,
    }
    return {"loop": loop, "meta": {**described, "checksum": json_hash(described)}}


class _PartsWriter(type_handlers.NumpyHandler):
    """orbax's handler of arrays of which it is given the shapes, and the parts here."""

    def __init__(self, parts: Iterator[Rows]):
        super().__init__()
        self._parts, self._fingerprints = parts, {}

    def fingerprints(self) -> dict[str, str]:
        """Returns those of the arrays that were written, by the path of the item and the array."""
        return {f"params/{path}": sums.text() for path, sums in self._fingerprints.items()}

    async def serialize(self, values, infos, args=None) -> list:
        """Writes all arrays; nothing is left to wait for."""
        path_of = lambda info: jax.tree_util.keystr(info.keypath, simple=True, separator="/")
        arrays = {path_of(info): (abstract, info) for abstract, info in zip(values, infos)}
        waiting = []
        try:
            await self._write(arrays, waiting)
        finally:  # nothing writes to the folder any more when it is removed after an error
            ended = await asyncio.gather(*waiting, return_exceptions=True)
        for error in ended:
            if isinstance(error, Exception):
                raise error
        assert self._fingerprints.keys() == arrays.keys(), self._fingerprints.keys() ^ arrays.keys()
        return []

    async def _write(self, arrays: dict[str, tuple], waiting: list) -> None:
        """Writes all parts; the last writes are still in `waiting` then."""
        stores = {}
        for path, begin, rows in self._parts:
            if path not in stores:
                stores[path] = await self._open(*arrays[path], len(rows))
                self._fingerprints[path] = PartialFingerprint(*_shape_and_dtype(arrays[path][0]))
            self._fingerprints[path].add(begin, rows)
            if len(waiting) == _IN_FLIGHT:
                await waiting.pop(0)
            target = stores[path][begin : begin + len(rows)]
            waiting.append(target.write(rows, can_reference_source_data_indefinitely=True))

    async def _open(self, abstract, info, n_rows: int) -> tensorstore.TensorStore:
        """Opens a new array, of which so many rows are written at a time."""
        await info.await_path_creation()
        shape, dtype = _shape_and_dtype(abstract)
        spec = type_handlers.get_json_tspec_write(
            info,
            use_ocdbt=info.is_ocdbt_checkpoint,
            global_shape=shape,
            local_shape=(n_rows, *shape[1:]),
            dtype=dtype,
            process_index=0,
            arg=ocp.SaveArgs(chunk_byte_size=_CHUNK_BYTES),
        )
        return await tensorstore.open(
            tensorstore.Spec(spec), create=True, open=True, context=info.ts_context
        )


def _shape_and_dtype(abstract: jax.ShapeDtypeStruct) -> tuple[tuple[int, ...], np.dtype]:
    return abstract.shape, np.dtype(abstract.dtype)
