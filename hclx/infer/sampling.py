"""Chooses the next token from logits: repetition penalty, then temperature, then top-k, then
top-p.
"""

import dataclasses

import jax
import jax.numpy as jnp

from hclx.errors import ConfigError

_NEVER = jnp.finfo(jnp.float32).min


@dataclasses.dataclass(frozen=True)
class SamplingConfig:
    """How text is sampled.

    Attributes:
      max_tokens: at most so many new tokens.
      temperature: 0 takes the most likely token.
      top_k: only the k most likely; 0: all.
      top_p: only the most likely that together reach this probability.
      repetition_penalty: divides the positive logits of tokens that occurred, and multiplies the
        negative ones.
      seed: of the random choice.
      stop: texts that end generation; they are not part of the result.
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
            "max_tokens": self.max_tokens > 0,
            "temperature": self.temperature >= 0,
            "top_k": self.top_k >= 0,
            "top_p": 0 < self.top_p <= 1,
            "repetition_penalty": self.repetition_penalty > 0,
            "stop": all(self.stop),
        }
        for name, fits in checks.items():
            if not fits:
                raise ConfigError(
                    f"{name}={getattr(self, name)!r} is out of range; see SamplingConfig for what"
                    " it may be"
                )


def sample(
    logits_bv: jax.Array,
    seen_bv: jax.Array,
    allowed_v: jax.Array,
    key: jax.Array,
    config: SamplingConfig,
) -> jax.Array:
    """int32 [b], one token a row.

    Args:
      logits_bv: float32.
      seen_bv: bool, tokens that occurred in the prompt or the text so far.
      allowed_v: bool, tokens that may be chosen at all.
      key: of this step.
      config: see `SamplingConfig`.
    """
    logits_bv = jnp.where(
        allowed_v, penalise(logits_bv, seen_bv, config.repetition_penalty), _NEVER
    )
    if config.temperature == 0:
        return jnp.argmax(logits_bv, axis=-1).astype(jnp.int32)
    kept_bv = keep_top(logits_bv / config.temperature, config.top_k, config.top_p)
    return jax.random.categorical(key, kept_bv, axis=-1).astype(jnp.int32)


def penalise(logits_bv: jax.Array, seen_bv: jax.Array, penalty: float) -> jax.Array:
    """Makes tokens that occurred less likely (Keskar et al. 2019, section 4.1)."""
    lowered_bv = jnp.where(logits_bv > 0, logits_bv / penalty, logits_bv * penalty)
    return jnp.where(seen_bv, lowered_bv, logits_bv)


def keep_top(logits_bv: jax.Array, top_k: int, top_p: float) -> jax.Array:
    """Logits with those outside the top k, and then outside the top p of what is left, at the least
    float.
    """
    if top_k:
        kth_b1 = jax.lax.top_k(logits_bv, min(top_k, logits_bv.shape[-1]))[0][:, -1:]
        logits_bv = jnp.where(logits_bv >= kth_b1, logits_bv, _NEVER)
    if top_p < 1:
        sorted_bv = jnp.flip(jnp.sort(logits_bv, axis=-1), axis=-1)
        probabilities_bv = jax.nn.softmax(sorted_bv, axis=-1)
        # mass of the more likely ones
        before_bv = jnp.cumsum(probabilities_bv, axis=-1) - probabilities_bv
        least_b1 = jnp.min(jnp.where(before_bv < top_p, sorted_bv, jnp.inf), axis=-1, keepdims=True)
        logits_bv = jnp.where(logits_bv >= least_b1, logits_bv, _NEVER)
    return logits_bv
