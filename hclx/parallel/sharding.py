"""The one table from logical axis names to mesh axes, and the shardings that follow from it.

Modules name the axes of their arrays; nothing but this table knows the mesh.
"""

import math

import jax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from hclx.errors import ConfigError

# logical axis -> the mesh axes that cut it
RULES: dict[str, tuple[str, ...]] = {
    "batch": ("data", "fsdp"),
    "length": ("seq",),
    "tokens": ("seq", "data", "fsdp"),  # batch and length in one: see tokens.py
    "layers": ("pipe",),
    "vocab": ("model",),
    "embed": ("fsdp", "seq"),  # of parameters: gathered block by block (ZeRO-3)
    "heads": ("model",),
    "kv_heads": ("model",),
    # while every head sees the whole length (all-to-all attention)
    "attention_heads": ("model", "seq"),
    "mlp": ("model",),
    "features": ("model",),  # d_model of the residual stream, gathered where a product takes it
    "head_dim": (),
    "position": (),
    "norm": (),
}


def partition_spec(axes: tuple[str | None, ...]) -> PartitionSpec:
    """The mesh axes of an array whose dimensions have these logical names (`None`: not cut).

    Raises:
      ConfigError: two dimensions of one array lie on the same mesh axis, or a name is not in the
        table.
    """
    owner: dict[str, str] = {}
    entries = []
    for name in axes:
        if name is not None and name not in RULES:
            raise ConfigError(f"logical axis {name!r} has no rule in hclx/parallel/sharding.py")
        mesh_axes = RULES[name] if name else ()
        for mesh_axis in mesh_axes:
            if mesh_axis in owner:
                raise ConfigError(
                    f"logical axes {owner[mesh_axis]!r} and {name!r} of one array {axes} both lie"
                    f" on mesh axis {mesh_axis!r}"
                )
            owner[mesh_axis] = name
        entries.append(mesh_axes if len(mesh_axes) > 1 else (mesh_axes[0] if mesh_axes else None))
    return PartitionSpec(*entries)


def named_sharding(
    mesh: Mesh,
    axes: tuple[str | None, ...],
    shape: tuple[int, ...] | None = None,
    name: str = "array",
):
    """The `NamedSharding` of an array on `mesh`.

    Args:
      mesh: with the axes of `hclx.config.MESH_AXES`.
      axes: logical name of each dimension.
      shape: when given, each dimension must be divisible by the devices that cut it.
      name: of the array, for the message.
    Raises:
      ConfigError: a dimension cannot be cut evenly.
    """
    spec = partition_spec(axes)
    for size, axis, entry in zip(shape or (), axes, spec):
        names = (entry,) if isinstance(entry, str) else entry or ()
        ways = math.prod(mesh.shape[n] for n in names)
        if size % ways:
            raise ConfigError(
                f"{name}: axis {axis!r} of size {size} cannot be cut {ways} ways by mesh axes"
                f" {names}"
            )
    return NamedSharding(mesh, spec)


def axis_size(name: str) -> int:
    """How many ways the ambient mesh cuts a logical axis; 1 without one."""
    shape = jax.sharding.get_abstract_mesh().shape
    return math.prod(shape.get(axis, 1) for axis in RULES[name])


def constrain(x: jax.Array, *axes: str | None) -> jax.Array:
    """Pins an activation's layout to the ambient mesh (`jax.set_mesh`); without one it changes
    nothing.
    """
    if jax.sharding.get_abstract_mesh().empty:
        return x
    return jax.lax.with_sharding_constraint(x, partition_spec(axes))
