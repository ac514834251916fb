"""The text that a token cache was built from, as its manifest describes it: files by their content.

The name of a file and the way in which it is compressed do not count.
"""

import bz2
import gzip
import hashlib
import lzma
import os
import zlib
from pathlib import Path

from hclx.data.token_cache import CONTENT_SHA256
from hclx.read_errors import naming

_HASH_LIMIT = 1 << 30  # bytes of a source's files, above which only their sizes are compared
_OPENERS = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}


def describe_files(paths: list[str]) -> list[dict]:
    """Describes the files of one source, for the manifest.

    Returns:
      For each file its `name` without a folder, its `size` in bytes, its `sha256` in hexadecimal,
      and for a compressed file `content_sha256`, that of its content. If the files have more than
      1 GiB in all, too much to be read again at each start, `sha256` is "" for all of them, and
      there is no `content_sha256`.
    Raises:
      OSError: a file cannot be read.
    """
    sizes = [os.path.getsize(path) for path in paths]
    is_hashed = sum(sizes) <= _HASH_LIMIT
    described = []
    for path, size in zip(paths, sizes):
        entry = {"name": os.path.basename(path), "size": size, "sha256": ""}
        if is_hashed:
            entry["sha256"] = _sha256(path, open)
            opener = _OPENERS.get(Path(path).suffix.lower())
            content = _content_sha256(path, opener) if opener else ""
            entry |= {CONTENT_SHA256: content} if content else {}
        described.append(entry)
    return described


def is_same_text(recorded: list[dict], now: list[dict]) -> bool:
    """Returns whether two descriptions of `describe_files` are of the same text in the same order,
    as far as they tell; an old one tells nothing of the content of compressed files.
    """
    return len(recorded) == len(now) and all(map(_is_same_file, recorded, now))


def _is_same_file(a: dict, b: dict) -> bool:
    if (a["size"], a["sha256"]) == (b["size"], b["sha256"]):
        return True
    content = lambda file: file.get(CONTENT_SHA256) or file["sha256"]
    return bool(content(a)) and content(a) == content(b)


def _content_sha256(path: str, opener) -> str:
    """SHA-256 of the content of a compressed file; "" if it is damaged, which reading it tells."""
    try:
        return _sha256(path, opener)
    except (gzip.BadGzipFile, lzma.LZMAError, EOFError, zlib.error):
        return ""
    except OSError as error:
        if error.errno is not None:
            raise
        return ""  # bz2 has no error of its own


def _sha256(path: str, opener) -> str:
    digest = hashlib.sha256()
    with opener(path, "rb") as file:
        for block in naming(path, lambda: iter(lambda: file.read(1 << 20), b"")):
            digest.update(block)
    return digest.hexdigest()
