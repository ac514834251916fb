"""Cross-entropy over a large vocabulary, whose logits exist for one chunk of tokens at a time."""

import functools

import jax
import jax.numpy as jnp

from hclx.model import Params, unembed
from hclx.parallel import constrain


def token_losses(logits_nv: jax.Array, targets_n: jax.Array) -> jax.Array:
    """float32 [n]: -log softmax(logits)[target].

    The target's logit is picked by comparing with an iota and not by indexing, so that a vocabulary cut over the
    `model` axis is never gathered.
    """
    target_logits_n = jnp.sum(jnp.where(_is_target(logits_nv, targets_n), logits_nv, 0.0), axis=1)
    return jax.nn.logsumexp(logits_nv, axis=1) - target_logits_n


def _is_target(logits_nv: jax.Array, targets_n: jax.Array) -> jax.Array:
    return jax.lax.broadcasted_iota(targets_n.dtype, logits_nv.shape, 1) == targets_n[:, None]


def _logits(embedding_vd: jax.Array, x_nd: jax.Array) -> jax.Array:
    return constrain(unembed({"embedding": {"token": embedding_vd}}, x_nd), "batch", "vocab")


def chunked_token_losses(params: Params, x_btd: jax.Array, targets_bt: jax.Array, chunk_tokens: int) -> jax.Array:
    """float32 [b, t]: the loss of each token, from hidden states after the final norm, without gradients.

    Args:
      params: of the decoder; its tied embedding is the output projection.
      x_btd: hidden states.
      targets_bt: int32.
      chunk_tokens: see `chunk_columns`.
    """
    embedding_vd = params["embedding"]["token"]

    def losses(chunk):
        x_bcd, targets_bc = chunk
        logits_nv = _logits(embedding_vd, x_bcd.reshape(-1, x_bcd.shape[-1]))
        return token_losses(logits_nv, targets_bc.reshape(-1)).reshape(targets_bc.shape)

    columns = chunk_columns(*targets_bt.shape, chunk_tokens)
    losses_cbt = jax.lax.map(losses, (_split(x_btd, columns), _split(targets_bt, columns)))
    return jnp.moveaxis(losses_cbt, 0, 1).reshape(targets_bt.shape)


def summed_loss(params: Params, x_btd: jax.Array, targets_bt: jax.Array, chunk_tokens: int) -> jax.Array:
    """The sum of all token losses, float32, with gradients for hidden states and embedding.

    The gradient of a sum is known as soon as the logits are, but for one factor: so it is formed chunk by chunk in
    the forward pass, and no logits are kept or computed twice.
    """
    return _summed_loss(params["embedding"]["token"], x_btd, targets_bt, chunk_columns(*targets_bt.shape, chunk_tokens))


@functools.partial(jax.custom_vjp, nondiff_argnums=(3,))
def _summed_loss(embedding_vd, x_btd, targets_bt, columns):
    return _summed_loss_forward(embedding_vd, x_btd, targets_bt, columns)[0]


def _summed_loss_forward(embedding_vd, x_btd, targets_bt, columns):
    projection_vd = embedding_vd.astype(x_btd.dtype)

    def chunk(carry, piece):
        loss, grad_dv = carry
        x_nd, targets_n = piece[0].reshape(-1, x_btd.shape[-1]), piece[1].reshape(-1)
        logits_nv = _logits(projection_vd, x_nd)
        normaliser_n = jax.nn.logsumexp(logits_nv, axis=1)
        is_target_nv = _is_target(logits_nv, targets_n)
        loss += normaliser_n.sum() - jnp.sum(jnp.where(is_target_nv, logits_nv, 0.0))
        dlogits_nv = (jnp.exp(logits_nv - normaliser_n[:, None]) - is_target_nv).astype(x_btd.dtype)
        dx_nd = dlogits_nv @ projection_vd
        # The small factor is transposed, and in memory: on CPU the product is 1.4 times as fast as by columns of the large one.
        x_dn = jax.lax.optimization_barrier(x_nd.T)
        grad_dv += jnp.matmul(x_dn, dlogits_nv, preferred_element_type=jnp.float32)
        return (loss, grad_dv), dx_nd.reshape(piece[0].shape)

    zero = (jnp.zeros((), jnp.float32), jnp.zeros(embedding_vd.shape[::-1], jnp.float32))
    (loss, grad_dv), dx_cbtd = jax.lax.scan(chunk, zero, (_split(x_btd, columns), _split(targets_bt, columns)))
    return loss, (grad_dv.T, jnp.moveaxis(dx_cbtd, 0, 1).reshape(x_btd.shape))


def _summed_loss_backward(columns, residuals, cotangent):
    grad_vd, dx_btd = residuals
    return grad_vd * cotangent, dx_btd * cotangent.astype(dx_btd.dtype), None


_summed_loss.defvjp(_summed_loss_forward, _summed_loss_backward)


def _split(array_bt: jax.Array, columns: int) -> jax.Array:
    """[b, t, ...] -> [t / columns, b, columns, ...]: chunks of positions, so that the batch stays sharded as it is."""
    batch, length = array_bt.shape[:2]
    return jnp.moveaxis(array_bt.reshape(batch, length // columns, columns, *array_bt.shape[2:]), 1, 0)


def chunk_columns(batch: int, length: int, chunk_tokens: int) -> int:
    """Positions a chunk: the largest divisor of `length` with batch x columns within `chunk_tokens` (0: all), at least 1."""
    if chunk_tokens == 0 or batch * length <= chunk_tokens:
        return length
    limit = max(1, chunk_tokens // batch)
    return max(c for c in range(1, limit + 1) if length % c == 0)
