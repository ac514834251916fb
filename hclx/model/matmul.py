"""The matrix products of a block: `matmul`, in the dtype of the activations or in eight bits.

Quantisation follows three rules:
  - Scales are computed from the current values, without history or state: the largest magnitude of
    each row of activations and of each column of weights, over the axes that the product sums, so
    that they factor out of it.
  - Two of a layer's three products are quantised, y = x w and dx = dy wᵀ. The gradient of the
    weights stays in the dtype of the activations: it sums over tokens, where rounding errors of
    gradients do harm (Wortsman et al. 2023, "Stable and low-precision training for large-scale
    vision-language models", section 2: SwitchBack), and its scales would be maxima over the whole
    batch, which is spread over all devices.
  - The gradient passes rounding unchanged (straight-through estimator; Bengio et al. 2013). Master
    weights and optimizer are not quantised.

"int8" is symmetric, with exact int32 sums. "fp8" is e4m3 for activations and weights and e5m2 for
gradients (Micikevicius et al. 2022, "FP8 formats for deep learning"). XLA passes a product of
float8 operands that is scaled afterwards to cuBLASLt.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp

from hclx.errors import ConfigError
from hclx.model.attention_kernels import compute_capability
from hclx.model.low_rank import ChangedWeight

# precision -> dtype of activations and weights, dtype of the gradient of a product's result
_FORMATS = {"int8": (jnp.int8, jnp.int8), "fp8": (jnp.float8_e4m3fn, jnp.float8_e5m2)}
_TINY = 1e-30  # the divisor of a row of zeros


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Int8Weight:
    """A weight matrix of eight bits, for inference: a scale for each output channel.

    Attributes:
      values: int8, of the shape of the matrix.
      scale: float32, of the shape of its output axes.
    """

    values: jax.Array
    scale: jax.Array

    @classmethod
    def quantise(cls, w: jax.Array, n_summed: int) -> "Int8Weight":
        """Rounds a matrix whose first `n_summed` axes are those that products sum over."""
        values, scale, _ = _quantise(w, tuple(range(n_summed)), jnp.int8)
        return cls(values, scale)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the matrix."""
        return self.values.shape

    def __getitem__(self, index) -> "Int8Weight":
        # A module reads the whole of each parameter by `...`.
        if index is not Ellipsis:
            raise TypeError(f"an Int8Weight is read as a whole, by [...], not by [{index}]")
        return self

    def reshape(self, *shape: int) -> "Int8Weight":
        """Returns the matrix with its summed axes in another shape."""
        return Int8Weight(self.values.reshape(*shape), self.scale)


def matmul(x: jax.Array, w: jax.Array | Int8Weight | ChangedWeight, precision: str) -> jax.Array:
    """Multiplies activations by weights: sums over the last axis of `x` and the first of `w`.

    Args:
      x: activations [..., d].
      w: weights [d, ...]: float32 master weights, or for inference in any form that
        `hclx.infer.prepare_params` makes; each with low-rank changes or without.
      precision: a name of `hclx.config.MATMUL_PRECISIONS`; "full" computes in the dtype of `x`.
    Returns:
      An array in the dtype of `x`, with the axes of `x` except its last, then those of `w` except
      its first.
    """
    if isinstance(w, ChangedWeight):  # the change is small, and always in the dtype of `x`
        return matmul(x, w.base, precision) + w.change(x)
    return _full(x, w) if precision == "full" else _quantised(x, w, precision)


def check_precision(precision: str, device: jax.Device) -> None:
    """Refuses a precision that the matrix units of the devices do not have.

    Args:
      precision: `ComputeConfig.matmul`.
      device: any device of the mesh. CPUs take all precisions, for trials.
    Raises:
      ConfigError: int8 on a GPU, fp8 on a TPU or on a GPU before NVIDIA's compute capability 8.9.
    """
    if precision == "int8" and device.platform not in ("tpu", "cpu"):
        raise ConfigError(
            f"ComputeConfig.matmul='int8' is for TPUs and this is {device.device_kind}; use 'full',"
            " or 'fp8' on an H100 or H200"
        )
    if precision == "fp8" and device.platform != "cpu" and compute_capability(device) < (8, 9):
        raise ConfigError(
            "ComputeConfig.matmul='fp8' needs an NVIDIA GPU of compute capability 8.9 or above"
            f" (H100, H200) and this is {device.device_kind}; use 'full', or 'int8' on a TPU"
        )


def _full(x: jax.Array, w: jax.Array | Int8Weight) -> jax.Array:
    if isinstance(w, Int8Weight):
        return (jnp.tensordot(x, w.values.astype(x.dtype), axes=1) * w.scale).astype(x.dtype)
    return jnp.tensordot(x, w.astype(x.dtype), axes=1)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _quantised(x, w, precision):
    operand, _ = _FORMATS[precision]
    return _scaled_dot(_quantise(x, (x.ndim - 1,), operand), _quantise(w, (0,), operand), x.dtype)


def _quantised_forward(x, w, precision):
    return _quantised(x, w, precision), (x, w)


def _quantised_backward(precision, residuals, dy):
    x, w = residuals
    operand, gradient = _FORMATS[precision]
    summed_dy, summed_w = tuple(range(x.ndim - 1, dy.ndim)), tuple(range(1, w.ndim))
    # On NVIDIA GPUs, fp8 products accumulate with fewer bits by default, and with all bits only in
    # the highest precision.
    accuracy = jax.lax.Precision.HIGHEST if precision == "fp8" else None
    dx = _scaled_dot(
        _quantise(dy, summed_dy, gradient), _quantise(w, summed_w, operand), x.dtype, accuracy
    )
    (dw,) = jax.linear_transpose(lambda w: _full(x, w), w)(dy)
    return dx, dw


_quantised.defvjp(_quantised_forward, _quantised_backward)


def _quantise(
    x: jax.Array, axes: tuple[int, ...], dtype
) -> tuple[jax.Array, jax.Array, tuple[int, ...]]:
    """Quantises an array for a product that sums over `axes`.

    Returns:
      x / scale in `dtype`, the float32 scale over the other axes, and `axes`.
    """
    is_integer = jnp.issubdtype(dtype, jnp.integer)
    largest = (jnp.iinfo if is_integer else jnp.finfo)(dtype).max
    x = x.astype(jnp.float32)
    scale = jnp.maximum(jnp.abs(x).max(axes, keepdims=True), _TINY) / float(largest)
    scaled = x / scale
    return (
        (jnp.round(scaled) if is_integer else scaled).astype(dtype),
        jnp.squeeze(scale, axes),
        axes,
    )


def _scaled_dot(a, b, dtype, precision=None) -> jax.Array:
    """The product of two quantised arrays over their axes, with its scales, in `dtype`."""
    (a, a_scale, a_axes), (b, b_scale, b_axes) = a, b
    # int8: no sum overflows below 133,000 terms. fp8: accumulated in float32, but written in
    # `dtype`, to save memory traffic.
    accumulator = jnp.int32 if a.dtype == jnp.int8 else dtype
    dimensions = ((a_axes, b_axes), ((), ()))
    product = jax.lax.dot_general(
        a, b, dimensions, precision=precision, preferred_element_type=accumulator
    )
    a_scale = a_scale.reshape(a_scale.shape + (1,) * b_scale.ndim)
    return (product.astype(jnp.float32) * a_scale * b_scale).astype(dtype)
