"""The folder of a corpus: files that appear whole or not at all, each with a key.

The folder is local, or anything that pyarrow can write to by its address (gs://, s3://, hdfs://).
A key is a hash of the settings and of the keys of the files that a file was made from. A file that
has the expected key is finished work, and is not made again.
"""

import contextlib
import dataclasses
import fcntl
import functools
import hashlib
import io
import json
import os
import uuid
from collections.abc import Iterator, Mapping, Sequence

import pyarrow
import pyarrow.parquet
from pyarrow import fs

from hclx.errors import ConfigError, DataError
from hclx.hashing import json_hash
from hclx.utf8 import check_path

_KEY = b"hclx.key"


def key_of(*values) -> str:
    """Computes a key: a hash of the settings and inputs of a file, see `Store.is_done`.

    Args:
      values: JSON values and dataclasses; their order counts, but not that of keys in a mapping.
    Returns:
      32 hexadecimal digits.
    """
    return json_hash(values)[:32]


def table_digest(table: pyarrow.Table, without: Sequence[str] = ()) -> str:
    """Computes a hash of the content of a table.

    Args:
      table: its metadata does not count.
      without: columns that do not count.
    Returns:
      32 hexadecimal digits.
    """
    table = table.drop_columns(list(without)).replace_schema_metadata(None).combine_chunks()
    digest = hashlib.sha256()
    with pyarrow.ipc.new_stream(_Sink(digest), table.schema) as writer:
        writer.write_table(table)
    return digest.hexdigest()[:32]


@contextlib.contextmanager
def open_bytes(path: str) -> Iterator[io.BufferedReader]:
    """Opens a file for reading; it can seek.

    Args:
      path: a local path, or an address that pyarrow can read (gs://, s3://, hdfs://).
    Raises:
      OSError: there is no such file, or it cannot be read.
    """
    if "://" not in path:
        with open(path, "rb") as file:
            yield file
        return
    files, place = fs.FileSystem.from_uri(path)
    with io.BufferedReader(files.open_input_file(place)) as file:
        yield file


class _Sink(io.RawIOBase):
    """A stream that hashes what is written to it."""

    def __init__(self, digest):
        self._digest = digest

    def writable(self) -> bool:
        return True

    def write(self, data) -> int:
        self._digest.update(data)
        return len(data)


