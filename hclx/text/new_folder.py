"""A folder that appears whole or not at all: it is filled beside its place and then renamed."""

import contextlib
import errno
import glob
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

from hclx.errors import ConfigError


class FolderTakenError(ConfigError):
    """Another process has made the folder meanwhile."""


@contextlib.contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Yields a temporary folder, which becomes `path` if the context ends without error, and is
    removed otherwise. One that a killed process of this machine left is removed first.

    Args:
      path: missing or an empty folder; its parents are made.
    Raises:
      FolderTakenError: at the end, `path` is no empty folder any more.
      OSError: the folder cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    prefix = f".{path.name}.{socket.gethostname()}."
    for left in path.parent.glob(f"{glob.escape(prefix)}*"):
        if not _is_running(left.name.removeprefix(prefix).partition(".")[0]):
            shutil.rmtree(left, ignore_errors=True)
    temporary = Path(tempfile.mkdtemp(prefix=f"{prefix}{os.getpid()}.", dir=path.parent))
    try:
        yield temporary
        temporary.chmod(0o755)
        try:
            os.replace(temporary, path)
        except OSError as error:
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                raise FolderTakenError(
                    f"{path} was meanwhile made by another process, from other text or settings;"
                    " use what it made, or choose another folder"
                ) from error
            raise
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def _is_running(pid: str) -> bool:
    """Whether a process of this number runs here, or it cannot be known."""
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except (OSError, ValueError, OverflowError):
        return True
    return True
