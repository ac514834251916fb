"""The documents of files for training: what cannot be read ends the command.

`hclx.text.inputs` finds the files and `hclx.text.formats` reads them, for every command. The corpus
pipeline has another policy: it sets aside what cannot be read (`hclx.corpus.readers`).

Texts are put into NFC: files from macOS and some exports take syllables apart, and a model that
learnt such text would not know what people type.
"""

import dataclasses
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import BinaryIO

from hclx.errors import DataError
from hclx.read_errors import naming
from hclx.text.formats import read_records
from hclx.text.inputs import expand_globs
from hclx.text.records import Document, Reading, Unreadable

__all__ = [
    "TRAINING",
    "Document",
    "Reading",
    "Unreadable",
    "composed",
    "expand_globs",
    "read_documents",
    "read_file",
]


@dataclasses.dataclass(frozen=True)
class TrainingReading(Reading):
    """The way in which files are read for training: no document is too long.

    The flags that set it differ from command to command, and so does the advice of messages.
    """

    flags: str = ""  # what the flags of settings begin with, such as "--"; "": there are none
    settings: tuple[str, ...] = ("encoding", "invalid_utf8")  # for which there are flags

    def advise(self, name: str, value: str) -> str:
        """See `Reading.advise`."""
        return f"give {self.flags}{name}={value}" if self.flags and name in self.settings else ""


TRAINING = TrainingReading(max_bytes=None)


def read_documents(
    paths: Iterable[str],
    invalid_utf8: str = "refuse",
    counts: Counter | None = None,
    reading: Reading = TRAINING,
) -> Iterator[Document]:
    """Yields the documents of files in the order of `paths`, and raises at what cannot be read.

    Args:
      paths: files of any format of `hclx.text.formats`.
      invalid_utf8: "refuse", or "replace" each bad sequence by U+FFFD.
      counts: takes the numbers of `documents`, of those that were `empty` (skipped) or had
        `invalid_utf8`, and of `file_bytes`: how much of the files, as they are on disk, was read.
      reading: how files are read.
    Yields:
      Documents whose text, in NFC, is not empty.
    Raises:
      DataError: names the file and line that cannot be read.
      OSError: a file cannot be opened or read.
    """
    counts = Counter() if counts is None else counts
    for path in paths:
        with open(path, "rb") as file:
            position = 0
            for record in read_file(file, path, invalid_utf8, reading):
                counts["file_bytes"] += file.tell() - position
                position = file.tell()
                if isinstance(record, Unreadable):
                    advice = f"; {record.advice}" if record.advice else ""
                    raise DataError(f"{path}:{record.line}: {record.reason}{advice}")
                counts.update(invalid_utf8=1) if record.replaced else None
                counts["documents" if record.text else "empty"] += 1
                if record.text:
                    yield record


def read_file(
    file: BinaryIO, path: str, invalid_utf8: str = "refuse", reading: Reading = TRAINING
) -> Iterator[Document | Unreadable]:
    """Everything in a file, in order.

    Args:
      file: its bytes as they are on disk.
      path: its name, for the format and the documents.
      invalid_utf8: "refuse" makes a record with a bad sequence unreadable; "replace" replaces the
        sequence by U+FFFD.
      reading: how it is read.
    Yields:
      A document for each record, its text in NFC, or `Unreadable` in its place. The text may be
      empty.
    """
    reading = dataclasses.replace(reading, invalid=invalid_utf8)
    for record in naming(path, lambda: read_records(file, path, reading)):
        if isinstance(record, Document) and (text := composed(record.text)) is not record.text:
            record = dataclasses.replace(record, text=text)
        yield record


def composed(text: str) -> str:
    """Returns a text in NFC, as it is typed: the same object, if it is in NFC already."""
    is_composed = unicodedata.is_normalized("NFC", text)  # much faster, and most texts are
    return text if is_composed else unicodedata.normalize("NFC", text)
