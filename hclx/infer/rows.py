"""The state of the rows that requests are served in: what is kept of each beside its keys and
values, and what is sampled.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from hclx.config import ModelConfig
from hclx.infer.kv_cache import KVCache, init_cache
from hclx.infer.sampling import (
    MAX_LOGPROBS,
    SamplingConfig,
    SamplingParams,
    TokenMasks,
    sampling_params,
)
from hclx.model import Params
from hclx.parallel import constrain

SMALLEST_BUCKET = 32
NO_TOKEN = -1  # in place of a token, once a row has ended


class RowState(NamedTuple):
    """The state of each row beside its keys and values.

    Attributes:
      lengths_b: int32, the positions in use.
      tokens_b: int32, the last token of each row, which is not in the cache yet.
      is_active_b: bool, rows that sample.
      step_b: int32, the number of tokens sampled, with the one that ended the row.
      sampling: the settings of each row.
      masks: the settings of each row that concern single tokens.
    """

    lengths_b: jax.Array
    tokens_b: jax.Array
    is_active_b: jax.Array
    step_b: jax.Array
    sampling: SamplingParams
    masks: TokenMasks


class DecodeState(NamedTuple):
    """The state that the calls pass on; each of them takes it, or its rows, by donation.

    Attributes:
      cache: keys and values.
      rows: all else.
    """

    cache: KVCache
    rows: RowState


class Sampled(NamedTuple):
    """Tokens that were sampled, [b, n] or [b], with their log-probabilities.

    Attributes:
      tokens: int32, the token that ended a row included, and `NO_TOKEN` after it.
      logprobs: float32, of the tokens by the model itself, before every setting of sampling.
      is_likeliest: bool, whether no token is more likely by the model itself.
      top_ids: int32 [..., MAX_LOGPROBS], the likeliest tokens by the model itself.
      top_logprobs: float32, theirs. Both are zeros where `with_top` was false.
    """

    tokens: jax.Array
    logprobs: jax.Array
    is_likeliest: jax.Array
    top_ids: jax.Array
    top_logprobs: jax.Array


class RowSettings(NamedTuple):
    """The settings that a request brings to its row, as arrays of numpy.

    Attributes:
      sampling: its settings, each of shape [].
      masks: its settings of single tokens, each of shape [v].
      step: int32, the number of tokens that it has already.
    """

    sampling: SamplingParams
    masks: TokenMasks
    step: np.int32


def bucket(length: int, limit: int | None = None) -> int:
    """Rounds a length up to a power of two or one and a half of it, at least 32, so that few
    programs are compiled. A `limit` caps the result, even below `length`.
    """
    size = SMALLEST_BUCKET
    while size < length:
        size += size // 2 if size.bit_count() == 1 else size // 3
    return size if limit is None else min(size, limit)


@functools.partial(jax.jit, static_argnames=("rows", "size", "config"))
def init_state(params: Params, rows: int, size: int, config: ModelConfig) -> DecodeState:
    """Makes a state of rows that are not active, on the ambient mesh.

    Args:
      params: as `hclx.infer.prepare_params` returns them.
      rows: the number of rows.
      size: positions of the cache, which a prompt and its continuation share.
      config: the model's shape.
    """
    row = lambda dtype: jnp.zeros(rows, dtype)
    of_tokens = lambda dtype: jnp.zeros((rows, config.vocab_size), dtype)
    return DecodeState(
        init_cache(params, rows, size),
        place_rows(
            RowState(
                lengths_b=row(jnp.int32),
                tokens_b=row(jnp.int32),
                is_active_b=row(bool),
                step_b=row(jnp.int32),
                sampling=jax.tree.map(jnp.asarray, sampling_params([SamplingConfig()] * rows)),
                masks=TokenMasks(*map(of_tokens, (jnp.float32, bool, bool, jnp.int32))),
            )
        ),
    )


@functools.partial(jax.jit, donate_argnames="rows")
def set_length(rows: RowState, row: jax.Array, length: jax.Array) -> RowState:
    """Tells that the first `length` positions of a row, which is not active, are in use."""
    return place_rows(rows._replace(lengths_b=rows.lengths_b.at[row].set(length)))


def with_logprobs(tokens: jax.Array, logits: jax.Array, with_top: jax.Array) -> Sampled:
    """Looks up the log-probabilities of tokens, [...] for logits [..., v]."""
    total = jax.nn.logsumexp(logits, axis=-1)
    chosen = jnp.take_along_axis(logits, tokens[..., None], axis=-1)[..., 0]
    n = min(MAX_LOGPROBS, logits.shape[-1])

    def top():
        values, ids = jax.lax.top_k(logits, n)
        return ids, values - total[..., None]

    shape = (*tokens.shape, n)
    none = lambda: (jnp.zeros(shape, jnp.int32), jnp.zeros(shape, jnp.float32))
    is_likeliest = chosen >= logits.max(-1)
    return Sampled(tokens, chosen - total, is_likeliest, *jax.lax.cond(with_top, top, none))


def place_rows(rows: RowState) -> RowState:
    """Lays rows on the ambient mesh, the same way in every call, so that they can be donated."""
    of_row = lambda array: constrain(array, "batch")
    of_tokens = lambda array: constrain(array, "batch", "vocab")
    placed = jax.tree.map(of_row, rows._replace(masks=None))
    return placed._replace(masks=jax.tree.map(of_tokens, rows.masks))


def replicate(results):
    """Lays results on every device, so that process 0 of several can read all of them."""
    return jax.tree.map(lambda array: constrain(array, *(None,) * array.ndim), results)
