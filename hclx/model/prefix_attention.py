"""Attention to a prefix: keys and values that every token sees before those of its own document.

The documents of a packed row share a prefix and nothing else. So what a query takes from it is
computed apart, and joined with its context by the log-sum-exp of the scores of both.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from hclx.model.blockwise import attention_and_normaliser


class Prefix(NamedTuple):
    """Keys and values at the positions 0 to p - 1 of every document.

    Attributes:
      k, v: [p, g, k], keys with positions and norms as in a KV cache; [layers, p, g, k] for all
        layers.
    """

    k: jax.Array
    v: jax.Array


def prefix_attention(
    q_bthk: jax.Array,
    k_bthk: jax.Array,
    v_bthk: jax.Array,
    segments_bt: jax.Array,
    window: jax.Array | None,
    prefix: Prefix,
    positions_bt: jax.Array,
) -> jax.Array:
    """Causal self-attention within segments, and to a prefix.

    Args:
      q_bthk, k_bthk, v_bthk, segments_bt, window: as in
        `hclx.model.blockwise.blockwise_attention`.
      prefix: of this layer; its heads are those of q_bthk, or each is shared by a group of them.
      positions_bt: int32, from p in each document; they count for the window alone.
    Returns:
      The context [b, t, h, k], in the dtype of the inputs.
    """
    context_bthk, normaliser_bth = attention_and_normaliser(
        q_bthk, k_bthk, v_bthk, segments_bt, window
    )
    length, heads, size = prefix.k.shape
    per_head = lambda x_pgk: jnp.repeat(x_pgk, q_bthk.shape[2] // heads, axis=1)
    k_phk, v_phk = (per_head(x_pgk.astype(q_bthk.dtype)) for x_pgk in prefix)
    scale = jnp.asarray(1.0 / math.sqrt(size), q_bthk.dtype)
    scores_bthp = jnp.einsum(
        "bthk,phk->bthp", q_bthk * scale, k_phk, preferred_element_type=jnp.float32
    )
    if window is not None:
        distance_btp = positions_bt[:, :, None] - jnp.arange(length)
        lowest = jnp.finfo(jnp.float32).min
        scores_bthp = jnp.where((distance_btp < window)[:, :, None], scores_bthp, lowest)
    largest_bth = jnp.maximum(scores_bthp.max(-1), normaliser_bth)
    own_bth = jnp.exp(normaliser_bth - largest_bth)
    weights_bthp = jnp.exp(scores_bthp - largest_bth[..., None])
    of_prefix_bthk = jnp.einsum(
        "bthp,phk->bthk",
        weights_bthp.astype(v_phk.dtype),
        v_phk,
        preferred_element_type=jnp.float32,
    )
    sum_bth1 = (own_bth + weights_bthp.sum(-1))[..., None]
    return ((own_bth[..., None] * context_bthk + of_prefix_bthk) / sum_bth1).astype(v_bthk.dtype)
