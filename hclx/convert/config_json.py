"""config.json of the transformers library as `ModelConfig`, in its old spellings and its new ones.

Every field that changes the computation is read or refused by name. Fields that neither exist here
nor change a forward pass without sampling (dropout, initialisation, token ids, caching) are not
looked at.
"""

import math
from collections.abc import Callable, Mapping

from hclx.config import ModelConfig
from hclx.errors import ConfigError, DataError

# Values of fields that ask for what the decoder does not have; any other value is refused.
_GPT2_ONLY = {
    "scale_attn_weights": (True,),
    "scale_attn_by_inverse_layer_idx": (False,),
    "reorder_and_upcast_attn": (False,),
    "add_cross_attention": (False,),
}
_ACTIVATIONS = {
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "gelu": "gelu",
    "silu": "silu",
    "swish": "silu",
}
_THETA = {"exaone": 5e5}  # where a file names none; elsewhere 1e4
_ROPE = {"default": "none", "linear": "linear", "dynamic": "dynamic", "yarn": "yarn"}
_ROPE["llama3"] = "llama3"
_NOT_SUPPORTED = {
    **dict.fromkeys(("exaone_moe", "solar_open", "axk1", "axk2", "vaetki"), "a mixture of experts"),
    **dict.fromkeys(("deepseek_v2", "deepseek_v3"), "latent attention and a mixture of experts"),
    **dict.fromkeys(("qwen3_moe", "mixtral", "llama4"), "a mixture of experts"),
    "motif": "differential attention",
    "solar": "skip connections between blocks",
    "qwen3_5": "gated delta layers",
}


class Fields:
    """The fields of a config.json. Whatever is missing or of another type is an error that names
    the file and the field.
    """

    def __init__(self, values: Mapping, path: str = "config.json"):
        """Takes the content of the file; `path` is for messages."""
        self.values, self.path = values, path

    def first(self, *names: str, default=None):
        """Returns the value of the first of these names that is there and not null."""
        for name in names:
            if self.values.get(name) is not None:
                return self.values[name]
        return default

    def integer(self, *names: str, default: int | None = None) -> int:
        """Returns a whole number; a missing one without a default is an error."""
        value = self.first(*names, default=default)
        if isinstance(value, bool) or not isinstance(value, int):
            raise self.wrong(names[0], value, "a whole number")
        return value

    def number(self, *names: str, default: float | None = None) -> float:
        """Returns a finite number; a missing one without a default is an error."""
        value = self.first(*names, default=default)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise self.wrong(names[0], value, "a number")
        if not math.isfinite(value):
            raise self.wrong(names[0], value, "a finite number")
        return float(value)

    def boolean(self, *names: str, default: bool = False) -> bool:
        """Returns true or false."""
        value = self.first(*names, default=default)
        if not isinstance(value, bool):
            raise self.wrong(names[0], value, "true or false")
        return value

    def activation(self, *names: str, default: str) -> str:
        """Returns the activation function under its name in `ModelConfig`."""
        name = self.first(*names, default=default)
        if name not in _ACTIVATIONS:
            raise self.unsupported(names[0], name, f"one of {', '.join(_ACTIVATIONS)}")
        return _ACTIVATIONS[name]

    def wrong(self, name: str, value, kind: str) -> DataError:
        """The error for a field that is missing or of another type."""
        if value is None:
            return DataError(f"{self.path} has no {name}, which must be {kind}")
        return DataError(f"{self.path}: {name}={value!r} is not {kind}")

    def unsupported(self, name: str, value, instead: str) -> ConfigError:
        """The error for a value that the decoder has no counterpart of."""
        return ConfigError(f"{self.path}: {name}={value!r} is not supported; it must be {instead}")

    def refuse_others(self, allowed: Mapping[str, tuple]) -> None:
        """Refuses fields whose values are not among the allowed ones; null is like missing."""
        for name, values in allowed.items():
            value = self.values.get(name)
            if value is not None and value not in values:
                raise self.unsupported(name, value, " or ".join(map(repr, values)))


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
    fields = Fields(values, path)
    family = fields.first("model_type")
    if family in _NOT_SUPPORTED:
        raise ConfigError(
            f"{path}: model_type={family!r} is not supported: it has {_NOT_SUPPORTED[family]}"
        )
    if family not in _READERS:
        raise ConfigError(
            f"{path}: model_type={family!r} is not supported; it must be {', '.join(_READERS)}"
        )
    if fields.first("quantization_config"):
        raise ConfigError(f"{path}: quantization_config: quantised files are not supported")
    if fields.first("num_experts", "num_local_experts", "n_routed_experts"):
        raise ConfigError(f"{path}: num_experts: a mixture of experts is not supported")
    try:
        return family, ModelConfig(**_READERS[family](fields, family))
    except ConfigError as error:
        if str(error).startswith("ModelConfig"):
            raise DataError(f"{path}: {error}") from error
        raise


