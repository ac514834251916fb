"""The GPT-3 style decoder of HyperCLOVA."""

from hclx.model.decoder import (
    Params,
    abstract_params,
    embed,
    final_norm,
    hidden_states,
    init_params,
    logical_axes,
    packing,
    run_block,
    unembed,
)

__all__ = [
    "Params",
    "abstract_params",
    "embed",
    "final_norm",
    "hidden_states",
    "init_params",
    "logical_axes",
    "packing",
    "run_block",
    "unembed",
]
