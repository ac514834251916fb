"""Decoding without an engine: rows of a state that are read, begun and sampled by the compiled
calls themselves.
"""

from collections.abc import Sequence

import numpy as np

from hclx.infer.decode import MOST_STEPS, begin_row, decode
from hclx.infer.kv_cache import KVCache
from hclx.infer.prefill import next_logits, prefill, select
from hclx.infer.rows import RowSettings, init_state
from hclx.infer.sampling import NEVER, SamplingConfig, TokenMasks, sampling_params


def settings_of(
    config: SamplingConfig, vocab_size: int, *, ends=(), seen=(), allowed=None, step=0
) -> RowSettings:
    """The settings of a row; `ends`, `seen` and `allowed` are token ids."""
    bias_v = np.zeros(vocab_size, np.float32)
    if allowed is not None:
        bias_v[:] = NEVER
        bias_v[list(allowed)] = 0
    ends_v, seen_v = np.zeros((2, vocab_size), bool)
    ends_v[list(ends)], seen_v[list(seen)] = True, True
    row = sampling_params([config])
    return RowSettings(
        type(row)(*(array[0] for array in row)),
        TokenMasks(bias_v, ends_v, seen_v, np.zeros(vocab_size, np.int32)),
        np.int32(step),
    )


def read(params, prompts: Sequence[Sequence[int]], config, size: int):
    """Reads prompts into rows of a new state, and returns it and the logits that follow."""
    lengths = np.array([len(prompt) for prompt in prompts], np.int32)
    padded = np.zeros((len(prompts), max(lengths)), np.int32)
    for row, prompt in zip(padded, prompts):
        row[: len(prompt)] = prompt
    state = init_state(params, len(prompts), size, config)
    rows = np.arange(len(prompts), dtype=np.int32)
    return prefill_logits(params, state, padded, rows, np.zeros_like(rows), lengths, config)


def prefill_logits(params, state, tokens_rt, rows_r, starts_r, counts_r, config):
    """Reads tokens into rows, and returns the state and the logits that follow the last of each."""
    is_token_rt = np.arange(tokens_rt.shape[1]) < counts_r[:, None]
    places = rows_r, starts_r, counts_r, np.where(is_token_rt, counts_r[:, None], 0)
    state, x_rtd = prefill(params, state, tokens_rt, *places, config=config)
    return state, next_logits(params, select(x_rtd, counts_r[:, None] - 1), config=config)


def begin(state, logits_rv, settings: Sequence[RowSettings]):
    """Begins every row, and returns the state and the first tokens, [b]."""
    vocab_size, tokens = logits_rv.shape[1], []
    everything = np.full(-(-vocab_size // 32), 2**32 - 1, np.uint32)
    for row, of_row in enumerate(settings):
        place = np.int32(row), of_row, logits_rv, np.int32(row), everything, np.bool_(False)
        rows, sampled = begin_row(state.rows, *place)
        state = state._replace(rows=rows)
        tokens.append(int(sampled.tokens[0]))
    return state, tokens


def step_arguments(state, n: int):
    """The arguments of `decode` after parameters and state, for all rows and n steps."""
    everything = np.ones(len(state.rows.tokens_b), bool)
    return everything, np.int32(n), np.bool_(False), np.bool_(False)


def sample_rows_of(
    params, prompts, settings: Sequence[RowSettings], config, n: int, *, size: int, steps: int = 8
) -> np.ndarray:
    """Tokens [b, n] that follow prompts, with `NO_TOKEN` after the end of a row."""
    state, logits_rv = read(params, prompts, config, size)
    state, first = begin(state, logits_rv, settings)
    outs, left = [np.array(first)[:, None]], n - 1
    while left > 0:
        count = min(steps, left, MOST_STEPS)
        state, sampled = decode(params, state, *step_arguments(state, count), config=config)
        outs.append(np.asarray(sampled.tokens)[:, :count])
        left -= count
    return np.concatenate(outs, axis=1)


def cache_arrays(cache: KVCache):
    """The arrays of a cache."""
    return [*cache.k, *cache.v]
