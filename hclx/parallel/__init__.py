"""The device mesh and the one table that lays arrays on it."""

from hclx.parallel.axes import constrain, named_sharding, partition_spec, ways
from hclx.parallel.mesh import make_mesh, resolve_mesh_shape
from hclx.parallel.pipeline import check_pipeline, pipeline
from hclx.parallel.tokens import flatten_tokens, unflatten_tokens

__all__ = [
    "check_pipeline",
    "constrain",
    "flatten_tokens",
    "make_mesh",
    "named_sharding",
    "partition_spec",
    "pipeline",
    "resolve_mesh_shape",
    "unflatten_tokens",
    "ways",
]
