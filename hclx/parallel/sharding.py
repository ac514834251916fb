"""The one table from logical axis names to mesh axes, and the shardings that follow from it.

Modules name the axes of their arrays; only this table refers to the mesh. Training and decoding lay
the same arrays out differently, each by a table of its own: `sharding_rules` sets the one that
applies. It is read while a function is traced, and JAX traces the function again under another one.
"""

import dataclasses
import math

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from hclx.errors import ConfigError

MeshAxes = tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class ShardingRules:
    """For each logical axis, the mesh axes that it is sharded over; the defaults are for training.

    Make a variant with `dataclasses.replace`.
    """

    batch: MeshAxes = ("data", "fsdp")
    length: MeshAxes = ("seq",)
    tokens: MeshAxes = ("seq", "data", "fsdp")  # batch and length as one axis: see `flatten_tokens`
    layers: MeshAxes = ("pipe",)
    vocab: MeshAxes = ("model",)
    embed: MeshAxes = ("fsdp", "seq")  # of parameters: gathered block by block (ZeRO-3)
    heads: MeshAxes = ("model",)
    kv_heads: MeshAxes = ("model",)
    # while every head sees the whole length (all-to-all attention)
    attention_heads: MeshAxes = ("model", "seq")
    mlp: MeshAxes = ("model",)
    # d_model of the residual stream, gathered where a matrix product reads it
    features: MeshAxes = ("model",)
    head_dim: MeshAxes = ()
    position: MeshAxes = ()
    norm: MeshAxes = ()

    def mesh_axes(self, name: str | None) -> MeshAxes:
        """The mesh axes of a logical axis, whose name is a field of this class; () for `None`.

        Raises:
          ConfigError: the table has no such name.
        """
        if name is None:
            return ()
        if name not in self.__dataclass_fields__:
            raise ConfigError(f"logical axis {name!r} has no rule in hclx/parallel/sharding.py")
        return getattr(self, name)


RULES = ShardingRules()
_ambient_rules = jax.make_user_context(RULES)


def sharding_rules(rules: ShardingRules):
    """Returns a context in which `rules` take the place of `RULES` wherever the functions of this
    module are given no others.
    """
    return _ambient_rules(rules)


def partition_spec(
    axes: tuple[str | None, ...], rules: ShardingRules | None = None
) -> PartitionSpec:
    """The mesh axes of an array whose dimensions have these logical names.

    Args:
      axes: logical name of each dimension; `None`: not sharded.
      rules: the table; default: that of the innermost `sharding_rules`, else `RULES`.
    Raises:
      ConfigError: two dimensions of one array are sharded over the same mesh axis, or the table
        has no such name.
    """
    rules = rules or _ambient_rules.value
    owner: dict[str, str] = {}
    entries = []
    for name in axes:
        mesh_axes = rules.mesh_axes(name)
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
    rules: ShardingRules | None = None,
) -> NamedSharding:
    """The sharding of an array on `mesh`.

    Args:
      mesh: with the axes of `hclx.config.MESH_AXES`.
      axes: logical name of each dimension.
      shape: if it is given, each dimension must be divisible by the devices that share it.
      name: of the array, for the message.
      rules: as in `partition_spec`.
    Raises:
      ConfigError: a dimension cannot be sharded evenly; and as `partition_spec`.
    """
    spec = partition_spec(axes, rules)
    for size, axis, entry in zip(shape or (), axes, spec):
        names = (entry,) if isinstance(entry, str) else entry or ()
        shards = math.prod(mesh.shape[n] for n in names)
        if size % shards:
            raise ConfigError(
                f"{name}: axis {axis!r} of size {size} cannot be sharded {shards} ways by mesh"
                f" axes {names}"
            )
    return NamedSharding(mesh, spec)


def axis_size(name: str) -> int:
    """The number of shards of a logical axis on the ambient mesh, by the ambient rules; 1 without a
    mesh, or if the axis is not sharded.

    Args:
      name: a field of `ShardingRules`, such as "batch".
    Raises:
      ConfigError: the table has no such name, whether there is a mesh or not.
    """
    shape = jax.sharding.get_abstract_mesh().shape
    return math.prod(shape.get(axis, 1) for axis in _ambient_rules.value.mesh_axes(name))


def constrain(x: jax.Array, *axes: str | None) -> jax.Array:
    """Fixes the layout of an activation on the ambient mesh (`jax.set_mesh`), by the ambient rules.

    Args:
      x: an array.
      axes: logical name of each of its dimensions; `None`: not sharded.
    Returns:
      The same values in this layout; without a mesh, `x` itself.
    Raises:
      ConfigError: as `partition_spec`; without a mesh nothing is checked.
    """
    if jax.sharding.get_abstract_mesh().empty:
        return x
    return jax.lax.with_sharding_constraint(x, partition_spec(axes))


def flatten_tokens(x_bt: jax.Array) -> jax.Array:
    """Reshapes [b, t, ...] to [n, ...], sharded as the logical axis "tokens" and replicated over
    the rest. If S devices share the length, tokens are ordered by the part of the length, 1 of S,
    then by row, then by position; S must divide t.
    """
    batch, length = x_bt.shape[:2]
    shards = axis_size("length")
    x = jnp.moveaxis(x_bt.reshape(batch, shards, length // shards, *x_bt.shape[2:]), 1, 0)
    return constrain(
        x.reshape(batch * length, *x_bt.shape[2:]), "tokens", *(None,) * (x_bt.ndim - 2)
    )


def unflatten_tokens(x_n: jax.Array, batch: int, length: int, *others: str) -> jax.Array:
    """Inverts `flatten_tokens`: reshapes [n, ...] to [b, t, ...].

    Args:
      x_n: as `flatten_tokens` returns it.
      batch, length: b and t.
      others: logical axes of all dimensions after n, which are replicated without them.
    """
    shards = axis_size("length")
    x = jnp.moveaxis(x_n.reshape(shards, batch, length // shards, *x_n.shape[1:]), 0, 1)
    return constrain(
        x.reshape(batch, length, *x_n.shape[1:]),
        "batch",
        "length",
        *(others or (None,) * (x_n.ndim - 1)),
    )
