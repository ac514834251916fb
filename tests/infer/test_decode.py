"""Decoding with the cache against full forward passes, and the loop on the device."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hclx.config import ComputeConfig, ModelConfig
from hclx.data.batch import packing
from hclx.infer import SamplingConfig, prepare_params
from hclx.infer.decode import decode
from hclx.infer.kv_cache import extend, init_cache, resize_cache
from hclx.infer.rows import NO_TOKEN, bucket
from hclx.model import hidden_states, unembed
from tests.helpers.decoding import (
    begin,
    cache_arrays,
    prefill_logits,
    read,
    sample_rows_of,
    settings_of,
    step_arguments,
)
from tests.helpers.numpy_decoder import forward, noisy_params

CONFIG = ModelConfig(vocab_size=97, n_layers=3, d_model=24, n_heads=3, max_length=64)
SWITCHED = dataclasses.replace(CONFIG, qk_norm=True, embedding_norm=True)
EOD = 1
GREEDY = SamplingConfig(temperature=0.0)


@pytest.fixture(scope="module")
def stacked():
    """Parameters as training has them."""
    return noisy_params(CONFIG)


@pytest.fixture(scope="module")
def params(stacked):
    """Parameters as decoding has them."""
    return prepare_params(stacked, CONFIG)


def run(params, prompts, n, sampling=GREEDY, limit=None, steps=8, size=64):
    """Tokens [b, n], with that of the end of a document; `sampling`: of all rows, or one a row."""
    rows = sampling if isinstance(sampling, list) else [sampling] * len(prompts)
    rows = [dataclasses.replace(row, max_tokens=limit or n) for row in rows]
    settings = [
        settings_of(row, CONFIG.vocab_size, ends=[EOD], seen={*prompt} - {EOD})
        for row, prompt in zip(rows, prompts)
    ]
    return sample_rows_of(params, prompts, settings, CONFIG, n, size=size, steps=steps)


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
        upto = expected.index(EOD) + 1 if EOD in expected else 24
        assert tokens[:upto] == expected[:upto] and all(t == NO_TOKEN for t in tokens[upto:])


@pytest.mark.parametrize("config, gain, tolerance", [(CONFIG, 4, 1e-4), (SWITCHED, 1, 1e-5)])
def test_logits_at_every_position_are_those_of_the_full_forward(config, gain, tolerance):
    params = noisy_params(config, gain=gain)
    tokens = jnp.asarray(np.random.default_rng(0).integers(2, 97, (2, 30)))
    compute = ComputeConfig(dtype="float32", remat="none")
    whole = jax.jit(hidden_states, static_argnums=(4, 5))
    full = whole(params, tokens, *packing(tokens, EOD), config, compute)
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
    few, many = (run(params, [[EOD, 9]], 24, sampling, steps=steps) for steps in (16, 3))
    assert (few == many).all()


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
    state, logits = read(params, [[EOD, 3]], CONFIG, 32)
    settings = settings_of(GREEDY, CONFIG.vocab_size, ends=[EOD], allowed=[EOD])
    state, tokens = begin(state, logits, [settings])
    assert tokens == [EOD] and state.rows.is_active_b.tolist() == [False]
    state, sampled = decode(params, state, *step_arguments(state, 8), config=CONFIG)
    assert (np.asarray(sampled.tokens) == NO_TOKEN).all() and state.rows.step_b.tolist() == [1]
    assert state.rows.lengths_b.tolist() == [2]


def test_a_text_does_not_end_before_it_has_its_least_length(params):
    sampling = dataclasses.replace(GREEDY, min_tokens=3, max_tokens=9)
    settings = settings_of(sampling, CONFIG.vocab_size, ends=[EOD], allowed=[EOD, 5])
    tokens = sample_rows_of(params, [[EOD, 3]], [settings], CONFIG, 9, size=32)[0].tolist()
    assert tokens[:3] == [5, 5, 5] and tokens.count(EOD) <= 1


def test_the_end_of_a_document_is_not_punished_for_the_beginning_of_the_prompt(params):
    """It is the most likely token, but not if the penalty divides its logit."""
    state, logits = read(params, [[EOD, 9, 9]], CONFIG, 32)
    logits = jnp.full_like(logits, -9.0).at[0, EOD].set(5.0).at[0, 7].set(4.0)
    sampling = dataclasses.replace(GREEDY, repetition_penalty=1.3)
    settings = settings_of(sampling, CONFIG.vocab_size, ends=[EOD], seen=[9])
    assert begin(state, logits, [settings])[1] == [EOD]


GROUPED = dataclasses.replace(
    CONFIG, n_heads=6, kv_heads=2, head_size=8, position="rotary", window=5, qk_norm=True
)


def test_one_row_alone_computes_what_it_does_among_others():
    """Its cache has another shape then, with groups of heads and windows too."""
    params = prepare_params(noisy_params(GROUPED), GROUPED)
    prompts = [[EOD, 5, 17, 40], [EOD, *range(2, 20)], [EOD]]
    settings = settings_of(dataclasses.replace(GREEDY, max_tokens=40), GROUPED.vocab_size)

    def state():
        state, logits = read(params, prompts, GROUPED, 48)
        return begin(state, logits, [settings] * 3)[0]

    def steps(state, stays, rows):
        everything = np.array(stays), np.int32(12), np.bool_(False), np.bool_(False), rows
        return decode(params, state, *everything, config=GROUPED)

    together, sampled = steps(state(), [True] * 3, None)
    for row in range(3):
        alone, other = steps(state(), [i == row for i in range(3)], np.array([row], np.int32))
        np.testing.assert_array_equal(other.tokens[row], sampled.tokens[row])
        np.testing.assert_allclose(other.logprobs[row], sampled.logprobs[row], atol=1e-4)
        assert alone.rows.lengths_b[row] == together.rows.lengths_b[row]
        n = int(together.rows.lengths_b[row])
        for mine, theirs in zip(cache_arrays(alone.cache), cache_arrays(together.cache)):
            np.testing.assert_allclose(mine[row, :, :n], theirs[row, :, :n], atol=1e-4)


def test_a_row_whose_request_is_gone_samples_no_more(params):
    """Else it would move on in a row that the next request is read into."""
    state, logits = read(params, [[EOD, 3], [EOD, 4]], CONFIG, 32)
    settings = settings_of(dataclasses.replace(GREEDY, max_tokens=9), CONFIG.vocab_size)
    state, _ = begin(state, logits, [settings] * 2)
    _, *others = step_arguments(state, 4)
    state, sampled = decode(params, state, np.array([True, False]), *others, config=CONFIG)
    assert (np.asarray(sampled.tokens)[1] == NO_TOKEN).all()
    assert state.rows.is_active_b.tolist() == [True, False]
    assert state.rows.lengths_b.tolist() == [6, 2]


def test_limit_holds_over_calls(params):
    out = run(params, [[EOD, 9]], 12, SamplingConfig(temperature=1.0, seed=4), limit=6, steps=4)[0]
    assert (out != NO_TOKEN).sum() <= 6


def test_chunks_of_a_prompt_in_any_rows_give_what_the_whole_gives(params):
    """Rows that the state has not are read for nothing, and other rows stay as they are."""
    from hclx.infer.rows import init_state

    prompt = [EOD, *range(2, 29)]
    _, expected = read(params, [prompt], CONFIG, 64)
    state = init_state(params, 3, 64, CONFIG)
    for begin_at, end in ((0, 16), (16, 24), (24, 28)):
        tokens = np.zeros((2, 16), np.int32)
        tokens[0, : end - begin_at] = prompt[begin_at:end]
        places = np.array([[2, 3], [begin_at, 0], [end - begin_at, 1]], np.int32)
        state, logits = prefill_logits(params, state, tokens, *places, CONFIG)
    np.testing.assert_allclose(logits[0], expected[0], atol=1e-5)
    assert state.rows.lengths_b.tolist() == [0, 0, 28] and not state.cache.k[0][:2].any()


def test_a_longer_or_shorter_cache_holds_the_same(params):
    state, _ = read(params, [[EOD, 5, 6, 7]], CONFIG, 32)
    before = np.asarray(state.cache.k[1])
    longer = resize_cache(state.cache, 64)
    assert longer.size == 64 and (np.asarray(longer.k[1])[:, :, :32] == before).all()
    assert (np.asarray(resize_cache(longer, 32).k[1]) == before).all()


@pytest.mark.parametrize(
    "length, limit, size",
    [(1, 512, 32), (32, 512, 32), (33, 512, 48), (49, 512, 64), (300, 512, 384), (40, 45, 45)],
)
def test_buckets(length, limit, size):
    assert bucket(length, limit) == size
