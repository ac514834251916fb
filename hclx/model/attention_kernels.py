"""What attention kernels share: each device takes its own rows and heads, and the backward pass
finds what it needs.
"""

from collections.abc import Callable

import jax
from jax.ad_checkpoint import checkpoint_name
from jax.sharding import PartitionSpec

from hclx.model import remat
from hclx.parallel import partition_spec


def on_each_device(attend: Callable[..., jax.Array]) -> Callable[..., jax.Array]:
    """`attend` (q, k, v: [b, t, h, k]; segments: [b, t]) -> [b, t, h, k], by each device of the
    ambient mesh for its part.
    """
    if jax.sharding.get_abstract_mesh().empty:
        return attend
    heads = partition_spec(("batch", None, "attention_heads", None))
    rows = PartitionSpec(heads[0], None)
    return jax.shard_map(
        attend, in_specs=(heads, heads, heads, rows), out_specs=heads, check_vma=False
    )


def keep_residuals(kernel: Callable[..., jax.Array]) -> Callable[..., jax.Array]:
    """Gives what the backward pass of `kernel` keeps the name "context", which the remat policies
    keep too.

    A kernel's residuals are inside its own derivative, where a policy cannot name them: to get them
    back it would run the kernel again. Arguments have no such name; they are the caller's to keep,
    or to compute again.
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
    """Of an NVIDIA GPU, (9, 0) for Hopper; (0, 0) of any other device."""
    version = getattr(device, "compute_capability", None) if device.platform == "gpu" else None
    major, _, minor = str(version).partition(".")
    return (int(major), int(minor)) if major.isdecimal() and minor.isdecimal() else (0, 0)
