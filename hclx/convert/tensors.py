"""Which tensors of a Hugging Face file are which parameters of the decoder, family by family.

A `Rule` says how some tensors of a file become some parameters, and back. The rules of a model
follow from its parameter tree and the names that its family gives to the parts: a bias that the
tree does not have is no part of any rule. What is in no layer (embeddings, the head, the last norm)
is one tensor of the same shape, so that any rows of it can be converted alone.

Shapes are those of hclx/model/layers.py. Linear layers are [out, in] in a file and [in, out] here;
GPT-2 alone has them as they are here.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import jax
import numpy as np

from hclx.config import ModelConfig
from hclx.model import param_specs

Arrays = tuple[np.ndarray, ...]


class Rule(NamedTuple):
    """Tensors of a file as parameters.

    Attributes:
      ours: paths of the parameters, such as "blocks/attention/q".
      theirs: names of the tensors; `{n}` is the number of the layer.
      shapes: of the tensors.
      pack: their arrays, of one layer -> ours, of one layer.
      unpack: the inverse.
    """

    ours: tuple[str, ...]
    theirs: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]
    pack: Callable[..., Arrays]
    unpack: Callable[..., Arrays]


def _same(ours: str, theirs: str, shape: tuple[int, ...]) -> Rule:
    return Rule((ours,), (theirs,), (shape,), lambda x: (x,), lambda x: (x,))


def _plus_one(ours: str, theirs: str, shape: tuple[int, ...]) -> Rule:
    """A norm whose factor is 1 + weight (Gemma)."""
    return Rule(
        *((ours,), (theirs,), (shape,)),
        lambda x: (x + np.float32(1),),
        lambda x: (x - np.float32(1),),
    )


def _linear(ours: str, theirs: str, shape: tuple[int, ...]) -> Rule:
    """A weight of this shape here, whose last dimension is that of the outputs."""
    return Rule(
        (ours,),
        (theirs,),
        ((shape[-1], math.prod(shape[:-1])),),
        lambda x: (x.T.reshape(shape),),
        lambda x: (x.reshape(-1, shape[-1]).T,),
    )


def _conv1d(ours: str, theirs: str, shape: tuple[int, ...]) -> Rule:
    """The same where the tensor is [in, out] too (GPT-2)."""
    flat = (math.prod(shape[:-1]), shape[-1])
    return Rule(
        (ours,), (theirs,), (flat,), lambda x: (x.reshape(shape),), lambda x: (x.reshape(flat),)
    )


# The names of a family: part -> the beginning of the names of its weight and bias. `embedding`,
# `position`, `final_norm` and `head` are whole names; the others follow `layer`.
_LLAMA = {
    "embedding": "model.embed_tokens",
    "final_norm": "model.norm",
    "head": "lm_head",
    "layer": "model.layers.{n}.",
    "attention_norm": "input_layernorm",
    "mlp_norm": "post_attention_layernorm",
    "attention/q": "self_attn.q_proj",
    "attention/k": "self_attn.k_proj",
    "attention/v": "self_attn.v_proj",
    "attention/out": "self_attn.o_proj",
    "attention/query_norm": "self_attn.q_norm",
    "attention/key_norm": "self_attn.k_norm",
    "mlp/gate": "mlp.gate_proj",
    "mlp/wi": "mlp.up_proj",
    "mlp/wo": "mlp.down_proj",
}
NAMES: Mapping[str, Mapping[str, str]] = {
    "gpt2": {
        "embedding": "transformer.wte",
        "position": "transformer.wpe",
        "final_norm": "transformer.ln_f",
        "head": "lm_head",
        "layer": "transformer.h.{n}.",
        "attention_norm": "ln_1",
        "mlp_norm": "ln_2",
        "attention/qkv": "attn.c_attn",
        "attention/out": "attn.c_proj",
        "mlp/wi": "mlp.c_fc",
        "mlp/wo": "mlp.c_proj",
    },
    "gpt_neox": {
        "embedding": "gpt_neox.embed_in",
        "final_norm": "gpt_neox.final_layer_norm",
        "head": "embed_out",
        "layer": "gpt_neox.layers.{n}.",
        "attention_norm": "input_layernorm",
        "mlp_norm": "post_attention_layernorm",
        "attention/qkv": "attention.query_key_value",
        "attention/out": "attention.dense",
        "mlp/wi": "mlp.dense_h_to_4h",
        "mlp/wo": "mlp.dense_4h_to_h",
    },
    "gptj": {
        "embedding": "transformer.wte",
        "final_norm": "transformer.ln_f",
        "head": "lm_head",
        "layer": "transformer.h.{n}.",
        "attention_norm": "ln_1",
        "attention/q": "attn.q_proj",
        "attention/k": "attn.k_proj",
        "attention/v": "attn.v_proj",
        "attention/out": "attn.out_proj",
        "mlp/wi": "mlp.fc_in",
        "mlp/wo": "mlp.fc_out",
    },
    "llama": _LLAMA,
    "qwen2": _LLAMA,
    "qwen3": _LLAMA,
    "exaone": {
        "embedding": "transformer.wte",
        "final_norm": "transformer.ln_f",
        "head": "lm_head",
        "layer": "transformer.h.{n}.",
        "attention_norm": "ln_1",
        "mlp_norm": "ln_2",
        "attention/q": "attn.attention.q_proj",
        "attention/k": "attn.attention.k_proj",
        "attention/v": "attn.attention.v_proj",
        "attention/out": "attn.attention.out_proj",
        "mlp/gate": "mlp.c_fc_0",
        "mlp/wi": "mlp.c_fc_1",
        "mlp/wo": "mlp.c_proj",
    },
    "exaone4": {
        **_LLAMA,
        "attention_out_norm": "post_attention_layernorm",
        "mlp_out_norm": "post_feedforward_layernorm",
    },
    "hyperclovax": {
        **_LLAMA,
        "attention_out_norm": "post_norm1",
        "mlp_out_norm": "post_norm2",
    },
    "gemma3_text": {
        **_LLAMA,
        "attention_out_norm": "post_attention_layernorm",
        "mlp_norm": "pre_feedforward_layernorm",
        "mlp_out_norm": "post_feedforward_layernorm",
    },
}
FAMILIES = tuple(NAMES)
# Buffers in old files, which hold nothing that was learned.
IGNORED = (
    *(".attn.bias", ".attn.masked_bias", ".attention.bias", ".attention.masked_bias"),
    ".rotary_emb.inv_freq",
)


def rules(config: ModelConfig, family: str) -> list[Rule]:
    """Returns the rules of a model; together they name each of its parameters once.

    Args:
      config: the model's shape.
      family: one of FAMILIES, the `model_type` of a config.json.
    """
    return list(_rules(config, family))


def _rules(config: ModelConfig, family: str) -> Iterator[Rule]:
    names = NAMES[family]
    specs = jax.tree_util.tree_flatten_with_path(param_specs(config))[0]
    paths = {jax.tree_util.keystr(p, simple=True, separator="/"): spec for p, spec in specs}
    norm = _plus_one if family == "gemma3_text" else _same
    for path, spec in paths.items():
        part = path.removeprefix("blocks/")
        in_layer = part != path
        prefix = names["layer"] if in_layer else ""
        shape = spec.shape[1:] if in_layer else spec.shape
        head, _, leaf = part.rpartition("/")
        if path == "embedding/token":
            yield _same(path, names["embedding"] + ".weight", shape)
        elif path == "embedding/position":
            yield _same(path, names["position"] + ".weight", shape)
        elif head == "head":
            yield _same(path, f"{names['head']}.{leaf}", shape)
        elif leaf in ("scale", "bias"):
            rule, suffix = (norm, "weight") if leaf == "scale" else (_same, "bias")
            yield rule(path, f"{prefix}{names[head]}.{suffix}", shape)
        elif part in ("attention/q", "attention/q_bias"):
            yield _queries_keys_values(config, family, part.removeprefix("attention/q"))
        elif part not in ("attention/kv", "attention/kv_bias"):
            name = f"{prefix}{names[part.removesuffix('_bias')]}."
            if part.endswith("_bias"):
                yield _same(path, name + "bias", shape)
            else:
                make = _conv1d if family == "gpt2" else _linear
                yield make(path, name + "weight", shape)


def in_order(model_rules: list[Rule], config: ModelConfig) -> Iterator[tuple[Rule, int | None]]:
    """Yields each rule with each of its layers, in the order in which files have them: first what
    is in no layer, with None, and then layer by layer.
    """
    in_layers = [rule for rule in model_rules if "{n}" in rule.theirs[0]]
    yield from ((rule, None) for rule in model_rules if rule not in in_layers)
    for layer in range(config.n_layers):
        yield from ((rule, layer) for rule in in_layers)


def _queries_keys_values(config: ModelConfig, family: str, suffix: str) -> Rule:
    """The rule of the weights (suffix "") or biases ("_bias") of queries, keys and values."""
    names = NAMES[family]
    ours = tuple(f"blocks/attention/{part}{suffix}" for part in ("q", "kv"))
    end = ".bias" if suffix else ".weight"
    h, g, k, d = config.n_heads, config.n_kv_heads, config.d_head, config.d_model
    if "attention/qkv" in names:
        theirs = (names["layer"] + names["attention/qkv"] + end,)
        shape = (3 * h * k,) if suffix else (d, 3 * h * k) if family == "gpt2" else (3 * h * k, d)
        return Rule(ours, theirs, (shape,), *_FUSED[family](h, k, bool(suffix)))
    theirs = tuple(names["layer"] + names[f"attention/{part}"] + end for part in "qkv")

    def pack(q, *kv):
        q, kv = q.T.reshape(-1, h, k), [x.T.reshape(-1, 1, g, k) for x in kv]
        kv = np.concatenate(kv, axis=1)
        return (q[0], kv[0]) if suffix else (q, kv)

    def unpack(q, kv):
        lead = 1 if suffix else len(q)
        flat = [x.reshape(lead, -1) for x in (q, kv[..., 0, :, :], kv[..., 1, :, :])]
        return tuple(x[0] if suffix else x.T for x in flat)

    shapes = tuple((heads * k,) if suffix else (heads * k, d) for heads in (h, g, g))
    return Rule(ours, theirs, shapes, pack, unpack)


def _fused_gpt2(h: int, k: int, is_bias: bool) -> tuple[Callable, Callable]:
    """[d, 3 h k], in blocks q | k | v."""

    def pack(qkv):
        qkv = qkv.reshape(-1, 3, h, k)
        q, kv = qkv[:, 0], qkv[:, 1:]
        return (q[0], kv[0]) if is_bias else (q, kv)

    def unpack(q, kv):
        qkv = np.concatenate([q[..., None, :, :], kv], axis=-3)
        return (qkv.reshape(-1) if is_bias else qkv.reshape(len(qkv), -1),)

    return pack, unpack


def _fused_neox(h: int, k: int, is_bias: bool) -> tuple[Callable, Callable]:
    """[3 h k, d], head by head q, k, v."""

    def pack(qkv):
        qkv = qkv.T.reshape(-1, h, 3, k).swapaxes(1, 2)
        q, kv = qkv[:, 0], qkv[:, 1:]
        return (q[0], kv[0]) if is_bias else (q, kv)

    def unpack(q, kv):
        qkv = np.concatenate([q[..., None, :, :], kv], axis=-3).swapaxes(-3, -2)
        return (qkv.reshape(-1) if is_bias else qkv.reshape(len(qkv), -1).T,)

    return pack, unpack


_FUSED = {"gpt2": _fused_gpt2, "gpt_neox": _fused_neox}
