"""Writes a token cache from sources of documents; it needs neither seqio nor TensorFlow."""

import contextlib
import dataclasses
import functools
import hashlib
import itertools
import json
import os
import shutil
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from urllib.parse import quote

import numpy as np
import tensorstore as ts

from hclx.data.build_lock import build_lock
from hclx.data.file_descriptions import describe_files
from hclx.data.journal import EncodedDocument, Journal
from hclx.data.source import ReadSettings, Source
from hclx.data.token_cache import (
    FORMAT,
    LINE_BITS,
    MANIFEST,
    SPLITS,
    TOKEN_BYTES,
    TOKEN_BYTES_SHA256,
    TokenCache,
    checksum,
)
from hclx.errors import ConfigError, DataError
from hclx.hashing import json_hash
from hclx.progress import tracked_files
from hclx.text import Tokenizer, load_tokenizer
from hclx.text.documents import Document
from hclx.text.tokenizer import shared_tokenizer, to_bytes
from hclx.text.workers import batches, default_workers, ordered_map
from hclx.utf8 import check_path

NEW = "new"  # of the folder of a build: the cache that is written
_CHUNK = 1 << 16  # items that are read and checked together
_SHARD = 1 << 24  # items of a file


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
      cache_dir: a folder that is missing or empty; it appears whole or not at all. A build that was
        killed goes on where it stopped.
      settings: how documents are read and divided.
      workers: processes that encode; default: one a core if text is split at morphemes, else one.
        The bytes written do not depend on it.
      encoded: (`Source`, "train" or "validation", counts) -> its `EncodedDocument`s, if they were
        encoded before; it counts `empty` and `invalid_utf8` as `read_documents` does.
    Returns:
      The new cache, opened for reading; or the one that another process made there meanwhile.
    Raises:
      ConfigError: the folder already holds a cache, or its name is not in UTF-8.
      DataError: the tokenizer or a source cannot be read, or a source has no text in "train".
    """
    cache_dir = Path(cache_dir)
    check_path(cache_dir)
    if (cache_dir / MANIFEST).exists():
        raise ConfigError(f"{cache_dir} already holds a token cache; choose another folder")
    tokenizer = load_tokenizer(tokenizer_dir)
    with build_lock(cache_dir):
        if (cache_dir / MANIFEST).exists():  # another process made it meanwhile
            return TokenCache(cache_dir)
        header = _header(mixture, sources, tokenizer, settings)
        with _build_folder(cache_dir, header) as build:
            encode = encoded or functools.partial(
                _encode_source,
                tokenizer=tokenizer,
                tokenizer_dir=tokenizer_dir,
                settings=settings,
                workers=workers,
                journals=build,
            )
            _write_cache(build / NEW, header, sources, tokenizer, encode)
            os.replace(build / NEW, cache_dir)
    return TokenCache(cache_dir)


def _header(
    mixture: str, sources: list[Source], tokenizer: Tokenizer, settings: ReadSettings
) -> dict:
    """The part of a manifest that is known before the text is read."""
    return {
        "format": FORMAT,
        "mixture": mixture,
        "sources": [
            {
                "name": source.name,
                "rate": float(source.rate),
                "files": describe_files(source.files()),
            }
            for source in sources
        ],
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


@contextlib.contextmanager
def _build_folder(cache_dir: Path, header: dict) -> Iterator[Path]:
    """The folder .NAME.build beside a cache. What an earlier build of the same text left there is
    used; after an error nothing is left, so that it takes no room, but a kill or a signal leaves it
    for the next start.
    """
    folder, key = cache_dir.with_name(f".{cache_dir.name}.build"), json_hash(header)
    marker = folder / "key"
    if not (marker.is_file() and marker.read_text(encoding="utf-8") == key):
        shutil.rmtree(folder, ignore_errors=True)
    elif (folder / NEW).exists():
        shutil.rmtree(folder / NEW)
    folder.mkdir(exist_ok=True)
    marker.write_text(key, encoding="utf-8")
    try:
        yield folder
    except Exception:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    shutil.rmtree(folder)


def _write_cache(
    folder: Path, header: dict, sources: list[Source], tokenizer: Tokenizer, encoded: Encoder
) -> None:
    """Writes a whole cache into a folder that does not exist."""
    folder.mkdir()
    entries = [
        entry | {"splits": _write_source(source, entry["files"], tokenizer, folder, encoded)}
        for source, entry in zip(sources, header["sources"])
    ]
    np.save(folder / TOKEN_BYTES, tokenizer.token_bytes())
    token_bytes = (folder / TOKEN_BYTES).read_bytes()
    manifest = header | {
        "sources": entries,
        TOKEN_BYTES_SHA256: hashlib.sha256(token_bytes).hexdigest(),
    }
    manifest["fingerprint"] = checksum(manifest)
    text = json.dumps(manifest, indent=2, ensure_ascii=False, sort_keys=True)
    (folder / MANIFEST).write_text(text + "\n", encoding="utf-8")


def _dtype(tokenizer: Tokenizer) -> np.dtype:
    return np.dtype(np.uint16 if tokenizer.vocab_size <= 1 << 16 else np.uint32)


def _write_source(
    source: Source, files: list[dict], tokenizer: Tokenizer, folder: Path, encoded: Encoder
) -> dict:
    """Writes the streams of a source, of whose files the manifest has a description; returns what
    it says of each split.
    """
    splits = {}
    for split in SPLITS:
        counts: Counter = Counter()
        writer = StreamWriter(folder / split / source.name, _dtype(tokenizer), tokenizer.eod_id)
        digest = hashlib.sha256()
        documents = encoded(source, split, counts)
        size = sum(file["size"] for file in files)
        for document in tracked_files(documents, counts, size, f"tokens of {source.name}, {split}"):
            digest.update(document.sha256)
            counts["bytes"] += document.n_bytes
            writer.append(document.ids, document.file, document.line)
        if not writer.n_documents and split == "train":
            raise DataError(
                f"source {source.name!r} has no document with text; is it the right input?"
            )
        writer.close()
        splits[split] = {
            "n_tokens": writer.n_tokens,
            "n_documents": writer.n_documents,
            "n_bytes": counts["bytes"],
            "text_sha256": digest.hexdigest(),  # over the sha256 of each document
            "empty": counts["empty"],
            "invalid_utf8": counts["invalid_utf8"],
        }
    return splits


def _encode_source(
    source: Source,
    split: str,
    counts: Counter,
    *,
    tokenizer,
    tokenizer_dir: str,
    settings: ReadSettings,
    workers: int | None,
    journals: Path,
) -> Iterator[EncodedDocument]:
    """Yields the documents of a split, in order; those in its journal are not encoded again."""
    if workers is None:
        workers = default_workers() if tokenizer.splits_text else 1
    files = {path: index for index, path in enumerate(source.files())}
    text = source.documents(split, settings, counts)
    with Journal(journals, f"{quote(source.name, '')}.{split}", _dtype(tokenizer)) as journal:
        text = yield from _known_documents(journal, text)
        for document in _encode_documents(text, files, tokenizer, tokenizer_dir, workers):
            journal.append(document)
            yield document


def _known_documents(
    journal: Journal, text: Iterator[Document]
) -> Generator[EncodedDocument, None, Iterator[Document]]:
    """Yields the documents of a journal as far as they are those of the text; returns the rest of
    the text.
    """
    n_documents = n_ids = 0
    for known in journal.read():
        document = next(text, None)
        if document is None:
            break
        if hashlib.sha256(to_bytes(document.text)).digest() != known.sha256:
            text = itertools.chain([document], text)
            break
        n_documents, n_ids = n_documents + 1, n_ids + len(known.ids)
        yield known
    journal.keep(n_documents, n_ids)
    return text


def _encode_documents(
    text: Iterator[Document],
    files: dict[str, int],
    tokenizer: Tokenizer,
    tokenizer_dir: str,
    workers: int,
) -> Iterator[EncodedDocument]:
    """Yields documents with their tokens; `files` has the index of each file."""
    # The documents wait in memory for their tokens: as many as the workers hold.
    to_encode, documents = itertools.tee(text)
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
        # Zeros may be all that a chunk holds: the last end of a document, where its token is 0.
        "store_data_equal_to_fill_value": True,
    }
    return ts.open(spec, create=True).result()


def _write(store: ts.TensorStore, start: int, values: np.ndarray) -> None:
    grown = store.resize(exclusive_max=[start + len(values)], expand_only=True).result()
    if len(values):
        grown[start : start + len(values)].write(values).result()
