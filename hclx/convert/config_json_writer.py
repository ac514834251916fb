"""`ModelConfig` as config.json of the transformers library, in its old spellings and its new ones.

A family fits a model if the file that is written for it reads as the same model; nothing else
decides, so that no field can be dropped in silence.
"""

import dataclasses
import math
from collections.abc import Callable

from hclx.config import ModelConfig
from hclx.convert.config_json import read_model_config
from hclx.errors import ConfigError

# Which fields of ModelConfig say nothing about the forward pass.
_OF_FRESH_WEIGHTS = ("init_std",)
_ACTIVATIONS = {"gelu_tanh": "gelu_new", "gelu": "gelu", "silu": "silu"}
_CLASSES = {
    "gpt2": "GPT2LMHeadModel",
    "llama": "LlamaForCausalLM",
    "qwen2": "Qwen2ForCausalLM",
    "qwen3": "Qwen3ForCausalLM",
    "gpt_neox": "GPTNeoXForCausalLM",
    "gptj": "GPTJForCausalLM",
    "exaone4": "Exaone4ForCausalLM",
    "hyperclovax": "HyperCLOVAXForCausalLM",
    "gemma3_text": "Gemma3ForCausalLM",
    "exaone": "ExaoneForCausalLM",
}


def write_model_config(config: ModelConfig, family: str = "", dtype: str = "float32") -> dict:
    """Describes a model as transformers does.

    Args:
      config: the shape.
      family: one of `hclx.convert.tensors.FAMILIES`; "": the first one that fits.
      dtype: of the weights.
    Returns:
      The content of config.json, `model_type` among it.
    Raises:
      ConfigError: no family fits, or the one that is asked for does not; names the fields of
        `ModelConfig` that it has no counterpart of.
    """
    nearest: tuple[str, list[str]] | None = None
    for candidate in [family] if family else _WRITERS:
        written = {"model_type": candidate, "architectures": [_CLASSES[candidate]]}
        written |= {"dtype": dtype, "torch_dtype": dtype, **_WRITERS[candidate](config)}
        lost = _differences(written, config)
        if not lost:
            return written
        if nearest is None or len(lost) < len(nearest[1]):
            nearest = candidate, lost
    name, lost = nearest
    raise ConfigError(
        f"{', '.join(lost)} {'has' if len(lost) == 1 else 'have'} no counterpart in {name},"
        f"{'' if family else ' the nearest family,'} so that the model cannot be exported"
    )


def _differences(written: dict, config: ModelConfig) -> list[str]:
    """Fields that read otherwise than they are."""
    try:
        read = read_model_config(written)[1]
    except Exception as error:
        return [str(error)]
    return [
        f"ModelConfig.{field.name}={getattr(config, field.name)!r}"
        for field in dataclasses.fields(config)
        if field.name not in _OF_FRESH_WEIGHTS and not _is_same(field.name, config, read)
    ]


def _is_same(name: str, config: ModelConfig, read: ModelConfig) -> bool:
    """Whether a field, or what it stands for, is the same: 0 often stands for a value that follows
    from others.
    """
    stands_for = {"head_size": "d_head", "kv_heads": "n_kv_heads", "mlp_size": "d_mlp"}
    stands_for |= {"rotary_size": "d_rotary", "window": "windows", "layer_pattern": "windows"}
    name = stands_for.get(name, name)
    a, b = getattr(config, name), getattr(read, name)
    if name.startswith(("rotary_", "rope_", "window_rotary")) and config.position == "learned":
        return read.position == "learned"
    if name.startswith("rope_") and config.rope_scaling == read.rope_scaling:
        if name in _unused(config.rope_scaling):
            return True
        if name == "rope_original_length":
            return (a or config.max_length) == (b or read.max_length)
    if name in ("window_rotary_theta", "rotary_in_full_layers") and not config.layer_pattern:
        return True
    if isinstance(a, float):
        return math.isclose(a, b, rel_tol=1e-12)
    return a == b


def _unused(scaling: str) -> set[str]:
    of = {
        "llama3": {"rope_low_freq_factor", "rope_high_freq_factor"},
        "yarn": {"rope_beta_fast", "rope_beta_slow", "rope_truncate", "rope_attention_factor"},
    }
    every = set.union(*of.values()) | {"rope_factor", "rope_original_length"}
    used = set() if scaling == "none" else {"rope_factor", "rope_original_length"}
    return every - used - of.get(scaling, set())


def _rope(config: ModelConfig) -> dict:
    """The fields of rotary positions: `rope_parameters`, and the older ones."""
    kind = config.rope_scaling
    scaling = {"rope_type": "default" if kind == "none" else kind}
    if kind != "none":
        scaling["factor"] = config.rope_factor
    if kind in ("llama3", "yarn"):
        original = config.rope_original_length or config.max_length
        scaling["original_max_position_embeddings"] = original
    if kind == "llama3":
        scaling["low_freq_factor"] = config.rope_low_freq_factor
        scaling["high_freq_factor"] = config.rope_high_freq_factor
    if kind == "yarn":
        scaling |= {"beta_fast": config.rope_beta_fast, "beta_slow": config.rope_beta_slow}
        scaling["truncate"] = config.rope_truncate
        if config.rope_attention_factor:
            scaling["attention_factor"] = config.rope_attention_factor
    return {
        "rope_parameters": {**scaling, "rope_theta": config.rotary_theta},
        "rope_theta": config.rotary_theta,
        "rope_scaling": None if kind == "none" else scaling,
    }


