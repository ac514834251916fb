"""The device mesh, the table of sharding rules, the pipeline, and distributed processes."""

from hclx.parallel.distributed import (
    abort_process,
    any_process_error,
    is_distributed,
    only_in_process_0,
    process_0_first,
    start_processes,
)
from hclx.parallel.mesh import axis_across_slices, make_mesh, resolve_mesh_shape
from hclx.parallel.pipeline import check_pipeline, pipeline
from hclx.parallel.sharding import (
    RULES,
    ShardingRules,
    axis_size,
    constrain,
    flatten_tokens,
    named_sharding,
    partition_spec,
    sharding_rules,
    unflatten_tokens,
)

__all__ = [
    "RULES",
    "ShardingRules",
    "any_process_error",
    "axis_across_slices",
    "check_pipeline",
    "constrain",
    "flatten_tokens",
    "is_distributed",
    "abort_process",
    "make_mesh",
    "named_sharding",
    "only_in_process_0",
    "partition_spec",
    "pipeline",
    "process_0_first",
    "resolve_mesh_shape",
    "sharding_rules",
    "start_processes",
    "unflatten_tokens",
    "axis_size",
]
