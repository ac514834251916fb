"""Attention on TPUs by the splash kernel that JAX ships. It keeps no scores in memory and skips
blocks that the causal mask removes.
"""

import functools
import math

import jax
from jax.experimental.pallas.ops.tpu import splash_attention as splash

from hclx.model import remat
from hclx.model.attention_kernels import on_each_device

LANES = 128  # lanes of a TPU's vector registers; blocks are multiples of it
MAX_BLOCK = 512  # queries or keys in a block; larger blocks skip less of the causal mask


def unsupported(device: jax.Device, length: int, head_size: int, dtype: str) -> str | None:
    """The reason why this kernel cannot serve a run, with the remedy, as the rest of a sentence
    that begins with the name of the backend; None if it can.

    The arguments are those of `hclx.model.attention.choose_backend`.
    """
    del head_size, dtype  # it takes all
    if device.platform != "tpu":
        return f"is a kernel for TPUs and this is a {device.platform}; use 'auto'"
    if length % LANES:
        return (
            f"takes multiples of {LANES} tokens, and TrainConfig.sequence_length={length} is none;"
            " change it, or use 'xla'"
        )
    return None


def splash_attention(
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
      q_bthk, k_bthk, v_bthk: of the same shape; the length is a multiple of 128.
      segments_bt: int32, the document that each token belongs to.
      interpret: runs the kernel in Pallas' interpreter, on any platform (for tests).
    Returns:
      The context [b, t, h, k], in the dtype of the inputs.
    """
    return on_each_device(functools.partial(_attend, interpret=interpret))(
        q_bthk, k_bthk, v_bthk, segments_bt
    )


def _attend(q_bthk, k_bthk, v_bthk, segments_bt, *, interpret):
    length, heads, size = q_bthk.shape[1:]
    kernel = _kernel(length, heads, interpret)
    q_bhtk, k_bhtk, v_bhtk = (
        x.swapaxes(1, 2) for x in (q_bthk * (1.0 / math.sqrt(size)), k_bthk, v_bthk)
    )
    context_bhtk = jax.vmap(
        lambda q, k, v, ids: kernel(q, k, v, segment_ids=splash.SegmentIds(ids, ids))
    )(q_bhtk, k_bhtk, v_bhtk, segments_bt)
    return context_bhtk.swapaxes(1, 2).astype(v_bthk.dtype)


def _kernel(length: int, heads: int, interpret: bool):
    block = max(b for b in range(LANES, MAX_BLOCK + 1, LANES) if length % b == 0)
    sizes = splash.BlockSizes(
        block_q=block, block_kv=block, block_kv_compute=block,
        block_q_dkv=block, block_kv_dkv=block, block_kv_dkv_compute=block,
        block_q_dq=block, block_kv_dq=block,
    )  # fmt: skip
    mask = splash.MultiHeadMask([splash.CausalMask((length, length))] * heads)
    # The residuals of the kernel get the name that remat policies keep.
    return splash.make_splash_mha(
        mask,
        block_sizes=sizes,
        head_shards=1,
        q_seq_shards=1,
        residual_checkpoint_name=remat.CONTEXT,
        interpret=interpret,
    )
