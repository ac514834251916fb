"""Helpers for fused attention kernels: each device computes its own rows and heads, and remat
policies keep the residuals of a kernel.
"""

from collections.abc import Callable

import jax
from jax.ad_checkpoint import checkpoint_name
from jax.sharding import PartitionSpec

from hclx.model import remat
from hclx.parallel import partition_spec


def on_each_device(attend: Callable[..., jax.Array]) -> Callable[..., jax.Array]:
    """Runs a kernel on each device of the ambient mesh, for the rows and heads that it holds.

    Args:
      attend: (q, k, v, segments) -> context, where segments are [b, t], keys and values are
        [b, t, g, k] and the others [b, t, h, k], with the rows and heads of one device, and every
        position.
    Returns:
      The same function of the whole arrays; `attend` itself if there is no ambient mesh.
    """
    if jax.sharding.get_abstract_mesh().empty:
        return attend
    heads = partition_spec(("batch", None, "attention_heads", None))
    rows = PartitionSpec(heads[0], None)
    return jax.shard_map(
        attend, in_specs=(heads, heads, heads, rows), out_specs=heads, check_vma=False
    )


def keep_residuals(kernel: Callable[..., jax.Array]) -> Callable[..., jax.Array]:
    """Gives the residuals of `kernel` the name `remat.CONTEXT`, which remat policies keep.

    Residuals are made inside the kernel's own derivative, where a policy does not see them, so that
    the kernel would run again in the backward pass. Those that are arguments get no name: the
    caller decides whether they are kept or computed again.

    Args:
      kernel: a function of arrays to one array, which has a derivative of its own.
    Returns:
      The same function, whose result and residuals bear the name in the forward pass.
    """

    @jax.custom_vjp
    def attend(*arguments):
        return kernel(*arguments)

    def forward(*arguments):
        context, pullback = jax.vjp(kernel, *arguments)
        named = checkpoint_name(context, remat.CONTEXT)

        def keep(residual):
            if residual is context:
                return named
            return (
                residual
                if any(residual is argument for argument in arguments)
                else checkpoint_name(residual, remat.CONTEXT)
            )

        return named, jax.tree.map(keep, pullback)

    attend.defvjp(forward, lambda pullback, cotangent: pullback(cotangent))
    return attend


def compute_capability(device: jax.Device) -> tuple[int, int]:
    """The compute capability of an NVIDIA GPU, such as (9, 0) for Hopper; (0, 0) for any other
    device.
    """
    version = getattr(device, "compute_capability", None) if device.platform == "gpu" else None
    major, _, minor = str(version).partition(".")
    return (int(major), int(minor)) if major.isdecimal() and minor.isdecimal() else (0, 0)
