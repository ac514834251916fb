"""Attention backends against attention by its definition, and what they refuse."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hclx.config import MeshConfig
from hclx.errors import ConfigError
from hclx.model.attention import causal_mask, choose_backend, dot_product_attention
from hclx.model.splash import splash_attention
from hclx.parallel import make_mesh

B, T, H, K = 2, 256, 4, 64


@pytest.fixture(scope="module")
def problem():
    draw = np.random.default_rng(0)
    q, k, v = (jnp.asarray(draw.normal(size=(B, T, H, K)), jnp.float32) for _ in range(3))
    segments = jnp.cumsum(jnp.asarray(draw.random((B, T)) < 0.02), axis=1, dtype=jnp.int32)
    return q, k, v, segments


def weigh(attend, q, k, v):
    """A scalar whose gradient reaches every element of the context with another weight."""
    return (attend(q, k, v) * jnp.cos(jnp.arange(B * T * H * K, dtype=jnp.float32)).reshape(B, T, H, K)).sum()


@pytest.mark.parametrize("mesh", [None, MeshConfig(data=2, fsdp=1, seq=2, model=2)])
def test_splash_in_its_interpreter(problem, mesh):
    """Packed documents, forward and backward, alone and each device with its rows and heads."""
    q, k, v, segments = problem
    expected = lambda q, k, v: dot_product_attention(q, k, v, causal_mask(segments, segments))
    found = functools.partial(splash_attention, segments_bt=segments, interpret=True)
    with jax.set_mesh(make_mesh(mesh or MeshConfig(fsdp=1), jax.devices()[: 8 if mesh else 1])):
        np.testing.assert_allclose(jax.jit(found)(q, k, v), expected(q, k, v), rtol=0, atol=1e-5)
        grads = jax.jit(jax.grad(functools.partial(weigh, found), argnums=(0, 1, 2)))(q, k, v)
    for g, wanted in zip(grads, jax.grad(functools.partial(weigh, expected), argnums=(0, 1, 2))(q, k, v)):
        np.testing.assert_allclose(g, wanted, rtol=0, atol=2e-5)


def test_auto_takes_the_kernel_of_the_platform():
    assert choose_backend("auto", "tpu", 2048) == "splash"
    assert choose_backend("auto", "cpu", 2048) == choose_backend("auto", "tpu", 100) == "xla"


@pytest.mark.parametrize("platform, length, message", [("cpu", 2048, "kernel for TPUs"), ("tpu", 200, "multiples of 128")])
def test_a_named_backend_that_cannot_serve_is_refused(platform, length, message):
    with pytest.raises(ConfigError, match=message):
        choose_backend("splash", platform, length)
