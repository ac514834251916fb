"""Causal attention behind one interface. A backend that cannot serve what it is asked for raises."""

import functools
import logging
import math

import jax
import jax.numpy as jnp

from hclx.errors import ConfigError
from hclx.model.layers import Attend

_LOG = logging.getLogger(__name__)

MAX_QUERY_BLOCKS, MIN_QUERY_BLOCK = 4, 64


def causal_mask(q_segments_bt: jax.Array, k_segments_bs: jax.Array) -> jax.Array:
    """Boolean [b, t, s]: a query sees the keys of its own document at its own index and before.

    Args:
      q_segments_bt, k_segments_bs: int32, which document a token belongs to; the queries are the last t of the s keys.
    """
    t, s = q_segments_bt.shape[1], k_segments_bs.shape[1]
    before_ts = jnp.arange(s - t, s)[:, None] >= jnp.arange(s)
    return before_ts & (q_segments_bt[:, :, None] == k_segments_bs[:, None, :])


def dot_product_attention(q_bthk: jax.Array, k_bshk: jax.Array, v_bshk: jax.Array, mask_bts: jax.Array) -> jax.Array:
    """Softmax attention in plain XLA; scores and softmax in float32 whatever the inputs are. Returns [b, t, h, k]."""
    # Heads before positions: each head's matrix products are then contiguous, which CPUs are much faster with.
    q_bhtk, k_bhsk, v_bhsk = (x.swapaxes(1, 2) for x in (q_bthk, k_bshk, v_bshk))
    scale = jnp.asarray(1.0 / math.sqrt(q_bhtk.shape[-1]), q_bhtk.dtype)
    scores_bhts = jnp.einsum("bhtk,bhsk->bhts", q_bhtk * scale, k_bhsk, preferred_element_type=jnp.float32)
    scores_bhts = jnp.where(mask_bts[:, None], scores_bhts, jnp.finfo(jnp.float32).min)
    weights_bhts = jax.nn.softmax(scores_bhts, axis=-1).astype(v_bhsk.dtype)
    return jnp.einsum("bhts,bhsk->bhtk", weights_bhts, v_bhsk).swapaxes(1, 2)


def causal_attention(q_bthk: jax.Array, k_bthk: jax.Array, v_bthk: jax.Array, segments_bt: jax.Array) -> jax.Array:
    """Attention of windows over themselves, the queries taken in blocks that skip the keys after them.

    Of the square of scores, n blocks compute (n + 1) / 2n. The backward pass computes the weights again.
    """
    length = q_bthk.shape[1]
    blocks = max(1, min(MAX_QUERY_BLOCKS, length // MIN_QUERY_BLOCK))
    edges = [length * i // blocks for i in range(blocks + 1)]
    attend = jax.checkpoint(dot_product_attention)
    contexts = []
    for start, stop in zip(edges, edges[1:]):
        mask_bts = causal_mask(segments_bt[:, start:stop], segments_bt[:, :stop])
        contexts.append(attend(q_bthk[:, start:stop], k_bthk[:, :stop], v_bthk[:, :stop], mask_bts))
    return jnp.concatenate(contexts, axis=1)


def packed_attention(segments_bt: jax.Array, backend: str) -> Attend:
    """Attention over a window of packed documents, which never see each other.

    Args:
      segments_bt: int32, the document that each token belongs to.
      backend: one of `hclx.config.ATTENTION_BACKENDS`.
    Returns:
      (q, k, v) -> (context, None).
    """
    if choose_backend(backend) != "xla":
        raise ConfigError(f"ComputeConfig.attention={backend!r} is not built in")
    return lambda q, k, v: (causal_attention(q, k, v, segments_bt), None)


@functools.cache
def choose_backend(backend: str) -> str:
    """Resolves "auto", and says once what it chose."""
    if backend != "auto":
        return backend
    _LOG.info("attention: auto chose xla on %s", jax.default_backend())
    return "xla"
