"""The chunked cross-entropy against its definition."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hclx.config import ComputeConfig, ModelConfig
from hclx.data.batch import make_batch
from hclx.model import Head, init_params
from hclx.train.loss import chunk_columns, chunked_token_losses, summed_loss
from hclx.train.step import accumulate_gradients, make_loss, make_token_losses

B, T, D, V = 4, 24, 16, 53
ONES = np.ones((B, T), np.float32)
WEIGHTS = np.random.default_rng(1).choice([0.0, 0.5, 1.0, 3.0], (B, T)).astype(np.float32)


@pytest.fixture(scope="module")
def problem():
    draw = np.random.default_rng(0)
    return (
        jnp.asarray(draw.normal(size=(V, D)), jnp.float32),
        jnp.asarray(draw.normal(size=(B, T, D)), jnp.float32),
        jnp.asarray(draw.integers(0, V, (B, T)), jnp.int32),
    )


def brute_force(head, x, targets):
    """float64 numpy: -log of the softmax, token by token."""
    logits = np.asarray(x, np.float64) @ np.asarray(head, np.float64).T
    p = np.exp(logits - logits.max(-1, keepdims=True))
    p /= p.sum(-1, keepdims=True)
    return -np.log(np.take_along_axis(p, np.asarray(targets)[..., None], -1))[..., 0], p


CHUNKS = [0, 1, B, 3 * B, 40, B * T, 10_000]


@pytest.mark.parametrize("chunk", CHUNKS)
def test_losses(problem, chunk):
    head, x, targets = problem
    expected, _ = brute_force(*problem)
    np.testing.assert_allclose(
        chunked_token_losses(Head(head), x, targets, chunk), expected, rtol=1e-5, atol=1e-5
    )
    np.testing.assert_allclose(
        summed_loss(Head(head), x, targets, ONES, chunk), expected.sum(), rtol=1e-6
    )
    np.testing.assert_allclose(
        summed_loss(Head(head), x, targets, WEIGHTS, chunk), (WEIGHTS * expected).sum(), rtol=1e-5
    )


@pytest.mark.parametrize("weighted", ["ones", "weights"])
@pytest.mark.parametrize("chunk", CHUNKS)
def test_gradients(problem, chunk, weighted):
    """By hand: d(sum of losses)/d(logits) is softmax minus one-hot, times the weights."""
    head, x, targets = problem
    weights = ONES if weighted == "ones" else WEIGHTS
    _, p = brute_force(*problem)
    dlogits = 3.0 * weights[..., None] * (p - np.eye(V)[np.asarray(targets)])
    loss = lambda head, x: 3.0 * summed_loss(Head(head), x, targets, weights, chunk)
    dhead, dx = jax.grad(loss, argnums=(0, 1))(head, x)
    np.testing.assert_allclose(dx, dlogits @ np.asarray(head, np.float64), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(dhead, np.einsum("btv,btd->vd", dlogits, x), rtol=1e-4, atol=1e-4)
    assert not np.any(np.asarray(dx)[np.asarray(weights) == 0])


@pytest.mark.parametrize("chunk", CHUNKS)
def test_z_loss_is_in_the_gradient_and_not_in_the_value(problem, chunk):
    """Against JAX's own gradient of the formula, on logits of all tokens; means, as a step takes
    them.
    """
    head, x, targets = problem

    def formula(head, x, z_loss):
        logits = x @ head.T
        log_z = jax.nn.logsumexp(logits, axis=-1)
        losses = log_z - jnp.take_along_axis(logits, targets[..., None], axis=-1)[..., 0]
        return (WEIGHTS * (losses + z_loss * jnp.square(log_z))).sum() / WEIGHTS.sum()

    mean = lambda head, x: summed_loss(Head(head), x, targets, WEIGHTS, chunk, 0.1) / WEIGHTS.sum()
    value, gradients = jax.value_and_grad(mean, argnums=(0, 1))(head, x)
    np.testing.assert_allclose(value, formula(head, x, 0.0), rtol=1e-6)
    expected_gradients, plain = (
        jax.tree.leaves(jax.grad(formula, argnums=(0, 1))(head, x, z_loss)) for z_loss in (0.1, 0.0)
    )
    for gradient, expected, without in zip(
        jax.tree.leaves(gradients), expected_gradients, plain, strict=True
    ):
        np.testing.assert_allclose(gradient, expected, rtol=1e-5, atol=1e-6)
        assert np.abs(expected - without).max() > 1e-2  # so that 1e-6 means something


@pytest.mark.parametrize("chunk", [0, 3 * B])
def test_a_bias_of_the_output_projection(problem, chunk):
    head, x, targets = problem
    bias = jnp.asarray(np.random.default_rng(2).normal(size=V), jnp.float32)

    def formula(head, bias, x):
        log_p = jax.nn.log_softmax(x @ head.T + bias)
        return -(WEIGHTS * jnp.take_along_axis(log_p, targets[..., None], axis=-1)[..., 0]).sum()

    loss = lambda head, bias, x: summed_loss(Head(head, bias), x, targets, WEIGHTS, chunk)
    losses = chunked_token_losses(Head(head, bias), x, targets, chunk)
    np.testing.assert_allclose((WEIGHTS * losses).sum(), formula(head, bias, x), rtol=1e-5)
    for ours, theirs in zip(*(jax.grad(f, (0, 1, 2))(head, bias, x) for f in (loss, formula))):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


def test_large_logits_do_not_overflow(problem):
    head, x, targets = problem
    assert np.isfinite(summed_loss(Head(head), 1e4 * x, targets, ONES, 8))


@pytest.mark.parametrize(
    "batch, length, chunk, columns",
    [(8, 256, 0, 256), (8, 256, 512, 64), (8, 256, 4, 1), (3, 100, 100, 25), (1, 7, 5, 1)],
)
def test_chunks_divide_the_length(batch, length, chunk, columns):
    assert chunk_columns(batch, length, chunk) == columns


def test_no_more_logits_exist_than_a_chunk_has(problem):
    """The compiled gradient holds no array of all tokens by the vocabulary."""
    head, x, targets = problem
    run = jax.jit(
        jax.grad(lambda head, x: summed_loss(Head(head), x, targets, ONES, B), argnums=(0, 1))
    )
    text = run.lower(head, x).compile().as_text()
    assert (
        f"f32[{B},{V}]" in text
        and f"f32[{B * T},{V}]" not in text
        and f"f32[{B},{T},{V}]" not in text
    )


def random_params(model):
    return jax.jit(lambda: init_params(model, jax.random.key(0)))()


@pytest.mark.parametrize("foreign", [V, 60_000, -1])
def test_an_id_that_the_vocabulary_does_not_have_makes_the_loss_no_number(foreign):
    """A look-up would take another row in silence; the guard refuses a step without a finite
    loss.
    """
    model = ModelConfig(vocab_size=V, n_layers=1, d_model=D, n_heads=2, max_length=T)
    loss = jax.jit(make_loss(model, ComputeConfig(dtype="float32")))
    params, window = random_params(model), np.ones((B, T + 1), np.int32)
    assert np.isfinite(loss(params, make_batch(window, 0))[0])
    for place in (3, T):  # an input, and what is a target alone
        damaged = window.copy()
        damaged[1, place] = foreign
        assert np.isnan(loss(params, make_batch(damaged, 0))[0])


@pytest.mark.parametrize("microbatches", [1, 2])
def test_a_target_without_weight_counts_for_nothing(microbatches):
    """Weights leave targets out of the mean and of its gradient, however unevenly they are spread
    over microbatches; the rest is the mean by its definition.
    """
    model = ModelConfig(vocab_size=V, n_layers=1, d_model=D, n_heads=2, max_length=T)
    compute = ComputeConfig(dtype="float32")
    params = random_params(model)
    batch = make_batch(np.random.default_rng(2).integers(0, V, (B, T + 1)).astype(np.int32), 0)
    weights = WEIGHTS.copy()
    weights[0] = 0
    loss_fn = make_loss(model, compute)
    run = jax.jit(lambda batch: accumulate_gradients(loss_fn, params, batch, microbatches))
    loss, grads = run(batch._replace(weights_bt=weights))
    losses = np.asarray(jax.jit(make_token_losses(model, compute))(params, batch), np.float64)
    np.testing.assert_allclose(loss, (losses * weights).sum() / weights.sum(), rtol=1e-5)
    targets = np.where(weights > 0, batch.targets_bt, 7)  # other targets where nothing counts
    other_loss, other = run(batch._replace(targets_bt=targets, weights_bt=weights))
    np.testing.assert_allclose(loss, other_loss, rtol=1e-6)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-7), grads, other)
    doubled, _ = run(batch._replace(weights_bt=2 * weights))
    np.testing.assert_allclose(doubled, loss, rtol=1e-6)  # the division is by the sum of weights
    assert abs(float(run(batch)[0]) - float(loss)) > 1e-3  # so that 1e-6 means something
