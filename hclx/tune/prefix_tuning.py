"""Prefix tuning: keys and values of each layer, which every document sees before its own (Li and
Liang 2021; Liu et al. 2022, "P-tuning v2").

With reparameterisation they are the output of an MLP, embedding [p, e] -> linear, tanh, linear, as
in Li and Liang, section 4.3, and PEFT.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp

from hclx.model import Params, ParamSpec, Prefix, embed, layer_kinds, run_block
from hclx.model.attention import packed_attention
from hclx.model.rotary import stacked_kinds
from hclx.model_config import ModelConfig
from hclx.parallel import RULES, sharding_rules
from hclx.tune.initial_values import Tokens, draw, initial_tokens, linear_specs, uniform
from hclx.tune.tune_config import TuneConfig

# The rules of training, for a row that cannot be shared by devices.
_ONE_ROW = dataclasses.replace(RULES, batch=(), length=(), tokens=())


def prefix_specs(model: ModelConfig, config: TuneConfig) -> Params:
    """The records of the parameters of a prefix."""
    layers, length, g, k = model.n_layers, config.length, model.n_kv_heads, model.d_head
    axes = None, "kv_heads", "head_dim"
    if not config.reparameterise:
        shape = layers, length, 2, g, k
        return {"kv": ParamSpec(shape, ("layers", None, *axes), decays=False, in_matmul=False)}
    size = config.encoder_size or model.d_model
    embedding = ParamSpec((length, g * k), (None, "embed"), decays=False, in_matmul=False)
    weight = ParamSpec((size, 2, g, k), ("embed", *axes), True, True)
    bias = ParamSpec((2, g, k), axes, False, False)
    return {
        "embedding": embedding,
        "hidden": linear_specs(g * k, size),
        "out": {"weight": weight.stacked(layers), "bias": bias.stacked(layers)},
    }


def init_prefix(
    model: ModelConfig, config: TuneConfig, base: Params, key: jax.Array, tokens: Tokens
) -> Params:
    """The initial keys and values: those that the base computes for tokens (Li and Liang 2021,
    section 7.4), or normal ones with `init_std`. With reparameterisation, the MLP begins as PyTorch
    does.

    Args:
      model: the base's shape.
      config: the settings.
      base: its parameters.
      key: of what is drawn.
      tokens: of the one text, for `init` "text".
    """
    specs = prefix_specs(model, config)
    if config.reparameterise:
        return draw(specs, key, lambda path, key, spec: _initial(path, key, spec, specs))
    if config.init == "random":
        return {"kv": model.init_std * jax.random.normal(key, specs["kv"].shape, jnp.float32)}
    slots = initial_tokens(config, tokens, model.vocab_size, key)
    return {"kv": keys_and_values(base, jnp.array([token for (token,) in slots]), model)}


def _initial(path: str, key: jax.Array, spec: ParamSpec, specs: Params) -> jax.Array:
    if path == "embedding":
        return jax.random.normal(key, spec.shape, jnp.float32)
    weight = specs[path.partition("/")[0]]["weight"]
    return uniform(key, spec.shape, weight.shape[0 if path.startswith("hidden") else 1])


def make_prefix(params: Params) -> Prefix:
    """Returns keys and values [layers, p, g, k], float32, of the parameters of a prefix."""
    if "kv" in params:
        kv = params["kv"]
    else:
        hidden, out = params["hidden"], params["out"]
        hidden_pm = jnp.tanh(params["embedding"] @ hidden["weight"] + hidden["bias"])
        kv = jnp.einsum("pm,lmngk->lpngk", hidden_pm, out["weight"]) + out["bias"][:, None]
    return Prefix(kv[:, :, 0], kv[:, :, 1])


@functools.partial(jax.jit, static_argnames="model")
def keys_and_values(base: Params, tokens_p: jax.Array, model: ModelConfig) -> jax.Array:
    """The keys and values that a base has in its cache after some tokens: a prefix of these is the
    same as the tokens themselves.

    Args:
      base: the parameters.
      tokens_p: int32.
      model: the base's shape.
    Returns:
      float32 [layers, p, 2, g, k].
    """
    kinds, first = stacked_kinds(model), layer_kinds(model)[0]
    positions_1p = jnp.arange(len(tokens_p))[None]

    def run(x_1pd, layer):
        block, kind = layer
        attend = packed_attention(jnp.zeros_like(positions_1p), "xla")
        remember = lambda q, k, v, window: (attend(q, k, v, window)[0], jnp.stack([k[0], v[0]], 1))
        kind = first if kind is None else kind
        return run_block(block, x_1pd, positions_1p, remember, kind, model)

    with sharding_rules(_ONE_ROW):
        x_1pd = embed(base, tokens_p[None], positions_1p, model, "float32")
        return jax.lax.scan(run, x_1pd, (base["blocks"], kinds))[1]
