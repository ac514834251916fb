"""Sampling against brute-force numpy, and its distribution against the probabilities it should
have.
"""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hclx.errors import ConfigError
from hclx.infer.sampling import SamplingConfig, keep_top, penalise, sample, sampling_params

V = 23
KEEP_TOP = jax.jit(keep_top)  # compiled once for all cases


def logits(seed=0):
    return np.random.default_rng(seed).normal(0, 2, (1, V)).astype(np.float32)


def brute_force_kept(row, top_k, top_p):
    """Indices that may be sampled, by sorting in Python."""
    order = sorted(range(len(row)), key=lambda i: -row[i])
    order = order[:top_k] if top_k else order
    p = np.exp([row[i] - row[order[0]] for i in order])
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
        result = np.asarray(KEEP_TOP(jnp.asarray(row), jnp.array([top_k]), jnp.array([top_p])))[0]
        assert set(np.flatnonzero(result > -1e30)) == brute_force_kept(row[0], top_k, top_p)


def test_repetition_penalty_lowers_what_occurred_and_nothing_else():
    row, seen = logits(), np.arange(V)[None] % 3 == 0
    result = np.asarray(penalise(jnp.asarray(row), jnp.asarray(seen), jnp.array([1.5])))
    expected = np.where(seen, np.where(row > 0, row / 1.5, row * 1.5), row)
    np.testing.assert_allclose(result, expected, rtol=1e-6)


def choose(logits_bv, steps, *configs, allowed=None):
    """Tokens [b] of rows in which no token occurred before."""
    allowed = jnp.ones(V, bool) if allowed is None else allowed
    unseen = jnp.zeros(logits_bv.shape, bool)
    return np.asarray(
        jax.jit(sample)(jnp.asarray(logits_bv), unseen, allowed, steps, sampling_params(configs))
    )


def test_samples_follow_the_softmax():
    n, row = 40_000, logits()
    config = SamplingConfig(temperature=0.7, top_p=1.0)
    tokens = choose(np.repeat(row, n, axis=0), jnp.arange(n), *[config] * n)
    counts = np.bincount(tokens, minlength=V)
    expected = n * np.asarray(jax.nn.softmax(row[0] / 0.7))
    chi_square = ((counts - expected) ** 2 / np.maximum(expected, 1e-9)).sum()
    assert chi_square < 51  # of 22 degrees of freedom: less than 0.05% of chance


def test_greedy_and_forbidden_tokens():
    row, step, greedy = logits(), jnp.zeros(1, jnp.int32), SamplingConfig(temperature=0.0)
    best, second = np.argsort(-row[0])[:2]
    assert choose(row, step, greedy) == best
    but_best = jnp.ones(V, bool).at[best].set(False)
    assert choose(row, step, greedy, allowed=but_best) == second


def test_greedy_takes_the_first_of_equal_logits_as_argmax_does():
    rows = np.random.default_rng(0).integers(-3, 3, (50, V)).astype(np.float32)
    steps = jnp.zeros(50, jnp.int32)
    tokens = choose(rows, steps, *[SamplingConfig(temperature=0.0)] * 50)
    assert (tokens == np.argmax(rows, axis=-1)).all()


SETTINGS = [
    SamplingConfig(temperature=0.0),
    SamplingConfig(temperature=0.7, top_p=1.0, seed=3),
    SamplingConfig(temperature=1.5, top_k=4, top_p=1.0, seed=3),
    SamplingConfig(temperature=1.0, top_p=0.6, seed=2**40 + 9),
    SamplingConfig(temperature=1.0, top_k=10, top_p=0.5, repetition_penalty=1.7, seed=-1),
]


def test_a_row_has_its_own_settings_and_depends_on_no_other_row():
    rows = np.concatenate([logits(i) for i in range(len(SETTINGS))])
    for step in range(20):
        together = choose(rows, jnp.full(len(SETTINGS), step), *SETTINGS)
        alone = [
            choose(rows[i : i + 1], jnp.array([step]), config)[0]
            for i, config in enumerate(SETTINGS)
        ]
        assert together.tolist() == alone


def test_rows_of_the_same_seed_differ_from_step_to_step():
    flat, config = np.zeros((1000, V), np.float32), SamplingConfig(temperature=1.0, top_p=1.0)
    tokens = choose(flat, jnp.arange(1000), *[config] * 1000)
    assert (tokens == choose(flat, jnp.arange(1000), *[config] * 1000)).all()
    assert np.bincount(tokens, minlength=V).min() > 10


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_top_p_of_logits_of_any_size(scale):
    """The threshold is found by bisection: no range of logits may be out of its reach."""
    row = logits(3) * np.float32(scale)
    result = np.asarray(KEEP_TOP(jnp.asarray(row), jnp.array([7]), jnp.array([0.9])))[0]
    assert set(np.flatnonzero(result > -3e38)) == brute_force_kept(row[0].astype(float), 7, 0.9)


@pytest.mark.parametrize(
    "bad",
    [
        {"max_tokens": 0},
        {"temperature": -1.0},
        {"temperature": math.inf},
        {"temperature": 1e-39},
        {"repetition_penalty": 1e-39},
        {"repetition_penalty": math.inf},
        {"top_p": 1e-39},
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


@pytest.mark.parametrize(
    "bad, valid",
    [
        ({"max_tokens": 0}, "give a positive whole number"),
        ({"temperature": -1.0}, "give 0, for the most likely token, or a value from 1e-5"),
        ({"temperature": float("nan")}, "give 0, for the most likely token, or a value from 1e-5"),
        ({"top_k": -1}, "give 0, for all tokens, or more"),
        ({"top_p": 2.0}, "give a value above 0 and at most 1"),
        ({"repetition_penalty": -1.0}, "give a value from 0.001 to 1,000"),
    ],
)
def test_the_range_is_in_the_message(bad, valid):
    ((name, value),) = bad.items()
    with pytest.raises(ConfigError, match=f"^{name}={value} is out of range: {valid}"):
        SamplingConfig(**bad)


@pytest.mark.parametrize("temperature", [1e-5, 1e5])
@pytest.mark.parametrize("penalty", [1e-3, 1e3])
def test_the_ends_of_the_ranges_choose_what_they_should(temperature, penalty):
    """The coldest takes the most likely token, and the hottest never one that is forbidden."""
    row = np.array([[-5.0, 700.0, 3.0, 699.0]] * 200, np.float32)
    config = SamplingConfig(temperature=temperature, top_p=1.0, repetition_penalty=penalty)
    seeds = [dataclasses.replace(config, seed=seed) for seed in range(200)]
    unseen, allowed = jnp.zeros((200, 4), bool), jnp.array([True, False, True, True])
    steps = jnp.zeros(200, jnp.int32)
    tokens = sample(jnp.asarray(row), unseen, allowed, steps, sampling_params(seeds)).tolist()
    assert set(tokens) == ({3} if temperature < 1 else {0, 2, 3})


def test_settings_larger_than_any_text_or_vocabulary_are_as_large_as_fits():
    params = sampling_params([SamplingConfig(max_tokens=10**12, top_k=10**12, seed=10**30)])
    assert params.max_tokens_b[0] == params.top_k_b[0] == 2**31 - 1
