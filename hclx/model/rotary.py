"""Rotary positions (Su et al. 2021, RoFormer, section 3.2.2), and the ways to stretch them.

Pair i of the r rotated dimensions of a head turns by position · frequency_i, where the frequency is
theta^(-2i/r). A model that was trained on P positions reads more of them if its frequencies are
stretched by a factor:

  linear   every frequency is divided by the factor (Chen et al. 2023, position interpolation)
  dynamic  theta grows with the length of the text beyond P, "NTK-aware"
  yarn     fast pairs stay, slow ones are divided, and a ramp is between them; cos and sin are
           multiplied by a factor (Peng et al. 2023, YaRN, sections 3.2 to 3.4)
  llama3   the same idea with bounds on wavelengths (Llama 3.1)
"""

import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from hclx.config import ModelConfig


class LayerKind(NamedTuple):
    """Properties in which the layers of a model may differ, as arrays that a scan can slice.

    Attributes:
      window: tokens that a query sees, itself included, int32; None if no layer has a window, and
        `max_length` in a layer without one.
      frequencies: radians per position of each pair of dimensions, float32 [r / 2]; zeros in a
        layer without positions, None if positions are learned.
    """

    window: np.ndarray | jax.Array | None
    frequencies: np.ndarray | jax.Array | None


@functools.cache
def layer_kinds(config: ModelConfig) -> tuple[LayerKind, ...]:
    """Returns the kind of each layer. Layers of the same kind have the same object."""

    @functools.cache
    def kind(window: int) -> LayerKind:
        has_windows = any(config.windows)
        size = np.int32(window or config.max_length) if has_windows else None
        if config.position != "rotary":
            return LayerKind(size, None)
        if window and config.window_rotary_theta:
            return LayerKind(size, _unscaled(config.window_rotary_theta, config.d_rotary))
        values = frequencies(config)
        if config.layer_pattern and not window and not config.rotary_in_full_layers:
            values = np.zeros_like(values)
        return LayerKind(size, values)

    return tuple(map(kind, config.windows))


def stacked_kinds(config: ModelConfig) -> LayerKind | None:
    """Returns the kinds of all layers with the arrays stacked on axis 0; None if all are equal."""
    kinds = layer_kinds(config)
    if all(kind is kinds[0] for kind in kinds):
        return None
    return jax.tree.map(lambda *arrays: np.stack(arrays), *kinds)


def _unscaled(theta: float, size: int) -> np.ndarray:
    return (theta ** (-np.arange(0, size, 2, dtype=np.float64) / size)).astype(np.float32)


def frequencies(config: ModelConfig) -> np.ndarray:
    """Returns radians per position of each pair of dimensions, float32 [r / 2], stretched by
    `rope_scaling`; "dynamic" does that at run time, see `rotate`.
    """
    size = config.d_rotary
    plain = _unscaled(config.rotary_theta, size).astype(np.float64)
    slow = plain / config.rope_factor
    original = config.rope_original_length or config.max_length
    if config.rope_scaling == "linear":
        return slow.astype(np.float32)
    if config.rope_scaling == "llama3":
        turns = original * plain / (2 * math.pi)  # in the original length
        low, high = config.rope_low_freq_factor, config.rope_high_freq_factor
        share = np.clip((turns - low) / (high - low), 0, 1)
        return (share * plain + (1 - share) * slow).astype(np.float32)
    if config.rope_scaling == "yarn":
        # the dimension whose pair turns so many times in the original length
        place = lambda turns: (
            size * math.log(original / (turns * 2 * math.pi)) / (2 * math.log(config.rotary_theta))
        )
        low, high = place(config.rope_beta_fast), place(config.rope_beta_slow)
        if config.rope_truncate:
            low, high = math.floor(low), math.ceil(high)
        low, high = max(low, 0), min(high, size - 1)
        ramp = np.clip((np.arange(size // 2) - low) / max(high - low, 1e-3), 0, 1)
        return ((1 - ramp) * plain + ramp * slow).astype(np.float32)
    return plain.astype(np.float32)


def _amplitude(config: ModelConfig) -> float:
    """The factor of cos and sin."""
    if config.rope_scaling != "yarn" or config.rope_factor <= 1:
        return config.rope_attention_factor or 1.0
    return config.rope_attention_factor or 0.1 * math.log(config.rope_factor) + 1


def rotate(
    x_bthk: jax.Array, positions_bt: jax.Array, frequencies_r: jax.Array, config: ModelConfig
) -> jax.Array:
    """Rotates queries or keys by their positions.

    With "dynamic" scaling the length of a text is the largest position of its row plus one, as in
    transformers; keys in a cache stay as they were written.

    Args:
      x_bthk: queries or keys; the first `d_rotary` dimensions of each head are rotated.
      positions_bt: int32.
      frequencies_r: float32 [d_rotary / 2], see `LayerKind`.
      config: the model's shape.
    Returns:
      The same shape and dtype. Angles are computed in float32, as bfloat16 cannot tell positions
      beyond 256 apart.
    """
    angles_btr = positions_bt[:, :, None].astype(jnp.float32) * frequencies_r
    if config.rope_scaling == "dynamic":
        angles_btr *= _dynamic(positions_bt, config)[:, None]
    amplitude = _amplitude(config)
    cos_bt1r, sin_bt1r = (
        (amplitude * function(angles_btr))[:, :, None] for function in (jnp.cos, jnp.sin)
    )
    size = config.d_rotary
    rotated, rest = x_bthk[..., :size].astype(jnp.float32), x_bthk[..., size:]
    if config.rotary_interleaved:
        a, b = rotated[..., 0::2], rotated[..., 1::2]
    else:
        a, b = rotated[..., : size // 2], rotated[..., size // 2 :]
    pair = (a * cos_bt1r - b * sin_bt1r, b * cos_bt1r + a * sin_bt1r)
    if config.rotary_interleaved:
        rotated = jnp.stack(pair, axis=-1).reshape(rotated.shape)
    else:
        rotated = jnp.concatenate(pair, axis=-1)
    return jnp.concatenate([rotated.astype(x_bthk.dtype), rest], axis=-1)


def _dynamic(positions_bt: jax.Array, config: ModelConfig) -> jax.Array:
    """The factor of each frequency in each row, float32 [b, r / 2], for its length."""
    size, factor = config.d_rotary, config.rope_factor
    original = config.rope_original_length or config.max_length
    length_b = positions_bt.max(axis=1).astype(jnp.float32) + 1
    growth_b = jnp.maximum(factor * length_b / original - (factor - 1), 1.0)
    return growth_b[:, None] ** (-jnp.arange(0, size, 2, dtype=jnp.float32) / (size - 2))
