"""What the tests of meshes share."""

import jax
import pytest


@pytest.fixture(autouse=True, scope="module")
def compile_fast():
    """Such small programs take longer to optimise than to run."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)
