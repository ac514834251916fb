"""Cross-entropy over a large vocabulary. Logits exist only for one chunk of a device's tokens at a
time.
"""

import functools

import jax
import jax.numpy as jnp

from hclx.model import Head, project_to_vocab
from hclx.parallel import axis_size, constrain, flatten_tokens, unflatten_tokens


def token_losses(logits_nv: jax.Array, targets_n: jax.Array) -> jax.Array:
    """float32 [n]: -log softmax(logits)[target], in nats, of float32 logits and int32 targets.

    The target's logit is picked by comparing with an iota and not by indexing, so that a vocabulary
    sharded over the `model` axis is never gathered.
    """
    target_logits_n = jnp.sum(jnp.where(_is_target(logits_nv, targets_n), logits_nv, 0.0), axis=1)
    return jax.nn.logsumexp(logits_nv, axis=1) - target_logits_n


def _is_target(logits_nv: jax.Array, targets_n: jax.Array) -> jax.Array:
    return jax.lax.broadcasted_iota(targets_n.dtype, logits_nv.shape, 1) == targets_n[:, None]


def _logits(head: Head, x_nd: jax.Array) -> jax.Array:
    return constrain(project_to_vocab(x_nd, head), "tokens", "vocab")


def chunked_token_losses(
    head: Head, x_btd: jax.Array, targets_bt: jax.Array, chunk_tokens: int
) -> jax.Array:
    """The loss of each token, for evaluation: it has no efficient gradient.

    Args:
      head: the output projection, float32: see `hclx.model.head_weights`.
      x_btd: hidden states after the final norm.
      targets_bt: int32.
      chunk_tokens: see `chunk_columns`.
    Returns:
      float32 [b, t], nats.
    """

    def losses(chunk):
        x_bcd, targets_bc = chunk
        losses_n = token_losses(_logits(head, flatten_tokens(x_bcd)), flatten_tokens(targets_bc))
        return unflatten_tokens(losses_n, *targets_bc.shape)

    return join_positions(
        jax.lax.map(
            losses,
            (split_positions(x_btd, chunk_tokens), split_positions(targets_bt, chunk_tokens)),
        )
    )


def summed_loss(
    head: Head,
    x_btd: jax.Array,
    targets_bt: jax.Array,
    weights_bt: jax.Array,
    chunk_tokens: int,
    z_loss: float = 0.0,
) -> jax.Array:
    """The weighted sum of all token losses, with gradients for hidden states and output projection.

    The gradient of a sum is known as soon as the logits are, but for one factor; so it is formed
    chunk by chunk in the forward pass, and logits are neither kept nor computed twice.

    With `z_loss`, value and gradient are of different functions on purpose: the gradient is that of
    the weighted sum of loss + z_loss · log²Z, where Z is the sum of a token's exponentiated logits
    (Chowdhery et al. 2022, PaLM, section 5); the value stays the cross-entropy, so that runs can be
    compared.

    Args:
      head, x_btd, targets_bt, chunk_tokens: as in `chunked_token_losses`.
      weights_bt: float32 factor of each token's loss; 0 leaves a token out. It gets no gradient.
      z_loss: static; keeps log Z near 0, as cross-entropy alone lets it drift.
    Returns:
      float32, nats.
    """
    return _summed_loss(head, x_btd, targets_bt, weights_bt, chunk_tokens, z_loss)


@functools.partial(jax.custom_vjp, nondiff_argnums=(4, 5))
def _summed_loss(head, x_btd, targets_bt, weights_bt, chunk_tokens, z_loss):
    return _summed_loss_forward(head, x_btd, targets_bt, weights_bt, chunk_tokens, z_loss)[0]


