"""Folders that one process makes while others wait, and that a killed process leaves half made."""

import contextlib
import errno
import fcntl
import glob
import logging
import os
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

_LOG = logging.getLogger(__name__)

_NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)


@contextlib.contextmanager
def build_lock(path: Path) -> Iterator[None]:
    """Lets one process at a time make the folder `path`; another one waits, and must look whether
    it is there afterwards. The system frees the lock of a process that is killed.

    On entry, what a killed process left of `path` under a random name is removed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = path.with_name(f".{path.name}.lock")
    file = _acquire(lock, path)
    try:
        for left in path.parent.glob(f".{glob.escape(path.name)}.*"):
            random_name = rf"\.{re.escape(path.name)}\.[a-z0-9_]{{8}}"  # of tempfile.mkdtemp
            if left.is_dir() and re.fullmatch(random_name, left.name):
                shutil.rmtree(left, ignore_errors=True)
        yield
    finally:
        if file is not None:
            lock.unlink(missing_ok=True)  # while it is held
            os.close(file)


def _acquire(lock: Path, path: Path) -> int | None:
    """Opens and locks a file; None where the file system has no locks."""
    waits = False
    while True:
        file = os.open(lock, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with contextlib.suppress(FileNotFoundError):
                if os.path.sameopenfile(file, other := os.open(lock, os.O_RDONLY)):
                    os.close(other)
                    return file  # else its holder removed it meanwhile, and another made a new one
                os.close(other)
        except BlockingIOError:
            if not waits:
                _LOG.warning("%s is being made by another process; waiting for it", path)
            waits = True
        except OSError as error:
            os.close(file)
            if error.errno not in _NO_LOCKS:
                raise
            lock.unlink(missing_ok=True)
            return None
        os.close(file)
        time.sleep(0.2)
