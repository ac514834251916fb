"""The Studio of a server: its store, its routes, and the link by which its administrator enters."""

import contextlib
import functools
import os
import time
from collections.abc import Callable, Iterator

from hclx.serve.dialect import Dialect
from hclx.serve.service import Service
from hclx.serve.store.database import open_database
from hclx.serve.store.server_lock import only_server
from hclx.studio.pages_dialect import pages_dialect
from hclx.studio.people.session_keys import SessionKeys
from hclx.studio.store.people_records import first_administrator
from hclx.studio.store.session_records import new_link
from hclx.studio.studio import Studio
from hclx.studio.studio_dialect import studio_dialect


@contextlib.contextmanager
def open_studio(folder: str, store: str | None) -> Iterator[SessionKeys]:
    """Opens the store of a Studio while the block runs, and makes what is not there yet.

    Args:
      folder: of the Studio; other users of the machine cannot read it.
      store: an address as of `open_database`; None: FOLDER/store.db.
    Raises:
      ConfigError: the address is none, or another server has the store.
      DataError, StorageError: as `open_database`.
    """
    os.makedirs(folder, 0o700, exist_ok=True)
    url = store or os.path.join(os.path.abspath(folder), "store.db")
    with open_database(url) as database, only_server(database):
        yield SessionKeys(database)


def studio_dialects(
    keys: SessionKeys, has_tuning: bool
) -> tuple[Callable[[Service], Dialect], Callable[[Service], Dialect]]:
    """Returns what makes the routes of a Studio; they stand before those of other dialects.

    Args:
      keys: of the store that `open_studio` has opened.
      has_tuning: whether the server takes jobs of tuning.
    """
    make = functools.partial(Studio, database=keys.database, has_tuning=has_tuning)
    return lambda service: studio_dialect(make(service)), pages_dialect


def login_line(keys: SessionKeys, host: str, port: int) -> str:
    """Returns a line with a new link for the administrator, who is added if there is none.

    Args:
      keys: of the store.
      host, port: where the server listens.
    Raises:
      StorageError: the store cannot be written.
    """
    database, now = keys.database, time.time()
    token = new_link(database, first_administrator(database, now).id, now)
    name = f"[{host}]" if ":" in host else host
    return f"the Studio: http://{name}:{port}/studio/#/login/{token}"