def _summed_loss_forward(head, x_btd, targets_bt, weights_bt, chunk_tokens, z_loss):
    # gathered once, and not for each chunk
    projection_vd = constrain(head.weight.astype(x_btd.dtype), "vocab", None)

    def add_chunk(carry, chunk):
        loss, grad_dv, grad_bias_v = carry
        x_nd, targets_n, weights_n = map(flatten_tokens, chunk)
        logits_nv = _logits(Head(projection_vd, head.bias), x_nd)
        log_z_n = jax.nn.logsumexp(logits_nv, axis=1)
        is_target_nv = _is_target(logits_nv, targets_n)
        target_logits_n = jnp.sum(jnp.where(is_target_nv, logits_nv, 0.0), axis=1)
        loss += jnp.sum(weights_n * (log_z_n - target_logits_n))
        # the softmax: d log Z / d logits
        dlog_z_nv = jnp.exp(logits_nv - log_z_n[:, None])
        if z_loss:  # d log²Z = 2 log Z d log Z
            dlog_z_nv *= 1.0 + 2.0 * z_loss * log_z_n[:, None]
        weights_n1 = weights_n[:, None].astype(x_btd.dtype)
        dlogits_nv = (dlog_z_nv - is_target_nv).astype(x_btd.dtype)
        dx_nd = weights_n1 * (dlogits_nv @ projection_vd)
        # The small factor is transposed, and in memory: on CPU the product is 1.4 times as fast as
        # by columns of the large one.
        x_dn = jax.lax.optimization_barrier((weights_n1 * x_nd).T)
        grad_dv += jnp.matmul(x_dn, dlogits_nv, preferred_element_type=jnp.float32)
        if head.bias is not None:
            grad_bias_v += weights_n @ dlogits_nv.astype(jnp.float32)
        return (loss, grad_dv, grad_bias_v), unflatten_tokens(dx_nd, *chunk[1].shape)

    zeros = functools.partial(jnp.zeros, dtype=jnp.float32)
    bias_shape = () if head.bias is None else head.bias.shape
    zero = (zeros(()), zeros(head.weight.shape[::-1]), zeros(bias_shape))
    chunks = tuple(
        split_positions(array, chunk_tokens) for array in (x_btd, targets_bt, weights_bt)
    )
    (loss, grad_dv, grad_bias_v), dx_cbtd = jax.lax.scan(add_chunk, zero, chunks)
    # in the dtype of the weights, which are not float32 where they are frozen
    grad_vd = grad_dv.T.astype(head.weight.dtype)
    grad_head = Head(grad_vd, None if head.bias is None else grad_bias_v)
    return loss, (grad_head, join_positions(dx_cbtd))


def _summed_loss_backward(chunk_tokens, z_loss, residuals, cotangent):
    grad_head, dx_btd = residuals
    grad_head = jax.tree.map(lambda grad: grad * cotangent, grad_head)
    return grad_head, dx_btd * cotangent.astype(dx_btd.dtype), None, None


_summed_loss.defvjp(_summed_loss_forward, _summed_loss_backward)


def split_positions(array_bt: jax.Array, chunk_tokens: int) -> jax.Array:
    """[b, t, ...] -> [c, b, t / c, ...]: each device splits its own positions into c chunks, so
    that nothing moves between devices.
    """
    batch, length = array_bt.shape[:2]
    shards = axis_size("length")
    columns = chunk_columns(max(1, batch // axis_size("batch")), length // shards, chunk_tokens)
    chunks = array_bt.reshape(batch, shards, -1, columns, *array_bt.shape[2:])
    return jnp.moveaxis(chunks, 2, 0).reshape(-1, batch, shards * columns, *array_bt.shape[2:])


def join_positions(chunks_cbt: jax.Array) -> jax.Array:
    """The inverse of `split_positions`."""
    count, batch, columns = chunks_cbt.shape[:3]
    shards = axis_size("length")
    array = jnp.moveaxis(
        chunks_cbt.reshape(count, batch, shards, columns // shards, *chunks_cbt.shape[3:]), 0, 2
    )
    return array.reshape(batch, count * columns, *chunks_cbt.shape[3:])


def chunk_columns(batch: int, length: int, chunk_tokens: int) -> int:
    """Positions in a chunk, of the rows and positions that one device has.

    Args:
      batch: rows.
      length: positions of a row.
      chunk_tokens: at most so many tokens in a chunk; 0: all. A chunk is at least one position.
    Returns:
      The largest divisor of `length` for which batch x columns <= `chunk_tokens`, or 1.
    """
    if chunk_tokens == 0 or batch * length <= chunk_tokens:
        return length
    limit = max(1, chunk_tokens // batch)
    return max(c for c in range(1, limit + 1) if length % c == 0)
