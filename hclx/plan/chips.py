"""The chips that plans are made for: what their makers publish of each, and what is assumed of
all.
"""

import dataclasses

from hclx.errors import ConfigError
from hclx.train.flops import PEAK_BF16

HBM_SHARE = 0.92  # of the capacity: the rest is for the runtime and for fragmentation
# The share of the bf16 peak that the attention kernel is taken to reach: XLA's cost model does not
# see inside it.
KERNEL_EFFICIENCY = 0.5
_NODE = 8  # GPUs that a switch joins


@dataclasses.dataclass(frozen=True)
class Chip:
    """One accelerator. Figures in bytes, bytes a second and FLOP/s, from the data sheets.

    `link` is what one link of the torus carries in one direction; each of `torus_axes` axes has two
    links a chip. GPUs have no torus (0 axes): `link` is then what a GPU sends to the switch of its
    node. `clock` is what the matrix units
    run at when they reach `peak_bf16`: XLA's cost model counts its cycles. `matmul_efficiency`, for
      arithmetic alone, is
    the share of the peak that large products are taken to reach: of GPUs, whose power is capped,
      less than of TPUs.
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
    matmul_efficiency: float = 0.85

    @property
    def is_gpu(self) -> bool:
        return self.torus_axes == 0

    def gather_seconds(self, n_bytes: float, ways: int, chips: int) -> float:
        """How long `n_bytes`, all pieces together, take to be gathered or scattered over `ways` of
        `chips`, by arithmetic.

        On a torus over two axes, or over all where all chips take part. GPUs gather over the
        network by nodes, each one an eighth, and in the node at the same time.
        """
        share = n_bytes * (ways - 1) / ways
        if not self.is_gpu:
            axes = self.torus_axes if ways == chips else min(2, self.torus_axes)
            return share / (axes * 2 * self.link)
        across = n_bytes / _NODE / self.network if ways > _NODE else 0.0
        return max(across, share / self.link)


CHIPS = {
    chip.name: chip
    for chip in (
        Chip("v5p", PEAK_BF16["TPU v5p"], 95e9, 2765e9, 90e9, 3, 4, 1.75e9, 6.25e9),
        Chip("v5e", PEAK_BF16["TPU v5e"], 16e9, 819e9, 45e9, 2, 16, 1.5e9, 3.1e9),
        Chip("v6e", PEAK_BF16["TPU v6e"], 32e9, 1640e9, 90e9, 2, 16, 1.75e9, 12.5e9),
        Chip("a100", PEAK_BF16["NVIDIA A100"], 80e9, 2039e9, 300e9, 0, 0, 0.0, 25e9, 0.8),
        Chip("h100", PEAK_BF16["NVIDIA H100"], 80e9, 3350e9, 450e9, 0, 0, 0.0, 50e9, 0.62),
        Chip("h200", PEAK_BF16["NVIDIA H200"], 141e9, 4800e9, 450e9, 0, 0, 0.0, 50e9, 0.62),
    )
}


def chip_of(topology: str) -> Chip:
    """The chip that a topology such as `v5p:8x16x16`, or `h100:64`, is made of.

    Raises:
      ConfigError: no such chip.
    """
    name = topology.partition(":")[0]
    if name not in CHIPS:
        raise ConfigError(
            f"--topology={topology}: unknown chip {name!r}; known: {', '.join(CHIPS)}, as in"
            " v5p:8x16x16 or h100:64"
        )
    return CHIPS[name]


def count_gpus(topology: str) -> int:
    """The number of GPUs of a topology such as `h100:64`.

    Raises:
      ConfigError: it is no number, or not whole nodes.
    """
    text = topology.partition(":")[2]
    if not text.isdecimal() or int(text) == 0 or (int(text) > _NODE and int(text) % _NODE):
        raise ConfigError(
            f"--topology={topology}: give the number of GPUs, whole nodes of {_NODE} where it is"
            " more, as in h100:64"
        )
    return int(text)
