"""The assumptions of plans about chips beyond their data sheets, and the chips that a topology
names.
"""

import types

from jax.sharding import AbstractMesh, AxisType

from hclx.config import MESH_AXES, Experiment
from hclx.errors import ConfigError
from hclx.parallel import axis_across_slices
from hclx.parallel.chips import CHIPS, Chip
from hclx.train.optimizer import decay_mask, make_optimizer
from hclx.train.state import abstract_state
from hclx.train.step import check_device, check_sharding

HBM_SHARE = 0.92  # of the capacity: the rest is for the runtime and for fragmentation
# The share of the bf16 peak that the attention kernel is assumed to reach: XLA's cost model cannot
# see inside the kernel.
KERNEL_EFFICIENCY = 0.5
_NODE = 8  # GPUs that a switch joins
_COMPUTE_CAPABILITY = {"a100": "8.0", "h100": "9.0", "h200": "9.0"}  # of NVIDIA's data sheets


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


def check_on_gpus(experiment: Experiment, chip: Chip, num_slices: int = 1) -> None:
    """Refuses what pretraining on GPUs would refuse; none need be attached.

    Args:
      experiment: the whole configuration; no axis of its mesh is -1.
      chip: the kind of GPU.
      num_slices: parts of the machine that only the data centre's network joins.
    Raises:
      ConfigError: as `make_mesh` and `make_program`.
    """
    mesh = experiment.mesh
    check_sharding(experiment, dict(zip(MESH_AXES, mesh.shape)))
    if num_slices > 1 and axis_across_slices(mesh.shape, num_slices) is None:
        raise ConfigError(
            f"neither MeshConfig.data={mesh.data} nor MeshConfig.pipe={mesh.pipe} is a multiple of"
            f" the {num_slices} slices; only these two axes can span slices"
        )
    check_device(
        experiment,
        types.SimpleNamespace(
            platform="gpu",
            device_kind=chip.kinds[0],
            compute_capability=_COMPUTE_CAPABILITY[chip.name],
        ),
    )
    optimizer = make_optimizer(experiment.optimizer, decay_mask(experiment.model))
    axes = AbstractMesh(mesh.shape, MESH_AXES, axis_types=(AxisType.Auto,) * len(MESH_AXES))
    abstract_state(experiment.model, experiment.train, optimizer, axes)
