"""Decoding: KV cache, prefill, sampling, and text that is streamed in whole characters."""

from hclx.infer.generate import Generation, generate
from hclx.infer.sampling import SamplingConfig

__all__ = ["Generation", "SamplingConfig", "generate"]
