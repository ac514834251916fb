"""AdamW against PyTorch's formulas, the schedule against a closed form, the rule of decay."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hclx.config import ModelConfig, OptimizerConfig
from hclx.train.optimizer import decay_mask, learning_rate_schedule, make_optimizer
from tests.helpers.decoder import drawn_params

CONFIG = OptimizerConfig(learning_rate=1e-2, warmup_steps=4, clip_norm=1.0, weight_decay=0.1)
MODEL = ModelConfig(vocab_size=16, n_layers=2, d_model=8, n_heads=2, max_length=8)


def closed_schedule(step, total=20):
    """Learning rate of update `step`, counted from 0."""
    if step < CONFIG.warmup_steps:
        return CONFIG.learning_rate * step / CONFIG.warmup_steps
    progress = (step - CONFIG.warmup_steps) / (total - CONFIG.warmup_steps)
    return CONFIG.learning_rate * (0.1 + 0.9 * (1 + math.cos(math.pi * progress)) / 2)


def test_schedule():
    schedule = learning_rate_schedule(CONFIG, 20)
    for step in range(21):
        assert float(schedule(step)) == pytest.approx(closed_schedule(step), rel=1e-5, abs=1e-9)
    assert float(schedule(20)) == pytest.approx(CONFIG.learning_rate / 10)


def test_factors_multiply_the_rate_from_their_steps_on():
    schedule = learning_rate_schedule(CONFIG, 20, factors=((6, 0.5), (9, 0.1)))
    for step, factor in ((5, 1), (6, 0.5), (8, 0.5), (9, 0.05), (19, 0.05)):
        assert float(schedule(step)) == pytest.approx(factor * closed_schedule(step), rel=1e-5)


@pytest.mark.parametrize("switched", [False, True])
def test_matrices_decay_and_nothing_else(switched):
    mask = decay_mask(dataclasses.replace(MODEL, qk_norm=switched, embedding_norm=switched))
    decayed = {
        jax.tree_util.keystr(path, simple=True, separator="/")
        for path, on in jax.tree_util.tree_leaves_with_path(mask)
        if on
    }
    assert decayed == {
        "embedding/token", "embedding/position",
        "blocks/attention/q", "blocks/attention/kv", "blocks/attention/out",
        "blocks/mlp/wi", "blocks/mlp/wo",
    }  # fmt: skip


def test_updates_are_those_of_the_published_formulas():
    """Clipping, Adam with bias correction, decoupled decay (Loshchilov and Hutter 2019, algorithm
    2), in float64.
    """
    params = drawn_params(MODEL)
    optimizer, schedule, draw = (
        make_optimizer(CONFIG, decay_mask(MODEL)),
        learning_rate_schedule(CONFIG, 20),
        np.random.default_rng(0),
    )
    state, mask = jax.jit(optimizer.init)(params), jax.tree.leaves(decay_mask(MODEL))
    update = jax.jit(optimizer.update)
    descend = jax.jit(lambda rate, *trees: jax.tree.map(lambda p, u: p - rate * u, *trees))
    leaves, tree = jax.tree.flatten(params)
    theirs = [np.asarray(x, np.float64) for x in leaves]
    m, v = [np.zeros_like(x) for x in theirs], [np.zeros_like(x) for x in theirs]
    for step in range(8):
        size = 0.01 if step == 3 else 1.0  # step 3 is below the clip
        grads = [size * draw.normal(size=x.shape) for x in theirs]
        updates, state = update(
            tree.unflatten([jnp.asarray(g, jnp.float32) for g in grads]), state, params
        )
        params = descend(schedule(step), params, updates)
        norm = math.sqrt(sum((g**2).sum() for g in grads))
        for i, g in enumerate(grads):
            g = g * min(1.0, CONFIG.clip_norm / norm)
            m[i] = 0.9 * m[i] + 0.1 * g
            v[i] = 0.95 * v[i] + 0.05 * g**2
            direction = (m[i] / (1 - 0.9 ** (step + 1))) / (
                np.sqrt(v[i] / (1 - 0.95 ** (step + 1))) + 1e-8
            )
            theirs[i] = theirs[i] - closed_schedule(step) * (
                direction + CONFIG.weight_decay * mask[i] * theirs[i]
            )
        for param, expected in zip(jax.tree.leaves(params), theirs):
            np.testing.assert_allclose(param, expected, rtol=2e-4, atol=2e-6)
