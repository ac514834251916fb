"""The decoder as pure functions over one parameter tree: {embedding, blocks (stacked on axis 0),
final_norm}.

The same stacked tree serves initialisation, training, decoding, checkpoints and conversion.
"""

import functools

import jax
import jax.numpy as jnp
from flax import nnx

from hclx.config import ComputeConfig, ModelConfig
from hclx.model.attention import packed_attention
from hclx.model.layers import Attend, Block, Embedding, LayerNorm
from hclx.model.remat import remat
from hclx.parallel import axis_size, constrain, pipeline

Params = dict  # nested dictionary of float32 arrays


def _modules(config: ModelConfig, rngs: nnx.Rngs) -> dict[str, nnx.Module]:
    return {
        "embedding": Embedding(config, rngs),
        "blocks": Block(config, rngs),
        "final_norm": LayerNorm(config, config.d_model),
    }


@functools.cache
def _abstract_modules(config: ModelConfig) -> dict[str, tuple[nnx.GraphDef, nnx.State]]:
    """Structure of each module and its parameters without their values; one block stands for
    all.
    """
    modules = nnx.eval_shape(lambda: _modules(config, nnx.Rngs(0)))
    return {name: nnx.split(module) for name, module in modules.items()}


def _module(config: ModelConfig, name: str, params: Params) -> nnx.Module:
    graphdef, abstract = _abstract_modules(config)[name]
    state = jax.tree.map(lambda x: x, abstract)  # a copy: the cached one stays as it is
    nnx.replace_by_pure_dict(state, params)
    return nnx.merge(graphdef, state)


def init_params(config: ModelConfig, key: jax.Array) -> Params:
    """Fresh float32 parameters: normal(0.02), residual projections divided by sqrt(2 · layers),
    zero biases.

    The values depend on `key` and the shapes alone, not on how they are sharded.
    """
    keys = jax.random.split(key, config.n_layers + 1)
    pure = lambda module: nnx.to_pure_dict(nnx.state(module))
    return {
        "embedding": pure(Embedding(config, nnx.Rngs(keys[0]))),
        "blocks": jax.vmap(lambda k: pure(Block(config, nnx.Rngs(k))))(keys[1:]),
        "final_norm": pure(LayerNorm(config, config.d_model)),
    }


def abstract_params(config: ModelConfig) -> Params:
    """The parameter tree as `jax.ShapeDtypeStruct`: no memory, whatever the size."""
    return jax.eval_shape(lambda: init_params(config, jax.random.key(0)))


def logical_axes(config: ModelConfig) -> Params:
    """The parameter tree with, for each array, the tuple of logical names of its axes."""

    def names(name):
        _, state = _abstract_modules(config)[name]
        stacked = ("layers",) if name == "blocks" else ()
        flat = {
            path: stacked + variable.get_metadata("logical_axes")
            for path, variable in nnx.to_flat_state(state)
        }
        return nnx.traversals.unflatten_mapping(flat)

    return {name: names(name) for name in _abstract_modules(config)}


def embed(
    params: Params, tokens_bt: jax.Array, positions_bt: jax.Array, config: ModelConfig, dtype: str
) -> jax.Array:
    """Embeds tokens at their positions: [b, t, d] in `dtype`."""
    x_btd = _module(config, "embedding", params["embedding"])(tokens_bt, positions_bt)
    return constrain(x_btd.astype(dtype), "batch", "length", "features")


def run_block(
    layer: Params, x_btd: jax.Array, attend: Attend, config: ModelConfig, precision: str = "full"
) -> tuple[jax.Array, object]:
    """One block, `layer` being one slice of the stacked parameters; `precision` is that of its
    matrix products.
    """
    return _module(config, "blocks", layer)(x_btd, attend, precision)


def final_norm(params: Params, x_btd: jax.Array, config: ModelConfig) -> jax.Array:
    """The layer norm before the output projection."""
    return _module(config, "final_norm", params["final_norm"])(x_btd)


def unembed(params: Params, x_btd: jax.Array) -> jax.Array:
    """float32 logits [..., v] by the tied embedding."""
    embedding_vd = params["embedding"]["token"].astype(x_btd.dtype)
    return jnp.einsum("...d,vd->...v", x_btd, embedding_vd, preferred_element_type=jnp.float32)


def hidden_states(
    params: Params,
    tokens_bt: jax.Array,
    segments_bt: jax.Array,
    positions_bt: jax.Array,
    config: ModelConfig,
    compute: ComputeConfig,
) -> jax.Array:
    """Everything but the output projection, for windows of packed documents.

    Where the ambient mesh has stages (`pipe`), blocks are a pipeline; embedding and final norm, and
    the loss after them, are computed by every stage alike.

    Args:
      tokens_bt, segments_bt, positions_bt: int32; documents are the runs of equal segment,
        positions count in them.
    Returns:
      [b, t, d] in `compute.dtype`, after the final norm.
    """

    def block(layer, x_btd, segments_bt):
        return run_block(
            layer, x_btd, packed_attention(segments_bt, compute.attention), config, compute.matmul
        )[0]

    x_btd = embed(params, tokens_bt, positions_bt, config, compute.dtype)
    wrap, stages = functools.partial(remat, policy=compute.remat), axis_size("layers")
    if stages > 1:
        schedule = {
            "stages": stages,
            "repeats": compute.pipeline_repeats,
            "microbatches": compute.microbatches(stages),
        }
        x_btd = pipeline(
            block,
            params["blocks"],
            x_btd,
            segments_bt,
            **schedule,
            wrap=wrap,
            unroll=compute.scan_unroll,
        )
    else:
        body = wrap(lambda x_btd, layer: (block(layer, x_btd, segments_bt), None))
        x_btd, _ = jax.lax.scan(body, x_btd, params["blocks"], unroll=compute.scan_unroll)
    return constrain(final_norm(params, x_btd, config), "batch", "length", None)


def packing(tokens_bt: jax.Array, eod_id: int) -> tuple[jax.Array, jax.Array]:
    """Segments and positions of a window whose documents each begin with an end-of-document token.

    Returns:
      segments_bt: int32, 0 for the document that the window cuts into, then one more for each that
        begins.
      positions_bt: int32, from 0 in each document, or in the piece of it that the window holds.
    """
    begins = tokens_bt == eod_id
    segments_bt = jnp.cumsum(begins, axis=1, dtype=jnp.int32)
    index = jnp.arange(tokens_bt.shape[1], dtype=jnp.int32)
    start_bt = jax.lax.cummax(jnp.where(begins, index, 0), axis=1)
    return segments_bt, index - start_bt
