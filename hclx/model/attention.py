"""Causal attention behind one interface. A backend that cannot serve what it is asked for raises."""

import functools
import logging
import math

import jax
import jax.numpy as jnp

from hclx.errors import ConfigError
from hclx.model.layers import Attend

_LOG = logging.getLogger(__name__)


def causal_mask(queries_bt: jax.Array, keys_bs: jax.Array, q_segments_bt: jax.Array, k_segments_bs: jax.Array) -> jax.Array:
    """Boolean [b, t, s]: a query sees the keys of its own document at its own index and before.

    Args:
      queries_bt, keys_bs: int32, indices in the window, increasing.
      q_segments_bt, k_segments_bs: int32, which document a token belongs to.
    """
    before = queries_bt[:, :, None] >= keys_bs[:, None, :]
    return before & (q_segments_bt[:, :, None] == k_segments_bs[:, None, :])


def dot_product_attention(q_bthk: jax.Array, k_bshk: jax.Array, v_bshk: jax.Array, mask_bts: jax.Array) -> jax.Array:
    """Softmax attention in plain XLA; scores and softmax in float32 whatever the inputs are. Returns [b, t, h, k]."""
    scale = 1.0 / math.sqrt(q_bthk.shape[-1])
    scores_bhts = jnp.einsum("bthk,bshk->bhts", q_bthk * jnp.asarray(scale, q_bthk.dtype), k_bshk, preferred_element_type=jnp.float32)
    scores_bhts = jnp.where(mask_bts[:, None], scores_bhts, jnp.finfo(jnp.float32).min)
    weights_bhts = jax.nn.softmax(scores_bhts, axis=-1).astype(v_bshk.dtype)
    return jnp.einsum("bhts,bshk->bthk", weights_bhts, v_bshk)


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
    index = jnp.broadcast_to(jnp.arange(segments_bt.shape[1]), segments_bt.shape)
    mask_bts = causal_mask(index, index, segments_bt, segments_bt)
    return lambda q, k, v: (dot_product_attention(q, k, v, mask_bts), None)


@functools.cache
def choose_backend(backend: str) -> str:
    """Resolves "auto", and says once what it chose."""
    if backend != "auto":
        return backend
    _LOG.info("attention: auto chose xla on %s", jax.default_backend())
    return "xla"