@dataclasses.dataclass(frozen=True)
class Store:
    """The folder of a corpus, by its path or address.

    It is sent to workers, so it holds nothing that is open. Names are paths below the folder. A
    write makes the folders that are missing, replaces a file of the same name, and raises OSError
    if it fails.
    """

    root: str

    def __post_init__(self):
        check_path(self.root)

    @functools.cached_property
    def _place(self) -> tuple[fs.FileSystem, str]:
        if "://" in self.root:
            files, root = fs.FileSystem.from_uri(self.root)
            return files, root.rstrip("/")
        return fs.LocalFileSystem(), os.path.abspath(self.root)

    def __getstate__(self):
        return {"root": self.root}

    def path(self, name: str) -> str:
        """Returns the full path of a file.

        Args:
          name: path of the file below the folder.
        """
        return f"{self.root.rstrip('/')}/{name}"

    @contextlib.contextmanager
    def writing(self, name: str) -> Iterator:
        """Yields a stream for the bytes of a file, which appears when the block ends without error.

        Args:
          name: path of the file below the folder.
        """
        files, root = self._place
        target = f"{root}/{name}"
        files.create_dir(os.path.dirname(target), recursive=True)
        # An object appears when it is closed; a local file must be moved to its place.
        is_local = isinstance(files, fs.LocalFileSystem)
        temporary = f"{target}.{uuid.uuid4().hex}.tmp" if is_local else target
        try:
            with files.open_output_stream(temporary) as stream:
                yield stream
            if temporary != target:
                files.move(temporary, target)
        except BaseException:
            if temporary != target and os.path.exists(temporary):
                os.remove(temporary)
            raise

    def _write(self, name: str, write) -> None:
        with self.writing(name) as stream:
            write(stream)

    def write_table(
        self, name: str, table: pyarrow.Table, key: str, digests: Mapping[str, str] = {}
    ) -> None:
        """Writes a Parquet file; equal tables, keys and digests give equal bytes.

        Args:
          name: path of the file below the folder.
          table: its content.
          key: hash of the settings and inputs that the table was made from, see `key_of`; the file
            holds it in its metadata.
          digests: hashes of what the file holds, by names, for the keys of files that are made from
            this one: they do not change if it is made again with the same content.
        """
        metadata = {**(table.schema.metadata or {}), _KEY: key.encode()}
        metadata |= {f"hclx.{kind}".encode(): digest.encode() for kind, digest in digests.items()}
        table = table.replace_schema_metadata(metadata)
        self._write(
            name, lambda stream: pyarrow.parquet.write_table(table, stream, compression="zstd")
        )

    def write_bytes(self, name: str, content: bytes) -> None:
        """Writes bytes to a file; `name` is its path below the folder."""
        self._write(name, lambda stream: stream.write(content))

    def write_text(self, name: str, text: str) -> None:
        """Writes a text to a file in UTF-8; `name` is its path below the folder."""
        self.write_bytes(name, text.encode("utf-8", "surrogatepass"))

    def write_json(self, name: str, value, key: str | None = None) -> None:
        """Writes a JSON file, one line for each field.

        Args:
          name: path of the file below the folder.
          value: a JSON value; an object if there is a key.
          key: hash of the settings and inputs that the value was made from, see `key_of`; the file
            holds it as the field `key`. None: the file has no key.
        """
        value = value if key is None else {"key": key, **value}
        self.write_text(
            name, json.dumps(value, indent=1, ensure_ascii=False, sort_keys=True) + "\n"
        )

    def read_table(self, name: str, columns: list[str] | None = None) -> pyarrow.Table:
        """Reads a Parquet file.

        Args:
          name: path of the file below the folder.
          columns: the columns to read; None reads all.
        Raises:
          DataError: it is missing or damaged, or lacks one of the columns.
        """
        files, root = self._place
        try:
            return pyarrow.parquet.read_table(f"{root}/{name}", columns=columns, filesystem=files)
        except (pyarrow.ArrowException, OSError) as error:
            raise self._unreadable(name, error) from error

    def digest(self, name: str, kind: str) -> str | None:
        """Reads a digest that a Parquet file was written with, see `write_table`.

        Args:
          name: path of the file below the folder.
          kind: the name of the digest.
        Returns:
          The digest; of a file without one, as earlier versions wrote, its key; None if the file is
          missing or damaged.
        """
        metadata = self._metadata(name)
        return metadata.get(f"hclx.{kind}".encode(), metadata.get(_KEY, b"")).decode() or None

    def n_rows(self, name: str) -> int:
        """Returns the number of rows of a Parquet file; `name` is its path below the folder.

        Raises:
          DataError: it is missing or damaged.
        """
        files, root = self._place
        try:
            return pyarrow.parquet.read_metadata(f"{root}/{name}", filesystem=files).num_rows
        except (pyarrow.ArrowException, OSError) as error:
            raise self._unreadable(name, error) from error

    def _unreadable(self, name: str, error: Exception) -> DataError:
        message = f"{self.path(name)} cannot be read ({str(error).splitlines()[0]})"
        return DataError(f"{message}; remove it and run again")

    def read_json(self, name: str) -> dict | None:
        """Reads a JSON file.

        Args:
          name: path of the file below the folder.
        Returns:
          Its content, with the field `key` if it was written with one; None if the file is missing,
          cannot be read, or is no valid JSON.
        """
        files, root = self._place
        try:
            with files.open_input_stream(f"{root}/{name}") as stream:
                return json.loads(stream.read().decode("utf-8", "surrogatepass"))
        except (OSError, ValueError):
            return None

    def read_lines(self, name: str) -> Iterator[str]:
        """Yields the lines of a text file, with their line ends; `name` is its path below the
        folder.

        Raises:
          DataError: it is missing.
        """
        files, root = self._place
        try:
            stream = files.open_input_stream(f"{root}/{name}")
        except OSError as error:
            raise DataError(f"{self.path(name)} cannot be read; build the corpus again") from error
        with stream:
            yield from io.TextIOWrapper(stream, "utf-8", "surrogatepass", newline="\n")

    def key(self, name: str) -> str | None:
        """Reads the key that a file was written with, a hash of the settings and inputs that it was
        made from.

        Args:
          name: path of a Parquet or JSON file below the folder.
        Returns:
          The key; None if the file has none, or is missing or damaged.
        """
        if name.endswith(".json"):
            return (self.read_json(name) or {}).get("key")
        return self._metadata(name).get(_KEY, b"").decode() or None

    def _metadata(self, name: str) -> dict[bytes, bytes]:
        """The metadata of a Parquet file; {} if it is missing or damaged."""
        files, root = self._place
        try:
            return pyarrow.parquet.read_schema(f"{root}/{name}", filesystem=files).metadata or {}
        except (pyarrow.ArrowException, OSError):
            return {}

    def exists(self, name: str) -> bool:
        """Returns whether a file exists; `name` is its path below the folder."""
        files, root = self._place
        return files.get_file_info(f"{root}/{name}").type == fs.FileType.File

    def is_done(self, name: str, key: str) -> bool:
        """Returns whether a file exists and was made from the same inputs, so that it need not be
        made again.

        Args:
          name: path of a Parquet or JSON file below the folder.
          key: hash of the settings and inputs that the file should be made from, see `key_of`. The
            file holds the key that it was written with; a missing or damaged one has none.
        """
        return self.key(name) == key

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keeps other commands of this machine out of a local folder while the block runs; does
        nothing for an address such as gs://.

        Raises:
          ConfigError: another command is writing to it.
        """
        files, root = self._place
        if not isinstance(files, fs.LocalFileSystem):
            yield
            return
        files.create_dir(root, recursive=True)
        with open(f"{root}/.lock", "w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise ConfigError(
                    f"another command is writing to {self.root}; wait for it, or name another"
                    " --output"
                ) from error
            yield

    def kind(self, path: str) -> str:
        """Returns "file" or "folder", or "" if there is no such path; see `hclx.text.inputs`."""
        files, root = self._place
        info = files.get_file_info(f"{root}/{path}" if path else root)
        return {fs.FileType.File: "file", fs.FileType.Directory: "folder"}.get(info.type, "")

    def entries(self, folder: str) -> list[tuple[str, bool]]:
        """Lists a folder, but not what is below its folders; see `hclx.text.inputs`.

        Args:
          folder: its path below the root; "" is the root.
        Returns:
          (name, whether it is a folder) of everything in it; [] if there is no such folder.
        """
        files, root = self._place
        path = f"{root}/{folder}" if folder else root
        infos = files.get_file_info(fs.FileSelector(path, allow_not_found=True))
        return [(info.base_name, not info.is_file) for info in infos]

    def info(self, name: str) -> fs.FileInfo:
        """Returns `size` in bytes and `mtime_ns` of a file; `name` is its path below the folder."""
        files, root = self._place
        return files.get_file_info(f"{root}/{name}")

    def list(self, folder: str, suffix: str = "") -> list[str]:
        """Lists the files below a folder, also those in folders of it.

        Args:
          folder: its path below the root; it need not exist.
          suffix: the end of the names that are listed; "" lists all.
        Returns:
          Paths of the files below the root, sorted; [] if the folder does not exist.
        """
        files, root = self._place
        infos = files.get_file_info(
            fs.FileSelector(f"{root}/{folder}", recursive=True, allow_not_found=True)
        )
        return sorted(
            info.path[len(root) + 1 :]
            for info in infos
            if info.is_file and info.path.endswith(suffix)
        )

    def remove(self, name: str) -> None:
        """Removes a file; `name` is its path below the folder.

        Raises:
          OSError: there is no such file.
        """
        files, root = self._place
        files.delete_file(f"{root}/{name}")
