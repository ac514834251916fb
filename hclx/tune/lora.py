"""Low-rank adaptation: W + scale · A B, of which A and B are trained (Hu et al. 2021, LoRA).

The change stays beside the weight, in training and in the engine, so that the base is the same for
all artefacts, and may have eight bits; `merge_lora` adds it where a plain model is wanted.
"""

import functools
import zlib

import jax
import jax.numpy as jnp

from hclx.model import Params, ParamSpec
from hclx.model.low_rank import LowRankWeight
from hclx.model_config import ModelConfig
from hclx.tune.initial_values import Tokens, draw, uniform
from hclx.tune.projections import low_rank_shape, parse_targets
from hclx.tune.tune_config import TuneConfig


def lora_specs(model: ModelConfig, config: TuneConfig) -> Params:
    """The records of A and B of each projection that is changed."""
    return {
        name: low_rank_shape(name, model).specs(config.rank, model.n_layers)
        for name in parse_targets(config.targets)
    }


def init_lora(
    model: ModelConfig, config: TuneConfig, base: Params, key: jax.Array, tokens: Tokens
) -> Params:
    """The initial change, which is none: A is uniform, as in PEFT, and B is 0. `base` and `tokens`
    are not looked at.
    """

    def initial(path, key, spec: ParamSpec):
        if path.endswith("/b"):
            return jnp.zeros(spec.shape, jnp.float32)
        return uniform(key, spec.shape, spec.shape[1])

    return draw(lora_specs(model, config), key, initial)


def with_low_rank(
    blocks: Params, changes: Params, model: ModelConfig, config: TuneConfig, key: jax.Array | None
) -> Params:
    """Puts low-rank changes beside the weights of blocks.

    Args:
      blocks: of the base, stacked; weights may be of eight bits.
      changes: projection -> {"a", "b"}: see `lora_specs`.
      model: the base's shape.
      config: the settings.
      key: of dropout; None: there is none.
    Returns:
      The blocks, whose changed weights are `LowRankWeight`s.
    """
    blocks = {**blocks, "attention": dict(blocks["attention"]), "mlp": dict(blocks["mlp"])}
    for part, leaf, name, a, b in changes_by_weight(changes, model):
        rate = config.dropout if key is not None else 0.0
        keys = _layer_keys(key, name, model.n_layers) if rate else None
        weight = LowRankWeight(blocks[part][leaf], a, b, keys, config.scale, rate)
        blocks[part][leaf] = weight
    return blocks


def _layer_keys(key: jax.Array, name: str, layers: int) -> jax.Array:
    """Keys of one projection in all layers, as arrays, which a pipeline can move."""
    own = jax.random.fold_in(key, zlib.crc32(name.encode()))
    return jax.random.key_data(jax.random.split(own, layers))


def changes_by_weight(changes: Params, model: ModelConfig):
    """Yields the changes by the weights of a block: (part, leaf, name of the input's dropout, A,
    B). Keys and values are one weight: their matrices A stand side by side.
    """
    h, g = model.n_heads, model.n_kv_heads
    if "qkv" in changes:
        a, b = changes["qkv"]["a"], changes["qkv"]["b"]
        yield "attention", "q", "qkv", a, b[:, :, :h]
        kv = b[:, :, h:]
        yield "attention", "kv", "qkv", a, kv.reshape(*kv.shape[:2], 2, g, kv.shape[-1])
    kv = [(at, changes[name]) for at, name in enumerate("kv") if name in changes]
    if kv:
        side = lambda at, b: jnp.stack(
            [b if at == i else jnp.zeros_like(b) for i in range(2)], axis=2
        )
        a = jnp.concatenate([change["a"] for _, change in kv], axis=2)
        yield "attention", "kv", "kv", a, jnp.concatenate([side(at, c["b"]) for at, c in kv], 1)
    for name, part in {"q": "attention", "out": "attention", **dict.fromkeys(_MLP, "mlp")}.items():
        if name in changes:
            yield part, name, name, changes[name]["a"], changes[name]["b"]


_MLP = ("wi", "gate", "wo")


def merge_lora(params: Params, model: ModelConfig, config: TuneConfig) -> Params:
    """Adds the changes to the weights, for a plain model.

    Args:
      params: of the base, with those of LoRA under "tune". Weights are float32.
      model: the base's shape.
      config: the settings.
    Returns:
      The parameters of a decoder, {embedding, blocks, final_norm[, head]}.
    """
    blocks = with_low_rank(params["blocks"], params["tune"], model, config, None)
    is_changed = lambda leaf: isinstance(leaf, LowRankWeight)
    merged = jax.tree.map(
        lambda leaf: _merged(leaf) if is_changed(leaf) else leaf, blocks, is_leaf=is_changed
    )
    return {**{name: tree for name, tree in params.items() if name != "tune"}, "blocks": merged}


def _merged(weight: LowRankWeight) -> jax.Array:
    product = jax.vmap(functools.partial(jnp.tensordot, axes=1))(weight.a, weight.b)
    return weight.base + weight.scale * product.reshape(weight.base.shape)
