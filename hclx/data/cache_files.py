"""Compares the files of a token cache with what its manifest says, without reading them: a copy
that was interrupted lacks files, or has the beginning of one. Training would find some of them
late, and others, which it does not read, never.
"""

import json
import math
import os
from collections.abc import Iterator
from pathlib import Path

from hclx.data.token_cache import SPLITS, TokenCache, read_error
from hclx.errors import DataError

_REMEDY = "copy the cache again, or remove it, and it is built again"
_ZARR = "zarr.json"
_OFFSET_BYTES, _CHECKSUM_BYTES = 16, 4  # of a chunk, in the index of a file


def check_files(cache: TokenCache) -> None:
    """Looks whether every file of a cache is there, and has its size.

    Raises:
      DataError: names the first file that is missing or of another size, and what to do.
      StorageError: a file cannot be looked at now.
    """
    for split in SPLITS:
        for source in cache.manifest["sources"]:
            n_documents = source["splits"][split]["n_documents"]
            folder = cache.directory / split / source["name"]
            # Old caches have no files for zeros alone, which all arrays of no document may be.
            for array, n in (
                ("tokens", source["splits"][split]["n_tokens"]),
                ("offsets", n_documents + 1),
                ("origins", n_documents),
            ):
                _check_array(folder / array, n, is_stored=n_documents > 0)


def _check_array(folder: Path, n: int, is_stored: bool = True) -> None:
    """Checks the files of an array of `n` items."""
    try:
        array = json.loads((folder / _ZARR).read_bytes())
        shape, sizes = array["shape"], list(_sizes(array, n))
    except FileNotFoundError as error:
        raise DataError(f"{folder / _ZARR} is missing from the token cache; {_REMEDY}") from error
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise read_error(error, folder) from error
    if shape != [n]:
        raise DataError(
            f"{folder} is not as long as the manifest says ({shape[0]} and {n} items); {_REMEDY}"
        )
    for index, size in enumerate(sizes if is_stored else ()):
        path = folder / "c" / str(index)
        try:
            n_bytes = os.stat(path).st_size
        except (FileNotFoundError, NotADirectoryError) as error:
            raise DataError(f"{path} is missing from the token cache; {_REMEDY}") from error
        if n_bytes != size:
            raise DataError(
                f"{path} of the token cache has {n_bytes:,} bytes, and {size:,} belong to it;"
                f" {_REMEDY}"
            )


def _sizes(array: dict, n: int) -> Iterator[int]:
    """Yields the bytes of each file of an array of `n` items: of its chunks, which are stored whole
    and as they are, each with its checksum, and of the index of all chunks that may be in a file.

    Args:
      array: the description of the array, zarr.json.
    """
    (shard,) = array["chunk_grid"]["configuration"]["chunk_shape"]
    (chunk,) = array["codecs"][0]["configuration"]["chunk_shape"]
    item = int(array["data_type"].removeprefix("u").removeprefix("int")) // 8
    index = shard // chunk * _OFFSET_BYTES + _CHECKSUM_BYTES
    for start in range(0, n, shard):
        chunks = math.ceil(min(shard, n - start) / chunk)
        yield chunks * (chunk * item + _CHECKSUM_BYTES) + index
