"""Chooses the next token from logits: repetition penalty, then temperature, then top-k, then
top-p. Every setting is an array with one entry a row, so that one compiled program serves all.
"""

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from hclx.errors import ConfigError

_NEVER = jnp.finfo(jnp.float32).min


@dataclasses.dataclass(frozen=True)
class SamplingConfig:
    """The sampling settings of one request. A value out of range raises ConfigError.

    Attributes:
      max_tokens: the most new tokens, at least 1.
      temperature: divides the logits, from 1e-5 to 1e5; 0 takes the most likely token each time.
      top_k: samples from the k most likely tokens; 0: from all.
      top_p: samples from the fewest most likely tokens that together reach this probability, above
        0; 1: from all.
      repetition_penalty: divides the positive logits of tokens that occurred before, and
        multiplies the negative ones, from 0.001 to 1,000; 1 changes nothing. The end of a document
        is no token that occurred.
      seed: of the random choice; only its lowest 32 bits count.
      stop: texts, none of them empty, that end generation; they are not part of the result.
    """

    max_tokens: int = 128
    temperature: float = 0.8
    top_k: int = 0
    top_p: float = 0.95
    repetition_penalty: float = 1.0
    seed: int = 0
    stop: tuple[str, ...] = ()

    def __post_init__(self):
        checks = {
            "max_tokens": (self.max_tokens > 0, "a positive whole number"),
            # Outside of these bounds, quotients overflow or vanish in float32.
            "temperature": (
                self.temperature == 0 or 1e-5 <= self.temperature <= 1e5,
                "0, for the most likely token, or a value from 1e-5 to 1e5",
            ),
            "top_k": (self.top_k >= 0, "0, for all tokens, or more"),
            "top_p": (1e-30 <= self.top_p <= 1, "a value above 0 and at most 1"),
            "repetition_penalty": (
                1e-3 <= self.repetition_penalty <= 1e3,
                "a value from 0.001 to 1,000; 1 changes nothing",
            ),
            "stop": (all(self.stop), "texts that are not empty"),
        }
        for name, (is_valid, valid) in checks.items():
            if not is_valid:
                raise ConfigError(f"{name}={getattr(self, name)!r} is out of range: give {valid}")


class SamplingParams(NamedTuple):
    """The settings of `SamplingConfig` that the device reads, as arrays with one entry a row.
    Whole numbers are int32, the seed is uint32, all others are float32.
    """

    max_tokens_b: jax.Array  # int32
    temperature_b: jax.Array  # float32
    top_k_b: jax.Array  # int32
    top_p_b: jax.Array  # float32
    repetition_penalty_b: jax.Array  # float32
    seed_b: jax.Array  # uint32


def sampling_params(configs: Sequence[SamplingConfig]) -> SamplingParams:
    """Stacks the settings of several requests, one a row."""
    column = lambda name, dtype: jnp.array([getattr(c, name) for c in configs], dtype)
    # No text is longer and no vocabulary larger than this.
    bounded = lambda name: [min(getattr(c, name), np.iinfo(np.int32).max) for c in configs]
    return SamplingParams(
        max_tokens_b=jnp.array(bounded("max_tokens"), jnp.int32),
        temperature_b=column("temperature", jnp.float32),
        top_k_b=jnp.array(bounded("top_k"), jnp.int32),
        top_p_b=column("top_p", jnp.float32),
        repetition_penalty_b=column("repetition_penalty", jnp.float32),
        seed_b=jnp.array([c.seed % 2**32 for c in configs], jnp.uint32),
    )


def sample(
    logits_bv: jax.Array,
    seen_bv: jax.Array,
    allowed_v: jax.Array,
    step_b: jax.Array,
    sampling: SamplingParams,
) -> jax.Array:
    """Chooses one token for each row; the choice depends on the row alone.

    Args:
      logits_bv: float32.
      seen_bv: bool, the tokens that occurred in the prompt or in the text so far.
      allowed_v: bool, the tokens that may be chosen at all.
      step_b: int32, the number of tokens sampled before; with the seed, it gives the random key.
      sampling: the settings of each row.
    Returns:
      int32 [b]; with temperature 0 the smallest id of those with the greatest logit.
    """
    logits_bv = penalise(logits_bv, seen_bv, sampling.repetition_penalty_b)
    logits_bv = jnp.where(allowed_v, logits_bv, _NEVER)
    is_greedy_b1 = (sampling.temperature_b == 0)[:, None]

    def perturb():
        """Adds Gumbel noise to the logits of rows that sample: the maximum is then a sample."""
        scaled_bv = logits_bv / jnp.where(is_greedy_b1, 1.0, sampling.temperature_b[:, None])
        kept_bv = keep_top(scaled_bv, sampling.top_k_b, sampling.top_p_b)
        noise = lambda seed, step: jax.random.gumbel(
            jax.random.fold_in(jax.random.key(seed), step), logits_bv.shape[1:]
        )
        noise_bv = jax.vmap(noise)(sampling.seed_b, step_b)
        return jnp.where(is_greedy_b1, logits_bv, kept_bv + noise_bv)

    return _argmax(jax.lax.cond(is_greedy_b1.all(), lambda: logits_bv, perturb))


