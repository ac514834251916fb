"""Causal attention behind one interface with named backends. A backend that cannot serve a run
raises an error; no other one takes its place.
"""

import functools
import logging

import jax

from hclx.errors import ConfigError
from hclx.model import blockwise, cudnn, splash, triton
from hclx.model.layers import Attend
from hclx.parallel import constrain

_LOG = logging.getLogger(__name__)


# Kernels, each with a function that returns the reason why it cannot serve a run, or None.
_KERNELS = {
    "splash": (splash.splash_attention, splash.unsupported),
    "cudnn": (cudnn.cudnn_attention, cudnn.unsupported),
    "triton": (triton.triton_attention, triton.unsupported),
}
# Platform -> the kernels that "auto" tries there, in order; plain XLA always serves.
_AUTO = {"tpu": ("splash",), "gpu": ("cudnn", "triton")}


def packed_attention(segments_bt: jax.Array, backend: str) -> Attend:
    """The causal attention function of sequences of packed documents, which never see each other.
    It divides the scores by sqrt(k).

    If the mesh shards the length (`seq`), then heads are sharded instead during attention: one
    all-to-all before it and one after it (Jacobs et al. 2023, DeepSpeed Ulysses, section 3).

    Args:
      segments_bt: int32, the document that each token belongs to.
      backend: a name of `hclx.config.ATTENTION_BACKENDS`; "auto" is resolved for the platform that
        JAX runs on, and any other is not checked: see `choose_backend`.
    Returns:
      An `Attend` function: (q, k, v), each [b, t, h, k], -> (context [b, t, h, k], None).
    """
    segments_bt = constrain(segments_bt, "batch", None)
    whole_length = lambda x_bthk: constrain(x_bthk, "batch", None, "attention_heads", None)

    def attend(q_bthk, k_bthk, v_bthk):
        name = backend
        if name == "auto":
            _, length, _, head_size = q_bthk.shape
            name = choose_backend(
                name, jax.devices()[0], length=length, head_size=head_size, dtype=q_bthk.dtype.name
            )
        attention = blockwise.blockwise_attention if name == "xla" else _KERNELS[name][0]
        return (
            whole_length(attention(*map(whole_length, (q_bthk, k_bthk, v_bthk)), segments_bt)),
            None,
        )

    return attend


def choose_backend(
    backend: str, device: jax.Device, *, length: int, head_size: int, dtype: str
) -> str:
    """Resolves "auto" for a device of the mesh, and refuses a backend that cannot serve a run.

    Args:
      backend: `ComputeConfig.attention`.
      device: any device of the mesh; its platform and, on a GPU, its compute capability decide.
      length: tokens in a sequence.
      head_size: of queries, keys and values.
      dtype: `ComputeConfig.dtype`.
    Returns:
      The name of a backend, not "auto", which stands for "xla" if no kernel can serve.
    Raises:
      ConfigError: the named backend cannot serve this device, length, head size or dtype.
    """
    unsupported = lambda name: _KERNELS[name][1](device, length, head_size, dtype)
    if backend == "auto":
        kernels = (name for name in _AUTO.get(device.platform, ()) if unsupported(name) is None)
        backend = next(kernels, "xla")
        _log_once(backend, device.platform)
    elif backend != "xla" and (reason := unsupported(backend)):
        raise ConfigError(f"ComputeConfig.attention={backend!r} {reason}")
    return backend


@functools.cache
def _log_once(backend: str, platform: str) -> None:
    _LOG.info("attention: auto chose %s on %s", backend, platform)
