"""Stores on both databases, each test in an empty one."""

import itertools

import pytest

pytest.importorskip("sqlalchemy")

from hclx.serve.store.database import open_database
from tests.helpers.postgres_server import postgres_server

_NUMBERS = itertools.count()


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

    address, name = request.getfixturevalue("postgres"), f"store_{next(_NUMBERS)}"
    with psycopg.connect(address.format(name="postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return address.format(name=name)


@pytest.fixture
def database(url):
    """An open store without keys."""
    with open_database(url) as opened:
        yield opened
