"""Prompt encoders of p-tuning: a small network makes the vectors of a soft prompt (Liu et al. 2021,
"GPT understands, too", section 3.2; Kim et al. 2021, HyperCLOVA, section 4.3).

  lstm   embedding [p, d] -> two bidirectional LSTM layers -> linear, ReLU, linear
  mlp    embedding [p, d] -> linear, ReLU, linear, ReLU, linear

Both are those of PEFT, so that its users know what they get.
"""

import jax
import jax.numpy as jnp

from hclx.model import Params, ParamSpec
from hclx.model_config import ModelConfig
from hclx.tune.initial_values import Tokens, draw, linear_specs, uniform
from hclx.tune.tune_config import TuneConfig

_LAYERS = 2


def encoder_specs(model: ModelConfig, config: TuneConfig) -> Params:
    """The records of the parameters of a prompt encoder."""
    d, is_lstm = model.d_model, config.encoder == "lstm"
    size = config.encoder_size or (max(1, d // 2) if is_lstm else d)
    embedding = ParamSpec((config.length, d), (None, "embed"), decays=False, in_matmul=False)
    if not is_lstm:
        sizes = [d, size, size, d]
        return {"embedding": embedding} | _head_specs(sizes)
    layers = {
        f"lstm_{layer}": _lstm_specs(2 * size if layer else d, size) for layer in range(_LAYERS)
    }
    return {"embedding": embedding} | layers | _head_specs([2 * size, 2 * size, d])


def _head_specs(sizes: list[int]) -> Params:
    pairs = enumerate(zip(sizes, sizes[1:]))
    return {f"linear_{i}": linear_specs(*pair) for i, pair in pairs}


def _lstm_specs(inputs: int, size: int) -> Params:
    """Both directions are stacked on axis 0. The gates are input, forget, cell, output."""
    weight = lambda n: ParamSpec((2, n, 4 * size), (None, "embed", None), True, True)
    bias = ParamSpec((2, 4 * size), (None, None), False, False)
    return {
        "input": weight(inputs),
        "hidden": weight(size),
        "input_bias": bias,
        "hidden_bias": bias,
    }


def init_encoder(
    model: ModelConfig, config: TuneConfig, base: Params, key: jax.Array, tokens: Tokens
) -> Params:
    """The initial encoder, as PyTorch begins such layers: the embedding is standard normal, weights
    and biases are uniform. `base` and `tokens` are not looked at.
    """
    specs = encoder_specs(model, config)

    def initial(path, key, spec):
        if path == "embedding":
            return jax.random.normal(key, spec.shape, jnp.float32)
        layer = specs[path.partition("/")[0]]
        inputs = layer["hidden" if "hidden" in layer else "weight"].shape[-2]
        return uniform(key, spec.shape, inputs)

    return draw(specs, key, initial)


def encode_prompt(params: Params) -> jax.Array:
    """Returns the table of a soft prompt, float32 [p, d], of the parameters of an encoder."""
    x_pd = params["embedding"]
    for layer in range(_LAYERS if "lstm_0" in params else 0):
        x_pd = _lstm(params[f"lstm_{layer}"], x_pd)
    n_linear = sum(name.startswith("linear_") for name in params)
    for number in range(n_linear):
        layer = params[f"linear_{number}"]
        x_pd = (jax.nn.relu(x_pd) if number else x_pd) @ layer["weight"] + layer["bias"]
    return x_pd


def _lstm(layer: Params, x_pd: jax.Array) -> jax.Array:
    """One bidirectional LSTM layer (Hochreiter and Schmidhuber 1997), [p, d] -> [p, 2 * size]."""
    both_spd = jnp.stack([x_pd, x_pd[::-1]])
    bias_s1g = (layer["input_bias"] + layer["hidden_bias"])[:, None]
    inputs_spg = jnp.einsum("spd,sdg->spg", both_spd, layer["input"]) + bias_s1g
    zeros_sh = jnp.zeros((2, layer["hidden"].shape[1]), x_pd.dtype)

    def step(carry, inputs_sg):
        hidden_sh, cell_sh = carry
        gates_sg = inputs_sg + jnp.einsum("sh,shg->sg", hidden_sh, layer["hidden"])
        write, forget, candidate, output = jnp.split(gates_sg, 4, axis=-1)
        cell_sh = jax.nn.sigmoid(forget) * cell_sh + jax.nn.sigmoid(write) * jnp.tanh(candidate)
        hidden_sh = jax.nn.sigmoid(output) * jnp.tanh(cell_sh)
        return (hidden_sh, cell_sh), hidden_sh

    _, out_psh = jax.lax.scan(step, (zeros_sh, zeros_sh), inputs_spg.swapaxes(0, 1))
    return jnp.concatenate([out_psh[:, 0], out_psh[::-1, 1]], axis=-1)
