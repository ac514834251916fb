"""A database: SQLite in a file, or PostgreSQL at an address, with transactions for reading and for
writing, and errors for a person.
"""

import contextlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import sqlalchemy as sa

from hclx.errors import ConfigError, DataError, HclxError, StorageError, require, shown
from hclx.serve.store.migrations import migrate

_BUSY_SECONDS = 5  # that a transaction waits for others of its process, and for other processes
_CONNECT_SECONDS = 10
_DAMAGED = ("not a database", "malformed", "database corruption")


class Database:
    """An open store, for all threads of a process.

    Attributes:
      place: names it in messages, without a password.
      path: the file of SQLite; None for PostgreSQL.
    """

    def __init__(self, url: str):
        """Prepares the connections; see `open_database`, which also makes the tables."""
        parsed = _parsed(url)
        self.place = parsed.render_as_string(hide_password=True)
        self.path: Path | None = None
        # In a process, threads wait for their turn to write instead of trying again and again.
        self._writer: threading.Lock | None = None
        if parsed.drivername == "sqlite":
            self.path, self._writer = Path(os.path.realpath(parsed.database)), threading.Lock()
            self.place = str(parsed.database)
            self._engine = sa.create_engine(parsed)
            sa.event.listen(self._engine, "connect", _prepare_sqlite)
            sa.event.listen(self._engine, "begin", _begin_sqlite)
        else:
            require("psycopg")
            if "connect_timeout" not in parsed.query:
                parsed = parsed.update_query_dict({"connect_timeout": str(_CONNECT_SECONDS)})
            self._engine = sa.create_engine(parsed, pool_pre_ping=True)

    @contextlib.contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """Enters a transaction that reads.

        Raises:
          StorageError: the database cannot be reached or read.
          DataError: it is damaged.
        """
        with self._reported(), self._engine.connect() as connection:
            yield connection

    @contextlib.contextmanager
    def writing(self, durable: bool = False) -> Iterator[sa.Connection]:
        """Enters a transaction that is written as a whole at the end of the block, and not at all
        if that raises.

        Args:
          durable: it survives a loss of power; else SQLite may forget the last transactions then,
            though not if the process is killed.
        Raises:
          StorageError: the database cannot be reached or written.
          DataError: it is damaged.
        """
        with self._reported(), self._turn(), self._engine.connect() as connection:
            connection.execution_options(writes=True, durable=durable)
            with connection.begin():
                yield connection

    def close(self) -> None:
        """Closes all connections."""
        self._engine.dispose()

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        self.close()

    @contextlib.contextmanager
    def _turn(self) -> Iterator[None]:
        """Enters a context in which no other thread writes, if there may be one writer alone."""
        if self._writer is None:
            yield
            return
        if not self._writer.acquire(timeout=_BUSY_SECONDS):
            raise StorageError(
                f"the store {self.place} is busy: others have written for {_BUSY_SECONDS} seconds;"
                " try again"
            )
        try:
            yield
        finally:
            self._writer.release()

    @contextlib.contextmanager
    def _reported(self) -> Iterator[None]:
        try:
            yield
        except (sa.exc.DBAPIError, sa.exc.TimeoutError) as error:
            known = _known(error, self.place)
            if known is None:
                raise
            raise known from error


def open_database(url: str, makes: bool = True) -> Database:
    """Opens a store, and brings its tables to this version.

    Args:
      url: "sqlite:///PATH" or the path itself, or "postgresql://USER:PASSWORD@HOST/NAME"; what is
        left out of the latter is taken from the environment, as libpq does.
      makes: an SQLite file that does not exist is made.
    Raises:
      ConfigError: the address is no such, or its file is not there and is not to be made.
      DataError: it is no store, one of a newer version, or damaged.
      StorageError: it cannot be reached or written.
    """
    database = Database(url)
    if database.path is not None:
        _make_file(database.path, makes)
    try:
        with database.writing(durable=True) as connection:
            migrate(connection, database.place)
    except HclxError:
        database.close()
        raise
    return database


def _parsed(url: str) -> sa.URL:
    if "://" not in url:
        if not url or "\0" in url:
            raise ConfigError(f"--store={url!r} is no path; give a file, or postgresql://HOST/NAME")
        return sa.URL.create("sqlite", database=os.path.expanduser(url))
    try:
        parsed = sa.make_url(url)
    except (sa.exc.ArgumentError, ValueError) as error:
        raise ConfigError(
            "--store is no address; give sqlite:///PATH or postgresql://HOST/NAME"
        ) from error
    kind = parsed.drivername.split("+")[0]
    if kind in ("postgresql", "postgres"):
        return parsed.set(drivername="postgresql+psycopg")
    if kind != "sqlite":
        raise ConfigError(
            f"--store is an address of {shown(kind)}; give sqlite:///PATH or postgresql://HOST/NAME"
        )
    if parsed.database in (None, "", ":memory:") or parsed.query or parsed.host:
        raise ConfigError(
            f"--store={url}: give the path of a file and nothing else, as in sqlite:///keys.db"
        )
    return parsed.set(drivername="sqlite")


def _make_file(path: Path, makes: bool) -> None:
    if not path.exists() and not makes:
        raise ConfigError(f"there is no store {path}; `hclx keys create` makes one")
    if not path.parent.is_dir():
        raise ConfigError(f"the folder {path.parent} of the store does not exist; make it first")
    if path.is_dir():
        raise ConfigError(f"the store {path} is a folder; give the name of a file in it")
    # No other user reads who has keys; files that SQLite lays beside it have the same mode.
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))


def _prepare_sqlite(connection, record) -> None:
    connection.isolation_level = None  # transactions begin where `_begin_sqlite` says so
    for pragma in (
        f"busy_timeout = {_BUSY_SECONDS * 1000}",
        "journal_mode = WAL",
        "foreign_keys = ON",
    ):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: sa.Connection) -> None:
    options = connection.get_execution_options()
    if not options.get("writes"):
        connection.exec_driver_sql("BEGIN")
        return
    level = "FULL" if options["durable"] else "NORMAL"
    connection.exec_driver_sql(f"PRAGMA synchronous = {level}")
    # At once: a transaction that reads first could lose its place to another writer.
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _known(error: Exception, place: str) -> HclxError | None:
    """Returns the error for a person; None for a fault of the program."""
    reason = str(getattr(error, "orig", None) or error).strip().split("\n")[0]
    if any(word in reason for word in _DAMAGED):
        return DataError(f"the store {place} is damaged, or no store: {reason}; restore a copy")
    if isinstance(error, (sa.exc.OperationalError, sa.exc.InterfaceError, sa.exc.TimeoutError)):
        return StorageError(
            f"the store {place} cannot be read or written: {reason}; mend that and try again"
        )
    return None
