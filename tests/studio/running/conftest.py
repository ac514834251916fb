"""The Studio over a small model whose context has room for a prompt with examples."""

import pytest

pytest.importorskip("sqlalchemy")

from tests.studio.run_contents import small_backend, small_engine


@pytest.fixture(scope="session")
def engine():
    with small_engine() as engine:
        yield engine


@pytest.fixture(scope="session")
def backend(engine):
    return small_backend(engine)
