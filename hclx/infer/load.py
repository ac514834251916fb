"""Loads the parameters of a run for inference: on any mesh, by any sharding rules, in any dtype."""

import contextlib
import dataclasses
import functools
import math
from pathlib import Path

import jax
from jax.sharding import Mesh

from hclx.config import INFERENCE_DTYPES, MeshConfig, ModelConfig
from hclx.errors import ConfigError
from hclx.model import Params, ParamSpec, param_specs
from hclx.model.matmul import Int8Weight
from hclx.parallel import (
    RULES,
    ShardingRules,
    constrain,
    make_mesh,
    named_sharding,
    sharding_rules,
)
from hclx.train.checkpoint import Checkpointer
from hclx.train.whole_model import read_whole_model

# Weights are sharded over `model` alone: a step of decoding reads all of them for few tokens, so
# that to gather them from other devices each time would take longer than the step.
INFERENCE_RULES = dataclasses.replace(
    RULES,
    length=(),
    tokens=RULES.batch,
    layers=(),
    embed=(),
    attention_heads=RULES.heads,
)


@dataclasses.dataclass(frozen=True)
class LoadedModel:
    """A model to decode with.

    Attributes:
      params: as `prepare_params` returns them, on the devices of `mesh`.
      config: the model's shape.
      tokenizer_dir: the folder of its tokenizer.
      meta: the description in the checkpoint, with the hashes of vocabulary and text.
      mesh: the devices.
      rules: the layout on them.
    """

    params: Params
    config: ModelConfig
    tokenizer_dir: str
    meta: dict
    mesh: Mesh
    rules: ShardingRules

    @contextlib.contextmanager
    def placement(self):
        """A context in which computations follow the mesh and the rules of this model."""
        with jax.set_mesh(self.mesh), sharding_rules(self.rules):
            yield


def inference_mesh(config: ModelConfig, model_shards: int = 0) -> Mesh:
    """Makes a mesh for a model.

    Args:
      config: the model's shape.
      model_shards: the devices that share heads, vocabulary and the width of the MLP; as many
        groups of them as there are share the rows. 0: the first device is the mesh; with several
        processes, as many of all devices as divide these sizes are a group.
    Raises:
      ConfigError: the devices cannot be divided so.
    """
    devices = jax.devices()
    if not model_shards and jax.process_count() == 1:
        return make_mesh(MeshConfig(fsdp=1), devices[:1])
    sizes = config.n_heads, config.n_kv_heads, config.vocab_size, config.d_mlp
    model_shards = model_shards or math.gcd(len(devices), *sizes)
    if len(devices) % model_shards:
        raise ConfigError(
            f"--model_shards={model_shards} does not divide the number of devices, {len(devices)}"
        )
    return make_mesh(MeshConfig(data=-1, fsdp=1, model=model_shards), devices)


def load_for_inference(
    model_dir: str | Path,
    mesh: Mesh | None = None,
    rules: ShardingRules = INFERENCE_RULES,
    dtype: str | None = None,
    step: int | None = None,
) -> LoadedModel:
    """Loads a run's parameters from a checkpoint, which is verified first.

    Args:
      model_dir: the folder of the run.
      mesh: the devices to load onto, see `hclx.parallel.make_mesh`; default: `inference_mesh`.
      rules: the layout on the mesh.
      dtype: of the matrices, and with them of activations and KV cache, "float32" or "bfloat16";
        default: float32 on a CPU and bfloat16 elsewhere. "int8" is that default with the matrices
        of the blocks in eight bits, see `prepare_params`.
      step: of the checkpoint; default: the newest.
    Raises:
      CheckpointError: the folder holds no run or no such checkpoint, or the checkpoint is damaged.
      ConfigError: a parameter cannot be sharded evenly over the mesh.
    """
    experiment, tokenizer_dir = read_whole_model(model_dir)
    mesh = mesh or inference_mesh(experiment.model)

    def place(path, spec: ParamSpec):
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        sharding = named_sharding(mesh, spec.axes, spec.shape, name, rules)
        return jax.ShapeDtypeStruct(spec.shape, "float32", sharding=sharding)

    abstract = jax.tree_util.tree_map_with_path(place, param_specs(experiment.model))
    with Checkpointer(model_dir, read_only=True) as checkpointer:
        params, meta = checkpointer.restore_params(abstract, step)
    with jax.set_mesh(mesh), sharding_rules(rules):
        params = prepare_params(params, experiment.model, dtype, donate=True)
    return LoadedModel(params, experiment.model, tokenizer_dir, meta, mesh, rules)


