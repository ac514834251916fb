"""Writes a token cache from sources of documents; it needs neither seqio nor TensorFlow."""

import contextlib
import dataclasses
import functools
import hashlib
import itertools
import json
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import tensorstore as ts

from hclx.data.source import ReadSettings, Source
from hclx.data.token_cache import (
    FORMAT,
    LINE_BITS,
    MANIFEST,
    SPLITS,
    TOKEN_BYTES,
    TokenCache,
    content_fingerprint,
)
from hclx.errors import ConfigError, DataError
from hclx.progress import tracked_files
from hclx.text import Tokenizer, load_tokenizer
from hclx.text.tokenizer import shared_tokenizer, to_bytes
from hclx.text.workers import batches, default_workers, ordered_map

_HASH_LIMIT = 1 << 30  # bytes of a source's files, above which only their sizes are compared
_CHUNK = 1 << 16  # items that are read and checked together
_SHARD = 1 << 24  # items of a file


@dataclasses.dataclass(frozen=True)
class EncodedDocument:
    """A document as the cache stores it.

    Attributes:
      ids: uint32 [n], its tokens.
      n_bytes: bytes of its text.
      sha256: 32 bytes, of its text.
      file: index of its file among the files of the source.
      line: its line in that file, from 1.
    """

    ids: np.ndarray
    n_bytes: int
    sha256: bytes
    file: int
    line: int


Encoder = Callable[[Source, str, Counter], Iterator[EncodedDocument]]


def build_cache(
    mixture: str,
    sources: list[Source],
    tokenizer_dir: str,
    cache_dir: str | Path,
    settings: ReadSettings,
    workers: int | None = None,
    encoded: Encoder | None = None,
) -> TokenCache:
    """Encodes every document of every source once, and writes the cache.

    Args:
      mixture: its name, for the manifest.
      sources: in the order of the mixture.
      tokenizer_dir: the folder of a trained tokenizer.
      cache_dir: a folder that is missing or empty; it appears whole or not at all.
      settings: how documents are read and divided.
      workers: processes that encode; default: one a core if text is split at morphemes, else one.
        The bytes written do not depend on it.
      encoded: (`Source`, "train" or "validation", counts) -> its `EncodedDocument`s, if they were
        encoded before; it counts `empty` and `invalid_utf8` as `read_documents` does.
    Returns:
      The new cache, opened for reading.
    Raises:
      ConfigError: the folder already holds a cache.
      DataError: the tokenizer or a source cannot be read, or a source has no text in "train".
    """
    cache_dir = Path(cache_dir)
    if (cache_dir / MANIFEST).exists():
        raise ConfigError(f"{cache_dir} already holds a token cache; choose another folder")
    tokenizer = load_tokenizer(tokenizer_dir)
    encoded = encoded or functools.partial(
        _encode_source,
        tokenizer=tokenizer,
        tokenizer_dir=tokenizer_dir,
        settings=settings,
        workers=workers,
    )
    with _new_folder(cache_dir) as folder:
        manifest = {
            "format": FORMAT,
            "mixture": mixture,
            "sources": [_write_source(source, tokenizer, folder, encoded) for source in sources],
            "vocab_size": tokenizer.vocab_size,
            "dtype": _dtype(tokenizer).name,
            "eod_id": tokenizer.eod_id,
            "tokenizer": {
                "fingerprint": tokenizer.fingerprint,
                "mode": tokenizer.metadata["mode"],
                "cutter": tokenizer.metadata["cutter"],
            },
            "settings": dataclasses.asdict(settings),
        }
        np.save(folder / TOKEN_BYTES, tokenizer.token_bytes())
        manifest["fingerprint"] = content_fingerprint(manifest)
        text = json.dumps(manifest, indent=2, ensure_ascii=False, sort_keys=True)
        (folder / MANIFEST).write_text(text + "\n", encoding="utf-8")
    return TokenCache(cache_dir)


