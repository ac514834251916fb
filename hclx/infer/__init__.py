"""Decoding: loading weights, KV cache, prefill, sampling, and text that is streamed in whole
characters.
"""

from hclx.infer.generate import Generation, generate, generate_batch
from hclx.infer.load import INFERENCE_RULES, LoadedModel, load_for_inference, prepare_params
from hclx.infer.sampling import SamplingConfig

__all__ = [
    "INFERENCE_RULES",
    "Generation",
    "LoadedModel",
    "SamplingConfig",
    "generate",
    "generate_batch",
    "load_for_inference",
    "prepare_params",
]
