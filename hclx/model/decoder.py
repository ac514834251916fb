"""The decoder as pure functions over one tree of parameters.

The tree is {embedding, blocks, final_norm}, and `head` if the output projection is not the token
embedding alone: nested dictionaries of float32 arrays; the blocks are stacked on axis 0. One tree
serves initialisation, training, the pipeline, decoding, checkpoints and conversion; so the NNX
modules, which declare and use the parameters, are split from them here and merged with (a slice of)
the tree where they run.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from hclx.config import ComputeConfig, ModelConfig
from hclx.model.attention import packed_attention
from hclx.model.layers import Attend, Block, Embedding, OutputProjection, make_norm
from hclx.model.parameters import ParamSpec, count_params
from hclx.model.prefix_attention import Prefix
from hclx.model.remat import remat
from hclx.model.rotary import LayerKind, layer_kinds, stacked_kinds
from hclx.parallel import axis_size, constrain, pipeline

Params = dict  # nested dictionary of float32 arrays


def _constructors(config: ModelConfig) -> dict[str, Callable[[nnx.Rngs], nnx.Module]]:
    """A constructor for each part of the decoder; "blocks" constructs one block of the stack."""
    parts = {
        "embedding": lambda rngs: Embedding(config, rngs),
        "blocks": lambda rngs: Block(config, rngs),
        "final_norm": lambda rngs: make_norm(config, config.d_model),
    }
    if config.head_bias or not config.tied_head:
        parts["head"] = lambda rngs: OutputProjection(config, rngs)
    return parts


@functools.cache
def _abstract_modules(config: ModelConfig) -> dict[str, tuple[nnx.GraphDef, nnx.State]]:
    """The structure of each part, and its parameters without their values."""
    return {
        name: nnx.split(nnx.eval_shape(lambda make=make: make(nnx.Rngs(0))))
        for name, make in _constructors(config).items()
    }


def _module(config: ModelConfig, name: str, params: Params) -> nnx.Module:
    graphdef, _ = _abstract_modules(config)[name]
    return nnx.merge(graphdef, params)


@functools.cache
def param_specs(config: ModelConfig) -> Params:
    """The parameter tree with the record of each parameter (`ParamSpec`) in its place."""

    def spec(name: str, param: nnx.Param) -> ParamSpec:
        of_module = param.get_metadata("spec")
        return of_module.stacked(config.n_layers) if name == "blocks" else of_module

    return {
        name: nnx.traversals.unflatten_mapping(
            {path: spec(name, param) for path, param in nnx.to_flat_state(state)}
        )
        for name, (_, state) in _abstract_modules(config).items()
    }


def n_params(config: ModelConfig) -> int:
    """The number of parameters of a model."""
    return count_params(param_specs(config))


def abstract_params(config: ModelConfig) -> Params:
    """The parameter tree as `jax.ShapeDtypeStruct`; it takes no memory, whatever the size."""
    return jax.tree.map(
        lambda spec: jax.ShapeDtypeStruct(spec.shape, jnp.float32), param_specs(config)
    )


def logical_axes(config: ModelConfig) -> Params:
    """The parameter tree with, for each array, the tuple of logical names of its axes."""
    return jax.tree.map(lambda spec: spec.axes, param_specs(config))


def init_params(config: ModelConfig, key: jax.Array) -> Params:
    """Draws fresh float32 parameters. Matrices are normal with `init_std`, which is divided by
    sqrt(2 · layers) for residual projections; biases are 0 and scales 1.

    The values depend on `key` and the shapes alone, not on how they are sharded.
    """
    keys = jax.random.split(key, config.n_layers + 1)
    constructors, rngs = _constructors(config), nnx.Rngs(keys[0])
    values = lambda module: nnx.to_pure_dict(nnx.state(module))
    make_block = constructors.pop("blocks")
    blocks = jax.vmap(lambda key: values(make_block(nnx.Rngs(key))))(keys[1:])
    return {"blocks": blocks} | {name: values(make(rngs)) for name, make in constructors.items()}


def token_vectors(params: Params, tokens_bt: jax.Array, config: ModelConfig) -> jax.Array:
    """float32 [b, t, d]: the rows of the token embedding, times `embedding_multiplier`, before
    positions are added; the `inputs_embeds` of transformers. `params` are those of the whole
    decoder.
    """
    return _module(config, "embedding", params["embedding"]).vectors(tokens_bt)


def with_soft_slots(
    params: Params, tokens_bt: jax.Array, table_pd: jax.Array, config: ModelConfig
) -> jax.Array:
    """The vectors of tokens as `token_vectors` returns them, and rows of a table for soft slots,
    which are the ids from `vocab_size` on: id `vocab_size` + i stands for row i.

    Args:
      params: of the whole decoder.
      tokens_bt: int32, below `vocab_size` + p.
      table_pd: the vectors of the slots.
      config: the model's shape.
    """
    slots_bt = tokens_bt - config.vocab_size
    vectors_btd = token_vectors(params, jnp.where(slots_bt < 0, tokens_bt, 0), config)
    table_pd = constrain(table_pd, None, None)
    soft_btd = table_pd[jnp.clip(slots_bt, 0, len(table_pd) - 1)]
    return jnp.where(slots_bt[..., None] < 0, vectors_btd, soft_btd)


def embed(
    params: Params,
    tokens_bt: jax.Array,
    positions_bt: jax.Array,
    config: ModelConfig,
    dtype: str,
    vectors_btd: jax.Array | None = None,
) -> jax.Array:
    """Embeds tokens at their positions.

    Args:
      params: of the decoder.
      tokens_bt: int32.
      positions_bt: int32, the position of each token in its document, below `max_length`.
      config: the model's shape.
      dtype: name of the dtype of the result.
      vectors_btd: float32, take the place of the tokens' own: see `token_vectors`.
    Returns:
      [b, t, d] in `dtype`.
    """
    embedding = _module(config, "embedding", params["embedding"])
    x_btd = embedding.vectors(tokens_bt) if vectors_btd is None else vectors_btd
    x_btd = embedding(x_btd, positions_bt)
    return constrain(x_btd.astype(dtype), "batch", "length", "features")


def run_block(
    layer: Params,
    x_btd: jax.Array,
    positions_bt: jax.Array,
    attend: Attend,
    kind: LayerKind,
    config: ModelConfig,
    precision: str = "full",
) -> tuple[jax.Array, object]:
    """Runs one block.

    Args:
      layer: one slice of the stacked parameters `params["blocks"]`.
      x_btd: the residual stream.
      positions_bt: int32, the position of each token in its document.
      attend: the attention function: see `hclx.model.layers.Attend`.
      kind: of the layer: see `hclx.model.rotary.layer_kinds`.
      config: the model's shape.
      precision: that of the block's matrix products, "full", "int8" or "fp8": see
        `hclx.model.matmul`.
    Returns:
      The residual stream after the block, in the dtype of `x_btd`, and whatever `attend` returned
      beside the context.
    """
    return _module(config, "blocks", layer)(x_btd, positions_bt, attend, precision, kind)


def final_norm(params: Params, x_btd: jax.Array, config: ModelConfig) -> jax.Array:
    """Normalises the residual stream before the output projection: [b, t, d] in the dtype of
    `x_btd`, multiplied by `logits_multiplier`. `params` are those of the whole decoder.
    """
    normed_btd = _module(config, "final_norm", params["final_norm"])(x_btd)
    return normed_btd if config.logits_multiplier == 1 else normed_btd * config.logits_multiplier


class Head(NamedTuple):
    """The output projection.

    Attributes:
      weight: [v, d], in the dtype in which the parameters hold it.
      bias: float32 [v], or None.
    """

    weight: jax.Array
    bias: jax.Array | None = None


def head_weights(params: Params, config: ModelConfig) -> Head:
    """Returns the output projection of a decoder: a matrix of its own or the token embedding, if
    that is tied to it. `params` are those of the whole decoder.
    """
    own = params.get("head", {})
    weight_vd = params["embedding"]["token"] if config.tied_head else own["weight"]
    return Head(weight_vd, own.get("bias"))


def project_to_vocab(x_btd: jax.Array, head: Head) -> jax.Array:
    """float32 logits [..., v] of hidden states [..., d], by a product in the dtype of these."""
    weight_vd = head.weight.astype(x_btd.dtype)
    logits = jnp.einsum("...d,vd->...v", x_btd, weight_vd, preferred_element_type=jnp.float32)
    return logits if head.bias is None else logits + head.bias


def unembed(params: Params, x_btd: jax.Array, config: ModelConfig) -> jax.Array:
    """float32 logits [b, t, v] of hidden states after the final norm, by the parameters of the
    decoder. The product is computed in the dtype of `x_btd`.
    """
    head, n_tokens = head_weights(params, config), x_btd.shape[0] * x_btd.shape[1]
    if jax.default_backend() != "cpu" or not 1 < n_tokens <= 64:
        return project_to_vocab(x_btd, head)
    # For few tokens, XLA for CPUs reads the matrix 1.3 to 1.5 times as fast as the left operand,
    # where the barrier keeps it from being made the right one again.
    x_nd = x_btd.reshape(n_tokens, -1)
    product = functools.partial(jnp.einsum, preferred_element_type=jnp.float32)
    logits_vn = product("vd,nd->vn", head.weight.astype(x_nd.dtype), x_nd)
    logits_nv = jax.lax.optimization_barrier(logits_vn).T
    logits_btv = logits_nv.reshape(*x_btd.shape[:2], -1)
    return logits_btv if head.bias is None else logits_btv + head.bias


def _kinds(config: ModelConfig, positions: int) -> tuple[LayerKind | None, LayerKind]:
    """Returns the kinds of all layers, stacked, if they differ, and that of the first."""
    kinds, first = stacked_kinds(config), layer_kinds(config)[0]
    if config.window >= positions:  # no query has more tokens before it
        kinds = kinds and kinds._replace(window=None)
        first = first._replace(window=None)
    return kinds, first


def _run_layers(body, x_btd: jax.Array, layers, unroll: int) -> jax.Array:
    """Runs layers in order: (parameters, kinds, prefix), of which each is stacked or None. The
    parameters may be a tuple with one tree a layer, as inference has them.
    """
    blocks, *others = layers
    if not isinstance(blocks, tuple):
        return jax.lax.scan(body, x_btd, layers, unroll=unroll)[0]
    for i, layer in enumerate(blocks):
        x_btd, _ = body(x_btd, (layer, *jax.tree.map(lambda stacked: stacked[i], others)))
    return x_btd


def hidden_states(
    params: Params,
    tokens_bt: jax.Array,
    segments_bt: jax.Array,
    positions_bt: jax.Array,
    config: ModelConfig,
    compute: ComputeConfig,
    *,
    vectors_btd: jax.Array | None = None,
    prefix: Prefix | None = None,
) -> jax.Array:
    """Computes everything but the output projection, for sequences of packed documents.

    If the ambient mesh has stages (`pipe`), the blocks are a pipeline; embedding and final norm,
    and the loss after them, are computed by every stage alike.

    Args:
      params: of the decoder; also as `hclx.infer.prepare_params` returns them, without stages.
      tokens_bt, segments_bt, positions_bt: int32. Tokens of one document have the same segment, and
        their positions count within the document: see `hclx.data.batch.packing`.
      config: the model's shape.
      compute: how it is computed.
      vectors_btd: as in `embed`.
      prefix: keys and values of all layers, which every document sees; positions begin behind it.
    Returns:
      [b, t, d] in `compute.dtype`, after the final norm.
    Raises:
      ConfigError: the pipeline cannot split blocks or batch: see `hclx.parallel.pipeline`.
    """

    kinds, first = _kinds(config, tokens_bt.shape[1] + (0 if prefix is None else prefix.k.shape[1]))

    def block(layer, x_btd, rows):
        layer, kind, prefix = layer
        kind = first if kind is None else kind
        segments_bt, positions_bt = rows
        attend = packed_attention(segments_bt, compute.attention, prefix, positions_bt)
        return run_block(layer, x_btd, positions_bt, attend, kind, config, compute.matmul)[0]

    layers = (params["blocks"], kinds, prefix)
    x_btd = embed(params, tokens_bt, positions_bt, config, compute.dtype, vectors_btd)
    rows = (segments_bt, positions_bt)
    wrap, stages = functools.partial(remat, policy=compute.remat), axis_size("layers")
    if stages > 1:
        x_btd = pipeline(
            block,
            layers,
            x_btd,
            rows,
            stages=stages,
            repeats=compute.pipeline_repeats,
            microbatches=compute.microbatches(stages),
            wrap=wrap,
            unroll=compute.scan_unroll,
        )
    else:
        body = wrap(lambda x_btd, layer: (block(layer, x_btd, rows), None))
        x_btd = _run_layers(body, x_btd, layers, compute.scan_unroll)
    return constrain(final_norm(params, x_btd, config), "batch", "length", None)
