"""Causal attention in plain XLA, block by block, for CPUs and any device that no kernel serves.

The backward pass computes the weights again from the log-sum-exp of each query's scores (Dao et al.
2022, "FlashAttention", algorithm 4). That is one pass over the scores; automatic differentiation of
the softmax takes several.
"""

import functools
import math

import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name

from hclx.model import remat

MAX_BLOCKS, MIN_BLOCK = 4, 64

_dot = functools.partial(jnp.einsum, preferred_element_type=jnp.float32)


def blockwise_attention(
    q_bthk: jax.Array,
    k_bthk: jax.Array,
    v_bthk: jax.Array,
    segments_bt: jax.Array,
    window: jax.Array | None = None,
) -> jax.Array:
    """Causal self-attention within segments, with scores divided by sqrt(k) here. Scores and
    softmax are float32 for any input dtype.

    With n blocks, (n + 1) / 2n of the square of scores is computed.

    Args:
      q_bthk, k_bthk, v_bthk: of the same shape and dtype.
      segments_bt: int32, the document that each token belongs to.
      window: int32, the number of tokens that a query sees, itself included; None: all before it.
    Returns:
      The context [b, t, h, k], in the dtype of the inputs.
    """
    return attention_and_normaliser(q_bthk, k_bthk, v_bthk, segments_bt, window)[0]


def attention_and_normaliser(
    q_bthk: jax.Array,
    k_bthk: jax.Array,
    v_bthk: jax.Array,
    segments_bt: jax.Array,
    window: jax.Array | None = None,
) -> tuple[jax.Array, jax.Array]:
    """Returns the context of `blockwise_attention`, and the log-sum-exp of each query's scores,
    float32 [b, t, h], by which attention to further keys can be joined with it.
    """
    scale = jnp.asarray(1.0 / math.sqrt(q_bthk.shape[-1]), q_bthk.dtype)
    # Heads before positions: each head's matrix products are then contiguous, which CPUs are much
    # faster with.
    q_bhtk, k_bhtk, v_bhtk = (x.swapaxes(1, 2) for x in (q_bthk * scale, k_bthk, v_bthk))
    context_bhtk, normaliser_bht1 = _attend(q_bhtk, k_bhtk, v_bhtk, segments_bt, window)
    return context_bhtk.swapaxes(1, 2), normaliser_bht1[..., 0].swapaxes(1, 2)


@jax.custom_vjp
def _attend(q_bhtk, k_bhtk, v_bhtk, segments_bt, window):
    return _forward(q_bhtk, k_bhtk, v_bhtk, segments_bt, window)[0]


def _forward(q_bhtk, k_bhtk, v_bhtk, segments_bt, window):
    contexts, normalisers = [], []
    for queries in _blocks(q_bhtk.shape[2]):
        keys = slice(0, queries.stop)
        scores_bhts = _scores(q_bhtk, k_bhtk, segments_bt, window, queries, keys)
        largest_bht1 = scores_bhts.max(-1, keepdims=True)
        weights_bhts = jnp.exp(scores_bhts - largest_bht1)
        sum_bht1 = weights_bhts.sum(-1, keepdims=True)
        # Divided after the product with the values: k divisions for each query instead of s.
        context_bhtk = (
            _dot("bhts,bhsk->bhtk", weights_bhts.astype(v_bhtk.dtype), v_bhtk[:, :, keys])
            / sum_bht1
        )
        contexts.append(context_bhtk.astype(v_bhtk.dtype))
        normalisers.append(largest_bht1 + jnp.log(sum_bht1))
    # Remat policies keep both by this name, so that nothing of the above runs again in the backward
    # pass.
    context_bhtk, normaliser_bht1 = (
        checkpoint_name(jnp.concatenate(x, 2), remat.CONTEXT) for x in (contexts, normalisers)
    )
    residuals = (q_bhtk, k_bhtk, v_bhtk, segments_bt, window, context_bhtk, normaliser_bht1)
    return (context_bhtk, normaliser_bht1), residuals


def _backward(residuals, cotangents):
    d_context_bhtk, d_normaliser_bht1 = cotangents
    q_bhtk, k_bhtk, v_bhtk, segments_bt, window, context_bhtk, normaliser_bht1 = residuals
    # the mean of d_weights, weighted by the weights
    mean_bht1 = jnp.sum(d_context_bhtk.astype(jnp.float32) * context_bhtk, -1, keepdims=True)
    mean_bht1 -= d_normaliser_bht1  # whose own derivative by a score is its weight
    dq_bhtk, dks, dvs = jnp.zeros(q_bhtk.shape, jnp.float32), [], []
    for keys in _blocks(q_bhtk.shape[2]):
        queries = slice(keys.start, None)
        q, d_context = q_bhtk[:, :, queries], d_context_bhtk[:, :, queries]
        weights_bhts = jnp.exp(
            _scores(q_bhtk, k_bhtk, segments_bt, window, queries, keys)
            - normaliser_bht1[:, :, queries]
        )
        d_weights_bhts = _dot("bhtk,bhsk->bhts", d_context, v_bhtk[:, :, keys])
        d_scores_bhts = (weights_bhts * (d_weights_bhts - mean_bht1[:, :, queries])).astype(q.dtype)
        dq_bhtk = dq_bhtk.at[:, :, queries].add(
            _dot("bhts,bhsk->bhtk", d_scores_bhts, k_bhtk[:, :, keys])
        )
        dks.append(_dot("bhts,bhtk->bhsk", d_scores_bhts, q).astype(q.dtype))
        dvs.append(_dot("bhts,bhtk->bhsk", weights_bhts.astype(q.dtype), d_context).astype(q.dtype))
    grads = (dq_bhtk.astype(q_bhtk.dtype), jnp.concatenate(dks, 2), jnp.concatenate(dvs, 2))
    return *grads, None, None


_attend.defvjp(_forward, _backward)


def _scores(
    q_bhtk: jax.Array,
    k_bhtk: jax.Array,
    segments_bt: jax.Array,
    window: jax.Array | None,
    queries: slice,
    keys: slice,
) -> jax.Array:
    """float32 [b, h, queries, keys]; the lowest number if a query may not see a key."""
    index_t = jnp.arange(segments_bt.shape[1])
    distance_ts = index_t[queries, None] - index_t[keys]
    seen_ts = distance_ts >= 0
    if window is not None:
        seen_ts &= distance_ts < window
    visible_bts = seen_ts & (segments_bt[:, queries, None] == segments_bt[:, None, keys])
    scores_bhts = _dot("bhtk,bhsk->bhts", q_bhtk[:, :, queries], k_bhtk[:, :, keys])
    return jnp.where(visible_bts[:, None], scores_bhts, jnp.finfo(jnp.float32).min)


def _blocks(length: int) -> list[slice]:
    count = max(1, min(MAX_BLOCKS, length // MIN_BLOCK))
    edges = [length * i // count for i in range(count + 1)]
    return [slice(*edge) for edge in zip(edges, edges[1:])]
