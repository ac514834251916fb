"""Makes the device mesh, whose axes stand for data, tensor, sequence and pipeline parallelism."""

import math

import jax
from jax.experimental import mesh_utils
from jax.sharding import AxisType, Mesh

from hclx.config import MESH_AXES, MeshConfig
from hclx.errors import ConfigError
from hclx.progress import counted

_MAY_SPAN_SLICES = ("data", "pipe")  # in order of preference


def resolve_mesh_shape(config: MeshConfig, n_devices: int) -> tuple[int, ...]:
    """Returns the sizes of `MESH_AXES`, -1 replaced by the number of devices that are left for it.

    Args:
      config: sizes of the axes; one may be -1.
      n_devices: in the whole mesh.
    Raises:
      ConfigError: the sizes do not multiply to `n_devices`.
    """
    shape = config.shape
    known = math.prod(size for size in shape if size != -1)
    if -1 in shape and n_devices % known == 0:
        shape = tuple(n_devices // known if size == -1 else size for size in shape)
    if math.prod(shape) != n_devices:
        axes = " x ".join(f"{axis} {size}" for axis, size in zip(MESH_AXES, config.shape))
        raise ConfigError(
            f"MeshConfig ({axes}) does not fit {counted(n_devices, 'device')}; "
            "make the axes multiply to the number of devices, or set one of them to -1"
        )
    return shape


def axis_across_slices(shape: tuple[int, ...], slices: int) -> str | None:
    """Returns the mesh axis that spans slices, over the data centre's network: "data", or else
    "pipe", if its size is a multiple of the number of slices; None if neither is.

    Args:
      shape: sizes of `MESH_AXES`, none of them -1.
      slices: the number of slices.
    """
    return next(
        (axis for axis in _MAY_SPAN_SLICES if shape[MESH_AXES.index(axis)] % slices == 0), None
    )


def make_mesh(config: MeshConfig, devices: list[jax.Device] | None = None) -> Mesh:
    """Makes a mesh with the axes `MESH_AXES`, whose collectives XLA chooses (`AxisType.Auto`).

    On TPUs each mesh axis follows links of the torus, and whole axes of the torus if it can. Slices
    are joined by the data centre's network alone, so only an axis with little traffic may span
    them: `data` if it is a multiple of the number of slices, otherwise `pipe`.

    Args:
      config: sizes of the axes; one may be -1.
      devices: default: all, of all processes.
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
