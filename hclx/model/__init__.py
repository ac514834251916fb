"""The decoder of HyperCLOVA (GPT-3 style): parameters, modules and pure functions over them."""

from hclx.model.decoder import (
    Head,
    Params,
    abstract_params,
    embed,
    final_norm,
    head_weights,
    hidden_states,
    init_params,
    logical_axes,
    n_params,
    param_specs,
    project_to_vocab,
    run_block,
    token_vectors,
    unembed,
    with_soft_slots,
)
from hclx.model.parameters import ParamSpec, count_params
from hclx.model.prefix_attention import Prefix
from hclx.model.rotary import layer_kinds

__all__ = [
    "Head",
    "ParamSpec",
    "Params",
    "Prefix",
    "abstract_params",
    "count_params",
    "embed",
    "final_norm",
    "head_weights",
    "hidden_states",
    "init_params",
    "layer_kinds",
    "logical_axes",
    "n_params",
    "param_specs",
    "project_to_vocab",
    "run_block",
    "token_vectors",
    "unembed",
    "with_soft_slots",
]
