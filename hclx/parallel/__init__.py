"""The device mesh, the one table that lays arrays on it, its pipeline, and the processes that it spans."""

from hclx.parallel.axes import constrain, named_sharding, partition_spec, ways
from hclx.parallel.mesh import axis_over_slices, make_mesh, resolve_mesh_shape
from hclx.parallel.pipeline import check_pipeline, pipeline
from hclx.parallel.processes import agree, is_one_of_several, leave_processes, process_0_first, start_processes
from hclx.parallel.tokens import flatten_tokens, unflatten_tokens

__all__ = [
    "agree",
    "axis_over_slices",
    "check_pipeline",
    "constrain",
    "flatten_tokens",
    "is_one_of_several",
    "leave_processes",
    "make_mesh",
    "named_sharding",
    "partition_spec",
    "pipeline",
    "process_0_first",
    "resolve_mesh_shape",
    "start_processes",
    "unflatten_tokens",
    "ways",
]
