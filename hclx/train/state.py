"""What training changes, and the one way in which it comes to be: abstract tree -> shardings ->
jit(init).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from hclx.config import ModelConfig, TrainConfig
from hclx.model import Params, abstract_params, init_params, logical_axes
from hclx.parallel import named_sharding
from hclx.train.step_skipping import Guard, fresh_guard


class TrainState(NamedTuple):
    """int32 step, float32 parameters, the optimizer's moments, and what the guard knows of the
    steps before.
    """

    step: jax.Array
    params: Params
    opt_state: optax.OptState
    guard: Guard


def abstract_state(
    model: ModelConfig, train: TrainConfig, optimizer: optax.GradientTransformation, mesh: Mesh
) -> TrainState:
    """The state as `jax.ShapeDtypeStruct` with its shardings: for init, restore and ahead-of-time
    compilation.

    Raises:
      ConfigError: an array cannot be cut evenly by the mesh.
    """
    replicated = NamedSharding(mesh, PartitionSpec())

    def place(path, array, axes):
        sharding = named_sharding(
            mesh, axes, array.shape, jax.tree_util.keystr(path, simple=True, separator="/")
        )
        return jax.ShapeDtypeStruct(array.shape, array.dtype, sharding=sharding)

    shapes = abstract_params(model)
    params = jax.tree_util.tree_map_with_path(place, shapes, logical_axes(model))
    structure = jax.tree.structure(shapes)
    is_moments = lambda node: jax.tree.structure(node) == structure
    everywhere = lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=replicated)

    def place_optimizer(node):
        like = params if is_moments(node) else everywhere(node)
        return jax.tree.map(
            lambda x, p: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=p.sharding), node, like
        )

    # No array is made here, so that a mesh of devices that this machine does not have will do.
    opt_state = jax.tree.map(
        place_optimizer, jax.eval_shape(optimizer.init, shapes), is_leaf=is_moments
    )
    guard = jax.tree.map(everywhere, jax.eval_shape(lambda: fresh_guard(train)))
    return TrainState(everywhere(jax.ShapeDtypeStruct((), jnp.int32)), params, opt_state, guard)


def init_state(
    model: ModelConfig,
    train: TrainConfig,
    optimizer: optax.GradientTransformation,
    abstract: TrainState,
) -> TrainState:
    """A fresh state, made where it belongs: no device ever holds the whole of it."""

    def init():
        params = init_params(model, jax.random.key(train.seed))
        return TrainState(
            jnp.zeros((), jnp.int32), params, optimizer.init(params), fresh_guard(train)
        )

    return jax.jit(init, out_shardings=jax.tree.map(lambda x: x.sharding, abstract))()


def bytes_per_device(tree) -> int:
    """Bytes that one device holds of a tree of arrays with shardings."""
    sizes = (
        x.dtype.itemsize * _size(x.sharding.shard_shape(x.shape)) for x in jax.tree.leaves(tree)
    )
    return sum(sizes)


def _size(shape: tuple[int, ...]) -> int:
    size = 1
    for n in shape:
        size *= n
    return size
