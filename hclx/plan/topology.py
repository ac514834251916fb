"""The assumptions of plans about chips beyond their data sheets, and the chips that a topology
names.
"""

from hclx.errors import ConfigError
from hclx.parallel.chips import CHIPS, Chip

HBM_SHARE = 0.92  # of the capacity: the rest is for the runtime and for fragmentation
# The share of the bf16 peak that the attention kernel is assumed to reach: XLA's cost model cannot
# see inside the kernel.
KERNEL_EFFICIENCY = 0.5
_NODE = 8  # GPUs that a switch joins


def gather_seconds(chip: Chip, n_bytes: float, ways: int, chips: int) -> float:
    """Estimates the seconds that an all-gather or a reduce-scatter takes.

    On a torus it uses two axes, or all of them if all chips take part. GPUs gather over the network
    between nodes, each GPU an eighth of the array, and within the node at the same time.

    Args:
      chip: the kind of chip.
      n_bytes: of the gathered array.
      ways: chips that it is sharded over, at least 1, which takes no time.
      chips: the number of all chips.
    """
    share = n_bytes * (ways - 1) / ways
    if not chip.is_gpu:
        axes = chip.torus_axes if ways == chips else min(2, chip.torus_axes)
        return share / (axes * 2 * chip.link)
    across = n_bytes / _NODE / chip.network if ways > _NODE else 0.0
    return max(across, share / chip.link)


def chip_of(topology: str) -> Chip:
    """Returns the chip of a topology such as `v5p:8x16x16` or `h100:64`, by the part before the
    colon; the rest is not checked.

    Raises:
      ConfigError: no such chip.
    """
    name = topology.partition(":")[0]
    known = [chip.name for chip in CHIPS.values() if chip.hbm_capacity]
    if name not in known:
        raise ConfigError(
            f"--topology={topology}: unknown chip {name!r}; known: {', '.join(known)}, as in"
            " v5p:8x16x16 or h100:64"
        )
    return CHIPS[name]


def count_gpus(topology: str) -> int:
    """Returns the number of GPUs of a topology such as `h100:64`.

    Raises:
      ConfigError: it is not a positive number, or more than 8 and no multiple of 8, the GPUs of a
        node.
    """
    text = topology.partition(":")[2]
    if not text.isdecimal() or int(text) == 0 or (int(text) > _NODE and int(text) % _NODE):
        raise ConfigError(
            f"--topology={topology}: give the number of GPUs, in whole nodes of {_NODE} if it is"
            " more, as in h100:64"
        )
    return int(text)
