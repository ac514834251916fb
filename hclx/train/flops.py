"""Model FLOPs of a training step, the peak FLOP/s of a device, and MFU, their ratio."""

import functools
import time

import jax
import numpy as np

from hclx.config import ModelConfig
from hclx.model import count_params, param_specs
from hclx.parallel.chips import find_chip

FORMULA = (
    "(6 * matmul_params + 12 * n_heads * d_head * keys) * tokens_per_second / (peak * devices);"
    " keys: the mean number of keys that a query sees, summed over the layers, sequence_length / 2"
    " each without a window"
)


def flops_per_token(model: ModelConfig, sequence_length: int) -> float:
    """Model FLOPs of a training step for each token, forward and backward.

    6 for each parameter that is a factor of a matrix product (the head counts, tables that are
    looked up do not), and 6 · layers · d · t for attention's two products without the half that the
    causal mask removes (Chowdhery et al. 2022, PaLM, appendix B). A layer with a window counts the
    keys that a query sees in the mean.
    """
    matmul_params = count_params(param_specs(model), in_matmul=True)
    return 6.0 * matmul_params + attention_flops_per_token(model, sequence_length)


def attention_flops_per_token(model: ModelConfig, sequence_length: int) -> float:
    """The part of `flops_per_token` that the products of attention take."""
    mean_keys = lambda window: window - window**2 / (2 * sequence_length)  # t / 2 without one
    windows = (min(window or sequence_length, sequence_length) for window in model.windows)
    return 12.0 * model.n_heads * model.d_head * sum(map(mean_keys, windows))


@functools.cache
def peak_flops(dtype: str) -> tuple[float | None, str]:
    """The peak FLOP/s of one device of this process, and the source of the figure in words.

    That of a CPU is measured with a float32 product. Of any other device that is not in the table
    of chips it is None: a measured float32 product would be far from the peak in bfloat16.

    Args:
      dtype: "bfloat16"; any other name takes half of the peak of bfloat16.
    """
    device = jax.local_devices()[0]
    if chip := find_chip(device.device_kind):
        # Products in eight bits are measured against it too, and so give a higher MFU.
        peak = chip.peak_bf16 if dtype == "bfloat16" else chip.peak_bf16 / 2
        return peak, f"data sheet of {chip.name}, {dtype}"
    if device.platform != "cpu":
        return None, f"unknown peak of {device.device_kind}"
    return (
        _measured_peak() / jax.local_device_count(),
        f"measured on {device.device_kind}: float32 product of 1024 x 1024",
    )


def _measured_peak(size: int = 1024, repeats: int = 4) -> float:
    x = jax.device_put(np.ones((size, size), np.float32))  # by NumPy: there is nothing to compile
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
) -> float | None:
    """Computes the MFU of training: the share of the peak FLOP/s of all devices that the model's
    FLOPs use, by `FORMULA`.

    Args:
      model: the model's shape.
      sequence_length: tokens in a sequence.
      dtype: of the products, `ComputeConfig.dtype`; it chooses the peak, see `peak_flops`.
      tokens_per_second: trained on all devices together.
    Returns:
      A share, 1.0 at the peak. It can be more where the peak is measured or products are of 8 bits.
      None if the peak of the device is not known.
    """
    peak, _ = peak_flops(dtype)
    if peak is None:
        return None
    return flops_per_token(model, sequence_length) * tokens_per_second / (peak * jax.device_count())
