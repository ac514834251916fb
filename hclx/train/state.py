"""What training changes, and the one way in which it comes to be: abstract tree -> shardings -> jit(init)."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from hclx.config import ModelConfig
from hclx.model import Params, abstract_params, init_params, logical_axes
from hclx.parallel import named_sharding


class TrainState(NamedTuple):
    """int32 step, float32 parameters, the optimizer's moments."""

    step: jax.Array
    params: Params
    opt_state: optax.OptState


def abstract_state(model: ModelConfig, optimizer: optax.GradientTransformation, mesh: Mesh) -> TrainState:
    """The state as `jax.ShapeDtypeStruct` with its shardings: for init, restore and ahead-of-time compilation.

    Raises:
      ConfigError: an array cannot be cut evenly by the mesh.
    """
    replicated = NamedSharding(mesh, PartitionSpec())

    def place(path, array, axes):
        sharding = named_sharding(mesh, axes, array.shape, jax.tree_util.keystr(path, simple=True, separator="/"))
        return jax.ShapeDtypeStruct(array.shape, array.dtype, sharding=sharding)

    shapes = abstract_params(model)
    params = jax.tree_util.tree_map_with_path(place, shapes, logical_axes(model))
    structure = jax.tree.structure(shapes)
    is_moments = lambda node: jax.tree.structure(node) == structure

    def place_optimizer(node):
        like = params if is_moments(node) else jax.ShapeDtypeStruct((), jnp.int32, sharding=replicated)
        return jax.tree.map(lambda x, p: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=p.sharding), node, like)

    # No array is made here, so that a mesh of devices that this machine does not have will do.
    opt_state = jax.tree.map(place_optimizer, jax.eval_shape(optimizer.init, shapes), is_leaf=is_moments)
    return TrainState(jax.ShapeDtypeStruct((), jnp.int32, sharding=replicated), params, opt_state)


def init_state(model: ModelConfig, optimizer: optax.GradientTransformation, abstract: TrainState, seed: int) -> TrainState:
    """A fresh state, made where it belongs: no device ever holds the whole of it."""

    def init():
        params = init_params(model, jax.random.key(seed))
        return TrainState(jnp.zeros((), jnp.int32), params, optimizer.init(params))

    return jax.jit(init, out_shardings=jax.tree.map(lambda x: x.sharding, abstract))()


def bytes_per_device(tree) -> int:
    """Bytes that one device holds of a tree of arrays with shardings."""
    sizes = (x.dtype.itemsize * _size(x.sharding.shard_shape(x.shape)) for x in jax.tree.leaves(tree))
    return sum(sizes)


def _size(shape: tuple[int, ...]) -> int:
    size = 1
    for n in shape:
        size *= n
    return size
