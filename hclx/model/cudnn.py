"""Attention on NVIDIA GPUs by cuDNN, through JAX's public function, with documents encoded as
additional coordinates of queries and keys.

That function has no argument for segments. It takes a mask as a bias of t x t numbers, which gets
an unused gradient that some of cuDNN's kernels cannot compute, and cuDNN's packed layout is not
public. So each head gets 16 more coordinates (one step of a matrix unit): the number of the token's
document in 15 binary digits, each +-64, and a constant. The products of these coordinates sum to 0
within a document and to -8192 or less between two documents, which the softmax turns into 0. Scores
within a document do not change, but for a rounding that is finer than bfloat16's own.
"""

import functools
import math

import jax
import jax.numpy as jnp

from hclx.model.attention_kernels import compute_capability, keep_residuals, on_each_device

DIGITS, DIGIT = 15, 64.0
QUERY_CONSTANT = 256.0
KEY_CONSTANT = -DIGITS * DIGIT**2 / QUERY_CONSTANT  # -240; bfloat16 represents all exactly
COORDINATES = DIGITS + 1


def unsupported(device: jax.Device, length: int, head_size: int, dtype: str) -> str | None:
    """The reason why this kernel cannot serve a run, with the remedy, as the rest of a sentence
    that begins with the name of the backend; None if it can. The limits on the size of a head are
    those that JAX checks.

    The arguments are those of `hclx.model.attention.choose_backend`.
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
    k_btgk: jax.Array,
    v_btgk: jax.Array,
    segments_bt: jax.Array,
    *,
    implementation: str = "cudnn",
) -> jax.Array:
    """Causal self-attention within segments, with scores divided by sqrt(k) here. Each device
    computes its own rows and heads.

    Args:
      q_bthk, k_btgk, v_btgk: bfloat16; h is a multiple of g.
      segments_bt: int32, the document that each token belongs to; segments of one sequence differ
        by less than 2**15.
      implementation: of `jax.nn.dot_product_attention`; "xla" runs on any platform (for tests).
    Returns:
      The context [b, t, h, k], bfloat16.
    """
    return on_each_device(functools.partial(_attend, implementation=implementation))(
        q_bthk, k_btgk, v_btgk, segments_bt
    )


def _attend(q_bthk, k_btgk, v_btgk, segments_bt, *, implementation):
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
    q_bthk, k_btgk = (
        grow(q_bthk, with_constant(QUERY_CONSTANT)),
        grow(k_btgk, with_constant(KEY_CONSTANT)),
    )
    # the kernel takes queries, keys and values of the same head size
    v_btgk = grow(v_btgk, jnp.zeros_like(digits_bt1c[..., :1]))
    return keep_residuals(kernel)(q_bthk, k_btgk, v_btgk)[..., :size]
