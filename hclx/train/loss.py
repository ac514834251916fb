"""Cross-entropy over a large vocabulary, whose logits exist for one chunk of a device's tokens at a
time.
"""

import functools

import jax
import jax.numpy as jnp

from hclx.model import Params, unembed
from hclx.parallel import axis_size, constrain, flatten_tokens, unflatten_tokens


def token_losses(logits_nv: jax.Array, targets_n: jax.Array) -> jax.Array:
    """float32 [n]: -log softmax(logits)[target].

    The target's logit is picked by comparing with an iota and not by indexing, so that a vocabulary
    cut over the `model` axis is never gathered.
    """
    target_logits_n = jnp.sum(jnp.where(_is_target(logits_nv, targets_n), logits_nv, 0.0), axis=1)
    return jax.nn.logsumexp(logits_nv, axis=1) - target_logits_n


def _is_target(logits_nv: jax.Array, targets_n: jax.Array) -> jax.Array:
    return jax.lax.broadcasted_iota(targets_n.dtype, logits_nv.shape, 1) == targets_n[:, None]


def _logits(embedding_vd: jax.Array, x_nd: jax.Array) -> jax.Array:
    return constrain(unembed({"embedding": {"token": embedding_vd}}, x_nd), "tokens", "vocab")


def chunked_token_losses(
    params: Params, x_btd: jax.Array, targets_bt: jax.Array, chunk_tokens: int
) -> jax.Array:
    """float32 [b, t]: the loss of each token, from hidden states after the final norm, without
    gradients.

    Args:
      params: of the decoder; its tied embedding is the output projection.
      x_btd: hidden states.
      targets_bt: int32.
      chunk_tokens: see `chunk_columns`.
    """
    embedding_vd = params["embedding"]["token"]

    def losses(chunk):
        x_bcd, targets_bc = chunk
        losses_n = token_losses(
            _logits(embedding_vd, flatten_tokens(x_bcd)), flatten_tokens(targets_bc)
        )
        return unflatten_tokens(losses_n, *targets_bc.shape)

    return _join(
        jax.lax.map(losses, (_split(x_btd, chunk_tokens), _split(targets_bt, chunk_tokens)))
    )


def summed_loss(
    params: Params,
    x_btd: jax.Array,
    targets_bt: jax.Array,
    weights_bt: jax.Array,
    chunk_tokens: int,
    z_loss: float = 0.0,
) -> jax.Array:
    """Weighted sum of all token losses, with gradients for hidden states and embedding.

    The gradient of a sum is known as soon as the logits are, but for one factor: so it is formed
    chunk by chunk in the forward pass, and no logits are kept or computed twice.

    With `z_loss` value and gradient are of different functions, on purpose: the gradient is that of
    the sum over tokens of loss + z_loss · log²Z, Z being the sum of a token's exponentiated logits
    (Chowdhery et al. 2022, PaLM, section 5), and the value stays the cross-entropy, so that runs
    can be compared.

    Args:
      params, x_btd, targets_bt, chunk_tokens: as in `chunked_token_losses`.
      weights_bt: float32, of each token in the sum; they have no gradient.
      z_loss: static; keeps log Z near 0, which cross-entropy alone leaves to drift.
    Returns:
      float32, nats.
    """
    embedding_vd = params["embedding"]["token"]
    return _summed_loss(embedding_vd, x_btd, targets_bt, weights_bt, chunk_tokens, z_loss)


@functools.partial(jax.custom_vjp, nondiff_argnums=(4, 5))
def _summed_loss(embedding_vd, *args):
    return _summed_loss_forward(embedding_vd, *args)[0]


def _summed_loss_forward(embedding_vd, x_btd, targets_bt, weights_bt, chunk_tokens, z_loss):
    # gathered once, and not for each chunk
    projection_vd = constrain(embedding_vd.astype(x_btd.dtype), "vocab", None)

    def add_chunk(carry, chunk):
        loss, grad_dv = carry
        x_nd, targets_n, weights_n = map(flatten_tokens, chunk)
        weights_n1 = weights_n[:, None]
        logits_nv = _logits(projection_vd, x_nd)
        normaliser_n = jax.nn.logsumexp(logits_nv, axis=1)
        is_target_nv = _is_target(logits_nv, targets_n)
        target_logits_nv = jnp.where(is_target_nv, weights_n1 * logits_nv, 0.0)
        loss += jnp.sum(weights_n * normaliser_n) - jnp.sum(target_logits_nv)
        # the softmax: d log Z / d logits
        dnormaliser_nv = jnp.exp(logits_nv - normaliser_n[:, None])
        if z_loss:  # d log²Z = 2 log Z d log Z
            dnormaliser_nv *= 1.0 + 2.0 * z_loss * normaliser_n[:, None]
        dlogits_nv = (dnormaliser_nv - is_target_nv).astype(x_btd.dtype)
        # The weights multiply the small sides of both products and not the large dlogits.
        weights_n1 = weights_n1.astype(x_btd.dtype)
        dx_nd = weights_n1 * (dlogits_nv @ projection_vd)
        # The small factor is transposed, and in memory: on CPU the product is 1.4 times as fast as
        # by columns of the large one.
        x_dn = jax.lax.optimization_barrier((weights_n1 * x_nd).T)
        grad_dv += jnp.matmul(x_dn, dlogits_nv, preferred_element_type=jnp.float32)
        return (loss, grad_dv), unflatten_tokens(dx_nd, *chunk[1].shape)

    zero = (jnp.zeros((), jnp.float32), jnp.zeros(embedding_vd.shape[::-1], jnp.float32))
    chunks = tuple(_split(array, chunk_tokens) for array in (x_btd, targets_bt, weights_bt))
    (loss, grad_dv), dx_cbtd = jax.lax.scan(add_chunk, zero, chunks)
    return loss, (grad_dv.T, _join(dx_cbtd))


def _summed_loss_backward(chunk_tokens, z_loss, residuals, cotangent):
    grad_vd, dx_btd = residuals
    return grad_vd * cotangent, dx_btd * cotangent.astype(dx_btd.dtype), None, None


_summed_loss.defvjp(_summed_loss_forward, _summed_loss_backward)


def _split(array_bt: jax.Array, chunk_tokens: int) -> jax.Array:
    """[b, t, ...] -> [c, b, t / c, ...]: chunks of positions, of each device's own, so that nothing
    moves.
    """
    batch, length = array_bt.shape[:2]
    pieces = axis_size("length")
    columns = chunk_columns(max(1, batch // axis_size("batch")), length // pieces, chunk_tokens)
    chunks = array_bt.reshape(batch, pieces, -1, columns, *array_bt.shape[2:])
    return jnp.moveaxis(chunks, 2, 0).reshape(-1, batch, pieces * columns, *array_bt.shape[2:])


def _join(chunks_cbt: jax.Array) -> jax.Array:
    """The inverse of `_split`."""
    count, batch, columns = chunks_cbt.shape[:3]
    pieces = axis_size("length")
    array = jnp.moveaxis(
        chunks_cbt.reshape(count, batch, pieces, columns // pieces, *chunks_cbt.shape[3:]), 0, 2
    )
    return array.reshape(batch, count * columns, *chunks_cbt.shape[3:])


def chunk_columns(batch: int, length: int, chunk_tokens: int) -> int:
    """Positions a chunk: the largest divisor of `length` with batch x columns within `chunk_tokens`
    (0: all), at least 1.

    All are what one device has.
    """
    if chunk_tokens == 0 or batch * length <= chunk_tokens:
        return length
    limit = max(1, chunk_tokens // batch)
    return max(c for c in range(1, limit + 1) if length % c == 0)
