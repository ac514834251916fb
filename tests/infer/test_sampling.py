"""Sampling against brute-force numpy, and its distribution against the probabilities it should
have.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hclx.errors import ConfigError
from hclx.infer.sampling import SamplingConfig, keep_top, penalise, sample

V = 23


def logits(seed=0):
    return np.random.default_rng(seed).normal(0, 2, (1, V)).astype(np.float32)


def brute_force_kept(row, top_k, top_p):
    """Indices that may be sampled, by sorting in Python."""
    order = sorted(range(len(row)), key=lambda i: -row[i])
    order = order[:top_k] if top_k else order
    p = np.exp([row[i] for i in order])
    p /= p.sum()
    kept, mass = set(), 0.0
    for i, q in zip(order, p):
        if mass >= top_p:
            break
        kept.add(i)
        mass += q
    return kept


@pytest.mark.parametrize("top_k", [0, 1, 5, 100])
@pytest.mark.parametrize("top_p", [0.001, 0.3, 0.8, 1.0])
def test_top_k_then_top_p(top_k, top_p):
    for seed in range(20):
        row = logits(seed)
        found = np.asarray(keep_top(jnp.asarray(row), top_k, top_p))[0]
        assert set(np.flatnonzero(found > -1e30)) == brute_force_kept(row[0], top_k, top_p)


def test_repetition_penalty_lowers_what_occurred_and_nothing_else():
    row, seen = logits(), np.arange(V)[None] % 3 == 0
    found = np.asarray(penalise(jnp.asarray(row), jnp.asarray(seen), 1.5))
    expected = np.where(seen, np.where(row > 0, row / 1.5, row * 1.5), row)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_samples_follow_the_softmax():
    row = jnp.asarray(logits())
    config = SamplingConfig(temperature=0.7, top_p=1.0)
    draw = jax.jit(
        jax.vmap(
            lambda key: sample(row, jnp.zeros((1, V), bool), jnp.ones(V, bool), key, config)[0]
        )
    )
    n = 40_000
    counts = np.bincount(np.asarray(draw(jax.random.split(jax.random.key(0), n))), minlength=V)
    expected = n * np.asarray(jax.nn.softmax(row[0] / 0.7))
    chi_square = ((counts - expected) ** 2 / np.maximum(expected, 1e-9)).sum()
    assert chi_square < 51  # of 22 degrees of freedom: less than 0.05% of chance


def test_greedy_and_forbidden_tokens():
    row = logits()
    best, second = np.argsort(-row[0])[:2]
    pick = lambda allowed: int(
        sample(
            jnp.asarray(row),
            jnp.zeros((1, V), bool),
            allowed,
            jax.random.key(0),
            SamplingConfig(temperature=0.0),
        )[0]
    )
    assert pick(jnp.ones(V, bool)) == best
    assert pick(jnp.ones(V, bool).at[best].set(False)) == second


@pytest.mark.parametrize(
    "bad",
    [
        {"max_tokens": 0},
        {"temperature": -1.0},
        {"top_k": -1},
        {"top_p": 0.0},
        {"top_p": 1.1},
        {"repetition_penalty": 0.0},
        {"stop": ("",)},
    ],
)
def test_values_out_of_range_are_refused_by_name(bad):
    with pytest.raises(ConfigError, match=next(iter(bad))):
        SamplingConfig(**bad)