def prepare_params(
    params: Params, config: ModelConfig, dtype: str | None = None, *, donate: bool = False
) -> Params:
    """Converts parameters, once, to the form that a step of decoding reads as it is.

    Matrices get the dtype of the activations. Scales and biases stay float32, as the norms compute
    in it; they are a thousandth of the bytes. The blocks become a tuple with one tree for each
    layer: as slices of stacked arrays, XLA for CPUs would copy each weight before a product reads
    it.

    Args:
      params: the decoder's parameters, as training has them: blocks are stacked on axis 0.
      config: the model's shape.
      dtype: of the matrices, "float32" or "bfloat16"; default: float32 on a CPU and bfloat16
        elsewhere. "int8": the same, but the matrices of the blocks are `Int8Weight`.
      donate: frees each stacked array of `params` as soon as it is converted.
    Returns:
      {embedding, blocks, final_norm}, laid out by the ambient mesh and rules; `blocks` is a tuple.
    Raises:
      ConfigError: `dtype` is none of these.
    """

    if dtype not in (None, *INFERENCE_DTYPES):
        raise ConfigError(f"dtype={dtype!r} is not one of {', '.join(INFERENCE_DTYPES)}")
    is_int8 = dtype == "int8"
    if dtype is None or is_int8:
        dtype = "float32" if jax.default_backend() == "cpu" else "bfloat16"

    def convert(spec: ParamSpec, array):
        is_matrix = spec.in_matmul or spec.decays
        place = functools.partial(
            _place, axes=spec.axes, dtype=dtype if is_matrix else array.dtype.name
        )
        if spec.axes[0] != "layers":
            return place(array, None)
        place = functools.partial(_place_int8, axes=spec.axes) if is_int8 and is_matrix else place
        layers = tuple(place(array, i) for i in range(config.n_layers))
        if donate:
            jax.block_until_ready(layers)
            array.delete()
        return layers

    converted = jax.tree.map(convert, param_specs(config), params)
    structure = jax.tree.structure(params["blocks"])
    layers = zip(*jax.tree.leaves(converted["blocks"], is_leaf=lambda x: isinstance(x, tuple)))
    blocks = tuple(jax.tree.unflatten(structure, layer) for layer in layers)
    return {**converted, "blocks": blocks}


@functools.partial(jax.jit, static_argnames=("axes", "dtype"))
def _place(array: jax.Array, layer: int | None, *, axes: tuple[str | None, ...], dtype: str):
    """An array, or one layer of it, in `dtype`, laid out by the names of its axes."""
    if layer is not None:
        array, axes = array[layer], axes[1:]
    return constrain(array.astype(dtype), *axes)


@functools.partial(jax.jit, static_argnames="axes")
def _place_int8(array: jax.Array, layer: int, *, axes: tuple[str | None, ...]) -> Int8Weight:
    """One layer of a matrix in eight bits. Its products sum over its first axis, or, if `embed` is
    the last one, over all others.
    """
    axes = axes[1:]
    n_summed = len(axes) - 1 if axes[-1] == "embed" else 1
    weight = Int8Weight.quantise(array[layer], n_summed)
    values, scale = constrain(weight.values, *axes), constrain(weight.scale, *axes[n_summed:])
    return Int8Weight(values, scale)
