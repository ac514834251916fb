import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hclx.model.blockwise import blockwise_attention
from hclx.model.remat import remat
from tests.helpers.attention import whole_square


def case(length: int, dtype: str = "float32"):
    draw = np.random.default_rng(length)
    q, k, v = (jnp.asarray(draw.normal(size=(2, length, 3, 8)), dtype) for _ in range(3))
    return q, k, v, jnp.asarray(np.cumsum(draw.random((2, length)) < 0.02, axis=1), jnp.int32)


def gradients(attention, q, k, v, segments):
    weigh = jnp.asarray(np.random.default_rng(1).normal(size=q.shape), q.dtype)
    return jax.grad(
        lambda q, k, v: (attention(q, k, v, segments) * weigh).sum().astype(jnp.float32),
        argnums=(0, 1, 2),
    )(q, k, v)


@pytest.mark.parametrize(
    "length", [40, 200, *(pytest.param(n, marks=pytest.mark.long) for n in (128, 512))]
)
def test_blocks_are_attention(length):
    """Lengths that make one block, two, three and four, against the full square of scores,
    differentiated by JAX.
    """
    arrays = case(length)
    np.testing.assert_allclose(
        blockwise_attention(*arrays), whole_square(*arrays), rtol=1e-5, atol=1e-6
    )
    for gradient, expected in zip(
        gradients(blockwise_attention, *arrays), gradients(whole_square, *arrays)
    ):
        np.testing.assert_allclose(gradient, expected, rtol=1e-5, atol=1e-5)


def test_bfloat16_is_as_near_to_float32_as_the_full_square_is():
    arrays = case(200, "bfloat16")
    exact = gradients(
        whole_square, *(x.astype(jnp.float32) if x.dtype == jnp.bfloat16 else x for x in arrays)
    )
    error = lambda computed: [
        float(jnp.abs(f.astype(jnp.float32) - e).mean()) for f, e in zip(computed, exact)
    ]
    block_gradients = gradients(blockwise_attention, *arrays)
    assert all(x.dtype == jnp.bfloat16 for x in block_gradients)
    for blocks, whole in zip(error(block_gradients), error(gradients(whole_square, *arrays))):
        assert blocks < 1.5 * whole


@pytest.mark.parametrize("policy", ["none", "minimal", "full"])
def test_the_forward_pass_runs_again_under_full_remat_only(policy):
    """Its maxima are counted in the traced step: one a block."""
    arrays = case(128)
    loss = remat(lambda *x: blockwise_attention(*x).sum(), policy)
    traced = str(jax.make_jaxpr(jax.value_and_grad(loss, argnums=(0, 1, 2)))(*arrays))
    assert traced.count("= reduce_max") == (4 if policy == "full" else 2)
