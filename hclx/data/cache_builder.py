"""Writes a token cache from sources of documents; no seqio or TensorFlow in it."""

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
from tqdm import tqdm

from hclx.data.read_settings import ReadSettings
from hclx.data.source import Source
from hclx.data.token_cache import (
    FORMAT,
    MANIFEST,
    PIECE_BYTES,
    SPLITS,
    StreamWriter,
    TokenCache,
    content_fingerprint,
)
from hclx.errors import ConfigError, DataError
from hclx.text import Tokenizer, load_tokenizer
from hclx.text.byte_level import to_bytes
from hclx.text.tokenizer import shared_tokenizer
from hclx.text.workers import batches, default_workers, ordered_map

_HASH_LIMIT = 1 << 30  # bytes of a source's files, above which only their sizes are compared


@dataclasses.dataclass(frozen=True)
class EncodedDocument:
    """A document as the cache takes it.

    ids: uint32 [n]; n_bytes: of its text; sha256: 32 bytes, of its text; file, line: where it was
      read, the file by
    its place among those of the source.
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
    """Encodes every document of every source once.

    Args:
      mixture: its name, for the manifest.
      sources: in the order of the mixture.
      tokenizer_dir: see `hclx.text.load_tokenizer`.
      cache_dir: must not hold a cache; it appears whole or not at all.
      settings: how documents are read and divided.
      workers: processes that encode; default: one a core if text is split at morphemes, else one.
        The bytes written do not depend on it.
      encoded: (source, split, counts) -> its documents, where they were encoded before; the bytes
        do not depend on it.
    Raises:
      ConfigError: the folder is taken.
      DataError: a source cannot be read or has no text.
    """
    cache_dir = Path(cache_dir)
    if (cache_dir / MANIFEST).exists():
        raise ConfigError(f"{cache_dir} already holds a token cache; choose another folder")
    tokenizer = load_tokenizer(tokenizer_dir)
    cache_dir.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{cache_dir.name}.", dir=cache_dir.parent))
    try:
        encoded = encoded or functools.partial(
            _encode_source,
            tokenizer=tokenizer,
            tokenizer_dir=tokenizer_dir,
            settings=settings,
            workers=workers,
        )
        entries = [_write_source(source, tokenizer, temporary, encoded) for source in sources]
        manifest = {
            "format": FORMAT,
            "mixture": mixture,
            "sources": entries,
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
        np.save(temporary / PIECE_BYTES, tokenizer.token_bytes())
        _write_manifest(temporary, {**manifest, "fingerprint": content_fingerprint(manifest)})
        temporary.chmod(0o755)
        os.replace(temporary, cache_dir)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    return TokenCache(cache_dir)


def _write_manifest(directory: Path, manifest: dict) -> None:
    text = json.dumps(manifest, indent=2, ensure_ascii=False, sort_keys=True)
    (directory / MANIFEST).write_text(text + "\n", encoding="utf-8")


def _dtype(tokenizer: Tokenizer) -> np.dtype:
    return np.dtype(np.uint16 if tokenizer.vocab_size <= 1 << 16 else np.uint32)


def _write_source(source: Source, tokenizer: Tokenizer, directory: Path, encoded: Encoder) -> dict:
    entry = {
        "name": source.name,
        "rate": float(source.rate),
        "files": describe_files(source.files()),
        "splits": {},
    }
    for split in SPLITS:
        counts: Counter = Counter()
        writer = StreamWriter(directory / split / source.name, _dtype(tokenizer), tokenizer.eod_id)
        digest = hashlib.sha256()
        for document in tqdm(
            encoded(source, split, counts),
            desc=f"tokens: {source.name}, {split}",
            unit=" documents",
            disable=None,
        ):
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
            "text_sha256": digest.hexdigest(),  # of the documents' own
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
    """The documents of a split, in order."""
    if workers is None:
        workers = default_workers() if tokenizer.splits_text else 1
    files = {path: index for index, path in enumerate(source.files())}
    # as far apart as what the workers hold
    read, told = itertools.tee(source.documents(split, settings, counts))
    encode = functools.partial(_encode, str(tokenizer_dir), tokenizer.fingerprint)
    ids = ordered_map(encode, batches(d.text for d in read), workers)
    for document, one in zip(told, itertools.chain.from_iterable(ids)):
        data = to_bytes(document.text)
        yield EncodedDocument(
            one,
            len(data),
            hashlib.sha256(data).digest(),
            files.get(document.path, 0),
            document.line,
        )


def _encode(directory: str, fingerprint: str, texts: list[str]) -> list[np.ndarray]:
    tokenizer = shared_tokenizer(directory, fingerprint)
    return [np.array(ids, np.uint32) for ids in tokenizer.encode_batch(texts)]


def describe_files(paths: list[str]) -> list[dict]:
    """Name, size and sha256 of each file; no sha256 where the source is too large to read again at
    each start.
    """
    sizes = [os.path.getsize(path) for path in paths]
    hashed = sum(sizes) <= _HASH_LIMIT
    return [
        {
            "name": os.path.basename(path),
            "size": size,
            "sha256": _file_sha256(path) if hashed else "",
        }
        for path, size in zip(paths, sizes)
    ]


def _file_sha256(path: str) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
