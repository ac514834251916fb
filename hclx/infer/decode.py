"""Prefill and the decode loop, both on the device: the host sees tokens only when a call
returns.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp

from hclx.config import ModelConfig
from hclx.infer.kv_cache import KVCache, extend, init_cache
from hclx.infer.sampling import SamplingConfig, sample
from hclx.model import Params, unembed

SMALLEST_BUCKET = 32
NOTHING = -1  # in place of a token, once a row is done


class DecodeState(NamedTuple):
    """What a decode loop carries from one call to the next; it stays on the device.

    Attributes:
      cache: keys and values.
      lengths_b: int32, positions in use.
      logits_bv: float32, for the next token.
      seen_bv: bool, tokens that occurred.
      done_b: bool, rows that reached the end of their document.
      step: int32, tokens sampled so far.
    """

    cache: KVCache
    lengths_b: jax.Array
    logits_bv: jax.Array
    seen_bv: jax.Array
    done_b: jax.Array
    step: jax.Array


def bucket(length: int, limit: int) -> int:
    """The length that `length` is padded to: a power of two, or `limit`; so that few programs are
    compiled.
    """
    size = SMALLEST_BUCKET
    while size < length:
        size *= 2
    return min(size, limit)


@functools.partial(jax.jit, static_argnames=("size", "config", "dtype"))
def prefill(
    params: Params,
    tokens_bt: jax.Array,
    lengths_b: jax.Array,
    *,
    size: int,
    config: ModelConfig,
    dtype: str,
) -> DecodeState:
    """Reads prompts.

    Args:
      params: of the decoder.
      tokens_bt: int32, padded at the end.
      lengths_b: int32, tokens of each prompt, at least 1.
      size: positions of the cache.
      config: the model's shape.
      dtype: of activations and cache.
    """
    batch, length = tokens_bt.shape
    empty = init_cache(config, batch, size, dtype)
    x_btd, cache = extend(params, empty, tokens_bt, jnp.zeros_like(lengths_b), config, dtype)
    last_b1d = jnp.take_along_axis(x_btd, (lengths_b - 1)[:, None, None], axis=1)
    in_prompt_bt = jnp.arange(length) < lengths_b[:, None]
    rows = jnp.arange(batch)[:, None]
    seen_bv = jnp.zeros((batch, config.vocab_size), bool).at[rows, tokens_bt].max(in_prompt_bt)
    logits_bv = unembed(params, last_b1d, config)[:, 0]
    return DecodeState(cache, lengths_b, logits_bv, seen_bv, jnp.zeros(batch, bool), jnp.int32(0))


@functools.partial(
    jax.jit, static_argnames=("n", "eod_id", "sampling", "config", "dtype"), donate_argnames="state"
)
def decode(
    params: Params,
    state: DecodeState,
    limit: jax.Array,
    allowed_v: jax.Array,
    *,
    n: int,
    eod_id: int,
    sampling: SamplingConfig,
    config: ModelConfig,
    dtype: str,
) -> tuple[DecodeState, jax.Array]:
    """Samples up to `n` tokens in one loop on the device.

    It ends early when every row is done. A row is done at the end-of-document token (which is not
    part of the result) or when its cache is full.

    Args:
      params: of the decoder.
      state: donated.
      limit: int32, tokens that may be sampled in all, over the calls.
      allowed_v: bool, tokens that may be chosen.
      n: at most so many in this call.
      eod_id: ends a row.
      sampling: see `SamplingConfig`; the text does not depend on `n`.
      config: the model's shape.
      dtype: of activations and cache.
    Returns:
      The state, and int32 [b, n] with `NOTHING` after the end of a row.
    """
    key = jax.random.key(sampling.seed)

    def unfinished(carry):
        i, state, _ = carry
        return (i < n) & (state.step < limit) & ~state.done_b.all()

    def step(carry):
        i, state, out_bn = carry
        token_b = sample(
            state.logits_bv, state.seen_bv, allowed_v, jax.random.fold_in(key, state.step), sampling
        )
        done_b = state.done_b | (token_b == eod_id) | (state.lengths_b >= state.cache.size)
        out_bn = out_bn.at[:, i].set(jnp.where(done_b, NOTHING, token_b))
        x_btd, cache = extend(params, state.cache, token_b[:, None], state.lengths_b, config, dtype)
        seen_bv = state.seen_bv.at[jnp.arange(len(token_b)), token_b].set(True)
        lengths_b = state.lengths_b + ~done_b
        return (
            i + 1,
            DecodeState(
                cache,
                lengths_b,
                unembed(params, x_btd, config)[:, 0],
                seen_bv,
                done_b,
                state.step + 1,
            ),
            out_bn,
        )

    out_bn = jnp.full((state.done_b.shape[0], n), NOTHING, jnp.int32)
    _, state, out_bn = jax.lax.while_loop(unfinished, step, (jnp.int32(0), state, out_bn))
    return state, out_bn
