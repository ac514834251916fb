"""The KV cache, prefill and the decode loop. Both run on the device: the host sees tokens only when
a call returns.
"""

import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from hclx.config import ModelConfig
from hclx.infer.sampling import SamplingParams, sample
from hclx.model import Params, embed, final_norm, layer_kinds, run_block, unembed
from hclx.parallel import constrain

SMALLEST_BUCKET = 32
NO_TOKEN = -1  # in place of a token, once a row is done


class KVCache(NamedTuple):
    """Keys and values of every block: for each block an array [b, g, s, k].

    They are arrays of their own, and not slices of one array, so that XLA writes the keys of a new
    token where they belong and copies nothing. Heads come before positions, so that the products of
    each head are contiguous. A row uses its first `length` positions.
    """

    k: tuple[jax.Array, ...]
    v: tuple[jax.Array, ...]

    @property
    def size(self) -> int:
        """The number of positions that a row has room for."""
        return self.k[0].shape[2]


class DecodeState(NamedTuple):
    """The state that decode calls pass on; it stays on the device.

    Attributes:
      cache: keys and values.
      lengths_b: int32, the positions in use.
      logits_bv: float32, for the next token.
      seen_bv: bool, the tokens that occurred in the prompt or in the text so far.
      done_b: bool, rows that have reached the end of their document or of the cache.
      step_b: int32, the number of tokens sampled, an end-of-document token included.
    """

    cache: KVCache
    lengths_b: jax.Array
    logits_bv: jax.Array
    seen_bv: jax.Array
    done_b: jax.Array
    step_b: jax.Array


def bucket(length: int, limit: int | None = None) -> int:
    """Rounds a length up to a power of two, at least 32, so that few programs are compiled. A
    `limit` caps the result, even below `length`.
    """
    size = SMALLEST_BUCKET
    while size < length:
        size *= 2
    return size if limit is None else min(size, limit)


def init_cache(params: Params, batch: int, size: int) -> KVCache:
    """Makes a cache of zeros on the ambient mesh.

    Args:
      params: as `hclx.infer.prepare_params` returns them. The heads of keys and values of each
        block, and the dtype of their weights, are those of the cache.
      batch: the number of rows.
      size: positions of each row.
    """

    def zeros(layer):
        kv_d2hk = layer["attention"]["kv"]
        heads, head_size = kv_d2hk.shape[-2:]
        return _place_cache(jnp.zeros((batch, heads, size, head_size), kv_d2hk.dtype))

    return KVCache(*(tuple(map(zeros, params["blocks"])) for _ in range(2)))


def extend(
    params: Params,
    cache: KVCache,
    tokens_bt: jax.Array,
    lengths_b: jax.Array,
    config: ModelConfig,
    new_b: jax.Array | None = None,
) -> tuple[jax.Array, KVCache]:
    """Runs tokens that follow those in the cache.

    Args:
      params: as `hclx.infer.prepare_params` returns them. Activations have their dtype.
      cache: with `lengths_b` positions in use.
      tokens_bt: int32. Rows may be padded at the end: padding is written beyond the row's length,
        where the next tokens overwrite it, and no query before it can see it.
      lengths_b: int32, the positions in use; the new tokens take the next t. Those beyond the size
        of the cache are not written. The caller advances the lengths.
      config: the model's shape.
      new_b: int32, how many of the new tokens are no padding; default: all. The length of a text
        counts where frequencies are stretched with it, see `hclx.model.rotary.rotate`.
    Returns:
      Hidden states [b, t, d] after the final norm, and the cache with the new tokens in it.
    """
    places_bt = lengths_b[:, None] + jnp.arange(tokens_bt.shape[1])
    positions_bt = places_bt
    if new_b is not None:
        positions_bt = jnp.minimum(places_bt, (lengths_b + new_b - 1)[:, None])
    dtype = params["embedding"]["token"].dtype.name  # so that no weight is converted
    x_btd = embed(params, tokens_bt, positions_bt, config, dtype)
    blocks = []
    for layer, kind, k_bgsk, v_bgsk in zip(params["blocks"], layer_kinds(config), *cache):
        attend = functools.partial(_attend, (k_bgsk, v_bgsk), places_bt)
        x_btd, block_cache = run_block(layer, x_btd, positions_bt, attend, kind, config)
        blocks.append(block_cache)
    return final_norm(params, x_btd, config), KVCache(*zip(*blocks))


