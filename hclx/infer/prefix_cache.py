"""The prefix cache: keys and values of the beginnings of prompts, which later requests that begin
alike copy instead of computing them.

A beginning is kept as chunks of `CHUNK` tokens. The key of a chunk is a hash of everything up to
its end, so that a chunk is reused only after the same tokens, of the same tenant.
"""

import collections
import hashlib
from collections.abc import Sequence

import numpy as np

from hclx.infer.kv_cache import KVCache, copy_chunks, init_cache
from hclx.model import Params
from hclx.parallel import axis_size

CHUNK = 32  # tokens

Key = bytes


def chunk_keys(tenant: str, ids: Sequence[int]) -> list[Key]:
    """Returns the key of each whole chunk of a prompt, in order."""
    keys = []
    key = hashlib.blake2b(tenant.encode("utf-8", "surrogatepass"), digest_size=16).digest()
    data = np.asarray(ids, np.int32)
    for end in range(CHUNK, len(ids) + 1, CHUNK):
        key = hashlib.blake2b(key + data[end - CHUNK : end].tobytes(), digest_size=16).digest()
        keys.append(key)
    return keys


class ChunkIndex:
    """Which chunk lies in which row of the cache. The least recently used one goes first, and a
    chunk goes before those that come before it in a prompt, as it is of no use without them.
    """

    def __init__(self, rows: int):
        """Starts with `rows` empty rows."""
        self._free = list(range(rows))
        self._rows: collections.OrderedDict[Key, int] = collections.OrderedDict()

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, key: Key) -> bool:
        return key in self._rows

    def match(self, keys: Sequence[Key]) -> list[int]:
        """Returns the rows of the longest beginning that is there, and marks them as used."""
        rows = []
        for key in keys:
            if key not in self._rows:
                break
            rows.append(self._rows[key])
        for key in reversed(keys[: len(rows)]):
            self._rows.move_to_end(key)
        return rows

    def add(self, keys: Sequence[Key], earlier: Sequence[Key]) -> list[int]:
        """Takes rows for chunks that are not there.

        Args:
          keys: their keys, in order.
          earlier: the keys of the chunks that come before them in their prompt; they stay.
        Returns:
          Their rows; fewer than `keys` if there is no room for all.
        """
        for key in reversed(earlier):
            if key in self._rows:
                self._rows.move_to_end(key)
        kept = {*earlier, *keys}
        rows = []
        for key in keys:
            if not self._free:
                oldest = next(iter(self._rows), None)
                if oldest is None or oldest in kept:
                    break
                self._free.append(self._rows.pop(oldest))
            self._rows[key] = row = self._free.pop()
            rows.append(row)
        for key in reversed([*earlier, *keys[: len(rows)]]):
            if key in self._rows:
                self._rows.move_to_end(key)
        return rows


class PrefixCache:
    """Chunks of keys and values on the device, and the index of them."""

    def __init__(self, params: Params, tokens: int, max_length: int):
        """Allocates the cache.

        Args:
          params: as `hclx.infer.prepare_params` returns them.
          tokens: the most tokens that it holds; below one chunk it holds nothing.
          max_length: of a prompt.
        """
        self._params, axis = params, axis_size("batch")
        self._n_rows = tokens // CHUNK
        self._shape = max(1, -(-self._n_rows // axis)) * axis
        self._most = max(1, max_length // CHUNK)
        self.clear()

    def clear(self) -> None:
        """Forgets everything, and allocates the cache anew."""
        self.index = ChunkIndex(self._n_rows)
        self._chunks = init_cache(self._params, self._shape, CHUNK)

    def load(self, cache: KVCache, row: int, rows: Sequence[int]) -> KVCache:
        """Copies chunks to the beginning of a row, and returns the cache, which is donated.

        Args:
          cache: that of the requests, with room for the chunks.
          row: in `cache`.
          rows: of the chunks, as `ChunkIndex.match` returned them.
        """
        targets, sources = self._places(row, range(len(rows)), rows)
        return copy_chunks(cache, self._chunks, targets, sources, np.int32(len(rows)))

    def store(self, cache: KVCache, row: int, keys: Sequence[Key], first: int) -> None:
        """Copies chunks of a row into the prefix cache.

        Args:
          cache: that of the requests.
          row: in `cache`.
          keys: of all chunks of the row that were computed, from its beginning.
          first: the number of the first chunk that may not be stored yet.
        """
        new = [i for i in range(first, len(keys)) if keys[i] not in self.index]
        rows = self.index.add([keys[i] for i in new], keys)
        if rows:
            sources, targets = self._places(row, new[: len(rows)], rows)
            n = np.int32(len(rows))
            self._chunks = copy_chunks(self._chunks, cache, targets, sources, n)

    def warm_up(self, cache: KVCache) -> KVCache:
        """Compiles the copies to and from a cache of this size, which is donated and returned."""
        nowhere = np.zeros((2, self._most, 2), np.int32)
        cache = copy_chunks(cache, self._chunks, *nowhere, np.int32(0))
        self._chunks = copy_chunks(self._chunks, cache, *nowhere, np.int32(0))
        return cache

    def _places(self, row, numbers, rows) -> tuple[np.ndarray, np.ndarray]:
        """Places in the cache of requests, and in that of chunks, padded to one shape."""
        in_requests, in_chunks = np.zeros((2, self._most, 2), np.int32)
        for i, (number, chunk_row) in enumerate(zip(numbers, rows)):
            in_requests[i] = row, number * CHUNK
            in_chunks[i] = chunk_row, 0
        return in_requests, in_chunks