def penalise(logits_bv: jax.Array, seen_bv: jax.Array, penalty_b: jax.Array) -> jax.Array:
    """Makes tokens that occurred less likely (Keskar et al. 2019, CTRL, section 4.1): the penalty
    divides their positive logits and multiplies the others.

    Args:
      logits_bv: float32.
      seen_bv: bool, the tokens that occurred.
      penalty_b: float32, positive; 1 changes nothing.
    Returns:
      The new logits, float32 [b, v].
    """
    penalty_b1 = penalty_b[:, None]
    lowered_bv = jnp.where(logits_bv > 0, logits_bv / penalty_b1, logits_bv * penalty_b1)
    return jnp.where(seen_bv, lowered_bv, logits_bv)


def keep_top(logits_bv: jax.Array, top_k_b: jax.Array, top_p_b: jax.Array) -> jax.Array:
    """Lowers the logits outside of the top k, and then outside of the top p of the rest, to the
    least float. Equal logits are kept or lowered together (Holtzman et al. 2020, section 3.1).

    Args:
      logits_bv: float32.
      top_k_b: int32, the number of tokens to keep; 0: all.
      top_p_b: float32, the probability to reach; 1: that of all.
    Returns:
      The new logits, float32 [b, v].
    """

    def top_k(logits_bv):
        k_b = jnp.where(top_k_b == 0, jnp.inf, top_k_b)
        return _keep_mass(logits_bv, jnp.ones_like(logits_bv), k_b)

    def top_p(logits_bv):
        p_b = jnp.where(top_p_b == 1, jnp.inf, top_p_b)
        return _keep_mass(logits_bv, jax.nn.softmax(logits_bv), p_b)

    keep_all = lambda logits_bv: logits_bv
    logits_bv = jax.lax.cond((top_k_b > 0).any(), top_k, keep_all, logits_bv)
    return jax.lax.cond((top_p_b < 1).any(), top_p, keep_all, logits_bv)


def _keep_mass(logits_bv: jax.Array, mass_bv: jax.Array, limit_b: jax.Array) -> jax.Array:
    """Keeps each logit for which all greater ones together have a mass below the limit.

    The least such logit is found by bisection on the bits of its float, in 32 sums over the
    vocabulary, which take a thirtieth of the time of a sort on a CPU.
    """
    order_bv = _order(logits_bv)
    least, greatest = jnp.iinfo(jnp.int32).min, jnp.iinfo(jnp.int32).max

    def halve(_, bounds):
        low_b, high_b = bounds  # the mass above `high` is below the limit; `low` is a lower bound
        middle_b = (low_b & high_b) + ((low_b ^ high_b) >> 1)  # the mean, without overflow
        above_b = jnp.where(order_bv > middle_b[:, None], mass_bv, 0).sum(-1)
        fits_b = above_b < limit_b
        return jnp.where(fits_b, low_b, middle_b + 1), jnp.where(fits_b, middle_b, high_b)

    bounds = jnp.full_like(limit_b, least, jnp.int32), jnp.full_like(limit_b, greatest, jnp.int32)
    _, threshold_b = jax.lax.fori_loop(0, 32, halve, bounds)
    return jnp.where(order_bv >= threshold_b[:, None], logits_bv, _NEVER)


def _order(x: jax.Array) -> jax.Array:
    """int32 numbers that are ordered as the float32 numbers `x` are."""
    bits = jax.lax.bitcast_convert_type(x, jnp.int32)
    return bits ^ ((bits >> 31) & jnp.iinfo(jnp.int32).max)


def _argmax(x_bv: jax.Array) -> jax.Array:
    """`jnp.argmax` over the last axis, in two reductions that CPUs can vectorise."""
    size = x_bv.shape[-1]
    is_max_bv = x_bv == x_bv.max(-1, keepdims=True)
    return jnp.where(is_max_bv, jnp.arange(size, dtype=jnp.int32), size - 1).min(-1)
