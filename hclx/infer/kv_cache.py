"""The KV cache: its layout, tokens that are read into it, and rows that are copied out and in."""

import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from hclx.config import ModelConfig
from hclx.infer.adapted_params import adapted_blocks, adapted_vectors
from hclx.model import Params, embed, final_norm, layer_kinds, run_block
from hclx.parallel import constrain


class KVCache(NamedTuple):
    """Keys and values of every block: for each block an array [b, g, s, k].

    They are arrays of their own, and not slices of one array, so that XLA writes the keys of a new
    token where they belong and copies nothing. Heads come before positions, so that the products of
    each head are contiguous. A row uses its first `length` positions. The cache of a single row may
    leave out the axis of rows: [g, s, k].
    """

    k: tuple[jax.Array, ...]
    v: tuple[jax.Array, ...]

    @property
    def size(self) -> int:
        """The number of positions that a row has room for."""
        return self.k[0].shape[-2]

    @property
    def n_rows(self) -> int:
        """The number of rows."""
        return self.k[0].shape[0]


@functools.partial(jax.jit, static_argnames=("rows", "size"))
def init_cache(params: Params, rows: int, size: int) -> KVCache:
    """Makes a cache of zeros on the ambient mesh.

    Args:
      params: as `hclx.infer.prepare_params` returns them. The heads of keys and values of each
        block, and the dtype of activations, are those of the cache.
      rows: the number of rows.
      size: positions of each row.
    """

    dtype = params["embedding"]["token"].dtype

    def zeros(layer):
        heads, head_size = layer["attention"]["kv"].shape[-2:]
        return place_cache(jnp.zeros((rows, heads, size, head_size), dtype))

    return KVCache(*(tuple(map(zeros, params["blocks"])) for _ in range(2)))


def extend(
    params: Params,
    cache: KVCache,
    tokens_rt: jax.Array,
    lengths_r: jax.Array,
    config: ModelConfig,
    rows_r: jax.Array | None = None,
    counts_r: jax.Array | None = None,
    ends_rt: jax.Array | None = None,
) -> tuple[jax.Array, KVCache]:
    """Runs tokens that follow those in the cache.

    Args:
      params: as `hclx.infer.prepare_params` returns them, or with adapters beside them: see
        `hclx.infer.adapter_arrays`. Activations have their dtype.
      cache: with `lengths_r` positions in use.
      tokens_rt: int32. Rows may be padded at the end: padding is written beyond the row's length,
        where the next tokens overwrite it, and no query before it can see it.
      lengths_r: int32, the positions in use; the new tokens take the next t. Those beyond the size
        of the cache are not written. The caller advances the lengths.
      config: the model's shape.
      rows_r: int32, the rows of the cache that the tokens belong to, each at most once; nothing is
        written for a row that the cache has not. Default: all of them, in order.
      counts_r: int32, how many of the new tokens are no padding; default: all. The length of a text
        counts where frequencies are stretched with it, see `hclx.model.rotary.rotate`.
      ends_rt: int32, for each new token the index behind the last one that continues it, so that a
        row may have several texts that begin alike: see `hclx.infer.token_tree.TokenTree`. All of
        them continue what is in the cache. Default: the new tokens of a row are one text.
    Returns:
      Hidden states [r, t, d] after the final norm, and the cache with the new tokens in it.
    """
    places_rt = lengths_r[:, None] + jnp.arange(tokens_rt.shape[1])
    positions_rt, is_seen = places_rt, functools.partial(_see_all_before, places_rt)
    if ends_rt is not None:
        positions_rt, is_seen = _see_own_text(lengths_r, ends_rt)
    if counts_r is not None:
        positions_rt = jnp.minimum(positions_rt, (lengths_r + counts_r - 1)[:, None])
    dtype = params["embedding"]["token"].dtype.name  # so that no weight is converted
    vectors_rtd = adapted_vectors(params, tokens_rt, config)
    x_rtd = embed(params, tokens_rt, positions_rt, config, dtype, vectors_rtd)
    blocks = []
    for layer, kind, k_bgsk, v_bgsk in zip(adapted_blocks(params), layer_kinds(config), *cache):
        attend = functools.partial(_attend, (k_bgsk, v_bgsk), places_rt, rows_r, is_seen)
        x_rtd, block_cache = run_block(layer, x_rtd, positions_rt, attend, kind, config)
        blocks.append(block_cache)
    return final_norm(params, x_rtd, config), KVCache(*zip(*blocks))


def _attend(block_cache, places_rt, rows_r, is_seen, q_rthk, k_rtgk, v_rtgk, window):
    """Writes new keys and values into the cache of a block, and attends to it."""
    if block_cache[0].ndim == 3:
        return _attend_to_row(block_cache, places_rt[0, 0], q_rthk, k_rtgk, v_rtgk, window)
    at_r1 = (jnp.arange(q_rthk.shape[0]) if rows_r is None else rows_r)[:, None]
    # Places beyond the cache are dropped.
    write = lambda cache_bgsk, new_rtgk: place_cache(
        cache_bgsk.at[at_r1, :, places_rt].set(new_rtgk, mode="drop")
    )
    written = tuple(map(write, block_cache, (k_rtgk, v_rtgk)))
    read = lambda cache_bgsk: (
        cache_bgsk if rows_r is None else cache_bgsk.at[rows_r].get(mode="clip")
    )
    k_rgsk, v_rgsk = map(read, written)
    mask_rts = is_seen(k_rgsk.shape[2], window)
    return cached_attention(q_rthk, k_rgsk, v_rgsk, mask_rts), written


