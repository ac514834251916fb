"""Tiny models of every family, made by transformers, with every tensor drawn again.

A fresh model of transformers has norms of 1 and biases of 0, and cannot tell whether they are
swapped or lost.
"""

import json
import math

TINY = {"vocab_size": 128, "hidden_size": 48, "num_hidden_layers": 3, "num_attention_heads": 4}
LLAMA = {**TINY, "intermediate_size": 80, "num_key_value_heads": 2, "max_position_embeddings": 256}
LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
LLAMA3 |= {"original_max_position_embeddings": 32, "rope_theta": 5e5}
GPT = {"vocab_size": 128, "n_embd": 48, "n_layer": 3, "n_head": 4, "n_positions": 256}
NEOX = {**TINY, "intermediate_size": 96, "max_position_embeddings": 256}
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32}
KINDS = ["sliding_attention", "sliding_attention", "full_attention"]

# name -> (model_type, fields of its config)
FAMILIES = {
    "gpt2": ("gpt2", GPT),
    "gpt_neox": ("gpt_neox", {**NEOX, "rotary_pct": 0.5}),
    "gpt_neox sequential": (
        "gpt_neox",
        {
            **{**NEOX, "hidden_size": 64, "use_parallel_residual": False},
            "rope_parameters": {
                **{"rope_type": "linear", "factor": 4.0, "rope_theta": 2e4},
                "partial_rotary_factor": 0.25,
            },
        },
    ),
    "gptj": ("gptj", {**GPT, "rotary_dim": 8}),
    "llama": ("llama", {**LLAMA, "rope_theta": 5e5}),
    "llama tied": ("llama", {**LLAMA, "tie_word_embeddings": True}),
    "llama biases": ("llama", {**LLAMA, "attention_bias": True, "mlp_bias": True}),
    "llama head_dim": ("llama", {**LLAMA, "head_dim": 20, "num_key_value_heads": 1}),
    "llama linear": (
        "llama",
        {**LLAMA, "rope_parameters": {"rope_type": "linear", "factor": 4.0, "rope_theta": 1e4}},
    ),
    "llama dynamic": (
        "llama",
        {
            **LLAMA,
            "max_position_embeddings": 32,
            "rope_parameters": {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e4},
        },
    ),
    "llama yarn": ("llama", {**LLAMA, "rope_parameters": {**YARN, "rope_theta": 1e4}}),
    "llama llama3": ("llama", {**LLAMA, "rope_parameters": LLAMA3}),
    "qwen2": ("qwen2", {**LLAMA, "rope_parameters": {**YARN, "rope_theta": 1e6}}),
    "qwen2 windows": (
        "qwen2",
        {
            **{**LLAMA, "use_sliding_window": True, "sliding_window": 16, "max_window_layers": 1},
            "head_dim": 16,
        },
    ),
    "qwen3": ("qwen3", {**LLAMA, "head_dim": 16}),
    "qwen3 windows": (
        "qwen3",
        {
            **{**LLAMA, "use_sliding_window": True, "sliding_window": 16, "max_window_layers": 2},
            **{"head_dim": 16, "rope_parameters": {**YARN, "rope_theta": 1e6}},
        },
    ),
    "exaone": (
        "exaone",
        {**LLAMA, "num_attention_heads": 6, "head_dim": 20, "rope_parameters": LLAMA3},
    ),
    "exaone4": (
        "exaone4",
        {
            **{**LLAMA, "sliding_window": None, "layer_types": ["full_attention"] * 3},
            "rope_parameters": LLAMA3,
        },
    ),
    "exaone4 hybrid": (
        "exaone4",
        {
            **{**LLAMA, "sliding_window": 16, "layer_types": KINDS, "head_dim": 16},
            "rope_parameters": LLAMA3,
        },
    ),
    "hyperclovax": (
        "hyperclovax",
        {
            **{**LLAMA, "head_dim": 16, "use_post_norm": True, "embedding_multiplier": 3.0},
            **{"residual_multiplier": 0.7, "attention_multiplier": 0.11, "logits_scaling": 0.6},
            "rope_parameters": LLAMA3,
        },
    ),
    "gemma3_text": (
        "gemma3_text",
        {
            **{**LLAMA, "head_dim": 16, "query_pre_attn_scalar": 24, "sliding_window": 16},
            **{"layer_types": KINDS},
            "rope_parameters": {
                "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1e6},
                "sliding_attention": {"rope_type": "default", "rope_theta": 1e4},
            },
        },
    ),
}


def make_model(name, seed=0, **others):
    """A model of transformers in float32, whose tensors are all drawn at random."""
    import torch
    import transformers

    model_type, fields = FAMILIES[name]
    config = transformers.AutoConfig.for_model(
        model_type, **{**fields, **others}, attn_implementation="eager", dtype="float32"
    )
    model = transformers.AutoModelForCausalLM.from_config(config).eval()
    generator = torch.Generator().manual_seed(seed)
    tied = model.get_output_embeddings().weight is model.get_input_embeddings().weight
    with torch.no_grad():
        for key, tensor in model.named_parameters():
            noise = torch.randn(tensor.shape, generator=generator)
            if tensor.ndim == 1:
                tensor.add_(0.3 * noise)
            elif "embed" in key or "wte" in key or "wpe" in key:
                tensor.copy_(noise / (math.sqrt(tensor.shape[1]) if tied else 1))
            else:
                tensor.copy_(noise / math.sqrt(tensor.shape[1]))
    return model


def save_model(name, folder, seed=0, **others):
    """Saves such a model as transformers does, and returns it."""
    model = make_model(name, seed, **others)
    model.save_pretrained(folder)
    return model


def read_config_json(folder):
    """The content of the folder's config.json."""
    return json.loads((folder / "config.json").read_text())
