"""The record of a parameter: its shape, the logical names of its axes, whether weight decay applies
to it, and whether it is a factor of a matrix product.

Modules attach the record to the parameter where they create it (metadata of `nnx.Param`).
Everything that treats parameters by kind is derived from it: the abstract tree, shardings, the
decay mask, counts of parameters and FLOPs. The initial values are drawn in the same place.
"""

import dataclasses
import math

import jax
import jax.numpy as jnp
from flax import nnx


@dataclasses.dataclass(frozen=True)
class ParamSpec:
    """The facts about one float32 parameter.

    Attributes:
      shape: size of each dimension.
      axes: logical name of each dimension (see hclx/parallel/sharding.py); None: never sharded.
      decays: whether weight decay shrinks it.
      in_matmul: whether each token is multiplied by it as a matrix, which costs 2 FLOPs an element
        in the forward pass. A table that is only looked up, a bias or a scale is not.
    """

    shape: tuple[int, ...]
    axes: tuple[str | None, ...]
    decays: bool
    in_matmul: bool

    @property
    def size(self) -> int:
        """The number of elements."""
        return math.prod(self.shape)

    def stacked(self, layers: int) -> "ParamSpec":
        """The record of this parameter in all layers, stacked on a new first axis."""
        return dataclasses.replace(self, shape=(layers, *self.shape), axes=("layers", *self.axes))


def matrix(
    values: jax.Array, axes: tuple[str | None, ...], decays: bool = True, in_matmul: bool = True
) -> nnx.Param:
    """Makes a parameter from a weight matrix, and records its properties in a `ParamSpec`.

    Args:
      values: float32, the initial values.
      axes: logical name of each dimension, from which its sharding over the mesh follows (see
        hclx/parallel/sharding.py); None: never sharded.
      decays: whether the optimizer applies weight decay to it.
      in_matmul: whether each token is multiplied by it as a matrix, so that its elements count in
        the model's FLOPs; False for a table that is only looked up.
    Returns:
      The parameter; its metadata field `spec` holds the `ParamSpec`.
    """
    return nnx.Param(values, spec=ParamSpec(values.shape, axes, decays, in_matmul))


def vector(value: float, shape: tuple[int, ...], axes: tuple[str | None, ...]) -> nnx.Param:
    """A bias or a scale, filled with `value`: it never decays and is no factor of a product. `axes`
    and the result are as in `matrix`.
    """
    spec = ParamSpec(shape, axes, decays=False, in_matmul=False)
    return nnx.Param(jnp.full(shape, value, jnp.float32), spec=spec)


def count_params(specs, in_matmul: bool = False) -> int:
    """The number of elements of a tree of records.

    Args:
      specs: nested dictionary of `ParamSpec`.
      in_matmul: counts only the parameters that are factors of matrix products.
    """
    return sum(s.size for s in jax.tree.leaves(specs) if s.in_matmul or not in_matmul)