def _attend(block_cache, positions_bt, q_bthk, k_btgk, v_btgk, window):
    """Writes new keys and values into the cache of a block, and attends to it."""
    rows_b1 = jnp.arange(q_bthk.shape[0])[:, None]
    # Positions beyond the cache are dropped.
    write = lambda cache_bgsk, new_btgk: _place_cache(
        cache_bgsk.at[rows_b1, :, positions_bt].set(new_btgk, mode="drop")
    )
    k_bgsk, v_bgsk = map(write, block_cache, (k_btgk, v_btgk))
    distance_bts = positions_bt[:, :, None] - jnp.arange(k_bgsk.shape[2])
    mask_bts = distance_bts >= 0
    if window is not None:
        mask_bts &= distance_bts < window
    return cached_attention(q_bthk, k_bgsk, v_bgsk, mask_bts), (k_bgsk, v_bgsk)


def cached_attention(
    q_bthk: jax.Array, k_bgsk: jax.Array, v_bgsk: jax.Array, mask_bts: jax.Array
) -> jax.Array:
    """Softmax attention under a mask, over keys and values with heads before positions.

    Scores and softmax are float32 whatever the inputs are.

    Args:
      q_bthk: queries; they are divided by sqrt(k) here.
      k_bgsk, v_bgsk: keys and values; groups of query heads share a head of them.
      mask_bts: bool, true where a query sees a key; a query that sees none gets the mean of all
        values.
    Returns:
      [b, t, h, k] in the dtype of the values.
    """
    scale = jnp.asarray(1.0 / math.sqrt(q_bthk.shape[-1]), q_bthk.dtype)
    product = functools.partial(jnp.einsum, preferred_element_type=jnp.float32)
    batch, length, heads, size = q_bthk.shape
    groups = k_bgsk.shape[1]
    repeats = heads // groups
    if repeats > 1:  # the queries of a group become positions, so that no key is copied for them
        q_bthk = q_bthk.reshape(batch, length, groups, repeats, size).transpose(0, 3, 1, 2, 4)
        q_bthk = q_bthk.reshape(batch, repeats * length, groups, size)
        mask_bts = jnp.tile(mask_bts, (1, repeats, 1))
    scores_bgts = product("btgk,bgsk->bgts", q_bthk * scale, k_bgsk)
    weights_bgts = jax.nn.softmax(
        jnp.where(mask_bts[:, None], scores_bgts, jnp.finfo(jnp.float32).min)
    )
    context_bthk = product("bgts,bgsk->btgk", weights_bgts.astype(v_bgsk.dtype), v_bgsk)
    if repeats > 1:
        context_bthk = context_bthk.reshape(batch, repeats, length, groups, size)
        context_bthk = context_bthk.transpose(0, 2, 3, 1, 4).reshape(batch, length, heads, size)
    return context_bthk.astype(v_bgsk.dtype)


