"""One engine for all tests of serving."""

import pytest

from hclx.serve.server import build_app
from tests.helpers.serving import client_of, tiny_backend, tiny_engine


@pytest.fixture(scope="session")
def engine():
    with tiny_engine() as engine:
        yield engine


@pytest.fixture(scope="session")
def backend(engine):
    return tiny_backend(engine)


@pytest.fixture(scope="session")
def app(backend):
    return build_app(backend)


@pytest.fixture(scope="session")
def client(app):
    with client_of(app) as client:
        yield client
