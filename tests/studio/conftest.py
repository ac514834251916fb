"""A small server with the Studio, and people who are logged in."""

import contextlib

import pytest

pytest.importorskip("sqlalchemy")

from hclx.serve.store.database import open_database
from tests.helpers.serving import client_of, described_backend, tiny_engine
from tests.helpers.studio import logged_in, studio_app

NOON = 20_000 * 86_400 + 43_200.0


class Clock:
    """A clock that tests set: `clock.now += 60`."""

    def __init__(self):
        self.now = NOON

    def __call__(self):
        return self.now


@pytest.fixture(scope="session")
def engine():
    with tiny_engine() as engine:
        yield engine


@pytest.fixture(scope="session")
def backend(engine):
    """Serves "tiny", which reads 64 bytes, has chats, and a filter that knows some words."""
    return described_backend(engine)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def database(tmp_path):
    with open_database(f"{tmp_path}/store.db") as opened:
        yield opened


@pytest.fixture
def app(backend, database, clock):
    return studio_app(backend, database, clock)


@pytest.fixture
def login_as(app, database, clock):
    """A function: login_as("maker") is the client of a new person of this role, as whom it is
    logged in; `client.person` is who that is. login_as("admin") is the first administrator.
    """
    with contextlib.ExitStack() as stack:
        yield lambda role, name=None: stack.enter_context(
            logged_in(app, database, clock, role, name)
        )


@pytest.fixture
def studio_client(login_as):
    """The client of the administrator."""
    return login_as("admin")


@pytest.fixture
def nobody(app):
    """A client that is not logged in."""
    with client_of(app) as client:
        yield client
