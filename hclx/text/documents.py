"""Reads raw documents from JSON lines and text files; says file and line of everything it cannot
read.
"""

import dataclasses
import glob
import gzip
import json
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator

from hclx.errors import ConfigError, DataError

SUFFIXES = (".jsonl", ".jsonl.gz", ".txt", ".txt.gz")


@dataclasses.dataclass(frozen=True)
class Document:
    """One text and where it came from; `line` counts from 1."""

    text: str
    path: str
    line: int


def expand_globs(patterns: str) -> list[str]:
    """Files that match GLOB[,GLOB...], sorted, each once.

    Raises:
      ConfigError: no pattern is given, or a file is of a kind that cannot be read.
      DataError: a pattern matches nothing.
    """
    wanted = [pattern.strip() for pattern in patterns.split(",") if pattern.strip()]
    if not wanted:
        raise ConfigError("no input is given; name files as GLOB[,GLOB...]")
    paths = set()
    for pattern in wanted:
        found = glob.glob(pattern, recursive=True)
        if not found:
            raise DataError(f"{pattern} matches no file; input is {', '.join(SUFFIXES)}")
        paths.update(found)
    for path in paths:
        if not path.endswith(SUFFIXES):
            raise ConfigError(f"{path} is none of {', '.join(SUFFIXES)}")
    return sorted(paths)


def read_documents(
    paths: Iterable[str], invalid_utf8: str = "refuse", counts: Counter | None = None
) -> Iterator[Document]:
    """Yields documents in the order of `paths`.

    Args:
      paths: `.jsonl[.gz]` holds one object with a string `text` a line; `.txt[.gz]` is one
        document.
      invalid_utf8: "refuse", or "replace" each bad sequence by U+FFFD.
      counts: takes the numbers of `documents`, and of those that were `empty` (skipped) or had
        `invalid_utf8`.
    Raises:
      DataError: names the file and line that cannot be read.
    """
    counts = Counter() if counts is None else counts
    for path in paths:
        records = _json_lines(path) if ".jsonl" in path else _whole_file(path)
        for line, raw in records:
            text = _decode(raw, path, line, invalid_utf8, counts)
            if ".jsonl" in path:
                if not text.strip():
                    continue
                text = _text_field(text, path, line)
            if not text:
                counts["empty"] += 1
                continue
            counts["documents"] += 1
            yield Document(text, path, line)


def _open(path: str):
    return gzip.open(path, "rb") if path.endswith(".gz") else open(path, "rb")


def _json_lines(path: str) -> Iterator[tuple[int, bytes]]:
    line = 0
    try:
        with _open(path) as file:
            for line, raw in enumerate(file, 1):
                yield line, raw
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(
            f"{path}:{line + 1}: the gzip file is damaged or cut off ({error}); get it again"
        ) from error


def _whole_file(path: str) -> Iterator[tuple[int, bytes]]:
    yield 1, b"".join(raw for _, raw in _json_lines(path))


def _decode(raw: bytes, path: str, line: int, invalid_utf8: str, counts: Counter) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        if invalid_utf8 == "refuse":
            raise DataError(
                f"{path}:{line}: invalid UTF-8 at byte {error.start}; mend the file, or choose"
                " invalid_utf8=replace"
            ) from error
        counts["invalid_utf8"] += 1
        return raw.decode("utf-8", errors="replace")


def _text_field(line_text: str, path: str, line: int) -> str:
    try:
        record = json.loads(line_text)
    except json.JSONDecodeError as error:
        raise DataError(
            f"{path}:{line}: not JSON ({error.msg}); each line must be one object with `text`"
        ) from error
    if not isinstance(record, dict) or not isinstance(record.get("text"), str):
        raise DataError(
            f"{path}:{line}: no string field `text`; each line must be one JSON object with `text`"
        )
    return record["text"]
