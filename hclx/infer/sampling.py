"""Chooses the next token from logits: bias, penalties, temperature, top-k, top-p, min-p, in this
order. Every setting is an array with one entry a row, so that one compiled program serves all.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from hclx.errors import ConfigError, check_ranges, shown

NEVER = jnp.finfo(jnp.float32).min
MAX_LOGPROBS = 20  # alternatives of a token, as servers of this kind give at most
MOST_STOPS = 256  # stop texts of a request: each is looked for after each token, while others wait
_INT32_MAX = np.iinfo(np.int32).max
_PENALTIES = ("repetition_penalty", "frequency_penalty", "presence_penalty")


@dataclasses.dataclass(frozen=True)
class SamplingConfig:
    """The sampling settings of one request. A value out of range raises ConfigError.

    Attributes:
      max_tokens: the most new tokens, at least 1.
      min_tokens: no text ends before it has so many, unless a grammar allows nothing but its end.
      temperature: divides the logits, from 1e-5 to 1e5; 0 takes the most likely token each time.
      top_k: samples from the k most likely tokens; 0: from all.
      top_p: samples from the fewest most likely tokens that together reach this probability, above
        0; 1: from all.
      min_p: leaves out tokens that are less likely than this share of the most likely one, from 0,
        which leaves out none, to 1.
      repetition_penalty: divides the positive logits of tokens that occurred before, and
        multiplies the negative ones, from 0.001 to 1,000; 1 changes nothing. The end of a document
        is no token that occurred.
      frequency_penalty: is subtracted from a token's logit for each time that it occurred in the
        new text, from -100 to 100.
      presence_penalty: is subtracted once from the logit of each token that occurred in it.
      logit_bias: token id -> what is added to its logit, from -100 to 100.
      allowed_tokens: ids from which alone tokens are chosen, and the end of the document; empty:
        all.
      seed: of the random choice; only its lowest 32 bits count.
      stop: at most 256 texts, none of them empty, that end generation; they are not part of the
        result.
      stop_ids: token ids that end generation like the end of the document.
      logprobs: the number of likeliest alternatives, at most 20, whose log-probabilities are
        returned for each token; 0: of the chosen token alone; None: none.
    """

    max_tokens: int = 128
    min_tokens: int = 0
    temperature: float = 0.8
    top_k: int = 0
    top_p: float = 0.95
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    logit_bias: Mapping[int, float] = dataclasses.field(default_factory=dict, hash=False)
    allowed_tokens: tuple[int, ...] = ()
    seed: int = 0
    stop: tuple[str, ...] = ()
    stop_ids: tuple[int, ...] = ()
    logprobs: int | None = None

    def __post_init__(self):
        self._check_types()
        checks = {
            "max_tokens": (self.max_tokens > 0, "a positive whole number"),
            "min_tokens": (0 <= self.min_tokens <= self.max_tokens, "0 up to max_tokens"),
            # Outside of these bounds, quotients overflow or vanish in float32.
            "temperature": (
                self.temperature == 0 or 1e-5 <= self.temperature <= 1e5,
                "0, for the most likely token, or a value from 1e-5 to 1e5",
            ),
            "top_k": (self.top_k >= 0, "0, for all tokens, or more"),
            "top_p": (1e-30 <= self.top_p <= 1, "a value above 0 and at most 1"),
            "min_p": (0 <= self.min_p <= 1, "a value from 0, for all tokens, to 1"),
            "repetition_penalty": (
                1e-3 <= self.repetition_penalty <= 1e3,
                "a value from 0.001 to 1,000; 1 changes nothing",
            ),
            "frequency_penalty": (abs(self.frequency_penalty) <= 100, "a value from -100 to 100"),
            "presence_penalty": (abs(self.presence_penalty) <= 100, "a value from -100 to 100"),
            "logit_bias": (
                all(abs(bias) <= 100 for bias in self.logit_bias.values()),
                "values from -100 to 100",
            ),
            "stop": (
                all(self.stop) and len(self.stop) <= MOST_STOPS,
                f"at most {MOST_STOPS} texts that are not empty",
            ),
            "logprobs": (
                self.logprobs is None or 0 <= self.logprobs <= MAX_LOGPROBS,
                f"0 to {MAX_LOGPROBS}, or None",
            ),
        }
        check_ranges(self, checks)

    def _check_types(self) -> None:
        """Raises ConfigError for a value of another type, which would fail on the device."""
        whole = (int, np.integer)
        numbers = (*whole, float, np.floating)
        are = lambda values, kinds: (
            isinstance(values, Sequence)
            and all(isinstance(value, kinds) and not isinstance(value, bool) for value in values)
        )
        for name in ("max_tokens", "min_tokens", "top_k", "seed"):
            if not are([getattr(self, name)], whole):
                raise ConfigError(f"{name}={shown(getattr(self, name))}: give a whole number")
        for name in ("temperature", "top_p", "min_p", *_PENALTIES):
            if not are([getattr(self, name)], numbers):
                raise ConfigError(f"{name}={shown(getattr(self, name))}: give a number")
        for name, kinds in (("stop", str), ("stop_ids", whole), ("allowed_tokens", whole)):
            value = getattr(self, name)
            if isinstance(value, str) or not are(value, kinds):
                noun = "texts" if kinds is str else "token ids"
                raise ConfigError(f"{name}={shown(value)}: give a tuple of {noun}")
        if self.logprobs is not None and not are([self.logprobs], whole):
            raise ConfigError(f"logprobs={shown(self.logprobs)}: give a whole number or None")
        bias = self.logit_bias
        if not isinstance(bias, Mapping) or not (
            are([*bias], whole) and are([*bias.values()], numbers)
        ):
            raise ConfigError(f"logit_bias={shown(bias)}: give token ids with numbers")


class SamplingParams(NamedTuple):
    """The settings of `SamplingConfig` that the device reads, as arrays with one entry a row."""

    max_tokens_b: jax.Array  # int32
    min_tokens_b: jax.Array  # int32
    temperature_b: jax.Array  # float32
    top_k_b: jax.Array  # int32
    top_p_b: jax.Array  # float32
    min_p_b: jax.Array  # float32
    repetition_penalty_b: jax.Array  # float32
    frequency_penalty_b: jax.Array  # float32
    presence_penalty_b: jax.Array  # float32
    seed_b: jax.Array  # uint32


def sampling_params(configs: Sequence[SamplingConfig]) -> SamplingParams:
    """Stacks the settings of several requests, one a row, as arrays of numpy."""

    def column(name):
        values = [getattr(config, name.removesuffix("_b")) for config in configs]
        if name == "seed_b":
            return np.array([value % 2**32 for value in values], np.uint32)
        if name in ("max_tokens_b", "min_tokens_b", "top_k_b"):
            # No text is longer and no vocabulary larger than this.
            return np.array([min(value, _INT32_MAX) for value in values], np.int32)
        return np.array(values, np.float32)

    return SamplingParams(*map(column, SamplingParams._fields))


class TokenMasks(NamedTuple):
    """The settings of requests that concern single tokens, for each row and token.

    Attributes:
      bias_bv: float32, added to the logits; `NEVER` for tokens that may not be chosen.
      ends_bv: bool, the tokens that end a row.
      seen_bv: bool, the tokens that occurred in the prompt or in the text so far.
      counts_bv: int32, how often each occurred in the text so far.
    """

    bias_bv: jax.Array
    ends_bv: jax.Array
    seen_bv: jax.Array
    counts_bv: jax.Array


def sample(
    logits_bv: jax.Array, masks: TokenMasks, step_b: jax.Array, sampling: SamplingParams
) -> jax.Array:
    """Chooses one token for each row; the choice depends on the row alone.

    Args:
      logits_bv: float32.
      masks: what concerns single tokens.
      step_b: int32, the number of tokens sampled before; with the seed, it gives the random key.
      sampling: the settings of each row.
    Returns:
      int32 [b]; with temperature 0 the smallest id of those with the greatest logit.
    """
    logits_bv = penalise(logits_bv, masks, sampling)
    may_not_end_b = step_b < sampling.min_tokens_b
    go_on = lambda: _without_ends(logits_bv, masks.ends_bv & may_not_end_b[:, None])
    logits_bv = jax.lax.cond(may_not_end_b.any(), go_on, lambda: logits_bv)
    is_greedy_b1 = (sampling.temperature_b == 0)[:, None]

    def perturb():
        """Adds Gumbel noise to the logits of rows that sample: the maximum is then a sample."""
        scaled_bv = logits_bv / jnp.where(is_greedy_b1, 1.0, sampling.temperature_b[:, None])
        kept_bv = keep_top(scaled_bv, sampling)
        noise = lambda seed, step: jax.random.gumbel(
            jax.random.fold_in(jax.random.key(seed), step), logits_bv.shape[1:]
        )
        noise_bv = jax.vmap(noise)(sampling.seed_b, step_b)
        return jnp.where(is_greedy_b1, logits_bv, kept_bv + noise_bv)

    return _argmax(jax.lax.cond(is_greedy_b1.all(), lambda: logits_bv, perturb))


def _without_ends(logits_bv: jax.Array, ends_bv: jax.Array) -> jax.Array:
    """Lowers the logits of ends to `NEVER`, but in rows where nothing else is allowed: else a token
    would be chosen that may not be.
    """
    others_bv = jnp.where(ends_bv, NEVER, logits_bv)
    return jnp.where((others_bv > NEVER).any(-1, keepdims=True), others_bv, logits_bv)


def penalise(logits_bv: jax.Array, masks: TokenMasks, sampling: SamplingParams) -> jax.Array:
    """Adds the bias and makes tokens that occurred less likely.

    The repetition penalty divides their positive logits and multiplies the others (Keskar et al.
    2019, CTRL, section 4.1); the penalties for frequency and presence are subtracted, as OpenAI's
    interface defines them.

    Args:
      logits_bv: float32.
      masks: what concerns single tokens.
      sampling: the settings of each row.
    Returns:
      The new logits, float32 [b, v].
    """
    repetition_b1, frequency_b1, presence_b1 = (
        array[:, None]
        for array in (
            sampling.repetition_penalty_b,
            sampling.frequency_penalty_b,
            sampling.presence_penalty_b,
        )
    )

    def repeated(logits_bv):
        lowered_bv = jnp.where(logits_bv > 0, logits_bv / repetition_b1, logits_bv * repetition_b1)
        return jnp.where(masks.seen_bv, lowered_bv, logits_bv)

    def counted(logits_bv):
        present_bv = masks.counts_bv > 0
        return logits_bv - frequency_b1 * masks.counts_bv - presence_b1 * present_bv

    unchanged = lambda logits_bv: logits_bv
    logits_bv = jax.lax.cond((repetition_b1 != 1).any(), repeated, unchanged, logits_bv)
    is_counted = (frequency_b1 != 0).any() | (presence_b1 != 0).any()
    logits_bv = jax.lax.cond(is_counted, counted, unchanged, logits_bv)
    return jnp.where(masks.bias_bv <= NEVER, NEVER, logits_bv + masks.bias_bv)


def keep_top(logits_bv: jax.Array, sampling: SamplingParams) -> jax.Array:
    """Lowers the logits outside of the top k, then outside of the top p of the rest, then those of
    tokens below `min_p`, to the least float. Equal logits are kept or lowered together (Holtzman et
    al. 2020, section 3.1; min-p: Nguyen et al. 2024, section 3).

    Args:
      logits_bv: float32, divided by the temperature.
      sampling: the settings of each row.
    Returns:
      The new logits, float32 [b, v].
    """
    top_k_b, top_p_b, min_p_b = sampling.top_k_b, sampling.top_p_b, sampling.min_p_b

    def top_k(logits_bv):
        k_b = jnp.where(top_k_b == 0, jnp.inf, top_k_b)
        return _keep_mass(logits_bv, jnp.ones_like(logits_bv), k_b)

    def top_p(logits_bv):
        p_b = jnp.where(top_p_b == 1, jnp.inf, top_p_b)
        return _keep_mass(logits_bv, jax.nn.softmax(logits_bv), p_b)

    def min_p(logits_bv):
        least_b1 = logits_bv.max(-1, keepdims=True) + jnp.log(min_p_b)[:, None]
        return jnp.where(logits_bv >= least_b1, logits_bv, NEVER)

    keep_all = lambda logits_bv: logits_bv
    logits_bv = jax.lax.cond((top_k_b > 0).any(), top_k, keep_all, logits_bv)
    logits_bv = jax.lax.cond((top_p_b < 1).any(), top_p, keep_all, logits_bv)
    return jax.lax.cond((min_p_b > 0).any(), min_p, keep_all, logits_bv)


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
    return jnp.where(order_bv >= threshold_b[:, None], logits_bv, NEVER)


def _order(x: jax.Array) -> jax.Array:
    """int32 numbers that are ordered as the float32 numbers `x` are."""
    bits = jax.lax.bitcast_convert_type(x, jnp.int32)
    return bits ^ ((bits >> 31) & jnp.iinfo(jnp.int32).max)


def _argmax(x_bv: jax.Array) -> jax.Array:
    """`jnp.argmax` over the last axis, in two reductions that CPUs can vectorise."""
    size = x_bv.shape[-1]
    is_max_bv = x_bv == x_bv.max(-1, keepdims=True)
    return jnp.where(is_max_bv, jnp.arange(size, dtype=jnp.int32), size - 1).min(-1)
