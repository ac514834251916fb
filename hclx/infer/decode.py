"""The compiled calls of generation: reading tokens into rows of the cache, beginning a row, and the
decode loop. All of it stays on the device: the host sees tokens only when a call returns.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from hclx.config import ModelConfig
from hclx.infer.kv_cache import KVCache, extend, init_cache, place_cache
from hclx.infer.sampling import (
    MAX_LOGPROBS,
    NEVER,
    SamplingConfig,
    SamplingParams,
    TokenMasks,
    sample,
    sampling_params,
)
from hclx.model import Params, unembed
from hclx.parallel import constrain

SMALLEST_BUCKET = 32
MOST_STEPS = 16  # tokens of each row that a decode call returns at most
NO_TOKEN = -1  # in place of a token, once a row has ended


class RowState(NamedTuple):
    """What is kept of each row beside its keys and values.

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
    """What a request brings to its row, as arrays of numpy.

    Attributes:
      sampling: its settings, each of shape [].
      masks: its settings of single tokens, each of shape [v].
      step: int32, the number of tokens that it has already.
    """

    sampling: SamplingParams
    masks: TokenMasks
    step: np.int32


def bucket(length: int, limit: int | None = None) -> int:
    """Rounds a length up to a power of two, at least 32, so that few programs are compiled. A
    `limit` caps the result, even below `length`.
    """
    size = SMALLEST_BUCKET
    while size < length:
        size *= 2
    return size if limit is None else min(size, limit)


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
        _place(
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


@functools.partial(jax.jit, static_argnames="config", donate_argnames="state")
def prefill(
    params: Params,
    state: DecodeState,
    tokens_rt: jax.Array,
    rows_r: jax.Array,
    starts_r: jax.Array,
    counts_r: jax.Array,
    *,
    config: ModelConfig,
) -> tuple[DecodeState, jax.Array]:
    """Reads prompts, or the next chunk of each, into rows of the cache.

    Args:
      params: as `hclx.infer.prepare_params` returns them.
      state: is donated.
      tokens_rt: int32, padded at the end by any id.
      rows_r: int32, the row of each, which is not active; a row that the state has not is read for
        nothing, so that few shapes are compiled.
      starts_r: int32, the positions in use of each row.
      counts_r: int32, the number of tokens of each without padding, at least 1.
      config: the model's shape.
    Returns:
      The state, and the float32 logits [r, v] that follow the last token of each.
    """
    state, x_rtd = _read(params, state, tokens_rt, rows_r, starts_r, counts_r, config)
    last_r1d = jnp.take_along_axis(x_rtd, (counts_r - 1)[:, None, None], axis=1)
    logits_rv = unembed(params, last_r1d, config)[:, 0]
    return state, constrain(logits_rv, None, "vocab")


@functools.partial(jax.jit, static_argnames="config", donate_argnames="state")
def score(
    params: Params,
    state: DecodeState,
    tokens_rt: jax.Array,
    rows_r: jax.Array,
    starts_r: jax.Array,
    counts_r: jax.Array,
    targets_rt: jax.Array,
    with_top: jax.Array,
    *,
    config: ModelConfig,
) -> tuple[DecodeState, Sampled]:
    """Reads tokens as `prefill` does, and returns the log-probabilities of the tokens that follow.

    Args:
      params, state, tokens_rt, rows_r, starts_r, counts_r, config: as in `prefill`.
      targets_rt: int32, the token that follows each.
      with_top: bool, whether the likeliest tokens are computed too.
    Returns:
      The state, and the targets [r, t] as `Sampled`.
    """
    state, x_rtd = _read(params, state, tokens_rt, rows_r, starts_r, counts_r, config)
    logits_rtv = constrain(unembed(params, x_rtd, config), None, None, "vocab")
    return state, _with_logprobs(targets_rt, logits_rtv, with_top)


@functools.partial(jax.jit, static_argnames="config", donate_argnames="state")
def pool(
    params: Params,
    state: DecodeState,
    tokens_rt: jax.Array,
    rows_r: jax.Array,
    starts_r: jax.Array,
    counts_r: jax.Array,
    *,
    config: ModelConfig,
) -> tuple[DecodeState, jax.Array]:
    """Reads tokens as `prefill` does, and returns the sum of their hidden states after the final
    norm, float32 [r, d].
    """
    state, x_rtd = _read(params, state, tokens_rt, rows_r, starts_r, counts_r, config)
    is_token_rt = jnp.arange(tokens_rt.shape[1]) < counts_r[:, None]
    return state, (x_rtd.astype(jnp.float32) * is_token_rt[:, :, None]).sum(1)


def _read(params, state, tokens_rt, rows_r, starts_r, counts_r, config):
    x_rtd, cache = extend(params, state.cache, tokens_rt, starts_r, config, rows_r)
    lengths_b = state.rows.lengths_b.at[rows_r].set(starts_r + counts_r, mode="drop")
    return DecodeState(cache, _place(state.rows._replace(lengths_b=lengths_b))), x_rtd


@functools.partial(jax.jit, donate_argnames="rows")
def begin_row(
    rows: RowState,
    row: jax.Array,
    settings: RowSettings,
    logits_rv: jax.Array,
    at: jax.Array,
    allowed_w: jax.Array,
    with_top: jax.Array,
) -> tuple[RowState, Sampled]:
    """Gives a row its settings and samples its next token from the logits of its prompt.

    Args:
      rows: is donated.
      row: int32, the number of a row that `prefill` has read.
      settings: those of the request.
      logits_rv: float32, as `prefill` returned them.
      at: int32, the index of the prompt in them.
      allowed_w: uint32, the tokens that a grammar allows here, as in `sample_rows`.
      with_top: bool, whether the likeliest tokens are computed too.
    Returns:
      The rows, and the token, [1].
    """
    settings = jax.tree.map(lambda x: jnp.asarray(x)[None], settings)
    new = RowState(
        rows.lengths_b[row][None],
        jnp.zeros(1, jnp.int32),
        jnp.ones(1, bool),
        settings.step,
        settings.sampling,
        settings.masks,
    )
    logits_1v = jax.lax.dynamic_slice_in_dim(logits_rv, at, 1)
    allowed_1v = unpack_bits(allowed_w[None], logits_1v.shape[-1])
    new, sampled = _sample(new, logits_1v, allowed_1v, with_top)
    put = lambda array, value: array.at[row].set(value[0])
    return _place(jax.tree.map(put, rows, new)), sampled


@functools.partial(jax.jit, donate_argnames="rows")
def set_length(rows: RowState, row: jax.Array, length: jax.Array) -> RowState:
    """Tells that the first `length` positions of a row, which is not active, are in use."""
    return _place(rows._replace(lengths_b=rows.lengths_b.at[row].set(length)))


def _sample(rows: RowState, logits_bv, allowed_bv, with_top) -> tuple[RowState, Sampled]:
    """Samples a token for each active row; `allowed_bv` is None if no row has a grammar."""
    masks = rows.masks
    if allowed_bv is not None:
        masks = masks._replace(bias_bv=jnp.where(allowed_bv, masks.bias_bv, NEVER))
    chosen_b = sample(logits_bv, masks, rows.step_b, rows.sampling)
    at_b = jnp.arange(chosen_b.shape[0])
    counts = rows.is_active_b & ~masks.ends_bv[at_b, chosen_b]
    step_b = rows.step_b + rows.is_active_b
    sampled = _with_logprobs(chosen_b, logits_bv, with_top)
    sampled = sampled._replace(tokens=jnp.where(rows.is_active_b, chosen_b, NO_TOKEN))
    rows = rows._replace(
        tokens_b=chosen_b,
        is_active_b=counts & (step_b < rows.sampling.max_tokens_b),
        step_b=step_b,
        masks=rows.masks._replace(
            seen_bv=masks.seen_bv.at[at_b, chosen_b].max(counts),
            counts_bv=masks.counts_bv.at[at_b, chosen_b].add(counts.astype(jnp.int32)),
        ),
    )
    return rows, sampled


def _with_logprobs(tokens: jax.Array, logits: jax.Array, with_top: jax.Array) -> Sampled:
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


def _forward(params: Params, state: DecodeState, config: ModelConfig):
    """Runs the last token of each row, and returns the state and the logits that follow. Rows that
    are not active write where their next token will overwrite it.
    """
    rows = state.rows
    x_b1d, cache = extend(params, state.cache, rows.tokens_b[:, None], rows.lengths_b, config)
    rows = rows._replace(lengths_b=rows.lengths_b + rows.is_active_b)
    logits_bv = constrain(unembed(params, x_b1d, config)[:, 0], "batch", "vocab")
    return DecodeState(cache, rows), logits_bv


@functools.partial(jax.jit, static_argnames="config", donate_argnames="state")
def decode(
    params: Params,
    state: DecodeState,
    stays_b: jax.Array,
    n: jax.Array,
    stops_early: jax.Array,
    with_top: jax.Array,
    *,
    config: ModelConfig,
) -> tuple[DecodeState, Sampled]:
    """Samples up to `n` tokens for each active row, in one loop on the device.

    A row ends at a token of its `ends_bv`, or when it has its `max_tokens`. The loop ends early
    when every row has ended.

    Args:
      params: as `hclx.infer.prepare_params` returns them.
      state: as the call before returned it; it is donated. The cache has room for `n` more tokens
        in every active row.
      stays_b: bool, false for rows that sample no more, because their request was cancelled.
      n: int32, the most tokens of this call, at most `MOST_STEPS`; the text does not depend on it.
      stops_early: bool, whether the loop also ends when a row has ended, to make room for another.
      with_top: bool, whether the likeliest tokens are computed too.
      config: the model's shape.
    Returns:
      The state, and the tokens [b, MOST_STEPS].
    """
    state = _stay(state, stays_b)
    at_start = state.rows.is_active_b.sum()

    def goes_on(carry):
        i, state, _ = carry
        n_active = state.rows.is_active_b.sum()
        return (i < n) & (n_active > 0) & ~(stops_early & (n_active < at_start))

    def step(carry):
        i, state, outs = carry
        state, logits_bv = _forward(params, state, config)
        rows, sampled = _sample(state.rows, logits_bv, None, with_top)
        outs = jax.tree.map(lambda out, new: out.at[:, i].set(new), outs, sampled)
        return i + 1, DecodeState(state.cache, _place(rows)), outs

    empty = lambda *shape, dtype: jnp.zeros((len(stays_b), MOST_STEPS, *shape), dtype)
    n_top = min(MAX_LOGPROBS, config.vocab_size)
    outs = Sampled(
        empty(dtype=jnp.int32) + NO_TOKEN,
        empty(dtype=jnp.float32),
        empty(dtype=bool),
        empty(n_top, dtype=jnp.int32),
        empty(n_top, dtype=jnp.float32),
    )
    _, state, outs = jax.lax.while_loop(goes_on, step, (jnp.int32(0), state, outs))
    return state, outs


@functools.partial(jax.jit, static_argnames="config", donate_argnames="state")
def forward(
    params: Params, state: DecodeState, stays_b: jax.Array, *, config: ModelConfig
) -> tuple[DecodeState, jax.Array]:
    """Runs the first half of a step of `decode`: returns the state and the logits [b, v] from
    which `sample_rows` chooses.
    """
    state, logits_bv = _forward(params, _stay(state, stays_b), config)
    return DecodeState(state.cache, _place(state.rows)), logits_bv


@functools.partial(jax.jit, donate_argnames="rows")
def sample_rows(
    rows: RowState, logits_bv: jax.Array, allowed_bw: jax.Array, with_top: jax.Array
) -> tuple[RowState, Sampled]:
    """Runs the second half of a step of `decode`, for rows of which some follow a grammar.

    Args:
      rows: as `forward` returned them; they are donated.
      logits_bv: float32, from `forward`.
      allowed_bw: uint32 [b, ceil(v / 32)], a bit for each token that the grammar of a row allows,
        the lowest bit first. All bits of a row without a grammar are set.
      with_top: bool, whether the likeliest tokens are computed too.
    Returns:
      The rows, and the tokens [b].
    """
    allowed_bv = unpack_bits(allowed_bw, logits_bv.shape[-1])
    rows, sampled = _sample(rows, logits_bv, allowed_bv, with_top)
    return _place(rows), sampled


def _stay(state: DecodeState, stays_b: jax.Array) -> DecodeState:
    rows = state.rows._replace(is_active_b=state.rows.is_active_b & stays_b)
    return DecodeState(jax.tree.map(place_cache, state.cache), _place(rows))


def unpack_bits(words_bw: jax.Array, size: int) -> jax.Array:
    """bool [b, size] from uint32 words [b, w], the lowest bit of the first word first."""
    bits = (words_bw[:, :, None] >> jnp.arange(32, dtype=jnp.uint32)) & 1
    return bits.reshape(words_bw.shape[0], -1)[:, :size].astype(bool)


def _place(rows: RowState) -> RowState:
    """Lays rows on the ambient mesh, the same way in every call, so that they can be donated."""
    of_row = lambda array: constrain(array, "batch")
    of_tokens = lambda array: constrain(array, "batch", "vocab")
    placed = jax.tree.map(of_row, rows._replace(masks=None))
    return placed._replace(masks=jax.tree.map(of_tokens, rows.masks))
