"""The logits of a decoder in float32."""

import numpy as np

from hclx.config import ComputeConfig, ModelConfig
from hclx.data.batch import packing
from hclx.model import hidden_states, unembed

CONFIG = ModelConfig(vocab_size=97, n_layers=3, d_model=24, n_heads=3, max_length=40)

FP32 = ComputeConfig(dtype="float32", remat="none")

EOD = 1


def logits(params, tokens_bt, compute=FP32, config=CONFIG):
    tokens_bt = np.asarray(tokens_bt)
    x_btd = hidden_states(params, tokens_bt, *packing(tokens_bt, EOD), config, compute)
    return unembed(params, x_btd, config)
