"""Cross-entropy over a large vocabulary, whose logits exist for one chunk of tokens at a time."""

import jax
import jax.numpy as jnp

from hclx.model import Params, unembed
from hclx.parallel import constrain


def token_losses(logits_nv: jax.Array, targets_n: jax.Array) -> jax.Array:
    """float32 [n]: -log softmax(logits)[target].

    The target's logit is picked by comparing with an iota and not by indexing, so that a vocabulary cut over the
    `model` axis is never gathered.
    """
    is_target = jax.lax.broadcasted_iota(targets_n.dtype, logits_nv.shape, 1) == targets_n[:, None]
    target_logits_n = jnp.sum(jnp.where(is_target, logits_nv, 0.0), axis=1)
    return jax.nn.logsumexp(logits_nv, axis=1) - target_logits_n


def chunked_token_losses(params: Params, x_btd: jax.Array, targets_bt: jax.Array, chunk_tokens: int) -> jax.Array:
    """Token losses from hidden states, [b, t].

    Args:
      params: of the decoder; its tied embedding is the output projection.
      x_btd: after the final norm.
      targets_bt: int32.
      chunk_tokens: tokens whose logits exist at a time, per sequence batch; 0 for all. A chunk is a stretch of
        positions of every sequence, so that the batch stays sharded as it is. Rounded down to a divisor of t.
    """
    batch, length, _ = x_btd.shape

    def losses(x_bcd, targets_bc):
        logits_nv = constrain(unembed(params, x_bcd.reshape(-1, x_bcd.shape[-1])), "batch", "vocab")
        return token_losses(logits_nv, targets_bc.reshape(-1)).reshape(targets_bc.shape)

    columns = chunk_columns(batch, length, chunk_tokens)
    if columns == length:
        return losses(x_btd, targets_bt)
    split = lambda a: jnp.moveaxis(a.reshape(batch, length // columns, columns, *a.shape[2:]), 1, 0)
    chunks = jax.lax.map(lambda chunk: jax.checkpoint(losses)(*chunk), (split(x_btd), split(targets_bt)))
    return jnp.moveaxis(chunks, 0, 1).reshape(batch, length)


def chunk_columns(batch: int, length: int, chunk_tokens: int) -> int:
    """Positions a chunk: the largest divisor of `length` that keeps batch x columns within `chunk_tokens` (at least 1)."""
    if chunk_tokens == 0 or batch * length <= chunk_tokens:
        return length
    limit = max(1, chunk_tokens // batch)
    return max(c for c in range(1, limit + 1) if length % c == 0)
