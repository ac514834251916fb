"""Adapters: what tuning has made for a model, as an engine takes it beside the model, and where
each adapter of an engine has its place.
"""

import dataclasses
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from hclx.config import ModelConfig
from hclx.errors import ConfigError, shown
from hclx.infer.engine import RequestError
from hclx.model import ParamSpec, Prefix, param_specs

# The matrices of a block that may have a low-rank change: (part, leaf) of the tree of parameters.
MATRICES = (
    *(("attention", leaf) for leaf in ("q", "kv", "out")),
    *(("mlp", leaf) for leaf in ("wi", "gate", "wo")),
)


@dataclasses.dataclass(frozen=True)
class Adapter:
    """A small change of a model, as arrays of numpy, float32. An adapter may have several kinds.

    Attributes:
      slots_pd: the vectors of soft slots, which are its token ids from `vocab_size` on; None: there
        are none.
      prefix: keys and values [layers, p, g, k] before every text; None: there are none.
      low_rank: (part, leaf) of `MATRICES` -> A [layers, summed axes as one, rank] and
        B [layers, rank, output axes], with its factor in it.
    """

    slots_pd: np.ndarray | None = None
    prefix: Prefix | None = None
    low_rank: Mapping[tuple[str, str], tuple[np.ndarray, np.ndarray]] = dataclasses.field(
        default_factory=dict
    )

    @property
    def n_slots(self) -> int:
        """The number of its soft slots."""
        return 0 if self.slots_pd is None else len(self.slots_pd)

    @property
    def n_prefix(self) -> int:
        """The number of positions of its prefix."""
        return 0 if self.prefix is None else self.prefix.k.shape[1]


class Placement(NamedTuple):
    """The place of an adapter in an engine.

    Attributes:
      name: of the adapter.
      number: tells it from all others that the engine has ever had; 0: no adapter.
      slots: the ids of its soft slots in this engine.
      n_prefix: the positions of its prefix.
      low_rank: the index of its low-rank changes among those of others; 0: it has none.
    """

    name: str = ""
    number: int = 0
    slots: range = range(0)
    n_prefix: int = 0
    low_rank: int = 0

    def lay(self, ids: list[int], vocab_size: int) -> list[int]:
        """Returns the ids of a prompt as the engine reads it.

        Soft slots stand where the prompt has them, or else before it. Positions of the prefix are
        ids that are no tokens.

        Args:
          ids: of the prompt; those from `vocab_size` on are soft slots of the adapter.
          vocab_size: of the model.
        """
        offset = self.slots.start - vocab_size
        if self.slots and max(ids, default=0) < vocab_size:
            ids = [*self.slots, *ids]
        else:
            ids = [token + offset if token >= vocab_size else token for token in ids]
        return [vocab_size] * self.n_prefix + ids


NO_ADAPTER = Placement()


