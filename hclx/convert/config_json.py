"""config.json of the transformers library as `ModelConfig`, in its old spellings and its new ones.

Every field that changes the computation is read or refused by name. Fields that neither exist here
nor change a forward pass without sampling (dropout, initialisation, token ids, caching) are not
looked at.
"""

import math
from collections.abc import Callable, Mapping

from hclx.config import ModelConfig
from hclx.convert.fields import Fields
from hclx.convert.rope_fields import refuse_unknown_names, rotary, window_theta
from hclx.errors import ConfigError, DataError

# Fields that ask for what the decoder does not have, or what a family does not read, with the
# values that ask for nothing. Any other value is refused.
_NEUTRAL = {
    "scale_attn_weights": (True,),
    "scale_attn_by_inverse_layer_idx": (False,),
    "reorder_and_upcast_attn": (False,),
    "add_cross_attention": (False,),
    "attn_logit_softcapping": (),
    "final_logit_softcapping": (),
    "use_bidirectional_attention": (False,),
    "alibi": (False,),
    "clip_qkv": (),
    "no_rope_layers": ([],),
    "qk_layernorm": (False,),
    "use_qk_norm": (False,),
    "use_post_norm": (False,),
    "embedding_multiplier": (1,),
    "residual_multiplier": (1,),
    "attention_multiplier": (),
    "logits_scaling": (1,),
}
_READ_BY = {
    "hyperclovax": ("use_post_norm", "embedding_multiplier", "residual_multiplier")
    + ("attention_multiplier", "logits_scaling"),
}
# What transformers takes where a file says nothing, as far as it is no rule for all families.
_DEFAULTS = {
    "qwen3": {"head_dim": 128},
    "exaone": {"rms_norm_eps": 1e-5, "rope_theta": 5e5},
    "exaone4": {"rms_norm_eps": 1e-5},
    "gemma3_text": {"head_dim": 256, "rope_theta": 1e6},
}
# Elsewhere it takes a number that is right for one model, and the field must be there.
_AS_MANY_KV_HEADS = ("llama", "hyperclovax")
_NOT_SUPPORTED = {
    **dict.fromkeys(("exaone_moe", "solar_open", "axk1", "axk2", "vaetki"), "a mixture of experts"),
    **dict.fromkeys(("deepseek_v2", "deepseek_v3"), "latent attention and a mixture of experts"),
    **dict.fromkeys(("qwen3_moe", "mixtral", "llama4"), "a mixture of experts"),
    "motif": "differential attention",
    "solar": "skip connections between blocks",
    "qwen3_5": "gated delta layers",
}
# Where the shape of the language model is, in files that describe more than it.
_NESTED = ("text_config", "language_config")
_OTHER_SENSES = ("vision_config", "audio_config")
_OF_THE_WHOLE = ("quantization_config", "tie_word_embeddings")
_SOME = {"least": 1, "most": 10_000}  # heads or layers


def read_model_config(values: Mapping, path: str = "config.json") -> tuple[str, ModelConfig]:
    """Reads the shape of a model.

    Whether the head is tied is what the field says, or transformers' default; the tensors of the
    file decide in the end, see `hclx.convert.import_model`.

    Args:
      values: the content of config.json.
      path: its name, for messages.
    Returns:
      The family, one of `hclx.convert.tensors.FAMILIES`, and the shape.
    Raises:
      ConfigError: the family, or the value of a field, is not supported; names the field.
      DataError: a field is missing, of another type, or contradicts another one.
    """
    fields = _of_language_model(Fields(values, path))
    family = fields.first("model_type")
    if not isinstance(family, str) or family not in _READERS:
        has = f": it has {_NOT_SUPPORTED[family]}" if family in [*_NOT_SUPPORTED] else ""
        instead = has or f"; it must be {', '.join(_READERS)}"
        raise ConfigError(f"{fields.path}: model_type={family!r} is not supported{instead}")
    if fields.first("quantization_config"):
        raise ConfigError(f"{path}: quantization_config: quantised files are not supported")
    for name in ("num_experts", "num_local_experts", "n_routed_experts"):
        if fields.first(name):
            raise ConfigError(f"{path}: {name}: a mixture of experts is not supported")
    refuse_unknown_names(fields, family)
    others = {n: v for n, v in _NEUTRAL.items() if n not in _READ_BY.get(family, ())}
    fields.refuse_others(others)
    try:
        return family, ModelConfig(**_READERS[family](fields, family))
    except ConfigError as error:
        if str(error).startswith("ModelConfig"):
            raise DataError(f"{path}: {error}") from error
        raise


