"""The token cache: a mixture's text as token streams on disk, read by index.

  CACHE_DIR/manifest.json        what it holds, and of what it was made
  CACHE_DIR/piece_bytes.npy      uint8 [vocab], bytes of text of each id: for bits per byte
  CACHE_DIR/SPLIT/SOURCE/tokens  TensorStore zarr3, uint16 or uint32 [n_tokens]
  CACHE_DIR/SPLIT/SOURCE/offsets TensorStore zarr3, int64 [n_documents + 1], where documents begin
  CACHE_DIR/SPLIT/SOURCE/origins TensorStore zarr3, int64 [n_documents], (file << 40) + line that
  each was read from

A stream is EOD d1 EOD d2 ... EOD: the end-of-document token begins every document and a last one
  closes the stream.
So the text of each document follows the token that generation starts from, and is followed by it.
Each stored chunk carries a crc32c.
"""

import json
from pathlib import Path

import numpy as np
import tensorstore as ts

from hclx.errors import DataError
from hclx.hashing import json_hash

FORMAT = 1
MANIFEST = "manifest.json"
PIECE_BYTES = "piece_bytes.npy"
SPLITS = ("train", "validation")
_CHUNK = 1 << 16  # items that are read and checked together
_SHARD = 1 << 24  # items a file
_LINE_BITS = 40


class StreamWriter:
    """Appends one source's documents to a split; holds at most one shard of them."""

    def __init__(self, directory: Path, dtype: np.dtype, eod_id: int):
        self._tokens = _create(directory / "tokens", dtype)
        self._offsets = _create(directory / "offsets", np.dtype(np.int64))
        self._eod = np.array([eod_id], dtype)
        self._buffer: list[np.ndarray] = []
        self._buffered = self._written = self.n_tokens = 0
        self._origins = _create(directory / "origins", np.dtype(np.int64))
        self._starts: list[int] = []
        self._places: list[int] = []

    @property
    def n_documents(self) -> int:
        return len(self._starts)

    def append(self, ids, file: int = 0, line: int = 0) -> None:
        """Adds one document's ids, without any end-of-document token, and where it was read: which
        file, which line.
        """
        self._starts.append(self.n_tokens)
        self._places.append((file << _LINE_BITS) + line)
        self._push(self._eod)
        self._push(np.asarray(ids, self._eod.dtype))

    def close(self) -> None:
        """Writes what is buffered; the arrays then have their final lengths."""
        self._starts.append(self.n_tokens)
        self._push(self._eod)
        self._flush(self._buffered)
        _write(self._offsets, 0, np.array(self._starts, np.int64))
        _write(self._origins, 0, np.array(self._places, np.int64))
        self._starts.pop()

    def _push(self, array: np.ndarray) -> None:
        self._buffer.append(array)
        self._buffered += len(array)
        self.n_tokens += len(array)
        if self._buffered >= _SHARD:
            self._flush(self._buffered // _SHARD * _SHARD)

    def _flush(self, n: int) -> None:
        joined = np.concatenate(self._buffer) if self._buffer else self._eod[:0]
        _write(self._tokens, self._written, joined[:n])
        self._written += n
        self._buffer, self._buffered = [joined[n:]], len(joined) - n


def _create(path: Path, dtype: np.dtype) -> ts.TensorStore:
    inner = [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "crc32c"}]
    sharding = {
        "name": "sharding_indexed",
        "configuration": {"chunk_shape": [_CHUNK], "codecs": inner},
    }
    spec = {
        "driver": "zarr3",
        "kvstore": {"driver": "file", "path": f"{path.absolute()}/"},
        "metadata": {
            "shape": [0],
            "data_type": dtype.name,
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [_SHARD]}},
            "codecs": [sharding],
        },
    }
    return ts.open(spec, create=True).result()


def _write(store: ts.TensorStore, start: int, values: np.ndarray) -> None:
    grown = store.resize(exclusive_max=[start + len(values)], expand_only=True).result()
    if len(values):
        grown[start : start + len(values)].write(values).result()


def _open(path: Path) -> ts.TensorStore:
    spec = {"driver": "zarr3", "kvstore": {"driver": "file", "path": f"{path.absolute()}/"}}
    context = ts.Context(
        {"cache_pool": {"total_bytes_limit": 256 << 20}, "file_io_concurrency": {"limit": 8}}
    )
    try:
        return ts.open(spec, context=context, read=True).result()
    except (ValueError, OSError) as error:
        raise DataError(
            f"{path} cannot be opened; the token cache is damaged: remove it and it is built again"
        ) from error


