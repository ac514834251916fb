"""Makes the device mesh: one arrangement of the devices that replaces data, tensor and pipeline parallelism."""

import math

import jax
from jax.experimental import mesh_utils
from jax.sharding import AxisType, Mesh

from hclx.config import MESH_AXES, MeshConfig
from hclx.errors import ConfigError


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


def make_mesh(config: MeshConfig, devices: list[jax.Device] | None = None) -> Mesh:
    """A mesh over `devices` (default: all) whose collectives XLA chooses (`AxisType.Auto`).

    On TPUs each axis follows links of the torus, whole axes of it where that can be done. Several slices, which only the
    data centre's network joins, see different data: `data` goes over slices first, and the other axes stay within one.

    Raises:
      ConfigError: the sizes do not multiply to the number of devices, or `data` is no multiple of the slices.
    """
    devices = jax.devices() if devices is None else devices
    shape = resolve_mesh_shape(config, len(devices))
    slices = len({getattr(device, "slice_index", 0) for device in devices})
    data = MESH_AXES.index("data")
    if shape[data] % slices:
        raise ConfigError(f"MeshConfig.data={shape[data]} is no multiple of the {slices} slices; only `data` can span slices")
    if slices == 1:
        array = mesh_utils.create_device_mesh(shape, devices, allow_split_physical_axes=True)
    else:
        within = tuple(n // slices if i == data else n for i, n in enumerate(shape))
        across = tuple(slices if i == data else 1 for i in range(len(shape)))
        array = mesh_utils.create_hybrid_device_mesh(within, across, devices, allow_split_physical_axes=True)
    return Mesh(array, MESH_AXES, axis_types=(AxisType.Auto,) * len(MESH_AXES))
