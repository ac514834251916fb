"""The accelerators that this project knows, with what their makers publish of each."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Chip:
    """One accelerator. Figures in bytes, bytes a second and FLOP/s, from the makers' data sheets.

    Attributes:
      name: as in the name of a topology, "v5p:8x16x16".
      kinds: how `jax.Device.device_kind` begins on it.
      peak_bf16: dense products in bfloat16.
      hbm_capacity: 0 if no plans are made for this chip; the fields below are then not set either.
      link: bytes a second that one link of the torus carries in one direction; each of
        `torus_axes` axes has two links a chip. GPUs have no torus (0 axes): `link` is then what a
        GPU sends to the switch of its node.
      ring: an axis of the torus closes to a ring at multiples of this many chips.
      clock: of the matrix units at `peak_bf16`, in Hz; XLA's cost model counts its cycles.
      network: bytes a second of one chip between slices or nodes.
      matmul_efficiency: the share of the peak that large products are assumed to reach in estimates
        without a compiler; lower for GPUs, whose power is capped.
    """

    name: str
    kinds: tuple[str, ...]
    peak_bf16: float
    hbm_capacity: float = 0.0
    hbm_bandwidth: float = 0.0
    link: float = 0.0
    torus_axes: int = 0
    ring: int = 0
    clock: float = 0.0
    network: float = 0.0
    matmul_efficiency: float = 0.85

    @property
    def is_gpu(self) -> bool:
        """Returns whether the chip has no torus; also true if `hbm_capacity` is 0, as the torus of
        such a chip is not recorded.
        """
        return self.torus_axes == 0


_V5P, _V5E, _V6E = ("TPU v5p", "TPU v5"), ("TPU v5e", "TPU v5 lite"), ("TPU v6e", "TPU v6 lite")
CHIPS = {
    chip.name: chip
    for chip in (
        Chip("v4", ("TPU v4",), 275e12),
        Chip("v5p", _V5P, 459e12, 95e9, 2765e9, 90e9, 3, 4, 1.75e9, 6.25e9),
        Chip("v5e", _V5E, 197e12, 16e9, 819e9, 45e9, 2, 16, 1.5e9, 3.1e9),
        Chip("v6e", _V6E, 918e12, 32e9, 1640e9, 90e9, 2, 16, 1.75e9, 12.5e9),
        Chip("a100", ("NVIDIA A100",), 312e12, 80e9, 2039e9, 300e9, 0, 0, 0.0, 25e9, 0.8),
        Chip("h100", ("NVIDIA H100",), 989e12, 80e9, 3350e9, 450e9, 0, 0, 0.0, 50e9, 0.62),
        Chip("h200", ("NVIDIA H200",), 989e12, 141e9, 4800e9, 450e9, 0, 0, 0.0, 50e9, 0.62),
    )
}


def find_chip(device_kind: str) -> Chip | None:
    """Returns the chip that a `jax.Device.device_kind` such as "TPU v5 lite" or "NVIDIA H100 80GB
    HBM3" names; None for any other device.
    """
    matches = (
        (len(kind), chip)
        for chip in CHIPS.values()
        for kind in chip.kinds
        if device_kind.startswith(kind)
    )
    return max(matches, key=lambda match: match[0], default=(0, None))[1]
