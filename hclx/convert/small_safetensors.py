"""Small safetensors files, which are in memory as a whole: bytes, and files that appear whole."""

import json
import os
import struct
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from hclx.convert.safetensors_files import read_header
from hclx.errors import DataError


def to_bytes(arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str] = {}) -> bytes:
    """The content of a safetensors file.

    Args:
      arrays: name -> array, written as float32.
      metadata: texts by name, in the header.
    Returns:
      The length of the header, the header, and the values of the arrays in their order.
    """
    header, parts, place = {"__metadata__": dict(metadata)} if metadata else {}, [], 0
    for name, array in arrays.items():
        values = np.ascontiguousarray(array, "<f4").tobytes()
        offsets = [place, place + len(values)]
        shape = list(np.shape(array))
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": offsets}
        parts.append(values)
        place += len(values)
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return b"".join([struct.pack("<Q", len(text)), text, *parts])


def read_whole(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Reads a safetensors file.

    Returns:
      name -> float32 array, and the texts of the header.
    Raises:
      DataError: it is no safetensors file, damaged or truncated.
      OSError: it cannot be read.
    """
    arrays = {name: tensor.read() for name, tensor in read_header(path).items()}
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        metadata = json.loads(file.read(length)).get("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(x, str) for x in metadata.values()):
        raise DataError(f"{path}: the texts of its header are none; get the file again")
    return arrays, metadata


def replace_file(path: Path, content: bytes) -> None:
    """Replaces a file atomically: a reader sees either the old content or the new. PATH.tmp beside
    it is overwritten.
    """
    temporary = path.with_name(f"{path.name}.tmp")
    with temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
