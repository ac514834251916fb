"""Reads and writes folders of safetensors files, one tensor at a time.

A file is 8 bytes (the length of the header, little-endian), the header (JSON: name -> dtype, shape,
data_offsets), and the values. The header is checked against the size of the file before any value
is read. Files are read and not mapped, so that no more of them is in memory than one tensor.
"""

import json
import math
import os
import struct
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from hclx.errors import ConfigError, DataError

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
_DTYPES = {
    "F32": np.dtype(np.float32),
    "F16": np.dtype(np.float16),
    "BF16": np.dtype(jnp.bfloat16),
    "F64": np.dtype(np.float64),
}
NAMES = {"float32": "F32", "float16": "F16", "bfloat16": "BF16"}
_LARGEST_HEADER = 100_000_000
_PART_BYTES = 16 << 20  # of a tensor that is converted part by part


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

    @property
    def nbytes(self) -> int:
        """Its bytes in the file."""
        return math.prod(self.shape) * self.dtype.itemsize

    def read(self, begin: int = 0, end: int | None = None) -> np.ndarray:
        """Returns the values as float32.

        Args:
          begin, end: the rows of the first axis that are read; default: all.
        Raises:
          DataError: the file ends before them.
        """
        shape, offset = self.shape, self.begin
        if shape:
            row = math.prod(shape[1:]) * self.dtype.itemsize
            offset += begin * row
            shape = ((shape[0] if end is None else end) - begin, *shape[1:])
        values = np.fromfile(self.path, self.dtype, math.prod(shape), offset=offset)
        if len(values) != math.prod(shape):
            raise DataError(f"{self.path} is truncated; get the file again")
        return values.reshape(shape).astype(np.float32, copy=False)

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
                part = file.read(min(left, _PART_BYTES))
                if not part or part != other_file.read(len(part)):
                    return False
                left -= len(part)
        return True


def row_ranges(shape: tuple[int, ...], itemsize: int = 4) -> Iterator[tuple[int, int]]:
    """Yields ranges of rows of the first axis, of equal size but for the last, each of which is
    small beside a large tensor.
    """
    row = max(1, math.prod(shape[1:]) * itemsize)
    step = max(1, _PART_BYTES // row)
    for begin in range(0, shape[0], step):
        yield begin, min(begin + step, shape[0])


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
    """Writes tensors to model.safetensors, or to shards with an index, in any order.

    All names, dtypes and shapes are known before the first value is written, so that each tensor
    has its place in a file, and nothing is held but the part that is being written.
    """

    def __init__(
        self,
        folder: Path,
        shapes: Mapping[str, tuple[int, ...]],
        dtype: str,
        shard_bytes: int | None = None,
    ):
        """Plans the shards, and writes their headers.

        Args:
          folder: is there, and empty.
          shapes: name -> shape, in the order that the tensors have in the files.
          dtype: of all tensors, one of NAMES.
          shard_bytes: the most bytes of values in a shard; a larger tensor has one of its own.
            None: there is one file.
        """
        self._folder, self._dtype = folder, _DTYPES[NAMES[dtype]]
        shards: list[dict[str, tuple[int, ...]]] = [{}]
        held = 0
        for name, shape in shapes.items():
            size = math.prod(shape) * self._dtype.itemsize
            if shards[-1] and shard_bytes is not None and held + size > shard_bytes:
                shards.append({})
                held = 0
            shards[-1][name], held = shape, held + size
        self._places: dict[str, Tensor] = {}
        self._left = {name: shape[0] if shape else 1 for name, shape in shapes.items()}  # rows
        for number, shard in enumerate(shards, 1):
            last = f"-{number:05d}-of-{len(shards):05d}" if len(shards) > 1 else ""
            self._begin(folder / f"model{last}.safetensors", shard)

    def _begin(self, path: Path, shapes: Mapping[str, tuple[int, ...]]) -> None:
        """Writes the header of a file, and makes place for its tensors."""
        header, place = {"__metadata__": {"format": "pt"}}, 0
        for name, shape in shapes.items():
            tensor = Tensor(path, self._dtype, shape, place)
            header[name] = {
                "dtype": NAMES[self._dtype.name],
                "shape": list(shape),
                "data_offsets": [place, place + tensor.nbytes],
            }
            self._places[name], place = tensor, place + tensor.nbytes
        text = json.dumps(header, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 8)
        for name in shapes:
            tensor = self._places[name]
            self._places[name] = tensor._replace(begin=8 + len(text) + tensor.begin)
        with path.open("wb") as file:
            file.write(struct.pack("<Q", len(text)) + text)
            file.truncate(8 + len(text) + place)

    def write(self, name: str, values: np.ndarray, begin: int = 0) -> None:
        """Writes a tensor, or its rows from `begin` on.

        Args:
          name: one of the names that are planned.
          values: in any dtype that can be converted.
          begin: the row of the first axis at which they begin.
        Raises:
          ConfigError: the dtype of the file is too small for a value.
        """
        path, _, shape, place = self._places[name]
        if not shape:
            shape, values = (1,), values.reshape(1)
        assert values.shape[1:] == shape[1:] and begin + len(values) <= shape[0], (name, begin)
        self._left[name] -= len(values)
        with path.open("r+b") as file:
            file.seek(place + begin * math.prod(shape[1:]) * self._dtype.itemsize)
            for first, last in row_ranges(values.shape, self._dtype.itemsize):
                rows = self._converted(name, values[first:last])
                file.write(rows.reshape(-1).view(np.uint8))

    def _converted(self, name: str, values: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore"):  # it is looked for below
            rows = np.ascontiguousarray(values, self._dtype)
        if self._dtype == np.float16 and not np.isfinite(rows).all():
            raise ConfigError(
                f"--dtype=float16: {name} holds {np.abs(values).max():g}, and float16 ends at"
                " 65504; use bfloat16"
            )
        return rows

    def close(self) -> None:
        """Waits until the files are on the disk, and writes the index if there are several."""
        assert not any(self._left.values()), self._left
        files = dict.fromkeys(tensor.path for tensor in self._places.values())
        for path in files:
            with path.open("r+b") as file:
                os.fsync(file.fileno())
        if len(files) == 1:
            return
        sizes = [math.prod(tensor.shape) for tensor in self._places.values()]
        index = {
            "metadata": {
                "total_parameters": sum(sizes),
                "total_size": sum(sizes) * self._dtype.itemsize,
            },
            "weight_map": {name: tensor.path.name for name, tensor in self._places.items()},
        }
        (self._folder / INDEX).write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")
