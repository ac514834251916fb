"""The words of a teacher about packed examples, on disk: for each target that weighs, its k
likeliest tokens and their log-probabilities.

A folder has
  manifest.json   what the cache was made from: see `TeacherCache.manifest`
  00000.npy ...   the targets of ROWS rows each, in their order: [targets, k] of (id, log_prob)
  shards.jsonl    a line for each whole file, with the CRC-32 of its entries

Files appear whole, in their order, so that a process that is killed goes on behind the last one.
"""

import json
import os
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hclx.data.batch import Batch
from hclx.errors import ConfigError, DataError
from hclx.train.jsonl import read_records, replace_text, to_line

FORMAT, VERSION = "hclx-teacher", 1
ROWS = 64  # of a file
ENTRY = np.dtype([("id", "<u4"), ("log_prob", "<f4")])
_MANIFEST, _SHARDS = "manifest.json", "shards.jsonl"


class TeacherCache:
    """The cache of some rows, of which any number of files may be there.

    Attributes:
      top_k: tokens of a target.
    """

    def __init__(self, folder: str | Path, rows: Batch, made_from: Mapping[str, Any]):
        """Opens a folder, or begins one.

        Args:
          folder: is made if it is missing.
          rows: packed examples, arrays of numpy [n, t].
          made_from: all that the cache depends on, as JSON values; `top_k` among them.
        Raises:
          ConfigError: the folder has a cache that was made from something else.
          DataError: the manifest is damaged.
        """
        self._folder, self.top_k = Path(folder), made_from["top_k"]
        self._weighs_nt = rows.weights_bt > 0
        ends = np.cumsum(self._weighs_nt.sum(1))
        self._begins = np.concatenate([[0], ends]).astype(np.int64)
        self.n_shards = -(-len(self._weighs_nt) // ROWS)
        self.manifest = {"format": FORMAT, "version": VERSION, "rows": len(ends), **made_from}
        self._folder.mkdir(parents=True, exist_ok=True)
        self._check_manifest()
        self._files: dict[int, np.ndarray] = {}

    def _check_manifest(self) -> None:
        path = self._folder / _MANIFEST
        if not path.exists():
            replace_text(path, json.dumps(self.manifest, indent=1) + "\n")
            return
        try:
            before = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise DataError(f"{path} is damaged: {error}; remove {self._folder}") from error
        now = json.loads(json.dumps(self.manifest))
        differing = [name for name in {**before, **now} if before.get(name) != now.get(name)]
        if differing:
            listed = "; ".join(
                f"{n} {before.get(n)!r} there, {now.get(n)!r} now" for n in differing
            )
            raise ConfigError(
                f"{self._folder} has what another teacher said, or of other examples ({listed});"
                " give those, or name another folder"
            )

    def n_written(self) -> int:
        """Returns how many files are whole, each of which is verified.

        Raises:
          DataError: one is missing or damaged.
        """
        records = read_records(self._folder / _SHARDS, {"shard": int, "crc32": int})
        for number, record in enumerate(records):
            path = self._path(number)
            try:
                entries = np.load(path)
            except (OSError, ValueError) as error:
                raise DataError(f"{path} cannot be read: {error}; {self._remedy()}") from error
            if record["shard"] != number or zlib.crc32(entries.tobytes()) != record["crc32"]:
                raise DataError(f"{path} is not what was written; {self._remedy()}")
        return len(records)

    def rows_of(self, shard: int) -> slice:
        """Returns the rows whose targets a file has."""
        return slice(shard * ROWS, min((shard + 1) * ROWS, len(self._weighs_nt)))

    def write(self, shard: int, ids_ntk: np.ndarray, log_probs_ntk: np.ndarray) -> None:
        """Writes the next file.

        Args:
          shard: its number, the one behind the last that is whole.
          ids_ntk, log_probs_ntk: of the rows of the file, at each of their positions.
        Raises:
          OSError: it cannot be written.
        """
        weighs_nt = self._weighs_nt[self.rows_of(shard)]
        entries = np.empty((int(weighs_nt.sum()), self.top_k), ENTRY)
        entries["id"], entries["log_prob"] = ids_ntk[weighs_nt], log_probs_ntk[weighs_nt]
        path = self._path(shard)
        temporary = path.with_name(f"{path.name}.tmp")
        with temporary.open("wb") as file:
            np.save(file, entries)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        index = self._folder / _SHARDS
        lines = "".join(map(to_line, read_records(index, {"shard": int, "crc32": int})))
        record = {"shard": shard, "crc32": zlib.crc32(entries.tobytes())}
        replace_text(index, lines + to_line(record))

    def read(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Reads rows, all of whose files are there.

        Args:
          rows: int64 [k], their numbers.
        Returns:
          int32 [k, t, top_k], the ids, and float32 of the same shape, their log-probabilities; 0
          where a target weighs 0.
        """
        shape = len(rows), self._weighs_nt.shape[1], self.top_k
        ids, log_probs = np.zeros(shape, np.int32), np.zeros(shape, np.float32)
        for place, row in enumerate(map(int, rows)):
            shard = row // ROWS
            if shard not in self._files:
                self._files[shard] = np.load(self._path(shard), mmap_mode="r")
            begin = self._begins[shard * ROWS]
            entries = self._files[shard][self._begins[row] - begin : self._begins[row + 1] - begin]
            weighs_t = self._weighs_nt[row]
            ids[place, weighs_t], log_probs[place, weighs_t] = entries["id"], entries["log_prob"]
        return ids, log_probs

    def _path(self, shard: int) -> Path:
        return self._folder / f"{shard:05}.npy"

    def _remedy(self) -> str:
        return f"remove {self._folder}, and the teacher says it again"