class AdapterPlaces:
    """The adapters of an engine by their names. The engine's thread changes them; others look them
    up.
    """

    def __init__(self, config: ModelConfig):
        """Starts without adapters of a model of this shape."""
        self._config = config
        self._placements: dict[str, Placement] = {}
        self._n_ever = 0

    def find(self, name: str | None) -> Placement:
        """Returns the place of an adapter as `get` does, `NO_ADAPTER` for None."""
        return NO_ADAPTER if name is None else self.get(name)

    def get(self, name: str) -> Placement:
        """Returns the place of an adapter. Raises RequestError if there is none of this name."""
        placement = self._placements.get(name) if isinstance(name, str) else None
        if placement is None:
            known = ", ".join(self._placements)
            raise RequestError(
                f"artefact={shown(name)}: this engine has "
                + (f"{known}; name one of them" if known else "none; leave the field out")
            )
        return placement

    def has(self, placement: Placement) -> bool:
        """Returns whether an adapter is still there."""
        return placement is NO_ADAPTER or self._placements.get(placement.name) == placement

    def choose(self, name: str, adapter: Adapter) -> Placement:
        """Returns a free place for an adapter, which `take` gives to it.

        Raises:
          ConfigError: the name is taken or empty, or the adapter is not of this model's shape.
        """
        if not isinstance(name, str) or not name:
            raise ConfigError(f"the name of an adapter is {shown(name)}: give a text")
        if name in self._placements:
            raise ConfigError(f"an adapter has the name {shown(name)} already; choose another name")
        check_adapter(adapter, self._config)
        taken = {placement.low_rank for placement in self._placements.values()}
        index = next(i for i in range(1, len(taken) + 2) if i not in taken)
        return Placement(
            name,
            self._n_ever + 1,
            self._free_slots(adapter.n_slots),
            adapter.n_prefix,
            index if adapter.low_rank else 0,
        )

    def _free_slots(self, n: int) -> range:
        """The first ids that are free for `n` soft slots."""
        begin = self._config.vocab_size
        used = (placement.slots for placement in self._placements.values() if placement.slots)
        for slots in sorted(used, key=lambda slots: slots.start):
            if slots.start - begin >= n:
                break
            begin = slots.stop
        return range(begin, begin + n) if n else range(0)

    def take(self, placement: Placement) -> None:
        """Gives an adapter its place."""
        self._n_ever = placement.number
        self._placements[placement.name] = placement

    def free(self, placement: Placement) -> None:
        """Takes its place from an adapter."""
        del self._placements[placement.name]

    @property
    def placements(self) -> list[Placement]:
        """The places that are taken."""
        return list(self._placements.values())


def change_shape(config: ModelConfig, matrix: tuple[str, str]) -> ParamSpec | None:
    """Returns the record of one of `MATRICES` in a single layer, with its summed axes as one; None
    if the model has no such matrix.
    """
    part, leaf = matrix
    spec = param_specs(config)["blocks"][part].get(leaf)
    if spec is None:
        return None
    shape, axes = spec.shape[1:], spec.axes[1:]
    # Products sum over the first axis, or, if `embed` is the last one, over all others.
    n_summed = len(axes) - 1 if axes[-1] == "embed" else 1
    shape = (int(np.prod(shape[:n_summed])), *shape[n_summed:])
    return dataclasses.replace(spec, shape=shape, axes=(axes[0], *axes[n_summed:]))


def check_adapter(adapter: Adapter, config: ModelConfig) -> None:
    """Refuses an adapter of another shape.

    Raises:
      ConfigError: names the array and both shapes.
    """
    layers, g, k = config.n_layers, config.n_kv_heads, config.d_head
    n, p = adapter.n_slots, adapter.n_prefix
    shapes = []
    if adapter.slots_pd is not None:
        shapes.append(("the soft slots", adapter.slots_pd, (n, config.d_model)))
    for name, array in (adapter.prefix or Prefix(None, None))._asdict().items():
        if array is not None:
            shapes.append((f"{name} of the prefix", array, (layers, p, g, k)))
    for matrix, (a, b) in adapter.low_rank.items():
        name, spec = "/".join(matrix), change_shape(config, matrix) if matrix in MATRICES else None
        if spec is None:
            raise ConfigError(f"an adapter changes {name}, which the model has not")
        shapes.append((f"A of {name}", a, (layers, spec.shape[0], a.shape[-1])))
        shapes.append((f"B of {name}", b, (layers, a.shape[-1], *spec.shape[1:])))
    if not shapes or not n and not p and not adapter.low_rank:
        raise ConfigError("an adapter has neither soft slots nor a prefix nor low-rank changes")
    for name, array, shape in shapes:
        if array.shape != shape:
            raise ConfigError(
                f"{name} of an adapter have the shape {array.shape}, and those of this model"
                f" {shape}; give an adapter of this model"
            )
    if p >= config.max_length:
        raise ConfigError(f"a prefix of {p} positions leaves none of {config.max_length} for text")
