"""The chips that plans are made for: what their makers publish of each."""

import dataclasses

from hclx.errors import ConfigError
from hclx.train.flops import PEAK_BF16


@dataclasses.dataclass(frozen=True)
class Chip:
    """One accelerator. Figures in bytes, bytes a second and FLOP/s, from the data sheets.

    `link` is what one link of the torus carries in one direction; each of `torus_axes` axes has two links a chip.
    `clock` is what the matrix units run at when they reach `peak_bf16`: XLA's cost model counts its cycles.
    """

    name: str
    peak_bf16: float
    hbm_capacity: float
    hbm_bandwidth: float
    link: float
    torus_axes: int
    wrap: int  # chips along an axis from which on it is a ring: links close at multiples of this
    clock: float
    network: float  # bytes a second of one chip between slices or nodes


CHIPS = {
    chip.name: chip
    for chip in (
        Chip("v5p", PEAK_BF16["TPU v5p"], 95e9, 2765e9, 90e9, 3, 4, 1.75e9, 6.25e9),
        Chip("v5e", PEAK_BF16["TPU v5e"], 16e9, 819e9, 45e9, 2, 16, 1.5e9, 3.1e9),
        Chip("v6e", PEAK_BF16["TPU v6e"], 32e9, 1640e9, 90e9, 2, 16, 1.75e9, 12.5e9),
    )
}


def chip_of(topology: str) -> Chip:
    """The chip that a topology such as `v5p:8x16x16` is made of.

    Raises:
      ConfigError: no such chip.
    """
    name = topology.partition(":")[0]
    if name not in CHIPS:
        raise ConfigError(f"--topology={topology}: unknown chip {name!r}; known: {', '.join(CHIPS)}, as in v5p:8x16x16")
    return CHIPS[name]