def _of_language_model(fields: Fields) -> Fields:
    """The fields of the language model, which some files have in an object of their own."""
    for name in _NESTED:
        if fields.first(name) is None:
            continue
        for sense in _OTHER_SENSES:
            if fields.first(sense):
                raise ConfigError(
                    f"{fields.path}: {sense}: models of images or sound are not supported; save the"
                    " language model alone"
                )
        outer = {n: fields.values[n] for n in _OF_THE_WHOLE if n in fields.values}
        return Fields({**outer, **fields.mapping(name)}, f"{fields.path}: {name}")
    return fields


def _gpt2(fields: Fields, family: str) -> dict:
    return {
        "vocab_size": fields.integer("vocab_size"),
        "n_layers": fields.integer("n_layer", "num_hidden_layers", **_SOME),
        "d_model": fields.integer("n_embd", "hidden_size"),
        "n_heads": fields.integer("n_head", "num_attention_heads", **_SOME),
        "max_length": fields.integer("n_positions", "n_ctx", "max_position_embeddings"),
        "mlp_size": fields.integer("n_inner", default=0),
        "layer_norm_epsilon": fields.number("layer_norm_epsilon", default=1e-5),
        "activation": fields.activation("activation_function", default="gelu_new"),
        "tied_head": fields.boolean("tie_word_embeddings", default=True),
    }


