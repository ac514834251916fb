"""The token cache: the text of a mixture as streams of tokens on disk, read by index.

    CACHE_DIR/manifest.json        what the cache holds, and what it was made from
    CACHE_DIR/piece_bytes.npy      uint8 [vocab], bytes of text of each token, for bits per byte;
                                   the manifest has its SHA-256 (none in old caches)
    CACHE_DIR/SPLIT/SOURCE/tokens  uint16 or uint32 [n_tokens]
    CACHE_DIR/SPLIT/SOURCE/offsets int64 [n_documents + 1], the index of each end-of-document token
    CACHE_DIR/SPLIT/SOURCE/origins int64 [n_documents], (file << 40) + line of each document

The arrays are TensorStore's zarr3, each chunk with a crc32c. A stream is EOD d1 EOD d2 ... EOD: an
end-of-document token precedes every document, and one more closes the stream. So the text of every
document follows the token that generation starts from, and is followed by it.

Zarr takes a file that is missing for zeros, which would be padding; here it is an error.
"""

import io
import json
from hashlib import sha256
from pathlib import Path

import numpy as np
import tensorstore as ts

from hclx.errors import DataError, StorageError
from hclx.hashing import json_hash
from hclx.progress import counted
from hclx.read_errors import DAMAGED, UNDECODED, diagnose
from hclx.utf8 import check_path

FORMAT = 1
MANIFEST = "manifest.json"
TOKEN_BYTES = "piece_bytes.npy"
TOKEN_BYTES_SHA256 = "piece_bytes_sha256"  # field of the manifest
CONTENT_SHA256 = "content_sha256"  # of a compressed file, beside its `sha256`
SPLITS = ("train", "validation")
LINE_BITS = 40  # of an origin
_MOST_HELD_OUT = 0.8  # where less than this is left to train on, a setting asked for it


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
          StorageError: it cannot be read now, as for lack of permission.
        """
        self.directory = Path(directory)
        check_path(self.directory)
        path = self.directory / MANIFEST
        try:
            self.manifest = json.loads(path.read_text(encoding="utf-8"))
            token_bytes = (self.directory / TOKEN_BYTES).read_bytes()
            self.token_bytes = np.load(io.BytesIO(token_bytes))
        except FileNotFoundError as error:
            raise DataError(
                f"{error.filename} does not exist; build the cache with hclx build_cache"
            ) from error
        except (OSError, ValueError, EOFError) as error:
            raise read_error(error, self.directory) from error
        is_known = isinstance(self.manifest, dict) and self.manifest.get("format") == FORMAT
        if not is_known or checksum(self.manifest) != self.manifest.get("fingerprint"):
            raise DataError(
                f"{path} is damaged or of another version of hclx; remove the cache, and it is"
                " built again"
            )
        expected = self.manifest.get(TOKEN_BYTES_SHA256)  # None in an old cache
        if expected not in (None, sha256(token_bytes).hexdigest()):
            raise DataError(
                f"{self.directory / TOKEN_BYTES} is damaged; remove the cache, and it is built"
                " again"
            )
        self._streams: dict[tuple[str, str], ts.TensorStore] = {}

    @property
    def fingerprint(self) -> str:
        """SHA-256, in hexadecimal, of what the cache holds: caches of the same tokens in the same
        order have the same one, whatever the names and the compression of the files were.
        """
        manifest = _without_later_fields(self.manifest)
        sources = [{k: v for k, v in s.items() if k != "files"} for s in manifest["sources"]]
        return json_hash({**manifest, "sources": sources})

    @property
    def old_fingerprint(self) -> str:
        """The fingerprint that runs recorded before it left out the files: SHA-256 in hexadecimal
        of the manifest as it was then.
        """
        return json_hash(_without_later_fields(self.manifest))

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
        """Number of sequences in each source, in the order of the manifest; 0 for a source that is
        too small for one.

        Args:
          split: "train" or "validation".
          length: targets of a sequence; every token but the first of a stream, and the rest that
            fills no sequence, is a target exactly once.
        Raises:
          DataError: no source has one sequence.
        """
        sizes = [entry["splits"][split]["n_tokens"] for entry in self.manifest["sources"]]
        if max(sizes) <= length:
            raise DataError(
                f"{self._files_in_words()}: no source has more than {max(sizes)} tokens in split"
                f" {split!r}, and one sequence needs {length + 1};"
                f" {too_little(self, split, length)}"
                + (", or set TrainConfig.eval_every=0" if split == "validation" else "")
            )
        return tuple(max(0, (n - 1) // length) for n in sizes)

    def _files_in_words(self) -> str:
        """The names of the files that the text comes from, for messages: the folder of a cache
        tells nobody which text it was.
        """
        names = [file["name"] for entry in self.manifest["sources"] for file in entry["files"]]
        if len(names) < 2:
            return names[0] if names else self.manifest["mixture"]
        return f"{names[0]} and {counted(len(names) - 1, 'other file')}"

    def too_short(self, split: str, length: int) -> dict[str, int]:
        """Source -> its tokens, of those sources of a split that are too small for one sequence;
        the arguments are those of `n_sequences`.
        """
        sizes = {e["name"]: e["splits"][split]["n_tokens"] for e in self.manifest["sources"]}
        return {name: n for name, n in sizes.items() if n <= length}

    def read(self, split: str, source: int, index: int, length: int) -> ts.Future:
        """Starts to read one sequence of a source.

        Args:
          split: "train" or "validation".
          source: index of the source in the manifest.
          index: number of the sequence, below that of `n_sequences`.
          length: targets of a sequence.
        Returns:
          A future of uint16 or uint32 [length + 1], the tokens from `index * length` on. Its
          `result` raises ValueError or OSError if the stored bytes are damaged or missing, or
          cannot be read: see `read_error`.
        Raises:
          DataError: the array is missing, or is not as long as the manifest says.
        """
        start = index * length
        return self._stream(split, source)[start : start + length + 1].read()

    def offsets(self, split: str, source: int) -> np.ndarray:
        """int64 [n_documents + 1]: the index of the end-of-document token before each document, and
        of the one that closes the stream. The arguments are those of `stream`.

        Raises:
          DataError, StorageError: the array is missing or damaged, or cannot be read now.
        """
        path = self._path(split, source) / "offsets"
        if not self.manifest["sources"][source]["splits"][split]["n_documents"]:
            return np.zeros(1, np.int64)  # which an old cache does not store
        return _result(_open(path).read(), path)

    def origin(self, split: str, source: int, document: int) -> tuple[str, int]:
        """File (its name in the manifest) and line that a document was read from. In the mixture of
        a corpus, the record of that line has the document's id.

        Args:
          split: "train" or "validation".
          source: index of the source in the manifest.
          document: number of the document in this split of the source, from 0.
        Raises:
          DataError, StorageError: as `offsets`.
        """
        path = self._path(split, source) / "origins"
        origin = int(_result(_open(path)[document].read(), path))
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
          DataError: the array is missing or damaged, or is not as long as the manifest says.
          StorageError: it cannot be read now.
        """
        path = self._path(split, source) / "tokens"
        return _result(self._stream(split, source).read(), path)

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