def _see_all_before(places_rt, size: int, window) -> jax.Array:
    """Which places of the cache each new token sees, if those of a row are one text: bool
    [r, t, s].
    """
    distance_rts = places_rt[:, :, None] - jnp.arange(size)
    mask_rts = distance_rts >= 0
    return mask_rts if window is None else mask_rts & (distance_rts < window)


def _see_own_text(lengths_r, ends_rt):
    """The positions [r, t] of new tokens that are a tree, and a function like `_see_all_before`."""
    number_t = jnp.arange(ends_rt.shape[1])
    is_before_rtt = number_t <= number_t[:, None]
    is_before_rtt &= number_t[:, None] < ends_rt[:, None, :]
    positions_rt = lengths_r[:, None] + jnp.maximum(is_before_rtt.sum(-1) - 1, 0)

    def is_seen(size: int, window) -> jax.Array:
        number_rs = jnp.arange(size) - lengths_r[:, None]  # of a new token, below 0 for old ones
        of_new = lambda array_rt: jnp.take_along_axis(
            array_rt, jnp.clip(number_rs, 0, array_rt.shape[1] - 1), axis=1
        )[:, None]
        is_old_r1s, number_r1s = number_rs[:, None] < 0, number_rs[:, None]
        continues_rts = number_r1s <= number_t[:, None]
        continues_rts &= number_t[:, None] < of_new(ends_rt)
        mask_rts = is_old_r1s | continues_rts
        if window is None:
            return mask_rts
        position_r1s = jnp.where(is_old_r1s, jnp.arange(size), of_new(positions_rt))
        return mask_rts & (positions_rt[:, :, None] - position_r1s < window)

    return positions_rt, is_seen


def _attend_to_row(block_cache, position, q_11hk, k_11gk, v_11gk, window):
    """Does what `_attend` does, for one token of one row whose cache has no axis of rows. With an
    axis of size one, XLA for CPUs would copy keys and values several times.
    """
    # A position beyond the cache is that of a row that has ended, which may be written anywhere.
    write = lambda cache_gsk, new_11gk: constrain(
        jax.lax.dynamic_update_slice(cache_gsk, new_11gk[0, 0, :, None], (0, position, 0)),
        *("kv_heads", None, "head_dim"),
    )
    k_gsk, v_gsk = written = tuple(map(write, block_cache, (k_11gk, v_11gk)))
    groups, length, size = k_gsk.shape
    distance_s = position - jnp.arange(length)
    mask_s = distance_s >= 0
    if window is not None:
        mask_s &= distance_s < window
    product = functools.partial(jnp.einsum, preferred_element_type=jnp.float32)
    scale = jnp.asarray(1.0 / math.sqrt(size), q_11hk.dtype)
    q_grk = q_11hk.reshape(groups, -1, size)
    scores_gsr = product("gsk,grk->gsr", k_gsk, q_grk * scale)
    masked_gsr = jnp.where(mask_s[:, None], scores_gsr, jnp.finfo(jnp.float32).min)
    weights_gsr = jax.nn.softmax(masked_gsr, axis=1).astype(v_gsk.dtype)
    context_grk = product("gsr,gsk->grk", weights_gsr, v_gsk)
    return context_grk.reshape(q_11hk.shape).astype(v_gsk.dtype), written


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


@functools.partial(jax.jit, static_argnames="size")
def _resize(array_bgsk: jax.Array, *, size: int) -> jax.Array:
    old = array_bgsk.shape[2]
    if size <= old:
        return place_cache(array_bgsk[:, :, :size])
    return place_cache(jnp.pad(array_bgsk, ((0, 0), (0, 0), (0, size - old), (0, 0))))


def resize_cache(cache: KVCache, size: int) -> KVCache:
    """Returns a cache whose rows have `size` positions, with the first of each row kept. One array
    is converted at a time and the old one is freed, so that little more than one cache is held.
    """

    def convert(array_bgsk):
        new = jax.block_until_ready(_resize(array_bgsk, size=size))
        array_bgsk.delete()
        return new

    return jax.tree.map(convert, cache)


@functools.partial(jax.jit, donate_argnames="target")
def copy_chunks(
    target: KVCache,
    source: KVCache,
    target_at: jax.Array,
    source_at: jax.Array,
    n: jax.Array,
) -> KVCache:
    """Copies chunks of positions from one cache into another: from the row of a request into the
    prefix cache, whose rows are chunks, or back.

    Args:
      target: is written in place.
      source: one of both has rows as long as a chunk, which is the size of what is copied.
      target_at, source_at: int32 [m, 2], row and first position of each chunk.
      n: int32, the number of chunks to copy, at most m.
    """
    size = min(target.size, source.size)

    def copy(i, target):
        def one_array(to_bgsk, from_bgsk):
            groups, head_size = from_bgsk.shape[1], from_bgsk.shape[3]
            chunk = jax.lax.dynamic_slice(
                from_bgsk,
                (source_at[i, 0], 0, source_at[i, 1], 0),
                (1, groups, size, head_size),
            )
            at = (target_at[i, 0], 0, target_at[i, 1], 0)
            return jax.lax.dynamic_update_slice(to_bgsk, chunk, at)

        return jax.tree.map(one_array, target, source)

    return jax.tree.map(place_cache, jax.lax.fori_loop(0, n, copy, target))


def place_cache(array_bgsk: jax.Array) -> jax.Array:
    """Lays an array of the cache on the ambient mesh."""
    return constrain(array_bgsk, "batch", "kv_heads", None, "head_dim")
