"""Measures the perplexity of files: reads them, prints a table, returns what goes into a file."""

import contextlib
import dataclasses
import datetime
import hashlib
import itertools
import json
import logging
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import hclx
from hclx.errors import DataError
from hclx.evaluate.generator.perplexity import (
    SCHEMA,
    Measured,
    Windows,
    measure,
    summary,
    table,
)
from hclx.evaluate.item_prompts import Reader
from hclx.evaluate.samples import SAMPLES, SampleFile, output_folder, replace_text
from hclx.infer import Engine
from hclx.progress import ProgressBar, counted
from hclx.text.documents import TrainingReading, expand_globs, read_documents
from hclx.text.records import Document
from hclx.text.tokenizer import to_bytes

_LOG = logging.getLogger(__name__)
_SECONDS_OF_A_WRITE = 1.0


@dataclasses.dataclass(frozen=True)
class TextFiles:
    """The files to read.

    Attributes:
      paths: sorted.
      reading: how they are read.
      max_documents: of each; 0: all.
    """

    paths: tuple[str, ...]
    reading: TrainingReading
    max_documents: int = 0

    @classmethod
    def of(cls, patterns: str, encoding: str = "", split: str = "file", max_documents: int = 0):
        """Returns the files that options name. Arguments: see `expand_globs` and `Reading`.

        Raises:
          ConfigError, DataError: as `expand_globs`.
        """
        reading = TrainingReading(
            max_bytes=None, encoding=encoding, split=split, flags="--", settings=("encoding",)
        )
        return cls(tuple(expand_globs(patterns)), reading, max_documents)

    def documents(self) -> Iterator[Document]:
        """Yields the documents, file by file."""
        for path in self.paths:
            documents = read_documents([path], reading=self.reading)
            yield from itertools.islice(documents, self.max_documents or None)


def measure_files(
    engine: Engine,
    reader: Reader,
    windows: Windows,
    files: TextFiles,
    seed: int = 0,
    folder: Path | None = None,
    model: Mapping[str, Any] = MappingProxyType({}),
) -> dict[str, Any]:
    """Scores the documents of files, and prints a table.

    Args:
      engine: of the model.
      reader: of the model.
      windows: how long documents are read.
      files: to read.
      seed: of the bootstrap.
      folder: for the documents that were scored. A command that was killed goes on where it
        stopped; None: nothing is kept.
      model: what tells the model apart from those of other commands in that folder; JSON values.
    Returns:
      A JSON object: the settings, `files` (the `summary` of each, with its `path`) and `total`.
    Raises:
      DataError: a file cannot be read, or none has a document.
      ConfigError: the folder has documents of other texts, another model or other windows, or
        another command writes to it.
    """
    started, began = datetime.datetime.now(datetime.UTC), time.monotonic()
    n_tokens, texts = _contents(files, reader)
    if not n_tokens:
        raise DataError(f"{', '.join(files.paths)}: no document has a text")
    plan = {"model": dict(model), **dataclasses.asdict(windows), "files": texts}
    with _documents_in(folder, plan) as kept:
        measured = [Measured(**line) for line in kept.lines] if kept else []
        n_done = sum(row.tokens for row in measured)
        progress = ProgressBar(n_tokens, "scoring", "token", done=n_done, slow_start=True)
        documents = itertools.islice(files.documents(), len(measured), None)
        with progress:
            rows = measure(engine, reader, windows, documents, progress.update)
            measured += _keeping(kept, rows)
    by_file = {path: list(rows) for path, rows in itertools.groupby(measured, lambda row: row.path)}
    summaries = [{"path": path, **summary(rows, seed)} for path, rows in by_file.items()]
    results = {
        "schema": SCHEMA,
        "hclx": hclx.__version__,
        "started": started.isoformat(timespec="seconds"),
        "seconds": round(time.monotonic() - began, 3),
        **dataclasses.asdict(windows),
        "files": summaries,
        "total": summary(measured, seed),
    }
    print(table(summaries, results["total"]))
    if not_kept := results["total"]["not_kept"]:
        _LOG.warning(
            "the tokens of %s do not decode to the text, so that the model predicts less than the"
            " text: the figures are too low",
            counted(not_kept, "document"),
        )
    return results


def _contents(files: TextFiles, reader: Reader) -> tuple[int, dict[str, str]]:
    """Returns the number of tokens of all files, and file -> a hash of its texts. All of them are
    read before the first is scored: a line that is no document ends the command at once, and the
    time left is known.
    """
    n_tokens, hashes = 0, {}
    for document in files.documents():
        n_tokens += len(reader.tokenizer.encode(document.text))
        of_file = hashes.setdefault(document.path, hashlib.sha256())
        text = to_bytes(document.text)
        of_file.update(b"%d " % len(text) + text)
    return n_tokens, {path: of_file.hexdigest() for path, of_file in hashes.items()}


@contextlib.contextmanager
def _documents_in(folder: Path | None, plan: Mapping[str, Any]) -> Iterator[SampleFile | None]:
    """Holds the file of the documents that were scored by a plan; None without a folder."""
    if folder is None:
        yield None
        return
    with output_folder(folder, plan):
        yield SampleFile(folder / SAMPLES / "documents.jsonl")


def _keeping(kept: SampleFile | None, rows: Iterator[Measured]) -> Iterator[Measured]:
    """Yields documents, and writes them about once a second: the disk is not to hold up short
    ones.
    """
    waiting, written = [], time.monotonic()

    def write() -> None:
        if kept and waiting:
            kept.append([row._asdict() for row in waiting])
        waiting.clear()

    try:
        for row in rows:
            waiting.append(row)
            if time.monotonic() - written >= _SECONDS_OF_A_WRITE:
                write()
                written = time.monotonic()
            yield row
    finally:
        write()


def write_json(path: Path, results: Mapping[str, Any]) -> None:
    """Writes figures to a file, whole or not at all."""
    replace_text(path, json.dumps(results, ensure_ascii=False, indent=1) + "\n")
