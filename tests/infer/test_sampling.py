"""Sampling against brute-force numpy, and its distribution against the probabilities it should
have.
"""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hclx.config import ModelConfig
from hclx.errors import ConfigError
from hclx.infer import GenerateRequest
from hclx.infer.sampling import (
    NEVER,
    SamplingConfig,
    TokenMasks,
    keep_top,
    penalise,
    sample,
    sampling_params,
)
from tests.helpers.byte_tokenizer import ByteTokenizer
from tests.helpers.engines import engine_of
from tests.helpers.numpy_decoder import noisy_params

V = 23
KEEP_TOP = jax.jit(keep_top)  # compiled once for all cases


def masks(rows, size=V, *, allowed=None, seen=None, counts=None, ends=()):
    """What concerns single tokens, for `rows` rows of which each has the same."""
    whole = lambda row_v: jnp.broadcast_to(jnp.asarray(row_v), (rows, size))
    is_end_v = np.isin(np.arange(size), ends)
    return TokenMasks(
        whole(np.zeros(size, np.float32) if allowed is None else np.where(allowed, 0, NEVER)),
        whole(is_end_v),
        whole(np.zeros(size, bool) if seen is None else seen),
        whole(np.zeros(size, np.int32) if counts is None else counts),
    )


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
        settings = sampling_params([SamplingConfig(top_k=top_k, top_p=top_p)])
        result = np.asarray(KEEP_TOP(jnp.asarray(row), settings))[0]
        assert set(np.flatnonzero(result > -1e30)) == brute_force_kept(row[0], top_k, top_p)


def test_repetition_penalty_lowers_what_occurred_and_nothing_else():
    row, seen = logits(), np.arange(V)[None] % 3 == 0
    settings = sampling_params([SamplingConfig(repetition_penalty=1.5)])
    result = np.asarray(penalise(jnp.asarray(row), masks(1, seen=seen[0]), settings))
    expected = np.where(seen, np.where(row > 0, row / 1.5, row * 1.5), row)
    np.testing.assert_allclose(result, expected, rtol=1e-6)


SAMPLE = jax.jit(sample)


def choose(logits_bv, steps, *configs, **of_tokens):
    """Tokens [b]; `of_tokens` are arguments of `masks`."""
    of_rows = masks(*logits_bv.shape, **of_tokens)
    return np.asarray(SAMPLE(jnp.asarray(logits_bv), of_rows, steps, sampling_params(configs)))


def reference(row_v, config, seen_v, counts_v):
    """The probabilities [v] from which a token is sampled, step by step in float64."""
    x = row_v.astype(np.float64)
    r = config.repetition_penalty
    x = np.where(seen_v, np.where(x > 0, x / r, x * r), x)
    x -= config.frequency_penalty * counts_v + config.presence_penalty * (counts_v > 0)
    x /= config.temperature
    kept = sorted(brute_force_kept(x, config.top_k, config.top_p))
    p = np.zeros(len(x))
    p[kept] = np.exp(x[kept] - x.max())
    p[p < config.min_p * p.max()] = 0
    return p / p.sum()


def chi_square_deviate(counts, p):
    """The chi-square of counts under probabilities, as a normal deviate by Wilson and Hilferty's
    approximation; infinity if something occurred that is impossible.
    """
    if counts[p == 0].any():
        return math.inf
    expected = counts.sum() * p[p > 0]
    chi_square = ((counts[p > 0] - expected) ** 2 / expected).sum()
    freedom = (p > 0).sum() - 1
    if not freedom:
        return 0.0
    spread = 2 / (9 * freedom)
    return ((chi_square / freedom) ** (1 / 3) - (1 - spread)) / math.sqrt(spread)


COMBINATIONS = [
    SamplingConfig(temperature=t, top_k=k, top_p=p, min_p=m, **penalties)
    for t in (0.7, 1.4)
    for k in (0, 7)
    for p in (1.0, 0.8)
    for m in (0.0, 0.1)
    for penalties in (
        {},
        {"repetition_penalty": 1.6},
        {"frequency_penalty": 0.4, "presence_penalty": 0.7},
        {"repetition_penalty": 0.8, "frequency_penalty": -0.3, "presence_penalty": 0.5},
    )
]


def test_samples_of_every_setting_and_combination_follow_their_probabilities():
    n, row = 20_000, logits()
    seen_v, counts_v = np.arange(V) % 3 == 0, np.where(np.arange(V) % 5 == 0, 2, 0)
    rows, steps = np.repeat(row, n, axis=0), jnp.arange(n)
    beyond = 0
    for i, config in enumerate(COMBINATIONS):
        configs = sampling_params([dataclasses.replace(config, seed=i)])
        configs = type(configs)(*(jnp.broadcast_to(x, n) for x in configs))
        of_rows = masks(n, seen=seen_v, counts=counts_v)
        tokens = np.asarray(SAMPLE(jnp.asarray(rows), of_rows, steps, configs))
        p = reference(row[0], config, seen_v, counts_v)
        deviate = chi_square_deviate(np.bincount(tokens, minlength=V), p)
        assert deviate < 4.5, config
        beyond += deviate > 2
    assert beyond <= 6  # of 64 cases: 1.5 are expected