def _gpt2(config: ModelConfig) -> dict:
    return {
        "vocab_size": config.vocab_size,
        "n_layer": config.n_layers,
        "n_embd": config.d_model,
        "n_head": config.n_heads,
        "n_positions": config.max_length,
        "n_ctx": config.max_length,
        "n_inner": config.d_mlp,
        "layer_norm_epsilon": config.layer_norm_epsilon,
        "activation_function": _ACTIVATIONS[config.activation],
        "tie_word_embeddings": config.tied_head,
        # There is no dropout here.
        **dict.fromkeys(("attn_pdrop", "embd_pdrop", "resid_pdrop"), 0.0),
    }


def _neox(config: ModelConfig) -> dict:
    share = config.d_rotary / config.d_head
    rope = _rope(config)
    rope["rope_parameters"]["partial_rotary_factor"] = share
    return {
        "vocab_size": config.vocab_size,
        "num_hidden_layers": config.n_layers,
        "hidden_size": config.d_model,
        "num_attention_heads": config.n_heads,
        "intermediate_size": config.d_mlp,
        "max_position_embeddings": config.max_length,
        "layer_norm_eps": config.layer_norm_epsilon,
        "hidden_act": _ACTIVATIONS[config.activation],
        "use_parallel_residual": config.residual == "parallel",
        "attention_bias": config.qkv_bias,
        "tie_word_embeddings": config.tied_head,
        "rotary_pct": share,
        "rotary_emb_base": config.rotary_theta,
        **rope,
    }


def _gptj(config: ModelConfig) -> dict:
    return {
        **_gpt2(config),
        "rotary": True,
        "rotary_dim": config.d_rotary,
        "tie_word_embeddings": config.tied_head,
    }


def _llama(config: ModelConfig) -> dict:
    return {
        "vocab_size": config.vocab_size,
        "num_hidden_layers": config.n_layers,
        "hidden_size": config.d_model,
        "num_attention_heads": config.n_heads,
        "num_key_value_heads": config.n_kv_heads,
        "head_dim": config.d_head,
        "intermediate_size": config.d_mlp,
        "max_position_embeddings": config.max_length,
        "rms_norm_eps": config.layer_norm_epsilon,
        "hidden_act": _ACTIVATIONS[config.activation],
        "attention_bias": config.qkv_bias,
        "mlp_bias": config.mlp_bias,
        "tie_word_embeddings": config.tied_head,
        **_rope(config),
    }


def _layer_types(config: ModelConfig) -> list[str]:
    return ["sliding_attention" if window else "full_attention" for window in config.windows]


def _qwen2(config: ModelConfig) -> dict:
    has_windows = any(config.windows)
    full = next((i for i, window in enumerate(config.windows) if window), config.n_layers)
    return {
        **_llama(config),
        "use_sliding_window": has_windows,
        "sliding_window": config.window if has_windows else None,
        "max_window_layers": full,
        "layer_types": _layer_types(config),
    }


def _exaone4(config: ModelConfig) -> dict:
    return {
        **_llama(config),
        "sliding_window": config.window if any(config.windows) else None,
        "layer_types": _layer_types(config),
    }


def _hyperclovax(config: ModelConfig) -> dict:
    return {
        **_llama(config),
        "use_post_norm": config.norm_placement == "peri",
        "embedding_multiplier": config.embedding_multiplier,
        "residual_multiplier": config.residual_multiplier,
        "attention_multiplier": config.attention_multiplier or config.d_head**-0.5,
        "logits_scaling": config.logits_multiplier,
    }


def _gemma3(config: ModelConfig) -> dict:
    rope = _rope(config)
    local = config.window_rotary_theta or config.rotary_theta
    scale = config.attention_multiplier or config.d_head**-0.5
    return {
        **_llama(config),
        **rope,
        "rope_parameters": {
            "full_attention": rope["rope_parameters"],
            "sliding_attention": {"rope_type": "default", "rope_theta": local},
        },
        "rope_local_base_freq": local,
        "hidden_activation": "gelu_pytorch_tanh",
        "query_pre_attn_scalar": round(scale**-2),  # transformers takes whole numbers alone
        "sliding_window": config.window,
        "layer_types": _layer_types(config),
    }


_WRITERS: dict[str, Callable[[ModelConfig], dict]] = {
    "gpt2": _gpt2,
    "llama": _llama,
    "qwen2": _qwen2,
    "qwen3": _qwen2,
    "gpt_neox": _neox,
    "gptj": _gptj,
    "exaone4": _exaone4,
    "hyperclovax": _hyperclovax,
    "gemma3_text": _gemma3,
    "exaone": _llama,
}
