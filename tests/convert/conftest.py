"""Programs of the many families are forgotten after each module: they would fill the memory."""

import jax
import pytest


@pytest.fixture(scope="module", autouse=True)
def forget_programs():
    """Clears JAX's caches after the module."""
    yield
    jax.clear_caches()
