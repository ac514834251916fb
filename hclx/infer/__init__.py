"""Inference: loading weights, and engines that continue, score and embed texts."""

from hclx.infer.embedded import EmbeddedEngine
from hclx.infer.engine import (
    UNKNOWN_TOKEN,
    Choice,
    Engine,
    GenerateRequest,
    Generation,
    Part,
    RequestError,
    Score,
    ScoreRequest,
    TokenLogprob,
)
from hclx.infer.engine_config import EngineConfig
from hclx.infer.followers import follow
from hclx.infer.load import INFERENCE_RULES, LoadedModel, load_for_inference, prepare_params
from hclx.infer.remote import RemoteConfig, RemoteEngine, ServerError
from hclx.infer.sampling import SamplingConfig

__all__ = [
    "INFERENCE_RULES",
    "UNKNOWN_TOKEN",
    "Choice",
    "EmbeddedEngine",
    "Engine",
    "EngineConfig",
    "GenerateRequest",
    "Generation",
    "LoadedModel",
    "Part",
    "RemoteConfig",
    "RemoteEngine",
    "RequestError",
    "SamplingConfig",
    "Score",
    "ScoreRequest",
    "ServerError",
    "TokenLogprob",
    "follow",
    "load_for_inference",
    "prepare_params",
]
