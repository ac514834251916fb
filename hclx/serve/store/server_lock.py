"""A lock by which one server at a time uses an SQLite file. The system frees it when the process
ends, in whatever way.
"""

import contextlib
import fcntl
import os
from collections.abc import Iterator

from hclx.errors import ConfigError
from hclx.serve.store.database import Database


@contextlib.contextmanager
def only_server(database: Database) -> Iterator[None]:
    """Keeps other servers from an SQLite file while the block runs. `hclx keys` may go on, and
    servers that share a PostgreSQL are not kept apart.

    Raises:
      ConfigError: another server has it.
    """
    if database.path is None:
        yield
        return
    # In a file of its own, as SQLite locks parts of its own one; it stays, since another process
    # may already have opened it.
    file = os.open(f"{database.path}.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            pid = os.pread(file, 20, 0).decode(errors="replace").strip()
            raise ConfigError(
                f"{database.path} is in use by another server (pid {pid or 'unknown'}); end it"
                " first, or give both a PostgreSQL, which servers may share"
            ) from error
        os.ftruncate(file, 0)
        os.pwrite(file, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(file)
