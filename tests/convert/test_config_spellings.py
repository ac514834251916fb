"""Every spelling of a config.json says the same model, as transformers reads it; what is silent is
transformers' default; what is misspelt, contradictory or not supported is refused by its name.
"""

import json

import pytest

from hclx.convert.config_json import read_model_config
from hclx.errors import ConfigError, DataError
from tests.helpers.families import FAMILIES, GPT, KINDS, LLAMA, NEOX

ROTARY = ("llama", "qwen2", "qwen3", "exaone", "exaone4", "hyperclovax")
STRETCHED = {
    "default": {},
    "linear": {"factor": 4.0},
    "dynamic": {"factor": 2.0},
    "yarn": {"factor": 4.0, "original_max_position_embeddings": 32, "beta_fast": 16.0},
    "llama3": {
        **{"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0},
        "original_max_position_embeddings": 32,
    },
}
FULL = {"layer_types": ["full_attention"] * 3}
GEMMA = {**LLAMA, "head_dim": 16, "query_pre_attn_scalar": 24, "sliding_window": 16}


def read(family, fields):
    return read_model_config({"model_type": family, **fields})[1]


def resolved(config):
    """All fields; a 0 that stands for what follows from others is that."""
    return {
        **vars(config),
        **{"kv_heads": config.n_kv_heads, "head_size": config.d_head, "mlp_size": config.d_mlp},
        **{"rotary_size": config.d_rotary, "layer_pattern": config.windows},
        "rope_original_length": config.rope_original_length or config.max_length,
        "attention_multiplier": config.attention_multiplier or config.d_head**-0.5,
    }


def as_transformers_reads(family, fields):
    """The shape by the file that transformers writes after it has read this one."""
    transformers = pytest.importorskip("transformers")
    config = transformers.AutoConfig.for_model(family, **json.loads(json.dumps(fields)))
    return resolved(read(family, json.loads(config.to_json_string(use_diff=False))))


def spellings(kind, theta=5e5):
    """Of the rotary positions of families with the usual names."""
    scaling, base = STRETCHED[kind], {"rope_theta": theta}
    new = {"rope_type": kind, **scaling, **base}
    return {
        "new": {"rope_parameters": new},
        "new, theta apart": {"rope_parameters": {"rope_type": kind, **scaling}, **base},
        "old": {"rope_scaling": {"rope_type": kind, **scaling}, **base},
        "oldest": {"rope_scaling": {"type": kind, **scaling}, **base},
        "both": {"rope_parameters": new, "rope_scaling": {"type": kind, **scaling}, **base},
        "by kind of layer": {"rope_parameters": {"full_attention": new}, **FULL},
        **({"theta alone": base} if kind == "default" else {}),
        **({"a null": {**base, "rope_scaling": None}} if kind == "default" else {}),
    }


@pytest.mark.parametrize("kind", STRETCHED)
@pytest.mark.parametrize("family", ROTARY)
def test_rotary_positions_in_each_spelling(family, kind):
    fields = {**LLAMA, **FULL, "head_dim": 16, "sliding_window": None}
    expected = read(family, {**fields, **spellings(kind)["new"]})
    assert expected.rotary_theta == 5e5 != read(family, fields).rotary_theta or family == "exaone"
    assert expected.rope_scaling == (kind if kind != "default" else "none")
    assert kind == "default" or expected.rope_factor == STRETCHED[kind]["factor"]
    for name, spelling in spellings(kind).items():
        assert read(family, {**fields, **spelling}) == expected, name
        is_nested = name == "by kind of layer"
        if is_nested and family in ("llama", "exaone", "hyperclovax"):
            continue  # their configurations have no kinds of layers, though files may
        assert as_transformers_reads(family, {**fields, **spelling}) == resolved(expected), name


# family -> the fields, and what else may be written for them
SAME = {
    "gpt2": (
        GPT,
        [
            {"n_ctx": 256},
            {"n_inner": 192},
            {"n_inner": None},
            {"activation_function": "gelu_pytorch_tanh"},
            {"torch_dtype": "float16"},
            {"dtype": "float16"},
            {"tie_word_embeddings": True},
            {"scale_attn_weights": True, "reorder_and_upcast_attn": None},
        ],
    ),
    "gptj": (
        {**GPT, "rotary_dim": 8},
        [{"rotary": True}, {"n_inner": None}, {"tie_word_embeddings": False}],
    ),
    "gpt_neox": (
        {**NEOX, "rotary_pct": 0.5, "rotary_emb_base": 5e5},
        [
            {"rope_theta": 5e5},
            {"partial_rotary_factor": 0.5},
            {"rope_scaling": None, "attention_bias": True, "use_parallel_residual": True},
            {"rope_parameters": {"rope_theta": 5e5, "partial_rotary_factor": 0.5}},
            {"rope_parameters": {"rope_type": "default", "rotary_pct": 0.5}},
        ],
    ),
    "llama": (
        {**LLAMA, "num_key_value_heads": 4},
        [
            {"num_key_value_heads": None},
            {"num_key_value_heads": "removed"},
            {"head_dim": 12},
            {"head_dim": None},
            {"hidden_act": "swish"},
            {"rms_norm_eps": 1e-6, "mlp_bias": False, "attention_bias": False},
            {"layer_types": ["full_attention"] * 3, "embedding_multiplier": 1.0},
        ],
    ),
    "exaone": (
        {**LLAMA, "rms_norm_eps": 1e-5},
        [
            {"num_hidden_layers": "removed", "num_layers": 3},
            {"num_layers": 3},
            {"rms_norm_eps": "removed", "layer_norm_epsilon": 1e-5},
            {"activation_function": "silu"},
            {"rope_theta": 5e5},
        ],
    ),
    "exaone4": (
        {**LLAMA, "num_hidden_layers": 5, "sliding_window": 16}
        | {"layer_types": ["sliding_attention"] * 3 + ["full_attention", "sliding_attention"]},
        [
            {"layer_types": None, "sliding_window_pattern": "LLLG"},
            {"layer_types": None, "sliding_window_pattern": 4},
            {"layer_types": None},
            {"layer_types": "removed"},
        ],
    ),
    "qwen2": (
        {**LLAMA, "use_sliding_window": True, "sliding_window": 16, "max_window_layers": 1},
        [
            {"layer_types": ["full_attention"] + ["sliding_attention"] * 2},
            {"max_window_layers": 7, "layer_types": ["full_attention", *KINDS[:2]]},
        ],
    ),
    "hyperclovax": (
        {**LLAMA, "use_post_norm": True, "attention_multiplier": None},
        [{"use_post_norm": "removed"}, {"attention_multiplier": "removed", "logits_scaling": 1}],
    ),
    "gemma3_text": (
        {
            **{**GEMMA, "layer_types": KINDS},
            "rope_parameters": {
                "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1e6},
                "sliding_attention": {"rope_type": "default", "rope_theta": 2e4},
            },
        },
        [
            {"layer_types": None, "sliding_window_pattern": 3},
            {
                **{"rope_parameters": None, "rope_theta": 1e6, "rope_local_base_freq": 2e4},
                "rope_scaling": {"rope_type": "linear", "factor": 8.0},
            },
            {"rope_theta": 1e6, "rope_local_base_freq": 2e4},
            {"hidden_activation": "gelu_new", "attn_logit_softcapping": None},
        ],
    ),
}


def applied(fields, change):
    merged = {**fields, **change}
    return {name: value for name, value in merged.items() if value != "removed"}


@pytest.mark.parametrize("family", SAME)
def test_other_fields_in_each_spelling(family):
    fields, changes = SAME[family]
    expected = read(family, fields)
    for change in changes:
        assert resolved(read(family, applied(fields, change))) == resolved(expected), change
    nested = {"model_type": "outer", "text_config": {"model_type": family, **fields}}
    assert read_model_config(nested) == (family, expected)


@pytest.mark.parametrize("family", sorted({family for family, _ in FAMILIES.values()}))
def test_what_a_file_does_not_say_is_the_default_of_transformers(family):
    """Each field of the tiny models is left out in turn; they are as large as the defaults need."""
    wide = {"gptj": {"n_embd": 320}, "gpt_neox": {"hidden_size": 256}}.get(family, {})
    wide |= {"num_hidden_layers": 30} if family == "qwen2" else {}
    for model_type, fields in FAMILIES.values():
        if model_type != family:
            continue
        for left_out in [None, *fields]:
            silent = {n: value for n, value in {**fields, **wide}.items() if n != left_out}
            if silent.get("sliding_window", 0) is None and "layer_types" not in silent:
                continue  # the class of EXAONE 4 divides by zero
            try:
                ours = read(family, silent)
            except DataError as error:
                assert left_out in str(error)
                continue
            assert as_transformers_reads(family, silent) == resolved(ours), left_out


REFUSED = {
    "a misspelt theta": ("llama", {"rope_thetas": 5e5}, "rope_thetas=500000.0 is no field of"),
    "a theta of another family": ("llama", {"rotary_emb_base": 5e5}, "rotary_emb_base"),
    "a share of another family": ("gptj", {"rotary_pct": 0.5}, "rotary_pct"),
    "rotary positions of GPT-2": ("gpt2", {"rope_theta": 1e4}, "it has no rotary positions"),
    "a local theta elsewhere": ("qwen3", {"rope_local_base_freq": 1e4}, "rope_local_base_freq"),
    "the original length apart": ("llama", {"original_max_position_embeddings": 32}, "original"),
    "an unknown part": ("llama", {"rope_scaling": {"rope_type": "default", "scale": 2}}, "scale=2"),
    "a part of another kind": (
        "llama",
        {"rope_scaling": {"type": "linear", "factor": 2.0, "low_freq_factor": 1.0}},
        "low_freq_factor=1.0 is unknown with rope_type='linear'",
    ),
    "a factor without a kind": (
        "llama",
        {"rope_scaling": {"factor": 8.0}},
        "factor=8.0 is unknown",
    ),
    "no factor": ("llama", {"rope_scaling": {"type": "linear"}}, "no factor"),
    "no factor of yarn": ("llama", {"rope_scaling": {"type": "yarn"}}, "no factor"),
    "no low bound": (
        "llama",
        {"rope_scaling": {"type": "llama3", "factor": 8.0}},
        "low_freq_factor",
    ),
    "an unknown kind": ("llama", {"rope_scaling": {"type": "su"}}, "rope_type='su'"),
    "a kind that is a list": ("llama", {"rope_scaling": {"type": ["su"]}}, "rope_type="),
    "no object": ("llama", {"rope_scaling": "linear"}, "rope_scaling='linear' is not an object"),
    "no number": ("llama", {"rope_theta": "1e6"}, "rope_theta='1e6' is not a number"),
    "not finite": ("llama", {"rope_theta": float("inf")}, "rope_theta=inf"),
    "true": ("llama", {"rope_theta": True}, "rope_theta=True"),
    "two thetas": (
        "llama",
        {"rope_theta": 1e4, "rope_parameters": {"rope_theta": 5e5}},
        "rope_theta is 500000.0 and 10000.0, in two spellings",
    ),
    "two kinds": ("llama", {"rope_scaling": {"type": "linear", "rope_type": "yarn"}}, "rope_type="),
    "two shares": ("gpt_neox", {"rotary_pct": 0.5, "partial_rotary_factor": 0.25}, "contradict"),
    "two layers": ("exaone", {"num_layers": 3, "num_hidden_layers": 4}, "num_layers=3"),
    "two lengths": ("gpt2", {"n_ctx": 128}, "n_positions=256 and n_ctx=128"),
    "kinds that differ": (
        "qwen3",
        {
            "rope_parameters": {
                "full_attention": {"rope_theta": 1e6},
                "sliding_attention": {"rope_theta": 1e4},
            }
        },
        "differ between kinds of layers",
    ),
    "an unknown kind of layer": (
        "gemma3_text",
        {"rope_parameters": {"full_attention": {}, "chunked_attention": {}}},
        "rope_parameters.chunked_attention",
    ),
    "stretched windows": (
        "gemma3_text",
        {"rope_parameters": {"sliding_attention": {"rope_type": "linear", "factor": 2.0}}},
        "rope_parameters.sliding_attention",
    ),
    "two local thetas": (
        "gemma3_text",
        {
            "rope_parameters": {"sliding_attention": {"rope_theta": 1e4}},
            "rope_local_base_freq": 2e4,
        },
        "rope_local_base_freq=20000.0",
    ),
    "other layers": ("qwen3", {"layer_types": ["linear_attention"] * 3}, "layer_types="),
    "too few layers": ("exaone4", {"layer_types": KINDS[:2]}, "each of the 3 layers"),
    "layers that are no list": ("exaone4", {"layer_types": "LLG"}, "layer_types='LLG'"),
    "windows without a size": ("qwen2", {"layer_types": KINDS}, "no sliding_window"),
    "windows of Llama": ("llama", {"layer_types": KINDS}, "no sliding_window"),
    "another pattern": ("exaone4", {"sliding_window_pattern": "LXG"}, "sliding_window_pattern="),
    "caps": ("gemma3_text", {"final_logit_softcapping": 30.0}, "final_logit_softcapping=30.0"),
    "both ways": ("gemma3_text", {"use_bidirectional_attention": True}, "bidirectional"),
    "a multiplier elsewhere": ("llama", {"logits_scaling": 8.0}, "logits_scaling=8.0"),
    "norms elsewhere": ("llama", {"use_qk_norm": True}, "use_qk_norm=True"),
    "scores unscaled": ("gpt2", {"scale_attn_weights": False}, "scale_attn_weights=False"),
    "scores by layer": ("gpt2", {"scale_attn_by_inverse_layer_idx": True}, "inverse_layer"),
    "an activation": ("gpt2", {"activation_function": "relu"}, "activation_function='relu'"),
    "an old activation": ("exaone", {"activation_function": "relu"}, "activation_function='relu'"),
    "positions of GPT-J": ("gptj", {"rotary": False}, "rotary=False"),
    "a mixture": ("qwen3", {"num_experts": 8}, "num_experts: a mixture"),
    "another mixture": ("llama", {"n_routed_experts": 8}, "n_routed_experts: a mixture"),
    "a family": ("solar", {}, "model_type='solar' is not supported: it has skip connections"),
    "a family that is no text": (None, {"model_type": ["llama"]}, r"model_type=\['llama'\]"),
    "images": ("vlm", {"text_config": {}, "vision_config": {"depth": 2}}, "vision_config: models"),
    "a nested family": (
        "outer",
        {"language_config": {"model_type": "x"}},
        "language_config: model",
    ),
    "a nested list": ("outer", {"text_config": []}, r"text_config=\[\] is not an object"),
}
TINY = {"gpt2": GPT, "gptj": GPT, "gpt_neox": NEOX, "gemma3_text": GEMMA}


@pytest.mark.parametrize("name", REFUSED)
def test_a_field_that_is_wrong_is_refused_by_its_name(name):
    family, fields, message = REFUSED[name]
    with pytest.raises((ConfigError, DataError), match=message) as error:
        read(family, {**TINY.get(family, LLAMA), **fields})
    assert "config.json" in str(error.value)
