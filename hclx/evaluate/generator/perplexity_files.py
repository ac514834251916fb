"""Measures the perplexity of files: reads them, prints a table, returns what goes into a file."""

import dataclasses
import datetime
import itertools
import json
import logging
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import hclx
from hclx.errors import DataError
from hclx.evaluate.generator.perplexity import SCHEMA, Windows, measure, summary, table
from hclx.evaluate.item_prompts import Reader
from hclx.evaluate.samples import replace_text
from hclx.infer import Engine
from hclx.progress import ProgressBar, counted
from hclx.text.documents import TrainingReading, expand_globs, read_documents
from hclx.text.records import Document

_LOG = logging.getLogger(__name__)


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
    engine: Engine, reader: Reader, windows: Windows, files: TextFiles, seed: int = 0
) -> dict[str, Any]:
    """Scores the documents of files, and prints a table.

    Args:
      engine: of the model.
      reader: of the model.
      windows: how long documents are read.
      files: to read.
      seed: of the bootstrap.
    Returns:
      A JSON object: the settings, `files` (the `summary` of each, with its `path`) and `total`.
    Raises:
      DataError: a file cannot be read, or none has a document.
    """
    started, began = datetime.datetime.now(datetime.UTC), time.monotonic()
    # All files are read before the first is scored: a line that is no document ends the command
    # at once, and the time left is known.
    n_tokens = sum(len(reader.tokenizer.encode(document.text)) for document in files.documents())
    if not n_tokens:
        raise DataError(f"{', '.join(files.paths)}: no document has a text")
    with ProgressBar(n_tokens, "scoring", "token", slow_start=True) as progress:
        documents = files.documents()
        measured = list(measure(engine, reader, windows, documents, progress.update))
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


def write_json(path: Path, results: Mapping[str, Any]) -> None:
    """Writes figures to a file, whole or not at all."""
    replace_text(path, json.dumps(results, ensure_ascii=False, indent=1) + "\n")
