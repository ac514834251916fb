"""Low-rank changes as the tensors of PEFT, and back.

PEFT's A is [rank, inputs] and its B [outputs, rank], of one module; ours are the transposes, of all
layers. B has the outputs in the order of the module's weight, so it is converted by the rules of
`hclx.convert.tensors`, as a weight of `rank` inputs.
"""

import math
from collections.abc import Iterator, Mapping

import numpy as np

from hclx.convert.tensors import NAMES, Rule, rules
from hclx.errors import ConfigError, DataError
from hclx.model import Params
from hclx.model_config import ModelConfig
from hclx.tune.projections import PARTS, PROJECTIONS, low_rank_shape

PREFIX = "base_model.model."
# The modules of EXAONE 3 have the names of Llama since it is part of transformers.
_NAMES = {**NAMES, "exaone": NAMES["llama"]}
_FUSED = "attention/qkv"
_INPUTS_FIRST = "gpt2"  # the family whose weights are [inputs, outputs]


def module_names(family: str) -> dict[str, str]:
    """Projection -> name of its module in a layer, such as "self_attn.q_proj"."""
    names = _NAMES[family]
    return {projection: names[part] for projection, part in PARTS.items() if part in names}


def to_peft(tune: Params, model: ModelConfig, family: str) -> dict[str, np.ndarray]:
    """The tensors of PEFT.

    Args:
      tune: projection -> {"a", "b"}, see `hclx.tune.lora.lora_specs`.
      model: the base's shape.
      family: of the base, one of `hclx.convert.tensors.FAMILIES`.
    Returns:
      "base_model.model.….lora_A.weight" -> [rank, inputs], "….lora_B.weight" -> [outputs, rank].
    Raises:
      ConfigError: queries, keys and values are changed apart, and are one module in this family.
    """
    modules, tensors = module_names(family), {}
    for layer in range(model.n_layers):
        for projection, change in tune.items():
            a, b = (np.asarray(change[name][layer]) for name in ("a", "b"))
            for part, weight in _outputs(projection, b, model, family):
                name = PREFIX + _NAMES[family]["layer"].format(n=layer) + modules[part]
                tensors[f"{name}.lora_A.weight"] = a.T
                tensors[f"{name}.lora_B.weight"] = weight
    return tensors


def from_peft(
    tensors: Mapping[str, np.ndarray], rank: int, model: ModelConfig, family: str
) -> Params:
    """The inverse of `to_peft`. Projections are those of which there are tensors.

    Raises:
      DataError: a tensor is unknown, missing, or has another shape.
    """
    left, tune = dict(tensors), {}
    for projection, module in module_names(family).items():
        layer = PREFIX + _NAMES[family]["layer"] + module
        names = [layer.format(n=n) for n in range(model.n_layers)]
        if not any(f"{name}.lora_{x}.weight" in left for name in names for x in "AB"):
            continue
        shape = low_rank_shape(projection, model)
        outputs = math.prod(shape.outputs)
        a = [_take(left, f"{name}.lora_A.weight", (rank, shape.inputs)).T for name in names]
        b = [_take(left, f"{name}.lora_B.weight", (outputs, rank)) for name in names]
        ours = [_from_outputs(projection, x, model, family) for x in b]
        tune[projection] = {"a": np.stack(a), "b": np.stack(ours)}
    if left:
        raise DataError(
            f"PEFT's tensor {sorted(left)[0]!r} belongs to no projection of the {model.n_layers}"
            f" layers of a {family}; give the adapter of this base"
        )
    if not tune:
        raise DataError("the adapter has no tensors; give the folder of an adapter")
    return {name: tune[name] for name in PROJECTIONS if name in tune}


def _take(tensors: dict, name: str, shape: tuple[int, ...]) -> np.ndarray:
    if name not in tensors:
        raise DataError(
            f"the adapter has no tensor {name!r}, and has it of other layers; only changes of all"
            " layers are read"
        )
    array = tensors.pop(name)
    if array.shape != shape:
        raise DataError(
            f"the adapter's tensor {name!r} has shape {list(array.shape)} and this base takes"
            f" {list(shape)}; give the adapter of this base"
        )
    return array


def _outputs(
    projection: str, b: np.ndarray, model: ModelConfig, family: str
) -> Iterator[tuple[str, np.ndarray]]:
    """Yields the modules of a projection, and B [outputs, rank] of each."""
    is_fused = _FUSED in NAMES[family]
    if projection in ("q", "k", "v") and is_fused:
        raise ConfigError(
            f"TuneConfig.targets has {projection}, and in the family {family} queries, keys and"
            f" values are one module, {module_names(family)['qkv']}, with one A; tune qkv"
        )
    if projection != "qkv":
        yield projection, b.reshape(len(b), -1).T
        return
    h, g, k = model.n_heads, model.n_kv_heads, model.d_head
    weights = _fusion(model, family).unpack(b[:, :h], b[:, h:].reshape(len(b), 2, g, k))
    if is_fused:
        yield "qkv", weights[0].T if family == _INPUTS_FIRST else weights[0]
    else:  # three modules with the same A
        yield from zip("qkv", weights)


def _from_outputs(
    projection: str, weight: np.ndarray, model: ModelConfig, family: str
) -> np.ndarray:
    """The inverse of `_outputs`, of one module: B [rank, outputs ...]."""
    rank = weight.shape[1]
    if projection != "qkv":
        return weight.T.reshape(rank, *low_rank_shape(projection, model).outputs)
    pack = _fusion(model, family).pack
    q, kv = pack(weight.T if family == _INPUTS_FIRST else weight)
    return np.concatenate([q, kv.reshape(rank, -1, kv.shape[-1])], axis=1)


def _fusion(model: ModelConfig, family: str) -> Rule:
    """The rule of queries, keys and values."""
    return next(rule for rule in rules(model, family) if "blocks/attention/q" in rule.ours)
