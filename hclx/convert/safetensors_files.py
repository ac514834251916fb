"""Reads and writes folders of safetensors files, one tensor at a time.

A file is 8 bytes (the length of the header, little-endian), the header (JSON: name -> dtype, shape,
data_offsets), and the values. The header is checked against the size of the file before any value
is read. Files are read and not mapped, so that no more of them is in memory than one tensor.
"""

import json
import math
import os
import struct
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from hclx.errors import DataError

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
_DTYPES = {
    "F32": np.dtype(np.float32),
    "F16": np.dtype(np.float16),
    "BF16": np.dtype(jnp.bfloat16),
    "F64": np.dtype(np.float64),
}
NAMES = {"float32": "F32", "float16": "F16", "bfloat16": "BF16"}
_LARGEST_HEADER = 100_000_000
_PART = 1 << 22  # bytes that are compared at once


class Tensor(NamedTuple):
    """A tensor in a file.

    Attributes:
      path: the file.
      dtype, shape: of the tensor.
      begin: its first byte in the file.
    """

    path: Path
    dtype: np.dtype
    shape: tuple[int, ...]
    begin: int

    def read(self) -> np.ndarray:
        """Returns the values as float32.

        Raises:
          DataError: the file ends before them.
        """
        count = math.prod(self.shape)
        values = np.fromfile(self.path, self.dtype, count, offset=self.begin)
        if len(values) != count:
            raise DataError(f"{self.path} is truncated; get the file again")
        return values.reshape(self.shape).astype(np.float32, copy=False)

    def equals(self, other: "Tensor") -> bool:
        """Returns whether two tensors have the same dtype, shape and bytes. It reads no further
        than the first part in which they differ.
        """
        if (self.dtype, self.shape) != (other.dtype, other.shape):
            return False
        left = math.prod(self.shape) * self.dtype.itemsize
        with self.path.open("rb") as file, other.path.open("rb") as other_file:
            file.seek(self.begin)
            other_file.seek(other.begin)
            while left > 0:
                part = file.read(min(left, _PART))
                if not part or part != other_file.read(len(part)):
                    return False
                left -= len(part)
        return True


