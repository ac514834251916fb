"""Causal attention behind one interface with named backends. A backend that cannot serve a run
raises an error; no other one takes its place.
"""

import functools
import logging

import jax
import jax.numpy as jnp

from hclx.errors import ConfigError
from hclx.model import blockwise, cudnn, splash, triton
from hclx.model.layers import Attend
from hclx.model.prefix_attention import Prefix, prefix_attention
from hclx.parallel import axis_size, constrain

_LOG = logging.getLogger(__name__)


# Kernels, each with a function that returns the reason why it cannot serve a run, or None.
_KERNELS = {
    "splash": (splash.splash_attention, splash.unsupported),
    "cudnn": (cudnn.cudnn_attention, cudnn.unsupported),
    "triton": (triton.triton_attention, triton.unsupported),
}
# Those whose groups of query heads may share a head of keys and values.
_TAKE_GROUPS = ("cudnn",)
# Platform -> the kernels that "auto" tries there, in order; plain XLA always serves.
_AUTO = {"tpu": ("splash",), "gpu": ("cudnn", "triton")}


def packed_attention(
    segments_bt: jax.Array,
    backend: str,
    prefix: Prefix | None = None,
    positions_bt: jax.Array | None = None,
) -> Attend:
    """The causal attention function of sequences of packed documents, which never see each other.
    It divides the scores by sqrt(k). Heads of keys and values that groups of query heads share are
    repeated for them where the backend needs it, or where there are fewer than devices that share
    them.

    If the mesh shards the length (`seq`), then heads are sharded instead during attention: one
    all-to-all before it and one after it (Jacobs et al. 2023, DeepSpeed Ulysses, section 3).

    Args:
      segments_bt: int32, the document that each token belongs to.
      backend: a name of `hclx.config.ATTENTION_BACKENDS`; "auto" is resolved for the platform that
        JAX runs on, and any other is not checked: see `choose_backend`.
      prefix: of the layer, which every document sees; "auto" is then plain XLA.
      positions_bt: of the tokens, where there is a prefix.
    Returns:
      An `Attend` function: (q [b, t, h, k], k and v [b, t, g, k], window) -> (context
      [b, t, h, k], None).
    Raises:
      ConfigError: there is a prefix, and the backend is another than plain XLA.
    """
    if prefix is not None:
        backend = _prefix_backend(backend)
    segments_bt = constrain(segments_bt, "batch", None)
    whole_length = lambda x_bthk: constrain(x_bthk, "batch", None, "attention_heads", None)

    def attend(q_bthk, k_btgk, v_btgk, window):
        name = backend
        _, length, heads, head_size = q_bthk.shape
        if name == "auto":
            name = choose_backend(
                name,
                jax.devices()[0],
                length=length,
                head_size=head_size,
                dtype=q_bthk.dtype.name,
                has_window=window is not None,
            )
        repeats = _repeats(name, heads, k_btgk.shape[2])
        of_queries = lambda x_btgk: x_btgk if repeats == 1 else jnp.repeat(x_btgk, repeats, axis=2)
        inputs = map(whole_length, (q_bthk, of_queries(k_btgk), of_queries(v_btgk)))
        if prefix is not None:
            context_bthk = prefix_attention(*inputs, segments_bt, window, prefix, positions_bt)
        elif name == "xla":
            context_bthk = blockwise.blockwise_attention(*inputs, segments_bt, window)
        else:
            context_bthk = _KERNELS[name][0](*inputs, segments_bt)
        return whole_length(context_bthk), None

    return attend


def _prefix_backend(backend: str) -> str:
    if backend not in ("auto", "xla"):
        raise ConfigError(
            f"ComputeConfig.attention={backend!r} does not read a prefix of keys and values; use"
            " 'auto' or 'xla'"
        )
    return "xla"


def _repeats(backend: str, heads: int, kv_heads: int) -> int:
    """How often each head of keys and values is repeated: as seldom as the backend allows, so that
    each device has whole groups.
    """
    group = heads // kv_heads
    if backend not in _TAKE_GROUPS:
        return group
    shards = axis_size("attention_heads")
    fitting = (n for n in range(1, group) if group % n == 0 and kv_heads * n % shards == 0)
    return next(fitting, group)


def choose_backend(
    backend: str,
    device: jax.Device,
    *,
    length: int,
    head_size: int,
    dtype: str,
    has_window: bool = False,
) -> str:
    """Resolves "auto" for a device of the mesh, and refuses a backend that cannot serve a run.

    Args:
      backend: `ComputeConfig.attention`.
      device: any device of the mesh; its platform and, on a GPU, its compute capability decide.
      length: tokens in a sequence.
      head_size: of queries, keys and values.
      dtype: `ComputeConfig.dtype`.
      has_window: a query of some layer sees fewer tokens than are before it, which no kernel does.
    Returns:
      The name of a backend, not "auto", which stands for "xla" if no kernel can serve.
    Raises:
      ConfigError: the named backend cannot serve this device, length, head size or dtype.
    """
    no_windows = "has no sliding windows, which ModelConfig.window asks for; use 'xla'"
    unsupported = lambda name: (
        no_windows if has_window else _KERNELS[name][1](device, length, head_size, dtype)
    )
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
