"""The device mesh and the one table that lays arrays on it."""

from hclx.parallel.axes import constrain, named_sharding, partition_spec
from hclx.parallel.mesh import make_mesh, resolve_mesh_shape

__all__ = ["constrain", "make_mesh", "named_sharding", "partition_spec", "resolve_mesh_shape"]
