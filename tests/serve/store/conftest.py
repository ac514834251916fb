"""Stores on both databases, each test in an empty one."""

import pytest

pytest.importorskip("sqlalchemy")

from hclx.serve.store.database import open_database
from tests.helpers.postgres_server import postgres_server

# Connections of processes that a test has killed.
_END_OTHERS = """
    SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()
"""


@pytest.fixture(scope="session")
def postgres():
    """The address of a PostgreSQL, with {name} in the place of a database's name."""
    with postgres_server() as address:
        yield address


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, tmp_path):
    """The address of a store that does not exist yet."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/keys.db"
    import psycopg

    # Emptied, and not one for each test: a new database is hundreds of files.
    address = request.getfixturevalue("postgres").format(name="postgres")
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute(_END_OTHERS)
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")
    return address


@pytest.fixture
def database(url):
    """An open store without keys."""
    with open_database(url) as opened:
        yield opened