@pytest.fixture(scope="module")
def engine_of_fixed_logits():
    """An engine over a model whose logits are the same after every text: its final norm has no
    scale, and its bias meets the first column of the embedding.
    """
    config = ModelConfig(vocab_size=V, n_layers=1, d_model=16, n_heads=2, max_length=512)
    params = jax.tree.map(np.array, noisy_params(config))
    params["final_norm"]["scale"][:] = 0
    params["final_norm"]["bias"][:] = np.arange(16) == 0
    params["embedding"]["token"][:, 0] = logits()[0]
    with engine_of(params, config, ByteTokenizer(V), rows=8) as engine:
        yield engine


LENGTH, TEXTS = 500, 40  # 20,000 tokens


@pytest.mark.long
@pytest.mark.parametrize("combinations", [COMBINATIONS[i::16] for i in range(16)])
def test_texts_of_the_engine_follow_the_probabilities_of_their_settings(
    engine_of_fixed_logits, combinations
):
    """Penalties change the probabilities from token to token. So each token is placed, at random
    within its share, on the line of all probabilities given the text before it: the places are
    uniform if and only if the tokens follow the probabilities.
    """
    rng, prompt = np.random.default_rng(0), (3, 3, 9, 14)
    requests = [
        GenerateRequest(
            prompt,
            dataclasses.replace(config, max_tokens=LENGTH, min_tokens=LENGTH, seed=1000 * i),
            n=TEXTS,
        )
        for i, config in enumerate(combinations)
    ]
    sayable_v = np.arange(V) > 1
    for config, results in zip(combinations, engine_of_fixed_logits.generate(requests)):
        places = []
        for result in results:
            assert len(result.tokens) == LENGTH
            seen_v, counts_v = np.isin(np.arange(V), prompt), np.zeros(V)
            for token in result.tokens:
                p = np.zeros(V)
                p[sayable_v] = reference(
                    logits()[0][sayable_v], config, seen_v[sayable_v], counts_v[sayable_v]
                )
                assert p[token] > 0, config
                places.append(p[:token].sum() + rng.uniform() * p[token])
                seen_v[token] = True
                counts_v[token] += 1
        counts, _ = np.histogram(places, bins=50, range=(0, 1))
        assert chi_square_deviate(counts, np.full(50, 1 / 50)) < 4, config


def test_bias_and_least_length():
    row = logits()
    best = int(np.argmax(row))
    greedy = SamplingConfig(temperature=0.0, min_tokens=2, max_tokens=5)
    steps = [choose(row, jnp.array([i]), greedy, ends=[best]) for i in range(3)]
    assert steps[0] == steps[1] != best and steps[2] == best


def test_greedy_and_forbidden_tokens():
    row, step, greedy = logits(), jnp.zeros(1, jnp.int32), SamplingConfig(temperature=0.0)
    best, second = np.argsort(-row[0])[:2]
    assert choose(row, step, greedy) == best
    assert choose(row, step, greedy, allowed=np.arange(V) != best) == second


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
    settings = sampling_params([SamplingConfig(top_k=7, top_p=0.9)])
    result = np.asarray(KEEP_TOP(jnp.asarray(row), settings))[0]
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
        {"min_p": -0.1},
        {"min_p": 1.5},
        {"min_tokens": 200},
        {"frequency_penalty": 101},
        {"presence_penalty": -math.inf},
        {"logit_bias": {3: 101}},
        {"logprobs": 21},
        {"max_tokens": 2.5},
        {"seed": True},
        {"temperature": "hot"},
        {"stop": "끝"},
        {"stop_ids": (0.5,)},
        {"logit_bias": {"3": 1}},
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
    steps = jnp.zeros(200, jnp.int32)
    tokens = choose(row, steps, *seeds, allowed=[True, False, True, True]).tolist()
    assert set(tokens) == ({3} if temperature < 1 else {0, 2, 3})


def test_settings_larger_than_any_text_or_vocabulary_are_as_large_as_fits():
    params = sampling_params([SamplingConfig(max_tokens=10**12, top_k=10**12, seed=10**30)])
    assert params.max_tokens_b[0] == params.top_k_b[0] == 2**31 - 1


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_row_that_may_only_end_ends_before_its_least_length(temperature):
    """A grammar whose text is whole allows nothing else; no token is chosen that may not be."""
    row, steps = np.repeat(logits(), 2, axis=0), jnp.zeros(2, jnp.int32)
    config = SamplingConfig(temperature=temperature, min_tokens=3)
    only_end = choose(row, steps, config, config, ends=[7], allowed=np.arange(V) == 7)
    assert only_end.tolist() == [7, 7]
    two = choose(row, steps, config, config, ends=[7], allowed=np.isin(np.arange(V), [7, 9]))
    assert two.tolist() == [9, 9]
