"""A low-rank change beside a weight, and a prefix beside the keys of a document, against closed
formulas.
"""

import jax.numpy as jnp
import numpy as np
import pytest

from hclx.model import Prefix
from hclx.model.low_rank import GatheredLowRankWeight, LowRankWeight
from hclx.model.matmul import Int8Weight, matmul
from hclx.model.prefix_attention import prefix_attention

DRAW = np.random.default_rng(0)
normal = lambda *shape: DRAW.normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("precision", ["full", "int8"])
@pytest.mark.parametrize("is_int8", [False, True])
def test_a_product_is_that_of_the_sum_of_both(is_int8, precision):
    x, w, a, b = normal(2, 5, 12), normal(3, 4, 6), normal(12, 2), normal(2, 6)
    base = Int8Weight.quantise(jnp.array(w), 2) if is_int8 else jnp.array(w)
    if is_int8 and precision == "int8":
        pytest.skip("weights of eight bits have products in the dtype of the activations")
    weight = LowRankWeight(base, jnp.array(a), jnp.array(b), scale=1.5)[...]
    assert weight.shape == (3, 4, 6)
    product = matmul(jnp.array(x), weight.reshape(12, 6), precision)
    expected = x @ w.reshape(12, 6) + 1.5 * (x @ a) @ b
    tolerance = 1e-5 if not is_int8 and precision == "full" else 0.1
    np.testing.assert_allclose(product, expected, atol=tolerance)
    with pytest.raises(TypeError, match="read as a whole"):
        weight[0]


@pytest.mark.parametrize("is_int8", [False, True])
def test_each_row_has_its_own_change(is_int8):
    """In rows of several tokens, and in the same rows flattened."""
    w, a, b = normal(12, 2, 3), normal(4, 12, 5), normal(4, 5, 2, 3)
    x, numbers = normal(3, 7, 12), np.array([2, 0, 2])
    base = Int8Weight.quantise(jnp.array(w), 1) if is_int8 else jnp.array(w)
    weight = GatheredLowRankWeight(base, *map(jnp.array, (a, b, numbers)))[...]
    without = np.asarray(matmul(jnp.array(x), base, "full"))
    expected = [
        plain + np.tensordot(row @ a[number], b[number], 1)
        for row, plain, number in zip(x, without, numbers)
    ]
    np.testing.assert_allclose(matmul(jnp.array(x), weight, "full"), expected, atol=1e-5)
    flat = matmul(jnp.array(x).reshape(21, 12), weight, "full")
    np.testing.assert_allclose(flat, np.reshape(expected, (21, 2, 3)), atol=1e-5)
    assert weight.shape == (12, 2, 3) and weight.reshape(3, 4, 2, 3).base.shape == (3, 4, 2, 3)


@pytest.mark.parametrize("window", [None, 4])
def test_a_prefix_is_seen_by_every_document(window):
    """By a softmax over the prefix and the tokens before, number by number."""
    length, p, h, g, k = 9, 3, 4, 2, 8
    q, keys, values = normal(1, length, h, k), normal(1, length, h, k), normal(1, length, h, k)
    prefix = Prefix(normal(p, g, k), normal(p, g, k))
    begins = np.array([0, 0, 0, 0, 0, 5, 5, 5, 5])
    positions = np.arange(length) - begins + p
    context = prefix_attention(
        *map(jnp.array, (q, keys, values)),
        jnp.array(begins)[None],
        None if window is None else jnp.int32(window),
        prefix,
        jnp.array(positions)[None],
    )
    for t in range(length):
        for head in range(h):
            group = head // (h // g)
            own = range(begins[t], t + 1)
            seen_k = [*prefix.k[:, group], *(keys[0, s, head] for s in own)]
            seen_v = [*prefix.v[:, group], *(values[0, s, head] for s in own)]
            last = len(seen_k) if window is None else window
            scores = np.array(seen_k)[-last:] @ q[0, t, head] / np.sqrt(k)
            weights = np.exp(scores) / np.exp(scores).sum()
            expected = weights @ np.array(seen_v)[-last:]
            np.testing.assert_allclose(context[0, t, head], expected, atol=1e-5)