def _gpt2(fields: Fields, family: str) -> dict:
    fields.refuse_others(_GPT2_ONLY)
    return {
        "vocab_size": fields.integer("vocab_size"),
        "n_layers": fields.integer("n_layer", "num_hidden_layers"),
        "d_model": fields.integer("n_embd", "hidden_size"),
        "n_heads": fields.integer("n_head", "num_attention_heads"),
        "max_length": fields.integer("n_positions", "n_ctx", "max_position_embeddings"),
        "mlp_size": fields.integer("n_inner", default=0),
        "layer_norm_epsilon": fields.number("layer_norm_epsilon", default=1e-5),
        "activation": fields.activation("activation_function", default="gelu_new"),
        "tied_head": fields.boolean("tie_word_embeddings", default=True),
    }


def _gpt_neox(fields: Fields, family: str) -> dict:
    heads, d = fields.integer("num_attention_heads"), fields.integer("hidden_size")
    parallel = fields.boolean("use_parallel_residual", default=True)
    bias = fields.boolean("attention_bias", default=True)
    return {
        "vocab_size": fields.integer("vocab_size"),
        "n_layers": fields.integer("num_hidden_layers"),
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
        **_rotary(fields, family, d // heads, default_share=0.25),
    }


def _gptj(fields: Fields, family: str) -> dict:
    heads, d = fields.integer("n_head", "num_attention_heads"), fields.integer("n_embd")
    return {
        "vocab_size": fields.integer("vocab_size"),
        "n_layers": fields.integer("n_layer", "num_hidden_layers"),
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
        "rotary_size": fields.integer("rotary_dim", default=d // heads),
        "rotary_interleaved": True,
    }


def _llama(fields: Fields, family: str) -> dict:
    heads, d = fields.integer("num_attention_heads"), fields.integer("hidden_size")
    head_size = fields.integer("head_dim", default=d // heads)
    bias = fields.boolean("attention_bias", default=False)
    return {
        "vocab_size": fields.integer("vocab_size"),
        "n_layers": fields.integer("num_hidden_layers", "num_layers"),
        "d_model": d,
        "n_heads": heads,
        "kv_heads": fields.integer("num_key_value_heads", default=heads),
        "head_size": head_size,
        "max_length": fields.integer("max_position_embeddings"),
        "mlp_size": fields.integer("intermediate_size"),
        "norm": "rmsnorm",
        "layer_norm_epsilon": fields.number(
            *("rms_norm_eps", "layer_norm_epsilon"),
            default=1e-5 if family == "exaone" else 1e-6,
        ),
        "activation": fields.activation("hidden_act", "activation_function", default="silu"),
        "gated_mlp": True,
        "qkv_bias": bias,
        "attention_out_bias": bias,
        "mlp_bias": fields.boolean("mlp_bias", default=False),
        "tied_head": fields.boolean("tie_word_embeddings", default=False),
        **_rotary(fields, family, head_size),
    }


def _qwen2(fields: Fields, family: str) -> dict:
    layers = fields.integer("num_hidden_layers")
    window = 0
    if fields.boolean("use_sliding_window", default=False):
        window = fields.integer("sliding_window", default=0)
    full = min(fields.integer("max_window_layers", default=layers), layers)
    kinds = fields.first("layer_types") or [
        *["full_attention"] * full,
        *["sliding_attention"] * (layers - full),
    ]
    values = _llama(fields, family) | _pattern(fields, kinds if window else None, window)
    if family == "qwen2":
        return values | {"qkv_bias": True, "attention_out_bias": False, "mlp_bias": False}
    return values | {"qk_norm": True, "mlp_bias": False}


def _exaone4(fields: Fields, family: str) -> dict:
    window = fields.integer("sliding_window", default=0)
    layers, kinds = fields.integer("num_hidden_layers"), fields.first("layer_types")
    every = fields.first("sliding_window_pattern")
    if kinds is None and window and every:
        pattern = every if isinstance(every, str) else "L" * (every - 1) + "G"
        kinds = [
            "sliding_attention" if pattern[layer % len(pattern)] == "L" else "full_attention"
            for layer in range(layers)
        ]
    return {
        **_llama(fields, family),
        "norm_placement": "post",
        "qk_norm": True,
        "rotary_in_full_layers": not window,
        **_pattern(fields, kinds, window),
    }


def _hyperclovax(fields: Fields, family: str) -> dict:
    values = _llama(fields, family)
    multiplier = fields.first("attention_multiplier")
    return {
        **values,
        "norm_placement": "peri" if fields.boolean("use_post_norm", default=False) else "pre",
        "embedding_multiplier": fields.number("embedding_multiplier", default=1.0),
        "residual_multiplier": fields.number("residual_multiplier", default=1.0),
        "attention_multiplier": (
            0.0 if multiplier is None else fields.number("attention_multiplier")
        ),
        "logits_multiplier": fields.number("logits_scaling", default=1.0),
    }


def _gemma3(fields: Fields, family: str) -> dict:
    window = fields.integer("sliding_window", default=4096)
    layers, kinds = fields.integer("num_hidden_layers"), fields.first("layer_types")
    if kinds is None:
        every = fields.integer("sliding_window_pattern", default=6)
        kinds = [
            "full_attention" if (layer + 1) % every == 0 else "sliding_attention"
            for layer in range(layers)
        ]
    fields.refuse_others({"attn_logit_softcapping": (), "final_logit_softcapping": ()})
    fields.refuse_others({"use_bidirectional_attention": (False,)})
    values = _llama(fields, family)
    nested = fields.first("rope_parameters", default={})
    local = (nested.get("sliding_attention") or {}).get("rope_theta")
    local = local or fields.number("rope_local_base_freq", default=1e4)
    return {
        **values,
        "head_size": fields.integer("head_dim", default=256),
        "activation": fields.activation("hidden_activation", default="gelu_pytorch_tanh"),
        "norm_placement": "peri",
        "qk_norm": True,
        "tied_head": fields.boolean("tie_word_embeddings", default=True),
        "embedding_multiplier": math.sqrt(values["d_model"]),
        "attention_multiplier": fields.number("query_pre_attn_scalar", default=256) ** -0.5,
        "window_rotary_theta": float(local),
        **_pattern(fields, kinds, window),
    }


def _pattern(fields: Fields, kinds: list | None, window: int) -> dict:
    """The window and the kinds of the layers, as the shortest pattern that repeats."""
    if not kinds or not window or set(kinds) == {"full_attention"}:
        return {"window": 0, "layer_pattern": ""}
    layers = fields.integer("num_hidden_layers", "num_layers")
    letters = {"sliding_attention": "S", "full_attention": "F"}
    if len(kinds) != layers or not set(kinds) <= set(letters):
        raise DataError(
            f"{fields.path}: layer_types must name full_attention or sliding_attention for each of"
            f" the {layers} layers"
        )
    whole = "".join(letters[kind] for kind in kinds)
    for size in range(1, layers + 1):
        if (whole[:size] * layers)[:layers] == whole:
            return {"window": window, "layer_pattern": whole[:size]}
    raise AssertionError("the whole is a pattern of itself")


def _rotary(fields: Fields, family: str, head_size: int, default_share: float = 1.0) -> dict:
    """The fields of rotary positions, from `rope_parameters`, or from the older fields
    `rope_scaling`, `rope_theta` and their like.
    """
    rope = fields.first("rope_parameters", default={})
    if rope and all(isinstance(value, Mapping) for value in rope.values()):  # by kind of layer
        rope = rope.get("full_attention") or next(iter(rope.values()))
    scaling = {**(fields.first("rope_scaling", default={}) or {}), **rope}
    names = Fields({**fields.values, **scaling}, fields.path)
    kind = names.first("rope_type", "type", default="default") if scaling else "default"
    if kind not in _ROPE:
        raise fields.unsupported("rope_scaling.rope_type", kind, ", ".join(_ROPE))
    share = names.number("partial_rotary_factor", "rotary_pct", default=default_share)
    values = {
        "position": "rotary",
        "rotary_theta": names.number(
            "rope_theta", "rotary_emb_base", default=_THETA.get(family, 1e4)
        ),
        "rotary_size": int(head_size * share),
        "rope_scaling": _ROPE[kind],
    }
    if kind == "default":
        return values
    names = Fields(scaling, f"{fields.path}: rope_scaling")
    values["rope_factor"] = names.number("factor", default=None if kind != "yarn" else 1.0)
    original = names.integer("original_max_position_embeddings", default=0)
    values["rope_original_length"] = 0 if kind in ("linear", "dynamic") else original
    if kind == "llama3":
        values["rope_low_freq_factor"] = names.number("low_freq_factor")
        values["rope_high_freq_factor"] = names.number("high_freq_factor")
    if kind == "yarn":
        values |= _yarn(names, values["rope_factor"])
    return values


def _yarn(names: Fields, factor: float) -> dict:
    amplitude = names.number("attention_factor", default=0.0)
    mscale, mscale_all = (names.number(n, default=0.0) for n in ("mscale", "mscale_all_dim"))
    if not amplitude and mscale and mscale_all:
        term = lambda scale: 0.1 * scale * math.log(factor) + 1 if factor > 1 else 1.0
        amplitude = term(mscale) / term(mscale_all)
    return {
        "rope_beta_fast": names.number("beta_fast", default=32.0),
        "rope_beta_slow": names.number("beta_slow", default=1.0),
        "rope_truncate": names.boolean("truncate", default=True),
        "rope_attention_factor": amplitude,
    }


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
