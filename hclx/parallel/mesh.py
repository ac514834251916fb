"""Makes the device mesh: one arrangement of the devices that replaces data, tensor and pipeline
parallelism.
"""

import math

import jax
from jax.experimental import mesh_utils
from jax.sharding import AxisType, Mesh

from hclx.config import MESH_AXES, MeshConfig
from hclx.errors import ConfigError

_MAY_SPAN_SLICES = ("data", "pipe")  # the first that can does


def resolve_mesh_shape(config: MeshConfig, n_devices: int) -> tuple[int, ...]:
    """The sizes of `MESH_AXES` with -1 replaced by what is left of `n_devices`.

    Raises:
      ConfigError: the sizes do not multiply to `n_devices`.
    """
    shape = config.shape
    known = math.prod(size for size in shape if size != -1)
    if -1 in shape and n_devices % known == 0:
        shape = tuple(n_devices // known if size == -1 else size for size in shape)
    if math.prod(shape) != n_devices:
        wanted = " x ".join(f"{axis} {size}" for axis, size in zip(MESH_AXES, config.shape))
        raise ConfigError(
            f"MeshConfig ({wanted}) does not fit {n_devices} device(s); "
            "make the axes multiply to the number of devices, or set one of them to -1"
        )
    return shape


def axis_across_slices(shape: tuple[int, ...], slices: int) -> str | None:
    """Which of `MESH_AXES` goes from slice to slice, over the data centre's network; None: none of
    this shape can.
    """
    return next(
        (axis for axis in _MAY_SPAN_SLICES if shape[MESH_AXES.index(axis)] % slices == 0), None
    )


def make_mesh(config: MeshConfig, devices: list[jax.Device] | None = None) -> Mesh:
    """A mesh over `devices` (default: all) whose collectives XLA chooses (`AxisType.Auto`).

    On TPUs each axis follows links of the torus, whole axes of it where that can be done. Several
    slices, which only the data centre's network joins, see different data, or else hold different
    layers: `data` goes over slices where it is a multiple of them, otherwise `pipe` does, and the
    axes that carry more stay within a slice.

    Raises:
      ConfigError: the sizes do not multiply to the number of devices, or neither `data` nor `pipe`
        is a multiple of the slices.
    """
    devices = jax.devices() if devices is None else devices
    shape = resolve_mesh_shape(config, len(devices))
    slices = len({getattr(device, "slice_index", 0) for device in devices})
    if slices == 1:
        array = mesh_utils.create_device_mesh(shape, devices, allow_split_physical_axes=True)
    else:
        spanning = axis_across_slices(shape, slices)
        if spanning is None:
            sizes = " nor ".join(
                f"MeshConfig.{axis}={shape[MESH_AXES.index(axis)]}" for axis in _MAY_SPAN_SLICES
            )
            raise ConfigError(
                f"neither {sizes} is a multiple of the {slices} slices; only these two axes can"
                " span slices"
            )
        across = tuple(slices if axis == spanning else 1 for axis in MESH_AXES)
        within = tuple(n // outer for n, outer in zip(shape, across))
        array = mesh_utils.create_hybrid_device_mesh(
            within, across, devices, allow_split_physical_axes=True
        )
    return Mesh(array, MESH_AXES, axis_types=(AxisType.Auto,) * len(MESH_AXES))
