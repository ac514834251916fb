"""The token cache: the text of a mixture as streams of tokens on disk, read by index.

    CACHE_DIR/manifest.json        what the cache holds, and what it was made from
    CACHE_DIR/piece_bytes.npy      uint8 [vocab], bytes of text of each token, for bits per byte
    CACHE_DIR/SPLIT/SOURCE/tokens  uint16 or uint32 [n_tokens]
    CACHE_DIR/SPLIT/SOURCE/offsets int64 [n_documents + 1], the index of each end-of-document token
    CACHE_DIR/SPLIT/SOURCE/origins int64 [n_documents], (file << 40) + line of each document

The arrays are TensorStore's zarr3, each chunk with a crc32c. A stream is EOD d1 EOD d2 ... EOD: an
end-of-document token precedes every document, and one more closes the stream. So the text of every
document follows the token that generation starts from, and is followed by it.
"""

import json
from pathlib import Path

import numpy as np
import tensorstore as ts

from hclx.errors import DataError
from hclx.hashing import json_hash

FORMAT = 1
MANIFEST = "manifest.json"
TOKEN_BYTES = "piece_bytes.npy"
SPLITS = ("train", "validation")
LINE_BITS = 40  # of an origin


class TokenCache:
    """A finished cache, opened for reading.

    Attributes:
      directory: its folder.
      manifest: the content of manifest.json.
      token_bytes: uint8 [vocab], bytes of text of each token.
    """

    def __init__(self, directory: str | Path):
        """Opens a cache.

        Raises:
          DataError: it is missing, damaged, or was made by a later version of hclx.
        """
        self.directory = Path(directory)
        path = self.directory / MANIFEST
        try:
            self.manifest = json.loads(path.read_text(encoding="utf-8"))
            self.token_bytes = np.load(self.directory / TOKEN_BYTES)
        except FileNotFoundError as error:
            raise DataError(
                f"{error.filename} does not exist; build the cache with hclx build_cache"
            ) from error
        except ValueError as error:
            raise DataError(
                f"{self.directory} is damaged ({error}); remove the cache, and it is built again"
            ) from error
        is_known = self.manifest.get("format") == FORMAT
        if not is_known or content_fingerprint(self.manifest) != self.fingerprint:
            raise DataError(
                f"{path} is damaged or of another version of hclx; remove the cache, and it is"
                " built again"
            )
        self._streams: dict[tuple[str, str], ts.TensorStore] = {}

    @property
    def fingerprint(self) -> str:
        """The field `fingerprint` of the manifest, a SHA-256 in hexadecimal; caches of the same
        tokens in the same order have the same one.
        """
        return self.manifest.get("fingerprint", "")

    @property
    def rates(self) -> tuple[float, ...]:
        """Rates of the sources, as the mixture was registered with."""
        return tuple(source["rate"] for source in self.manifest["sources"])

    def n_tokens(self, split: str, source: int | None = None) -> int:
        """Number of tokens of a split, end-of-document tokens included.

        Args:
          split: "train" or "validation".
          source: index of a source in the manifest; None: all sources together.
        """
        sizes = [entry["splits"][split]["n_tokens"] for entry in self.manifest["sources"]]
        return sum(sizes) if source is None else sizes[source]

    def n_sequences(self, split: str, length: int) -> tuple[int, ...]:
        """Number of sequences in each source, in the order of the manifest.

        Args:
          split: "train" or "validation".
          length: targets of a sequence; every token but the first of a stream, and the rest that
            fills no sequence, is a target exactly once.
        Raises:
          DataError: a source has less than one sequence.
        """
        counts = []
        for entry in self.manifest["sources"]:
            n = entry["splits"][split]["n_tokens"]
            if n <= length:
                raise DataError(
                    f"{self.directory}: source {entry['name']!r} has {n} tokens in split {split!r},"
                    f" and one sequence needs {length + 1}; give more text, a shorter"
                    " TrainConfig.sequence_length, or other DataConfig.validation_permille"
                    + (", or set TrainConfig.eval_every=0" if split == "validation" else "")
                )
            counts.append((n - 1) // length)
        return tuple(counts)

    def read(self, split: str, source: int, index: int, length: int) -> ts.Future:
        """Starts to read one sequence of a source.

        Args:
          split: "train" or "validation".
          source: index of the source in the manifest.
          index: number of the sequence, below that of `n_sequences`.
          length: targets of a sequence.
        Returns:
          A future of uint16 or uint32 [length + 1], the tokens from `index * length` on. Its
          `result` raises ValueError or OSError if the stored bytes are damaged.
        Raises:
          DataError: the array is missing, or is not as long as the manifest says.
        """
        start = index * length
        return self._stream(split, source)[start : start + length + 1].read()

    def offsets(self, split: str, source: int) -> np.ndarray:
        """int64 [n_documents + 1]: the index of the end-of-document token before each document, and
        of the one that closes the stream. The arguments are those of `stream`.

        Raises:
          DataError: the array is missing.
        """
        return _open(self._path(split, source) / "offsets").read().result()

    def origin(self, split: str, source: int, document: int) -> tuple[str, int]:
        """File (its name in the manifest) and line that a document was read from. In the mixture of
        a corpus, the record of that line has the document's id.

        Args:
          split: "train" or "validation".
          source: index of the source in the manifest.
          document: number of the document in this split of the source, from 0.
        Raises:
          DataError: the array of origins is missing.
        """
        origin = int(_open(self._path(split, source) / "origins")[document].read().result())
        file, line = origin >> LINE_BITS, origin & ((1 << LINE_BITS) - 1)
        return self.manifest["sources"][source]["files"][file]["name"], line

    def stream(self, split: str, source: int) -> np.ndarray:
        """Reads all tokens of a source's split into memory.

        Args:
          split: "train" or "validation".
          source: index of the source in the manifest.
        Returns:
          uint16 or uint32 [n_tokens]; an end-of-document token precedes every document, and one
          more follows the last.
        Raises:
          DataError: the array is missing, or is not as long as the manifest says.
          ValueError, OSError: the stored bytes are damaged.
        """
        return self._stream(split, source).read().result()

    def _path(self, split: str, source: int) -> Path:
        return self.directory / split / self.manifest["sources"][source]["name"]

    def _stream(self, split: str, source: int) -> ts.TensorStore:
        if (split, source) not in self._streams:
            store = _open(self._path(split, source) / "tokens")
            if store.shape[0] != self.n_tokens(split, source):
                raise DataError(
                    f"{self._path(split, source)} is not as long as the manifest says; remove the"
                    " cache, and it is built again"
                )
            self._streams[split, source] = store
        return self._streams[split, source]


def _open(path: Path) -> ts.TensorStore:
    spec = {"driver": "zarr3", "kvstore": {"driver": "file", "path": f"{path.resolve()}/"}}
    context = ts.Context(
        {"cache_pool": {"total_bytes_limit": 256 << 20}, "file_io_concurrency": {"limit": 8}}
    )
    try:
        return ts.open(spec, context=context, read=True).result()
    except (ValueError, OSError) as error:
        raise DataError(
            f"{path} cannot be opened; the token cache is damaged: remove it, and it is built again"
        ) from error


def content_fingerprint(manifest: dict) -> str:
    """The SHA-256, in hexadecimal, of all of a manifest but its field `fingerprint`, which holds
    this checksum.
    """
    return json_hash({key: value for key, value in manifest.items() if key != "fingerprint"})
