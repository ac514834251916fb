"""Attention on NVIDIA GPUs by cuDNN, through JAX's public function, with documents as coordinates
of queries and keys.

That function has no segments. A mask it takes as a bias: of t x t numbers, and the bias gets a
  gradient that nobody wants
and that some of cuDNN's kernels cannot make; the packed layout has no public name. So each head
grows by 16 coordinates,
one step of a matrix unit: the number of a token's document in 15 binary digits, +-64 each, and a
  constant. Their products
sum to 0 within a document, and to -8192 or less between two, which no softmax sees. Scores stay as
they are, but for a rounding that is finer than bfloat16's own.
"""

import functools
import math

import jax
import jax.numpy as jnp

from hclx.model.attention_kernels import compute_capability, keep_residuals, on_each_device

DIGITS, DIGIT = 15, 64.0
QUERY_CONSTANT = 256.0
KEY_CONSTANT = -DIGITS * DIGIT**2 / QUERY_CONSTANT  # -240: all of these are whole in bfloat16
COORDINATES = DIGITS + 1


def unsupported(device: jax.Device, length: int, head_size: int, dtype: str) -> str | None:
    """Why this kernel cannot serve, and what to do; None: it can. The limits on heads are those
    that JAX checks.
    """
    capability = compute_capability(device)
    largest = (256 if capability >= (9, 0) else 128) - COORDINATES
    if capability < (8, 0):
        return (
            f"is a kernel for NVIDIA GPUs from Ampere on and this is a {device.platform}; use"
            " 'auto'"
        )
    if dtype != "bfloat16":
        return f"computes in bfloat16 and ComputeConfig.dtype is {dtype}; change it, or use 'xla'"
    if head_size % 8 or head_size > largest:
        return (
            f"takes multiples of 8 up to {largest} as the size of a head on this GPU, and it is"
            f" {head_size}; use 'auto'"
        )
    if length >= 2**DIGITS:
        return (
            f"takes less than {2**DIGITS} tokens and TrainConfig.sequence_length is {length}; use"
            " 'auto'"
        )
    return None


def cudnn_attention(
    q_bthk: jax.Array,
    k_bthk: jax.Array,
    v_bthk: jax.Array,
    segments_bt: jax.Array,
    *,
    implementation: str = "cudnn",
) -> jax.Array:
    """Causal attention within segments: [b, t, h, k]. Each device takes its own rows and heads.

    Args:
      q_bthk, k_bthk, v_bthk: bfloat16, of one length.
      segments_bt: int32, the document that each token belongs to; numbers of one window differ by
        less than 2**15.
      implementation: of `jax.nn.dot_product_attention`; "xla" runs on any platform (tests).
    """
    return on_each_device(functools.partial(_attend, implementation=implementation))(
        q_bthk, k_bthk, v_bthk, segments_bt
    )


def _attend(q_bthk, k_bthk, v_bthk, segments_bt, *, implementation):
    size = q_bthk.shape[-1]
    kernel = functools.partial(
        jax.nn.dot_product_attention,
        scale=1.0 / math.sqrt(size),
        is_causal=True,
        implementation=implementation,
    )
    grow = lambda x_bthk, extra_bt1c: jnp.concatenate(
        [
            x_bthk,
            jnp.broadcast_to(extra_bt1c.astype(x_bthk.dtype), (*x_bthk.shape[:3], COORDINATES)),
        ],
        axis=-1,
    )
    digits_bt1c = jnp.where(segments_bt[:, :, None, None] >> jnp.arange(DIGITS) & 1, DIGIT, -DIGIT)
    with_constant = lambda constant: jnp.pad(
        digits_bt1c, ((0, 0),) * 3 + ((0, 1),), constant_values=constant
    )
    q_bthk, k_bthk = (
        grow(q_bthk, with_constant(QUERY_CONSTANT)),
        grow(k_bthk, with_constant(KEY_CONSTANT)),
    )
    # the kernel wants heads of one size
    v_bthk = grow(v_bthk, jnp.zeros_like(digits_bt1c[..., :1]))
    return keep_residuals(kernel)(q_bthk, k_bthk, v_bthk)[..., :size]