class TokenCache:
    """A finished cache, opened for reading."""

    def __init__(self, directory: str | Path):
        """Opens a cache.

        Raises:
          DataError: it is missing, damaged, or was made by a later version of hclx.
        """
        self.directory = Path(directory)
        path = self.directory / MANIFEST
        try:
            self.manifest = json.loads(path.read_text(encoding="utf-8"))
            self.token_bytes = np.load(self.directory / PIECE_BYTES)
        except FileNotFoundError as error:
            raise DataError(
                f"{error.filename} does not exist; build the cache with launch/build_cache.py"
            ) from error
        except ValueError as error:
            raise DataError(
                f"{self.directory} is damaged ({error}); remove it and it is built again"
            ) from error
        if self.manifest.get("format") != FORMAT or content_fingerprint(
            self.manifest
        ) != self.manifest.get("fingerprint"):
            raise DataError(
                f"{path} is damaged or of another version of hclx; remove the cache and it is built"
                " again"
            )
        self._streams: dict[tuple[str, str], ts.TensorStore] = {}

    @property
    def fingerprint(self) -> str:
        """Identifies the tokens and their order."""
        return self.manifest["fingerprint"]

    @property
    def rates(self) -> tuple[float, ...]:
        """Of the sources, as the mixture was registered with."""
        return tuple(source["rate"] for source in self.manifest["sources"])

    def n_tokens(self, split: str, source: int | None = None) -> int:
        """Tokens of a split, of one source or of all."""
        sizes = [entry["splits"][split]["n_tokens"] for entry in self.manifest["sources"]]
        return sum(sizes) if source is None else sizes[source]

    def n_windows(self, split: str, length: int) -> tuple[int, ...]:
        """Windows of `length` targets in each source: every token but the first is a target exactly
        once.

        Raises:
          DataError: a source has less than one.
        """
        counts = []
        for entry in self.manifest["sources"]:
            n = entry["splits"][split]["n_tokens"]
            if n <= length:
                raise DataError(
                    f"{self.directory}: source {entry['name']!r} has {n} tokens in split {split!r},"
                    f" and one window needs {length + 1}; give more text, a shorter"
                    " TrainConfig.sequence_length, or other DataConfig.validation_permille"
                )
            counts.append((n - 1) // length)
        return tuple(counts)

    def read(self, split: str, source: int, window: int, length: int) -> ts.Future:
        """Starts reading window `window`: its future gives length + 1 tokens."""
        start = window * length
        return self._stream(split, source)[start : start + length + 1].read()

    def offsets(self, split: str, source: int) -> np.ndarray:
        """int64 [n_documents + 1]: where each document's end-of-document token stands, and the
        closing one.
        """
        return _open(self._path(split, source) / "offsets").read().result()

    def origin(self, split: str, source: int, document: int) -> tuple[str, int]:
        """File, by its name in the manifest, and line that a document was read from: in a corpus's
        mixture, the record there has its id.
        """
        place = int(_open(self._path(split, source) / "origins")[document].read().result())
        return self.manifest["sources"][source]["files"][place >> _LINE_BITS]["name"], place & (
            (1 << _LINE_BITS) - 1
        )

    def stream(self, split: str, source: int) -> np.ndarray:
        """All tokens of a source's split, in memory."""
        return self._stream(split, source).read().result()

    def _path(self, split: str, source: int) -> Path:
        return self.directory / split / self.manifest["sources"][source]["name"]

    def _stream(self, split: str, source: int) -> ts.TensorStore:
        if (split, source) not in self._streams:
            store = _open(self._path(split, source) / "tokens")
            if store.shape[0] != self.n_tokens(split, source):
                raise DataError(
                    f"{self._path(split, source)} is not as long as the manifest says; remove the"
                    " cache and it is built again"
                )
            self._streams[split, source] = store
        return self._streams[split, source]


def content_fingerprint(manifest: dict) -> str:
    """The checksum of all of a manifest but the checksum itself."""
    return json_hash({key: value for key, value in manifest.items() if key != "fingerprint"})