@contextlib.contextmanager
def _new_folder(path: Path) -> Iterator[Path]:
    """A temporary folder beside `path`, which becomes `path` if the context ends without error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    try:
        yield temporary
        temporary.chmod(0o755)
        os.replace(temporary, path)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def _dtype(tokenizer: Tokenizer) -> np.dtype:
    return np.dtype(np.uint16 if tokenizer.vocab_size <= 1 << 16 else np.uint32)


def _write_source(source: Source, tokenizer: Tokenizer, folder: Path, encoded: Encoder) -> dict:
    """Writes the streams of a source; returns its entry in the manifest."""
    entry = {
        "name": source.name,
        "rate": float(source.rate),
        "files": describe_files(source.files()),
        "splits": {},
    }
    for split in SPLITS:
        counts: Counter = Counter()
        writer = StreamWriter(folder / split / source.name, _dtype(tokenizer), tokenizer.eod_id)
        digest = hashlib.sha256()
        documents = encoded(source, split, counts)
        size = sum(file["size"] for file in entry["files"])
        for document in tracked_files(documents, counts, size, f"tokens of {source.name}, {split}"):
            digest.update(document.sha256)
            counts["bytes"] += document.n_bytes
            writer.append(document.ids, document.file, document.line)
        if not writer.n_documents and split == "train":
            raise DataError(
                f"source {source.name!r} has no document with text; is it the right input?"
            )
        writer.close()
        entry["splits"][split] = {
            "n_tokens": writer.n_tokens,
            "n_documents": writer.n_documents,
            "n_bytes": counts["bytes"],
            "text_sha256": digest.hexdigest(),  # over the sha256 of each document
            "empty": counts["empty"],
            "invalid_utf8": counts["invalid_utf8"],
        }
    return entry


def _encode_source(
    source: Source,
    split: str,
    counts: Counter,
    *,
    tokenizer,
    tokenizer_dir: str,
    settings: ReadSettings,
    workers: int | None,
) -> Iterator[EncodedDocument]:
    """Yields the documents of a split, in order."""
    if workers is None:
        workers = default_workers() if tokenizer.splits_text else 1
    files = {path: index for index, path in enumerate(source.files())}
    # The documents wait in memory for their tokens: as many as the workers hold.
    to_encode, documents = itertools.tee(source.documents(split, settings, counts))
    encode = functools.partial(_encode, str(tokenizer_dir), tokenizer.fingerprint)
    ids = ordered_map(encode, batches(document.text for document in to_encode), workers)
    for document, document_ids in zip(documents, itertools.chain.from_iterable(ids)):
        data = to_bytes(document.text)
        yield EncodedDocument(
            document_ids,
            len(data),
            hashlib.sha256(data).digest(),
            files.get(document.path, 0),
            document.line,
        )


def _encode(directory: str, fingerprint: str, texts: list[str]) -> list[np.ndarray]:
    tokenizer = shared_tokenizer(directory, fingerprint)
    return [np.array(ids, np.uint32) for ids in tokenizer.encode_batch(texts)]


def describe_files(paths: list[str]) -> list[dict]:
    """Describes the files of one source, for the manifest.

    Returns:
      For each file its `name` without a folder, its `size` in bytes and its `sha256` in
      hexadecimal. If the files have more than 1 GiB in all, too much to be read again at each
      start, `sha256` is "" for all of them.
    Raises:
      OSError: a file cannot be read.
    """
    sizes = [os.path.getsize(path) for path in paths]
    is_hashed = sum(sizes) <= _HASH_LIMIT
    return [
        {
            "name": os.path.basename(path),
            "size": size,
            "sha256": _file_sha256(path) if is_hashed else "",
        }
        for path, size in zip(paths, sizes)
    ]


def _file_sha256(path: str) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class StreamWriter:
    """Appends the documents of a source to a split; holds at most one shard of them in memory."""

    def __init__(self, directory: Path, dtype: np.dtype, eod_id: int):
        """Creates empty arrays.

        Args:
          directory: takes the arrays `tokens`, `offsets` and `origins`.
          dtype: of the stored tokens, uint16 or uint32.
          eod_id: the end-of-document token.
        """
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
        """The number of documents appended so far."""
        return len(self._starts)

    def append(self, ids, file: int = 0, line: int = 0) -> None:
        """Adds a document.

        Args:
          ids: int [n], its tokens without any end-of-document token.
          file, line: where it was read; see `EncodedDocument`.
        """
        self._starts.append(self.n_tokens)
        self._places.append((file << LINE_BITS) + line)
        self._push(self._eod)
        self._push(np.asarray(ids, self._eod.dtype))

    def close(self) -> None:
        """Writes what is buffered, the end-of-document token that closes the stream, and the arrays
        `offsets` and `origins`. Call it once; nothing can be appended afterwards.
        """
        self._push(self._eod)
        self._flush(self._buffered)
        offsets = np.array([*self._starts, self.n_tokens - 1], np.int64)
        _write(self._offsets, 0, offsets)
        _write(self._origins, 0, np.array(self._places, np.int64))

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
        "kvstore": {"driver": "file", "path": f"{path.resolve()}/"},
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
