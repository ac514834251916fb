"""The projections of a block that may have a low-rank change: their names, and their shapes."""

from typing import NamedTuple

from hclx.convert.tensors import NAMES
from hclx.errors import ConfigError
from hclx.field_checks import either
from hclx.model import ParamSpec
from hclx.model_config import ModelConfig

# Name here -> part of a block, as `hclx.convert.tensors.NAMES` has it. "qkv" has queries, keys and
# values in one, with one matrix A for the three, as GPT-2 has them.
PARTS = {
    "q": "attention/q",
    "k": "attention/k",
    "v": "attention/v",
    "qkv": "attention/qkv",
    "out": "attention/out",
    "wi": "mlp/wi",
    "gate": "mlp/gate",
    "wo": "mlp/wo",
}
PROJECTIONS = tuple(PARTS)


class LowRankShape(NamedTuple):
    """The shapes and axes of A and B of a projection, without the axis of layers.

    Attributes:
      inputs: the size of the input.
      outputs: the shape of the output.
      input_axis, output_axes: their logical names.
    """

    inputs: int
    outputs: tuple[int, ...]
    input_axis: str
    output_axes: tuple[str, ...]

    def specs(self, rank: int, layers: int) -> dict[str, ParamSpec]:
        """The records of A and B of all layers."""
        a = ParamSpec((self.inputs, rank), (self.input_axis, None), True, True)
        b = ParamSpec((rank, *self.outputs), (None, *self.output_axes), True, True)
        return {"a": a.stacked(layers), "b": b.stacked(layers)}


def low_rank_shape(projection: str, model: ModelConfig) -> LowRankShape:
    """The shapes of the low-rank change of a projection.

    Raises:
      ConfigError: the model has no such projection.
    """
    d, m, h, g, k = model.d_model, model.d_mlp, model.n_heads, model.n_kv_heads, model.d_head
    if projection == "gate" and not model.gated_mlp:
        raise ConfigError(
            "TuneConfig.targets has gate, and the MLPs of this model have no gate; leave it out"
        )
    heads = {"q": (h, "heads"), "k": (g, "kv_heads"), "v": (g, "kv_heads"), "qkv": (h + 2 * g,)}
    if projection in heads:
        count, *name = heads[projection]
        return LowRankShape(d, (count, k), "embed", (*(name or ["heads"]), "head_dim"))
    return {
        "out": LowRankShape(h * k, (d,), "heads", ("embed",)),
        "wi": LowRankShape(d, (m,), "embed", ("mlp",)),
        "gate": LowRankShape(d, (m,), "embed", ("mlp",)),
        "wo": LowRankShape(m, (d,), "mlp", ("embed",)),
    }[projection]


def _names_of_families() -> dict[str, set[str]]:
    """The last part of a module's name in any family, such as q_proj -> the projections so named,
    such as {"q"}.
    """
    names: dict[str, set[str]] = {}
    for family in NAMES.values():
        for projection, part in PARTS.items():
            if part in family:
                names.setdefault(family[part].rpartition(".")[2], set()).add(projection)
    return names


def parse_targets(text: str) -> tuple[str, ...]:
    """Reads names of projections, in the order of PROJECTIONS.

    Args:
      text: names of PROJECTIONS, or of modules as PEFT knows them (q_proj, c_attn, down_proj ...),
        separated by commas.
    Raises:
      ConfigError: a name is unknown, stands for different projections in different families, is
        there twice, or q, k or v is there beside qkv.
    """
    theirs, chosen = _names_of_families(), []
    for name in map(str.strip, text.split(",")):
        meant = {name} if name in PARTS else theirs.get(name, set())
        if not meant:
            raise ConfigError(
                f"TuneConfig.targets={text!r}: {name!r} is not {either(PROJECTIONS)}, and no"
                " family of models has a projection of this name"
            )
        if len(meant) > 1:
            raise ConfigError(
                f"TuneConfig.targets={text!r}: {name!r} is {either(sorted(meant))}, by the family;"
                " give the one that is meant, or both"
            )
        chosen += meant
    if len(set(chosen)) < len(chosen):
        raise ConfigError(f"TuneConfig.targets={text!r} names a projection twice")
    if "qkv" in chosen and set("qkv") & set(chosen):
        raise ConfigError(
            f"TuneConfig.targets={text!r}: qkv is q, k and v in one; leave out the others, or qkv"
        )
    return tuple(name for name in PROJECTIONS if name in chosen)
