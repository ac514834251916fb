"""The device mesh, the one table that lays arrays on it, and the processes that it spans."""

from hclx.parallel.axes import constrain, named_sharding, partition_spec
from hclx.parallel.mesh import make_mesh, resolve_mesh_shape
from hclx.parallel.processes import process_0_first, start_processes

__all__ = [
    "constrain",
    "make_mesh",
    "named_sharding",
    "partition_spec",
    "process_0_first",
    "resolve_mesh_shape",
    "start_processes",
]
