"""Speculative decoding by n-gram look-up: tokens that followed the last ones before are guessed to
follow again, and one forward pass checks several guesses (Leviathan et al. 2023; the look-up in the
prompt is that of Saxena 2023, "Prompt lookup decoding").
"""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp

from hclx.config import ModelConfig
from hclx.infer.decode import no_tokens, sample_active, stay
from hclx.infer.kv_cache import extend
from hclx.infer.rows import DecodeState, Sampled, place_rows, replicate
from hclx.model import Params, unembed
from hclx.parallel import constrain

_LENGTHS = (4, 3, 2)  # of the n-grams that are looked up, longest first


class NgramLookup:
    """The tokens of a prompt and its text, and where each n-gram of them was last followed."""

    def __init__(self, ids: Sequence[int]):
        """Takes the prompt."""
        self._ids: list[int] = []
        self._followers: dict[tuple[int, ...], int] = {}  # n-gram -> position behind it
        for token in ids:
            self.add(token)

    def __len__(self) -> int:
        return len(self._ids)

    def add(self, token: int) -> None:
        """Adds the next token."""
        for n in _LENGTHS:
            if len(self._ids) >= n:
                self._followers[tuple(self._ids[-n:])] = len(self._ids)
        self._ids.append(token)

    def guess(self, n: int) -> list[int]:
        """Returns up to `n` tokens that followed the last tokens where they occurred before."""
        for length in _LENGTHS:
            begin = self._followers.get(tuple(self._ids[-length:]))
            if begin is not None:
                return self._ids[begin : begin + n]
        return []


@functools.partial(jax.jit, static_argnames="config", donate_argnames="state")
def verify(
    params: Params,
    state: DecodeState,
    stays_b: jax.Array,
    guesses_bk: jax.Array,
    counts_b: jax.Array,
    with_top: jax.Array,
    *,
    config: ModelConfig,
) -> tuple[DecodeState, Sampled]:
    """Samples tokens as `decode` does, the same ones, but computes a token and the guesses behind
    it in one pass: as long as what is sampled was guessed, what follows it is known already.

    Args:
      params, state, stays_b, with_top, config: as in `hclx.infer.decode.decode`.
      guesses_bk: int32, the tokens that may follow; at most `MOST_STEPS` - 1.
      counts_b: int32, the number of guesses of each row, which may be 0.
    Returns:
      The state, and the tokens [b, MOST_STEPS]: of each row at most one more than its guesses.
    """
    cache, rows = stay(state, stays_b)
    tokens_bt = jnp.concatenate([rows.tokens_b[:, None], guesses_bk], axis=1)
    x_btd, cache = extend(params, cache, tokens_bt, rows.lengths_b, config, counts_r=counts_b + 1)
    logits_btv = constrain(unembed(params, x_btd, config), "batch", None, "vocab")
    guesses_bt = jnp.pad(guesses_bk, ((0, 0), (0, 1)))

    def goes_on(carry):
        _, _, is_open_b, _ = carry
        return is_open_b.any()

    def step(carry):
        i, rows, is_open_b, outs = carry
        # The cache is right up to the token from which this one follows.
        rows = rows._replace(lengths_b=rows.lengths_b + is_open_b)
        new, sampled = sample_active(
            rows._replace(is_active_b=is_open_b), logits_btv[:, i], None, with_top
        )
        outs = jax.tree.map(lambda out, value: out.at[:, i].set(value), outs, sampled)
        new = new._replace(
            tokens_b=jnp.where(is_open_b, new.tokens_b, rows.tokens_b),
            is_active_b=jnp.where(is_open_b, new.is_active_b, rows.is_active_b),
        )
        is_right_b = (i < counts_b) & (new.tokens_b == guesses_bt[:, i])
        return i + 1, place_rows(new), is_open_b & new.is_active_b & is_right_b, outs

    outs = no_tokens(len(stays_b), config)
    carry = jnp.int32(0), rows, rows.is_active_b, outs
    _, rows, _, outs = jax.lax.while_loop(goes_on, step, carry)
    return DecodeState(cache, rows), replicate(outs)
