"""The model with the adapters of each row, inside the compiled calls: what stands beside the
parameters, see `hclx.infer.adapter_arrays`, becomes vectors of tokens and weights of blocks.
"""

from collections.abc import Sequence

import jax

from hclx.config import ModelConfig
from hclx.model import Params, with_soft_slots
from hclx.model.low_rank import GatheredLowRankWeight


def adapted_vectors(params: Params, tokens_rt: jax.Array, config: ModelConfig) -> jax.Array | None:
    """Returns the vectors of tokens, some of which may be soft slots; None if none can be."""
    slots_nd = params.get("adapters", {}).get("slots")
    return None if slots_nd is None else with_soft_slots(params, tokens_rt, slots_nd, config)


def adapted_blocks(params: Params) -> Sequence[Params]:
    """Returns the parameters of each block, in which weights with low-rank changes have them."""
    adapters = params.get("adapters", {})
    if "low_rank" not in adapters:
        return params["blocks"]
    return [
        _adapted(block, changes, adapters["numbers_r"])
        for block, changes in zip(params["blocks"], adapters["low_rank"], strict=True)
    ]


def _adapted(block: Params, changes: dict, numbers_r: jax.Array) -> Params:
    block = {**block, "attention": dict(block["attention"]), "mlp": dict(block["mlp"])}
    for (part, leaf), (a, b) in changes.items():
        block[part][leaf] = GatheredLowRankWeight(block[part][leaf], a, b, numbers_r)
    return block
