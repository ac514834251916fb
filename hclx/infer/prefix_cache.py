"""The index of the prefix cache, which holds keys and values of the beginnings of prompts: later
requests that begin alike copy them instead of computing them.

A beginning is kept as chunks of `CHUNK` tokens. The key of a chunk is a hash of everything up to
its end, so that a chunk is reused only after the same tokens, of the same tenant.
"""

import collections
import hashlib
from collections.abc import Sequence

import numpy as np

CHUNK = 16  # tokens

Key = bytes


def chunk_keys(tenant: str, ids: Sequence[int], adapter: int = 0) -> list[Key]:
    """Returns the key of each whole chunk of a prompt, in order. `adapter` is the number of what
    tuning made for it: keys and values depend on that too.
    """
    keys, salt = [], adapter.to_bytes(16, "little")
    data = tenant.encode("utf-8", "surrogatepass")
    key = hashlib.blake2b(data, digest_size=16, salt=salt).digest()
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
