"""The parameters of a decoder, and its logits in float32."""

import functools

import jax
import numpy as np

from hclx.config import ComputeConfig, ModelConfig
from hclx.data.batch import packing
from hclx.model import hidden_states, init_params, unembed

CONFIG = ModelConfig(vocab_size=97, n_layers=3, d_model=24, n_heads=3, max_length=40)

FP32 = ComputeConfig(dtype="float32", remat="none")

EOD = 1


def drawn_params(config, seed=0):
    """Parameters as training begins with: by one program, where each draw would compile its own."""
    return jax.jit(init_params, static_argnums=0)(config, jax.random.key(seed))


def logits(params, tokens_bt, compute=FP32, config=CONFIG):
    tokens_bt = np.asarray(tokens_bt)
    return _logits(config, compute)(params, tokens_bt, *packing(tokens_bt, EOD))


@functools.cache
def _logits(config, compute):
    def logits(params, *batch):
        return unembed(params, hidden_states(params, *batch, config, compute), config)

    return jax.jit(logits)
