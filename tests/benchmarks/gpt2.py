"""Builds Hugging Face's GPT-2 with this project's parameters, the independent peer of tests and
benchmarks.
"""

import jax
import numpy as np
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from hclx.config import ModelConfig
from hclx.model import init_params
from hclx.model.legacy import to_format_2


def gpt2(config: ModelConfig) -> GPT2LMHeadModel:
    """Builds a GPT-2 of the same shape, with its own random parameters and no dropout."""
    return GPT2LMHeadModel(
        GPT2Config(
            vocab_size=config.vocab_size,
            n_positions=config.max_length,
            n_embd=config.d_model,
            n_layer=config.n_layers,
            n_head=config.n_heads,
            layer_norm_epsilon=config.layer_norm_epsilon,
            activation_function="gelu_new",
            resid_pdrop=0.0,
            embd_pdrop=0.0,
            attn_pdrop=0.0,
            use_cache=False,
            bos_token_id=None,
            eos_token_id=None,
        )
    )


def from_params(params, config: ModelConfig) -> GPT2LMHeadModel:
    """Builds a GPT-2 that computes what the decoder computes with `params`."""
    model, d = gpt2(config), config.d_model
    tensor = lambda array, *shape: torch.tensor(
        np.asarray(array, np.float32).reshape(*shape) if shape else np.asarray(array)
    )
    weights = {
        "transformer.wte.weight": tensor(params["embedding"]["token"]),
        "lm_head.weight": tensor(params["embedding"]["token"]),
        "transformer.wpe.weight": tensor(params["embedding"]["position"]),
        "transformer.ln_f.weight": tensor(params["final_norm"]["scale"]),
        "transformer.ln_f.bias": tensor(params["final_norm"]["bias"]),
    }
    blocks = to_format_2(params)["blocks"]  # GPT-2 fuses q, k and v too
    for i in range(config.n_layers):
        weights |= {
            f"transformer.h.{i}.ln_1.weight": tensor(blocks["attention_norm"]["scale"][i]),
            f"transformer.h.{i}.ln_1.bias": tensor(blocks["attention_norm"]["bias"][i]),
            f"transformer.h.{i}.attn.c_attn.weight": tensor(
                blocks["attention"]["qkv"][i], d, 3 * d
            ),
            f"transformer.h.{i}.attn.c_attn.bias": tensor(
                blocks["attention"]["qkv_bias"][i], 3 * d
            ),
            f"transformer.h.{i}.attn.c_proj.weight": tensor(blocks["attention"]["out"][i], d, d),
            f"transformer.h.{i}.attn.c_proj.bias": tensor(blocks["attention"]["out_bias"][i]),
            f"transformer.h.{i}.ln_2.weight": tensor(blocks["mlp_norm"]["scale"][i]),
            f"transformer.h.{i}.ln_2.bias": tensor(blocks["mlp_norm"]["bias"][i]),
            f"transformer.h.{i}.mlp.c_fc.weight": tensor(blocks["mlp"]["wi"][i]),
            f"transformer.h.{i}.mlp.c_fc.bias": tensor(blocks["mlp"]["wi_bias"][i]),
            f"transformer.h.{i}.mlp.c_proj.weight": tensor(blocks["mlp"]["wo"][i]),
            f"transformer.h.{i}.mlp.c_proj.bias": tensor(blocks["mlp"]["wo_bias"][i]),
        }
    model.load_state_dict(weights)
    return model


def export_random(shape: dict, folder: str) -> None:
    """Writes a folder of transformers with the weights of `hclx.infer.random_model`; `shape` are
    fields of `ModelConfig`.
    """
    config = ModelConfig(**shape)
    params = jax.jit(init_params, static_argnums=0)(config, jax.random.key(0))
    from_params(params, config).save_pretrained(folder)