def read_header(path: Path) -> dict[str, Tensor]:
    """Reads which tensors a file holds.

    Args:
      path: a safetensors file.
    Returns:
      name -> tensor.
    Raises:
      DataError: the header is no header, or does not fit the file.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(8)
        length = struct.unpack("<Q", head)[0] if len(head) == 8 else size
        if length > min(size - 8, _LARGEST_HEADER):
            raise DataError(f"{path} is no safetensors file, or is truncated; get the file again")
        header = _parse(file.read(length), path)
    tensors, places = {}, []
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        tensors[name], place = _tensor(name, entry, path, 8 + length)
        places.append((*place, name))
    end = 0
    for begin, stop, name in sorted(places):
        if begin != end:
            raise DataError(f"{path}: the values of {name} overlap others, or leave a hole")
        end = stop
    if 8 + length + end != size:
        raise DataError(
            f"{path} has {size:,} bytes and its header describes {8 + length + end:,}; get the"
            " file again"
        )
    return tensors


def _parse(text: bytes, path: Path) -> dict:
    try:
        header = json.loads(text, object_pairs_hook=_without_duplicates)
    except (ValueError, RecursionError) as error:
        raise DataError(
            f"{path}: its header cannot be read: {error}; get the file again"
        ) from error
    if not isinstance(header, dict):
        raise DataError(f"{path}: its header is no JSON object; get the file again")
    return header


def _without_duplicates(pairs: Iterable[tuple]) -> dict:
    pairs = list(pairs)
    values = dict(pairs)
    if len(values) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{twice!r} occurs twice")
    return values


def _tensor(name: str, entry, path: Path, start: int) -> tuple[Tensor, tuple[int, int]]:
    is_count = lambda x: isinstance(x, int) and not isinstance(x, bool) and x >= 0
    is_list = lambda x, *sizes: isinstance(x, list) and (not sizes or len(x) in sizes)
    wrong = DataError(f"{path}: the header's entry of {name} is no tensor: {str(entry)[:100]}")
    if not isinstance(entry, dict) or not {"dtype", "shape", "data_offsets"} <= entry.keys():
        raise wrong
    shape, offsets = entry["shape"], entry["data_offsets"]
    if not (is_list(shape) and is_list(offsets, 2) and all(map(is_count, [*shape, *offsets]))):
        raise wrong
    if entry["dtype"] not in _DTYPES:
        raise DataError(
            f"{path}: {name} has dtype {entry['dtype']}; {', '.join(_DTYPES)} are read, and"
            " quantised files are not supported"
        )
    dtype = _DTYPES[entry["dtype"]]
    if math.prod(shape) * dtype.itemsize != offsets[1] - offsets[0]:
        raise DataError(f"{path}: {name} of shape {shape} does not have the size that it declares")
    return Tensor(path, dtype, tuple(shape), start + offsets[0]), tuple(offsets)


def read_folder(folder: Path) -> dict[str, Tensor]:
    """Reads which tensors a folder holds, in one file or in shards with an index.

    Args:
      folder: of transformers' format.
    Returns:
      name -> tensor.
    Raises:
      DataError: there are no weights, or a shard is missing, damaged or not as the index says.
    """
    single, index = folder / WEIGHTS, folder / INDEX
    if single.is_file() and index.is_file():
        raise DataError(f"{folder} has both {WEIGHTS} and {INDEX}; remove the one that is stale")
    if single.is_file():
        return read_header(single)
    if not index.is_file():
        raise DataError(f"{folder} has neither {WEIGHTS} nor {INDEX}{_pickled(folder)}")
    weight_map = _weight_map(index)
    shards = {}
    for file in sorted(set(weight_map.values())):
        if not (folder / file).is_file():
            raise DataError(f"{folder / file} is missing, and {INDEX} names it; get the file")
        shards[file] = read_header(folder / file)
    for file, tensors in shards.items():
        for name in tensors:
            if weight_map.get(name) != file:
                where = weight_map.get(name, "no file")
                raise DataError(f"{folder / file} holds {name}, and {INDEX} says {where}")
    for name, file in weight_map.items():
        if name not in shards[file]:
            raise DataError(f"{folder / file} does not hold {name}, and {INDEX} says that it does")
    return {name: tensor for tensors in shards.values() for name, tensor in tensors.items()}


def _weight_map(index: Path) -> dict[str, str]:
    try:
        content = json.loads(index.read_bytes(), object_pairs_hook=_without_duplicates)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{index} cannot be read: {error}") from error
    weight_map = content.get("weight_map") if isinstance(content, dict) else None
    if not isinstance(weight_map, dict) or not weight_map:
        raise DataError(f"{index} has no weight_map of tensor -> file")
    for name, file in weight_map.items():
        if not isinstance(file, str) or Path(file).name != file or file in ("", ".", ".."):
            raise DataError(f"{index}: {name} lies in {file!r}, which is no file of this folder")
    return weight_map


def _pickled(folder: Path) -> str:
    names = sorted(path.name for path in folder.glob("*.bin"))
    if not names:
        return "; give the folder of a model"
    return f", only {names[0]}, which is a pickle: --allow_bin reads it, without running its code"


class Writer:
    """Writes tensors to model.safetensors, or to shards with an index, in one pass.

    All names, dtypes and shapes are known before the first value is written, so that nothing is
    held but the tensor that is being written.
    """

    def __init__(
        self,
        folder: Path,
        shapes: Mapping[str, tuple[int, ...]],
        dtype: str,
        shard_bytes: int | None = None,
    ):
        """Plans the shards.

        Args:
          folder: is there, and empty.
          shapes: name -> shape, in the order in which `write` is called.
          dtype: of all tensors, one of NAMES.
          shard_bytes: the most bytes of values in a shard; a larger tensor has one of its own.
            None: there is one file.
        """
        self._folder, self._dtype = folder, _DTYPES[NAMES[dtype]]
        self._shards: list[dict[str, tuple[int, ...]]] = [{}]
        held = 0
        for name, shape in shapes.items():
            size = math.prod(shape) * self._dtype.itemsize
            if self._shards[-1] and shard_bytes is not None and held + size > shard_bytes:
                self._shards.append({})
                held = 0
            self._shards[-1][name], held = shape, held + size
        self._file, self._pending = None, iter(())
        self._opened = 0

    def write(self, name: str, values: np.ndarray) -> None:
        """Writes the next tensor."""
        if name not in self._shards[self._opened - 1] or self._file is None:
            self._open_next()
        assert self._shards[self._opened - 1][name] == values.shape, (name, values.shape)
        self._file.write(np.ascontiguousarray(values.astype(self._dtype)).tobytes())

    def close(self) -> None:
        """Ends the last shard, and writes the index if there are several."""
        if self._file is not None:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
        if len(self._shards) == 1:
            return
        sizes = [math.prod(shape) for shard in self._shards for shape in shard.values()]
        index = {
            "metadata": {
                "total_parameters": sum(sizes),
                "total_size": sum(sizes) * self._dtype.itemsize,
            },
            "weight_map": {
                name: self._name(number)
                for number, shard in enumerate(self._shards, 1)
                for name in shard
            },
        }
        (self._folder / INDEX).write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")

    def _name(self, number: int) -> str:
        if len(self._shards) == 1:
            return WEIGHTS
        return f"model-{number:05d}-of-{len(self._shards):05d}.safetensors"

    def _open_next(self) -> None:
        if self._file is not None:
            self._file.close()
        self._opened += 1
        header, place = {"__metadata__": {"format": "pt"}}, 0
        for name, shape in self._shards[self._opened - 1].items():
            stop = place + math.prod(shape) * self._dtype.itemsize
            header[name] = {
                "dtype": NAMES[self._dtype.name],
                "shape": list(shape),
                "data_offsets": [place, stop],
            }
            place = stop
        text = json.dumps(header, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 8)
        self._file = (self._folder / self._name(self._opened)).open("wb")
        self._file.write(struct.pack("<Q", len(text)) + text)