def _gpt_neox(fields: Fields, family: str) -> dict:
    heads, d = fields.integer("num_attention_heads", **_SOME), fields.integer("hidden_size")
    parallel = fields.boolean("use_parallel_residual", default=True)
    bias = fields.boolean("attention_bias", default=True)
    return {
        "vocab_size": fields.integer("vocab_size"),
        "n_layers": fields.integer("num_hidden_layers", **_SOME),
        "d_model": d,
        "n_heads": heads,
        "max_length": fields.integer("max_position_embeddings"),
        "mlp_size": fields.integer("intermediate_size"),
        "layer_norm_epsilon": fields.number("layer_norm_eps", default=1e-5),
        "activation": fields.activation("hidden_act", default="gelu"),
        "residual": "parallel" if parallel else "sequential",
        "qkv_bias": bias,
        "attention_out_bias": bias,
        "tied_head": fields.boolean("tie_word_embeddings", default=False),
        **rotary(fields, d // heads, share=0.25),
    }


def _gptj(fields: Fields, family: str) -> dict:
    fields.refuse_others({"rotary": (True,)})
    heads = fields.integer("n_head", "num_attention_heads", **_SOME)
    d = fields.integer("n_embd", "hidden_size")
    rotary_dim = fields.integer("rotary_dim", default=64)
    return {
        "vocab_size": fields.integer("vocab_size"),
        "n_layers": fields.integer("n_layer", "num_hidden_layers", **_SOME),
        "d_model": d,
        "n_heads": heads,
        "max_length": fields.integer("n_positions", "max_position_embeddings"),
        "mlp_size": fields.integer("n_inner", default=0),
        "layer_norm_epsilon": fields.number("layer_norm_epsilon", default=1e-5),
        "activation": fields.activation("activation_function", default="gelu_new"),
        "residual": "parallel_one_norm",
        "qkv_bias": False,
        "attention_out_bias": False,
        "tied_head": fields.boolean("tie_word_embeddings", default=False),
        "head_bias": True,
        "position": "rotary",
        "rotary_size": d // heads if fields.is_null("rotary_dim") else rotary_dim,
        "rotary_interleaved": True,
    }


def _llama(fields: Fields, family: str) -> dict:
    return _llama_block(fields, family) | _pattern(fields, 0, lambda layer: False)


def _llama_block(fields: Fields, family: str) -> dict:
    default = _DEFAULTS.get(family, {})
    heads, d = fields.integer("num_attention_heads", **_SOME), fields.integer("hidden_size")
    head_size = fields.integer("head_dim", default=default.get("head_dim", d // heads))
    kv_heads = "num_key_value_heads"
    are_all = family in _AS_MANY_KV_HEADS or fields.is_null(kv_heads)
    bias = fields.boolean("attention_bias", default=False)
    return {
        "vocab_size": fields.integer("vocab_size"),
        "n_layers": fields.integer("num_hidden_layers", "num_layers", **_SOME),
        "d_model": d,
        "n_heads": heads,
        "kv_heads": fields.integer(kv_heads, default=heads if are_all else None),
        "head_size": head_size,
        "max_length": fields.integer("max_position_embeddings"),
        "mlp_size": fields.integer("intermediate_size"),
        "norm": "rmsnorm",
        "layer_norm_epsilon": fields.number(
            "rms_norm_eps", "layer_norm_epsilon", default=default.get("rms_norm_eps", 1e-6)
        ),
        "activation": fields.activation("hidden_act", "activation_function", default="silu"),
        "gated_mlp": True,
        "qkv_bias": bias,
        "attention_out_bias": bias,
        "mlp_bias": fields.boolean("mlp_bias", default=False),
        "tied_head": fields.boolean("tie_word_embeddings", default=False),
        **rotary(fields, head_size, theta=default.get("rope_theta", 1e4)),
    }


def _qwen2(fields: Fields, family: str) -> dict:
    window = _window(fields) if fields.boolean("use_sliding_window", default=False) else 0
    full = fields.integer("max_window_layers", default=28)
    values = _llama_block(fields, family) | _pattern(fields, window, lambda layer: layer >= full)
    if family == "qwen2":
        return values | {"qkv_bias": True, "attention_out_bias": False, "mlp_bias": False}
    return values | {"qk_norm": True, "mlp_bias": False}


def _exaone4(fields: Fields, family: str) -> dict:
    window, every = _window(fields), fields.first("sliding_window_pattern", default=4)
    if window and isinstance(every, str) and every and set(every) <= set("LG"):
        slides = lambda layer: every[layer % len(every)] == "L"
    else:
        number = fields.integer("sliding_window_pattern", default=4) if window else 4
        slides = lambda layer: (layer + 1) % number != 0
    return {
        **_llama_block(fields, family),
        "norm_placement": "post",
        "qk_norm": True,
        "rotary_in_full_layers": not window,
        **_pattern(fields, window, slides),
    }


def _hyperclovax(fields: Fields, family: str) -> dict:
    multiplier = fields.first("attention_multiplier")
    return {
        **_llama(fields, family),
        "norm_placement": "peri" if fields.boolean("use_post_norm", default=True) else "pre",
        "embedding_multiplier": fields.number("embedding_multiplier", default=1.0),
        "residual_multiplier": fields.number("residual_multiplier", default=1.0),
        "attention_multiplier": (
            0.0 if multiplier is None else fields.number("attention_multiplier")
        ),
        "logits_multiplier": fields.number("logits_scaling", default=1.0),
    }


def _gemma3(fields: Fields, family: str) -> dict:
    every = fields.integer("sliding_window_pattern", default=6)
    values = _llama_block(fields, family)
    return {
        **values,
        "activation": fields.activation("hidden_activation", default="gelu_pytorch_tanh"),
        "norm_placement": "peri",
        "qk_norm": True,
        "tied_head": fields.boolean("tie_word_embeddings", default=True),
        "embedding_multiplier": math.sqrt(values["d_model"]),
        "attention_multiplier": fields.number("query_pre_attn_scalar", default=256) ** -0.5,
        "window_rotary_theta": window_theta(fields),
        **_pattern(fields, _window(fields), lambda layer: (layer + 1) % every != 0),
    }


def _window(fields: Fields) -> int:
    """`sliding_window`; null is none, and transformers takes 4,096 where the file says nothing."""
    none = 0 if fields.is_null("sliding_window") else 4096
    return fields.integer("sliding_window", default=none)


def _pattern(fields: Fields, window: int, slides: Callable[[int], bool]) -> dict:
    """The window and the kinds of the layers, as the shortest pattern that repeats.

    Args:
      fields: of the file, whose `layer_types` rule.
      window: 0 for none.
      slides: whether a layer has the window, where the file has no `layer_types`.
    """
    layers = fields.integer("num_hidden_layers", "num_layers", **_SOME)
    letters = {"sliding_attention": "S", "full_attention": "F"}
    kinds = fields.first("layer_types")
    if kinds is None:
        whole = "".join("S" if window and slides(layer) else "F" for layer in range(layers))
    elif isinstance(kinds, list) and len(kinds) == layers and all(k in [*letters] for k in kinds):
        whole = "".join(letters[kind] for kind in kinds)
    else:
        raise DataError(
            f"{fields.path}: layer_types={kinds!r} must name full_attention or sliding_attention"
            f" for each of the {layers} layers"
        )
    if "S" not in whole:
        return {"window": 0, "layer_pattern": ""}
    if not window:
        raise DataError(
            f"{fields.path}: layer_types has sliding_attention, but there is no sliding_window"
        )
    for size in range(1, layers + 1):
        if (whole[:size] * layers)[:layers] == whole:
            return {"window": window, "layer_pattern": whole[:size]}
    raise AssertionError("the whole is a pattern of itself")


_READERS: dict[str, Callable[[Fields, str], dict]] = {
    "gpt2": _gpt2,
    "gpt_neox": _gpt_neox,
    "gptj": _gptj,
    "llama": _llama,
    "qwen2": _qwen2,
    "qwen3": _qwen2,
    "exaone": _llama,
    "exaone4": _exaone4,
    "hyperclovax": _hyperclovax,
    "gemma3_text": _gemma3,
}
