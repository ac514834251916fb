"""The compiled calls that read tokens into rows of the cache, prompts and texts that are scored or
embedded alike, and those that compute from the hidden states what was asked for.

They are compiled apart, because the first depends on the length of the cache, and the others on how
many of the hidden states they need.
"""

import functools

import jax
import jax.numpy as jnp

from hclx.config import ModelConfig
from hclx.infer.kv_cache import extend
from hclx.infer.rows import DecodeState, Sampled, place_rows, replicate, with_logprobs
from hclx.model import Params, unembed
from hclx.parallel import constrain


@functools.partial(jax.jit, static_argnames="config", donate_argnames="state")
def prefill(
    params: Params,
    state: DecodeState,
    tokens_rt: jax.Array,
    rows_r: jax.Array,
    starts_r: jax.Array,
    counts_r: jax.Array,
    ends_rt: jax.Array,
    *,
    config: ModelConfig,
) -> tuple[DecodeState, jax.Array]:
    """Reads texts, or the next chunk of each, into rows of the cache.

    Args:
      params: as `hclx.infer.prepare_params` returns them.
      state: is donated.
      tokens_rt: int32, padded at the end by any id.
      rows_r: int32, the row of each, which is not active; a row that the state has not is read for
        nothing, so that few shapes are compiled.
      starts_r: int32, the positions in use of each row.
      counts_r: int32, the number of tokens of each without padding, at least 1.
      ends_rt: int32, for each token the index behind the last one that continues it; 0 for
        padding. It is the count of the row for all tokens of one text: see `extend`.
      config: the model's shape.
    Returns:
      The state, and the hidden states [r, t, d] after the final norm.
    """
    x_rtd, cache = extend(
        params, state.cache, tokens_rt, starts_r, config, rows_r, counts_r, ends_rt
    )
    lengths_b = state.rows.lengths_b.at[rows_r].set(starts_r + counts_r, mode="drop")
    return DecodeState(cache, place_rows(state.rows._replace(lengths_b=lengths_b))), x_rtd


@jax.jit
def select(x_rtd: jax.Array, at_rn: jax.Array) -> jax.Array:
    """Returns the hidden states [r, n, d] of some tokens of each row, `at_rn`."""
    return jnp.take_along_axis(x_rtd, at_rn[:, :, None], axis=1)


@functools.partial(jax.jit, static_argnames="config")
def next_logits(params: Params, x_r1d: jax.Array, *, config: ModelConfig) -> jax.Array:
    """Returns the float32 logits [r, v] that follow one token of each row."""
    return constrain(unembed(params, x_r1d, config)[:, 0], None, "vocab")


@functools.partial(jax.jit, static_argnames="config")
def score(
    params: Params,
    x_rnd: jax.Array,
    targets_rn: jax.Array,
    with_top: jax.Array,
    *,
    config: ModelConfig,
) -> Sampled:
    """Returns the log-probabilities of tokens that follow others.

    Args:
      params: as `hclx.infer.prepare_params` returns them.
      x_rnd: the hidden states of the tokens that they follow.
      targets_rn: int32, the tokens.
      with_top: bool, whether the likeliest tokens are computed too.
      config: the model's shape.
    """
    logits_rnv = constrain(unembed(params, x_rnd, config), None, None, "vocab")
    return replicate(with_logprobs(targets_rn, logits_rnv, with_top))


@jax.jit
def pool(x_rtd: jax.Array, counts_r: jax.Array) -> jax.Array:
    """Returns the sum of the first hidden states of each row, float32 [r, d]."""
    is_token_rt = jnp.arange(x_rtd.shape[1]) < counts_r[:, None]
    return replicate((x_rtd.astype(jnp.float32) * is_token_rt[:, :, None]).sum(1))