def too_little(cache: TokenCache, split: str, length: int) -> str:
    """Returns what helps where no source of a split has enough tokens for one sequence. Another
    share of validation is named where it would help alone: few short documents have no more to
    give.

    Args:
      cache: whose `rates` and `n_tokens` are asked.
      split, length: as in `TokenCache.n_sequences`.
    """
    sources = range(len(cache.rates))
    sizes = {name: [cache.n_tokens(name, i) for i in sources] for name in SPLITS}
    longest = max(sizes[split], default=0)
    together = max(map(sum, zip(*sizes.values())), default=0)
    ways = ["more text"]
    if longest > 2:
        ways.append(f"a shorter TrainConfig.sequence_length (at most {longest - 1})")
    if split == "validation" and together > 2 * (length + 1):
        ways.append("a larger DataConfig.validation_permille")
    if split == "train" and together > length and longest < _MOST_HELD_OUT * together:
        ways.append("a smaller DataConfig.validation_permille")
    return f"give {', '.join(ways[:-1])}{' or ' if ways[1:] else ''}{ways[-1]}"


def _open(path: Path) -> ts.TensorStore:
    spec = {
        "driver": "zarr3",
        "kvstore": {"driver": "file", "path": f"{path.resolve()}/"},
        "fill_missing_data_reads": False,
    }
    context = ts.Context(
        {"cache_pool": {"total_bytes_limit": 256 << 20}, "file_io_concurrency": {"limit": 8}}
    )
    return _result(ts.open(spec, context=context, read=True), path)


def _result(future: ts.Future, path: Path):
    try:
        return future.result()
    except (ValueError, OSError) as error:
        raise read_error(error, path) from error


def read_error(error: Exception, path: Path) -> DataError | StorageError:
    """The error to raise where a read of a cache failed.

    Args:
      error: what the read raised.
      path: the cache, or the array in it.
    """
    kind, reason = diagnose(error, path)
    if kind in (DAMAGED, UNDECODED):
        return DataError(
            f"{path}: the token cache is damaged ({reason}); remove the cache, and it is built"
            " again"
        )
    return StorageError(f"{path} cannot be read: {reason}. The cache may be whole; run again then")


def checksum(manifest: dict) -> str:
    """The SHA-256, in hexadecimal, of all of a manifest but its field `fingerprint`, which holds
    this checksum.
    """
    return json_hash({key: value for key, value in manifest.items() if key != "fingerprint"})


def _without_later_fields(manifest: dict) -> dict:
    """The fields that manifests have had from the beginning, and not the checksum."""
    later = ("fingerprint", TOKEN_BYTES_SHA256)
    files = lambda source: [
        {name: value for name, value in file.items() if name != CONTENT_SHA256}
        for file in source["files"]
    ]
    sources = [{**source, "files": files(source)} for source in manifest["sources"]]
    return {k: v for k, v in manifest.items() if k not in later} | {"sources": sources}
