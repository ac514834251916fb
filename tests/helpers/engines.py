"""Engines over small models with random weights."""

import jax

from hclx.config import MeshConfig, ModelConfig
from hclx.infer import (
    INFERENCE_RULES,
    EmbeddedEngine,
    EngineConfig,
    LoadedModel,
    prepare_params,
)
from hclx.parallel import make_mesh, sharding_rules


def loaded(
    params, config: ModelConfig, mesh: MeshConfig | None = None, dtype: str = "float32"
) -> LoadedModel:
    """A model with stacked parameters, as training has them, on the first device or on a mesh."""
    devices = make_mesh(mesh) if mesh else make_mesh(MeshConfig(fsdp=1), jax.devices()[:1])
    with jax.set_mesh(devices), sharding_rules(INFERENCE_RULES):
        prepared = prepare_params(params, config, dtype)
    return LoadedModel(prepared, config, "", {}, devices, INFERENCE_RULES)


def engine_of(params, config, tokenizer, mesh=None, dtype="float32", **settings) -> EmbeddedEngine:
    """An engine over stacked parameters; `settings` are fields of `EngineConfig`."""
    return EmbeddedEngine(loaded(params, config, mesh, dtype), tokenizer, EngineConfig(**settings))