@functools.partial(jax.jit, static_argnames=("size", "config"))
def prefill(
    params: Params,
    tokens_bt: jax.Array,
    lengths_b: jax.Array,
    *,
    size: int,
    config: ModelConfig,
) -> DecodeState:
    """Reads prompts into a new cache.

    Args:
      params: as `hclx.infer.prepare_params` returns them.
      tokens_bt: int32, padded at the end by any id. A prompt begins with the end-of-document token,
        as documents do in training.
      lengths_b: int32, the number of tokens of each prompt, at least 1.
      size: positions of the cache, which a prompt and its continuation share; at least the longest
        prompt, and at most `max_length` of the model.
      config: the model's shape.
    Returns:
      The state from which `decode` samples the first token of each row.
    """
    batch, length = tokens_bt.shape
    empty = init_cache(params, batch, size)
    x_btd, cache = extend(params, empty, tokens_bt, jnp.zeros_like(lengths_b), config, lengths_b)
    last_b1d = jnp.take_along_axis(x_btd, (lengths_b - 1)[:, None, None], axis=1)
    in_prompt_bt = jnp.arange(length) < lengths_b[:, None]
    rows_b1 = jnp.arange(batch)[:, None]
    seen_bv = jnp.zeros((batch, config.vocab_size), bool).at[rows_b1, tokens_bt].max(in_prompt_bt)
    return _place(
        DecodeState(
            cache,
            lengths_b,
            unembed(params, last_b1d, config)[:, 0],
            seen_bv,
            done_b=jnp.zeros(batch, bool),
            step_b=jnp.zeros(batch, jnp.int32),
        )
    )


@functools.partial(jax.jit, static_argnames=("n", "eod_id", "config"), donate_argnames="state")
def decode(
    params: Params,
    state: DecodeState,
    sampling: SamplingParams,
    allowed_v: jax.Array,
    *,
    n: int,
    eod_id: int,
    config: ModelConfig,
) -> tuple[DecodeState, jax.Array]:
    """Samples up to `n` tokens for each row, in one loop on the device.

    A row is done at the end-of-document token (which is not part of the result), when it has its
    `max_tokens`, or when its cache is full. The loop ends early when every row is done.

    Args:
      params: as `hclx.infer.prepare_params` returns them.
      state: as `prefill` or the call before returned it; it is donated.
      sampling: the settings of each row; `max_tokens_b` counts over all calls.
      allowed_v: bool, the tokens that may be chosen.
      n: the most tokens of this call; the text does not depend on it.
      eod_id: ends a row.
      config: the model's shape.
    Returns:
      The state, and int32 [b, n] with `NO_TOKEN` (-1) after the end of a row.
    """

    size = state.cache.size
    # It begins every prompt, and the text would hardly end if it were punished for that.
    state = state._replace(seen_bv=state.seen_bv.at[:, eod_id].set(False))

    def is_active(state):
        return ~state.done_b & (state.step_b < sampling.max_tokens_b)

    def unfinished(carry):
        i, state, _ = carry
        return (i < n) & is_active(state).any()

    def step(carry):
        i, state, out_bn = carry
        active_b = is_active(state)
        token_b = sample(state.logits_bv, state.seen_bv, allowed_v, state.step_b, sampling)
        ends_b = (token_b == eod_id) | (state.lengths_b >= size)
        written_b = active_b & ~ends_b
        x_b1d, cache = extend(params, state.cache, token_b[:, None], state.lengths_b, config)
        state = DecodeState(
            cache,
            state.lengths_b + written_b,
            unembed(params, x_b1d, config)[:, 0],
            state.seen_bv.at[jnp.arange(len(token_b)), token_b].set(True),
            state.done_b | (active_b & ends_b),
            state.step_b + active_b,
        )
        out_bn = out_bn.at[:, i].set(jnp.where(written_b, token_b, NO_TOKEN))
        return i + 1, _place(state), out_bn

    out_bn = jnp.full((state.done_b.shape[0], n), NO_TOKEN, jnp.int32)
    _, state, out_bn = jax.lax.while_loop(unfinished, step, (jnp.int32(0), state, out_bn))
    return state, out_bn


def _place(state: DecodeState) -> DecodeState:
    """Lays a state on the ambient mesh, the same way in every call, so that it can be donated."""
    rows = lambda array: constrain(array, "batch")
    vocab = lambda array: constrain(array, "batch", "vocab")
    return DecodeState(
        jax.tree.map(_place_cache, state.cache),
        rows(state.lengths_b),
        vocab(state.logits_bv),
        vocab(state.seen_bv),
        rows(state.done_b),
        rows(state.step_b),
    )


def _place_cache(array_bhsk: jax.Array) -> jax.Array:
    return constrain(array_bhsk, "batch", "kv_heads", None, "head_dim")
