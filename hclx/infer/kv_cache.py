"""The key-value cache, and the forward pass of new tokens over it."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from hclx.config import ModelConfig
from hclx.model import Params, embed, final_norm, run_block
from hclx.model.attention import dot_product_attention


class KVCache(NamedTuple):
    """Keys and values of every block, [layers, b, s, h, k]; a row's first `length` positions are in
    use.
    """

    k: jax.Array
    v: jax.Array

    @property
    def size(self) -> int:
        """Positions a row has room for."""
        return self.k.shape[2]


def init_cache(config: ModelConfig, batch: int, size: int, dtype: str) -> KVCache:
    """An empty cache of `size` positions."""
    shape = (config.n_layers, batch, size, config.n_kv_heads, config.d_head)
    return KVCache(jnp.zeros(shape, dtype), jnp.zeros(shape, dtype))


def extend(
    params: Params,
    cache: KVCache,
    tokens_bt: jax.Array,
    lengths_b: jax.Array,
    config: ModelConfig,
    dtype: str,
) -> tuple[jax.Array, KVCache]:
    """Runs tokens that follow what the cache holds.

    Args:
      params: of the decoder.
      cache: with `lengths_b` positions in use.
      tokens_bt: int32. Rows may be padded at the end: padding is written beyond the row's length,
        where the next tokens overwrite it, and no query before it can see it.
      lengths_b: int32, positions in use; the new tokens take the next t.
      config: the model's shape.
      dtype: of activations and cache.
    Returns:
      Hidden states [b, t, d] after the final norm, and the cache.
    """
    positions_bt = lengths_b[:, None] + jnp.arange(tokens_bt.shape[1])
    mask_bts = jnp.arange(cache.size)[None, None, :] <= positions_bt[:, :, None]
    write = jax.vmap(
        lambda row, new, start: jax.lax.dynamic_update_slice_in_dim(row, new, start, 0)
    )

    def body(x_btd, layer):
        block, k_bshk, v_bshk = layer

        def attend(q_bthk, k_bthk, v_bthk):
            k, v = write(k_bshk, k_bthk, lengths_b), write(v_bshk, v_bthk, lengths_b)
            return dot_product_attention(q_bthk, k, v, mask_bts), (k, v)

        return run_block(block, x_btd, positions_bt, attend, config)

    x_btd = embed(params, tokens_bt, positions_bt, config, dtype)
    x_btd, (k, v) = jax.lax.scan(body, x_btd, (params["blocks"], cache.k, cache.v))
    return final_norm(params, x_btd, config), KVCache(k, v)
