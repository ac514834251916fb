"""The documents that a build of a token cache has encoded, kept on disk: a build that was killed
encodes none of them again.

Encoding takes most of the time of a build. The next start reads the text again, compares each
document with the journal, takes its tokens from there, and encodes from where the journal ends.
"""

import os
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

_RECORD = np.dtype(
    [
        *((name, "<i8") for name in ("n_ids", "n_bytes", "file", "line")),
        ("crc32", "<u4"),
        ("sha256", "u1", 32),
    ]
)
_FLUSH_SECONDS = 1.0


class EncodedDocument(NamedTuple):
    """A document as the cache stores it.

    Attributes:
      ids: unsigned integers [n], its tokens.
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


class Journal:
    """The encoded documents of one split of a source, in order; a context that writes what is still
    in memory when it ends.
    """

    def __init__(self, folder: Path, name: str, dtype: np.dtype):
        """Opens NAME.documents and NAME.ids in a folder, or makes them.

        Args:
          folder: exists.
          name: of the files.
          dtype: of the tokens.
        """
        self._dtype = dtype
        self._paths = folder / f"{name}.documents", folder / f"{name}.ids"
        self._files = [path.open("ab+") for path in self._paths]
        self._waiting: list[EncodedDocument] = []
        self._flushed = time.monotonic()

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        self._flush()
        for file in self._files:
            file.close()

    def read(self) -> Iterator[EncodedDocument]:
        """Yields the documents from the first to the last that is whole. Call `keep` afterwards."""
        with self._paths[0].open("rb") as documents, self._paths[1].open("rb") as ids:
            while len(raw := documents.read(_RECORD.itemsize)) == _RECORD.itemsize:
                (record,) = np.frombuffer(raw, _RECORD)
                data = ids.read(int(record["n_ids"]) * self._dtype.itemsize)
                if zlib.crc32(data) != record["crc32"]:
                    return
                yield EncodedDocument(
                    np.frombuffer(data, self._dtype),
                    int(record["n_bytes"]),
                    record["sha256"].tobytes(),
                    int(record["file"]),
                    int(record["line"]),
                )

    def keep(self, n_documents: int, n_ids: int) -> None:
        """Forgets all but the first `n_documents`, which have `n_ids` tokens in all."""
        sizes = n_documents * _RECORD.itemsize, n_ids * self._dtype.itemsize
        for file, size in zip(self._files, sizes):
            file.truncate(size)

    def append(self, document: EncodedDocument) -> None:
        """Adds a document; it is on disk about a second later."""
        self._waiting.append(document)
        if time.monotonic() - self._flushed > _FLUSH_SECONDS:
            self._flush()

    def _flush(self) -> None:
        """Writes the tokens before the records that tell of them."""
        records, data = np.zeros(len(self._waiting), _RECORD), []
        for i, document in enumerate(self._waiting):
            data.append(np.asarray(document.ids, self._dtype).tobytes())
            digest = np.frombuffer(document.sha256, np.uint8)
            place = document.n_bytes, document.file, document.line
            records[i] = (len(document.ids), *place, zlib.crc32(data[-1]), digest)
        documents, ids = self._files
        for file, content in ((ids, b"".join(data)), (documents, records.tobytes())):
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        self._waiting, self._flushed = [], time.monotonic()
