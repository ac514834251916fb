"""Arithmetic of a training step: model FLOPs a token, the peak of a device, and so the MFU that is
logged.
"""

import functools
import time

import jax
import jax.numpy as jnp

from hclx.config import ModelConfig
from hclx.parallel.chips import find_chip

FORMULA = (
    "(6 * matmul_params + 6 * n_layers * d_model * sequence_length) * tokens_per_second / (peak *"
    " devices)"
)


def flops_per_token(model: ModelConfig, sequence_length: int) -> float:
    """Forward and backward, a token: 6 a parameter of a matrix product (the tied head counts,
    positions and look-ups do not), and attention's two products with the causal half that is masked
    left out: 6 · layers · d · t.
    """
    matmul_params = model.n_layers * 12 * model.d_model**2 + model.vocab_size * model.d_model
    return 6.0 * matmul_params + 6.0 * model.n_layers * model.d_model * sequence_length


@functools.cache
def peak_flops(dtype: str) -> tuple[float, str]:
    """FLOP/s of one device, and where the figure is from; a CPU's is measured with a float32 matrix
    product.
    """
    device = jax.local_devices()[0]
    if chip := find_chip(device.device_kind):
        # Products in eight bits are measured against it too, and so give a higher MFU.
        peak = chip.peak_bf16 if dtype == "bfloat16" else chip.peak_bf16 / 2
        return peak, f"data sheet of {chip.name}, {dtype}"
    return (
        _measured_peak() / jax.local_device_count(),
        f"measured on {device.device_kind}: float32 product of 1024 x 1024",
    )


def _measured_peak(size: int = 1024, repeats: int = 8) -> float:
    x = jnp.ones((size, size), jnp.float32)
    product = jax.jit(lambda a: a @ a)
    product(x).block_until_ready()
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        product(x).block_until_ready()
        seconds.append(time.perf_counter() - start)
    return 2.0 * size**3 / min(seconds)


def model_flops_utilisation(
    model: ModelConfig, sequence_length: int, dtype: str, tokens_per_second: float
) -> float:
    """The share of all devices' peak that the model's own arithmetic uses: see `FORMULA`."""
    peak, _ = peak_flops(dtype)
    return flops_per_token(model, sequence_length) * tokens_per_second / (peak * jax.device_count())
