"""Attention on NVIDIA GPUs by the Triton kernel that JAX ships in Pallas. It takes any dtype,
segments, and heads of any size up to 128.
"""

import functools
import importlib.util
import math
import warnings

import jax

from hclx.model.attention_kernels import compute_capability, keep_residuals, on_each_device

_MODULE = "jax.experimental.pallas.ops.gpu.attention"
MAX_HEAD_SIZE = 128
LENGTHS = 128  # lengths are multiples of the largest block
# queries or keys in a block, by bytes of the dtype: three or more blocks fit in shared memory
FORWARD_BLOCK = {2: 128, 4: 32}
BACKWARD_BLOCK = 32


def unsupported(device: jax.Device, length: int, head_size: int, dtype: str) -> str | None:
    """The reason why this kernel cannot serve a run, with the remedy, as the rest of a sentence
    that begins with the name of the backend; None if it can.

    The arguments are those of `hclx.model.attention.choose_backend`.
    """
    if compute_capability(device) < (8, 0):
        return (
            f"is a kernel for NVIDIA GPUs from Ampere on and this is a {device.platform}; use"
            " 'auto'"
        )
    if length % LENGTHS:
        return (
            f"takes multiples of {LENGTHS} tokens, and TrainConfig.sequence_length={length} is"
            " none; change it, or use 'xla'"
        )
    if head_size > MAX_HEAD_SIZE:
        return f"takes heads of up to {MAX_HEAD_SIZE}, and ModelConfig has {head_size}; use 'xla'"
    if importlib.util.find_spec(_MODULE) is None:
        return f"is the kernel {_MODULE}, which JAX {jax.__version__} no longer has; use 'auto'"
    return None


def triton_attention(
    q_bthk: jax.Array,
    k_bthk: jax.Array,
    v_bthk: jax.Array,
    segments_bt: jax.Array,
    *,
    interpret: bool = False,
) -> jax.Array:
    """Causal self-attention within segments, with scores divided by sqrt(k) here. Each device
    computes its own rows and heads.

    Args:
      q_bthk, k_bthk, v_bthk: bfloat16 or float32, of the same shape; the length is a multiple of
        128, the size of a head at most 128. The kernel pads that to a power of two by itself.
      segments_bt: int32, the document that each token belongs to.
      interpret: runs the kernel in Pallas' interpreter, on any platform (for tests).
    Returns:
      The context [b, t, h, k], in the dtype of the inputs.
    """
    return on_each_device(functools.partial(_attend, interpret=interpret))(
        q_bthk, k_bthk, v_bthk, segments_bt
    )


def _attend(q_bthk, k_bthk, v_bthk, segments_bt, *, interpret):
    with warnings.catch_warnings():  # JAX 0.11 announces that the kernel moves to another library
        warnings.simplefilter("ignore", DeprecationWarning)
        pallas = importlib.import_module(_MODULE)
    block = FORWARD_BLOCK[q_bthk.dtype.itemsize]
    backward = {f"block_{name}": BACKWARD_BLOCK for name in ("q_dkv", "kv_dkv", "q_dq", "kv_dq")}
    sizes = pallas.BlockSizes(block_q=block, block_k=block, **backward)
    scale = 1.0 / math.sqrt(q_bthk.shape[-1])
    kernel = lambda q, k, v, segments: pallas.mha(
        q,
        k,
        v,
        segments,
        sm_scale=scale,
        causal=True,
        block_sizes=sizes,
        backward_pass_impl="triton",
        interpret=interpret,
    )
    return keep_residuals(kernel)(q_bthk, k_bthk, v_bthk, segments_bt)
