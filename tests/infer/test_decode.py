"""Decoding with the cache against full forward passes, and the loop on the device."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hclx.config import ComputeConfig, ModelConfig
from hclx.data.batch import packing
from hclx.infer import SamplingConfig, prepare_params
from hclx.infer.decode import NO_TOKEN, bucket, decode, extend, init_cache, prefill
from hclx.infer.sampling import sampling_params
from hclx.model import hidden_states, unembed
from tests.helpers.numpy_decoder import forward, noisy_params

CONFIG = ModelConfig(vocab_size=97, n_layers=3, d_model=24, n_heads=3, max_length=64)
SWITCHED = dataclasses.replace(CONFIG, qk_norm=True, embedding_norm=True)
EOD = 1
GREEDY = SamplingConfig(temperature=0.0)
ALL = jnp.ones(CONFIG.vocab_size, bool)


@pytest.fixture(scope="module")
def stacked():
    """Parameters as training has them."""
    return noisy_params(CONFIG)


@pytest.fixture(scope="module")
def params(stacked):
    """Parameters as decoding has them."""
    return prepare_params(stacked, CONFIG)


def read(params, prompts, size=64):
    lengths = np.array([len(p) for p in prompts], np.int32)
    padded = np.zeros((len(prompts), bucket(max(lengths), size)), np.int32)
    for row, prompt in zip(padded, prompts):
        row[: len(prompt)] = prompt
    return prefill(params, padded, lengths, size=size, config=CONFIG)


def run(params, prompts, n, sampling=GREEDY, limit=None, calls=1, size=64):
    """Tokens [b, calls * n]; `sampling`: of all rows, or one a row."""
    rows = sampling if isinstance(sampling, list) else [sampling] * len(prompts)
    rows = [dataclasses.replace(row, max_tokens=limit or n * calls) for row in rows]
    state, outs = read(params, prompts, size), []
    for _ in range(calls):
        state, out = decode(
            params, state, sampling_params(rows), ALL, n=n, eod_id=EOD, config=CONFIG
        )
        outs.append(np.asarray(out))
    return np.concatenate(outs, axis=1)


def full_forward_greedy(params, prompt, n):
    """No cache at all: the whole text is computed again for each token, by the numpy oracle."""
    tokens = list(prompt)
    for _ in range(n):
        tokens.append(int(np.argmax(forward(params, np.array(tokens), CONFIG)[-1])))
    return tokens[len(prompt) :]


def test_greedy_with_the_cache_is_greedy_without_it(stacked, params):
    for prompt in ([EOD], [EOD, 5, 17, 40], [EOD, *range(2, 35)]):
        tokens = run(params, [prompt], 24)[0].tolist()
        expected = full_forward_greedy(stacked, prompt, 24)
        upto = expected.index(EOD) if EOD in expected else 24
        assert tokens[:upto] == expected[:upto] and all(t == NO_TOKEN for t in tokens[upto:])


@pytest.mark.parametrize("config, gain, tolerance", [(CONFIG, 4, 1e-4), (SWITCHED, 1, 1e-5)])
def test_logits_at_every_position_are_those_of_the_full_forward(config, gain, tolerance):
    params = noisy_params(config, gain=gain)
    tokens = jnp.asarray(np.random.default_rng(0).integers(2, 97, (2, 30)))
    compute = ComputeConfig(dtype="float32", remat="none")
    full = hidden_states(params, tokens, *packing(tokens, EOD), config, compute)
    step, prepared = jax.jit(extend, static_argnums=4), prepare_params(params, config)
    cache, lengths = init_cache(prepared, 2, 32), jnp.zeros(2, jnp.int32)
    for start, stop in ((0, 7), (7, 8), (8, 9), (9, 30)):
        x, cache = step(prepared, cache, tokens[:, start:stop], lengths, config)
        lengths += stop - start
        np.testing.assert_allclose(
            unembed(params, x, config),
            unembed(params, full[:, start:stop], config),
            rtol=tolerance,
            atol=tolerance,
        )


def test_rows_of_different_lengths_do_not_disturb_each_other(params):
    prompts = [[EOD, 5, 17, 40], [EOD], [EOD, *range(2, 40)]]
    together = run(params, prompts, 16)
    for prompt, row in zip(prompts, together):
        assert row.tolist() == run(params, [prompt], 16)[0].tolist()


@pytest.mark.parametrize("sampling", [GREEDY, SamplingConfig(temperature=1.0, seed=4)])
def test_the_number_of_calls_does_not_change_the_text(params, sampling):
    assert (
        run(params, [[EOD, 9]], 24, sampling) == run(params, [[EOD, 9]], 4, sampling, calls=6)
    ).all()


def test_a_row_depends_on_no_other_row(params):
    """Rows have keys of their own: another batch around a row leaves its samples as they are."""
    row, config = [EOD, 9, 30], SamplingConfig(temperature=1.0, top_p=1.0, seed=4)
    others = [GREEDY, config, SamplingConfig(temperature=2.0, top_k=9, seed=5)]
    alone = run(params, [row], 20, config)[0].tolist()
    together = run(params, [[EOD], row, [EOD, *range(2, 40)]], 20, others)
    assert together[1].tolist() == alone
    twins = run(params, [row, row], 20, config)
    assert twins[0].tolist() == twins[1].tolist() == alone


def test_seed_decides_the_sample(params):
    texts = [
        run(params, [[EOD, 9]], 20, SamplingConfig(temperature=1.0, top_p=1.0, seed=s)).tolist()
        for s in (1, 1, 2)
    ]
    assert texts[0] == texts[1] != texts[2]


def test_a_row_ends_at_the_end_of_its_document_and_the_loop_with_the_last_row(params):
    only_eod = jnp.zeros(CONFIG.vocab_size, bool).at[EOD].set(True)
    state, out = decode(
        params,
        read(params, [[EOD, 3]], size=32),
        sampling_params([GREEDY]),
        only_eod,
        n=20,
        eod_id=EOD,
        config=CONFIG,
    )
    assert (np.asarray(out) == NO_TOKEN).all() and state.step_b.tolist() == [1]


def test_the_end_of_a_document_is_not_punished_for_the_beginning_of_the_prompt(params):
    """It is the most likely token, but not if the penalty divides its logit."""
    state = read(params, [[EOD, 9, 9]])
    logits = jnp.full_like(state.logits_bv, -9.0).at[0, EOD].set(5.0).at[0, 7].set(4.0)
    settings = sampling_params([dataclasses.replace(GREEDY, repetition_penalty=1.3)])
    state = state._replace(logits_bv=logits)
    _, tokens = decode(params, state, settings, ALL, n=1, eod_id=EOD, config=CONFIG)
    assert tokens.tolist() == [[NO_TOKEN]]


def test_a_full_cache_ends_a_row(params):
    out = run(
        params, [[EOD, *range(2, 30)]], 20, SamplingConfig(temperature=2.0, top_p=1.0), size=32
    )[0]
    assert 1 <= (out != NO_TOKEN).sum() <= 4 and out[-1] == NO_TOKEN


def test_limit_holds_over_calls(params):
    out = run(params, [[EOD, 9]], 4, SamplingConfig(temperature=1.0, seed=4), limit=6, calls=3)[0]
    assert (out != NO_TOKEN).sum() <= 6


@pytest.mark.parametrize(
    "length, limit, size",
    [(1, 512, 32), (32, 512, 32), (33, 512, 64), (300, 512, 512), (40, 50, 50)],
)
def test_buckets(length, limit, size):
    assert bucket(length, limit) == size
