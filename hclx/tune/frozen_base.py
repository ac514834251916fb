"""A base that stays as it is, held in fewer bits than the float32 of its checkpoint: it has no
moments for which the last bits of a sum would count.

"bfloat16" holds matrices and tables in half of the bytes, as models are commonly loaded under
adapters, which stay float32 themselves; "int8" holds the matrices of the blocks in eight bits, with
a scale for each output channel. Scales and biases stay float32: they are a thousandth of the bytes.
"""

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from hclx.model import Params, ParamSpec, param_specs
from hclx.model.matmul import Int8Weight
from hclx.model_config import ModelConfig
from hclx.parallel import named_sharding
from hclx.train.initial_weights import read_initial_weights


def hold_base(params: Params, model: ModelConfig, dtype: str) -> Params:
    """Returns the parameters of a base as tuning holds them.

    Args:
      params: float32, blocks are stacked.
      model: the base's shape.
      dtype: `TuneConfig.base_dtype`.
    Returns:
      The same tree in the dtypes of `abstract_base`; with "int8", blocks have `Int8Weight`s,
      stacked too.
    """
    return jax.tree.map(lambda spec, array: _held(spec, array, dtype), param_specs(model), params)


def abstract_base(model: ModelConfig, dtype: str, mesh: Mesh) -> Params:
    """The held parameters as `jax.ShapeDtypeStruct`s with their shardings.

    Args:
      model, dtype: as in `hold_base`.
      mesh: the devices.
    Raises:
      ConfigError: the mesh cannot shard an array evenly.
    """

    def place(path, spec: ParamSpec):
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        held = jax.eval_shape(lambda: _held(spec, jnp.zeros(spec.shape, jnp.float32), dtype))
        whole = named_sharding(mesh, spec.axes, spec.shape, name)
        if not isinstance(held, Int8Weight):
            return jax.ShapeDtypeStruct(spec.shape, held.dtype, sharding=whole)
        outputs = named_sharding(mesh, _scale_axes(spec), held.scale.shape, name)
        return Int8Weight(
            jax.ShapeDtypeStruct(spec.shape, held.values.dtype, sharding=whole),
            jax.ShapeDtypeStruct(held.scale.shape, held.scale.dtype, sharding=outputs),
        )

    return jax.tree_util.tree_map_with_path(place, param_specs(model))


def read_held_base(weights: dict, model: ModelConfig, dtype: str, mesh: Mesh) -> Params:
    """Reads and verifies a base, and holds each parameter as soon as it is read: all of them are
    never in memory as float32, unless that is `dtype`.

    Args:
      weights: see `hclx.train.initial_weights.choose_initial_weights`.
      model, dtype, mesh: as in `abstract_base`.
    Returns:
      The parameters, on the shardings of `abstract_base`.
    Raises:
      CheckpointError: as `read_initial_weights`.
    """
    stored = abstract_base(model, "float32", mesh)
    if dtype == "float32":
        return read_initial_weights(weights, stored)
    shardings = jax.tree.map(lambda x: x.sharding, abstract_base(model, dtype, mesh))
    specs, places, held = _by_path(param_specs(model)), _by_path(shardings), {}

    def take(path: str, array) -> None:
        hold = jax.jit(lambda array: _held(specs[path], array, dtype), out_shardings=places[path])
        held[path] = jax.block_until_ready(hold(array))

    read_initial_weights(weights, stored, take)
    return jax.tree.unflatten(jax.tree.structure(stored), [held[path] for path in specs])


def _by_path(tree: Params) -> dict:
    """Path of a parameter -> what the tree has in its place, in the order of the tree."""
    is_leaf = lambda x: isinstance(x, Int8Weight)
    leaves = jax.tree_util.tree_leaves_with_path(tree, is_leaf=is_leaf)
    return {jax.tree_util.keystr(path, simple=True, separator="/"): leaf for path, leaf in leaves}


def _held(spec: ParamSpec, array: jax.Array, dtype: str) -> jax.Array | Int8Weight:
    if dtype == "int8" and spec.in_matmul and spec.axes[0] == "layers":
        quantise = lambda layer: Int8Weight.quantise(layer, _n_summed(spec))
        return jax.vmap(quantise)(array)
    is_matrix = spec.in_matmul or spec.decays
    return array.astype(jnp.bfloat16) if dtype == "bfloat16" and is_matrix else array


def _n_summed(spec: ParamSpec) -> int:
    """The axes of a layer's matrix that products sum over: the first, or, if `embed` is the last,
    all others.
    """
    return len(spec.axes) - 2 if spec.axes[-1] == "embed" else 1


def _scale_axes(spec: ParamSpec) -> tuple[str | None, ...]:
    return spec.axes[0], *spec.axes[1 + _n_summed(spec) :]
