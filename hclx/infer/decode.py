"""The compiled calls that sample: the beginning of a row, and the decode loop. All of it stays on
the device: the host sees tokens only when a call returns.
"""

import functools

import jax
import jax.numpy as jnp

from hclx.config import ModelConfig
from hclx.infer.kv_cache import extend, place_cache
from hclx.infer.rows import (
    NO_TOKEN,
    DecodeState,
    RowSettings,
    RowState,
    Sampled,
    place_rows,
    replicate,
    with_logprobs,
)
from hclx.infer.sampling import MAX_LOGPROBS, NEVER, sample
from hclx.model import Params, unembed
from hclx.parallel import constrain

MOST_STEPS = 16  # tokens of each row that a decode call returns at most


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
      row: int32, the number of a row whose prompt is read.
      settings: those of the request.
      logits_rv: float32, those that follow some prompts.
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
    new, sampled = sample_active(new, logits_1v, allowed_1v, with_top)
    put = lambda array, value: array.at[row].set(value[0])
    return place_rows(jax.tree.map(put, rows, new)), replicate(sampled)


def sample_active(
    rows: RowState, logits_bv: jax.Array, allowed_bv: jax.Array | None, with_top: jax.Array
) -> tuple[RowState, Sampled]:
    """Samples a token for each active row; `allowed_bv` is None if no row has a grammar."""
    masks = rows.masks
    if allowed_bv is not None:
        masks = masks._replace(bias_bv=jnp.where(allowed_bv, masks.bias_bv, NEVER))
    chosen_b = sample(logits_bv, masks, rows.step_b, rows.sampling)
    at_b = jnp.arange(chosen_b.shape[0])
    counts = rows.is_active_b & ~masks.ends_bv[at_b, chosen_b]
    step_b = rows.step_b + rows.is_active_b
    sampled = with_logprobs(chosen_b, logits_bv, with_top)
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
    rows_r: jax.Array | None = None,
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
      rows_r: int32, different rows, among them all that stay; default: all of the state. These
        alone are computed: they are copied once a call, which is less than the keys and values of
        all rows in each step.
      config: the model's shape.
    Returns:
      The state, and the tokens [b, MOST_STEPS].
    """
    state = whole = stay(state, stays_b)
    if rows_r is not None:
        state = _take(whole, rows_r)
    at_start = state.rows.is_active_b.sum()

    def goes_on(carry):
        i, state, _ = carry
        n_active = state.rows.is_active_b.sum()
        return (i < n) & (n_active > 0) & ~(stops_early & (n_active < at_start))

    def step(carry):
        i, state, outs = carry
        state, logits_bv = _forward(params, state, config)
        rows, sampled = sample_active(state.rows, logits_bv, None, with_top)
        outs = jax.tree.map(lambda out, new: out.at[:, i].set(new), outs, sampled)
        return i + 1, DecodeState(state.cache, place_rows(rows)), outs

    is_single = len(state.rows.lengths_b) == 1
    outs = no_tokens(len(state.rows.lengths_b), config)
    if is_single:
        state = state._replace(cache=jax.tree.map(lambda array: array[0], state.cache))
    _, state, outs = jax.lax.while_loop(goes_on, step, (jnp.int32(0), state, outs))
    if is_single:
        state = state._replace(cache=jax.tree.map(lambda array: array[None], state.cache))
    if rows_r is not None:
        state = _put(whole, rows_r, state)
        outs = _put(no_tokens(len(stays_b), config), rows_r, outs)
    return state, replicate(outs)


def no_tokens(n_rows: int, config: ModelConfig) -> Sampled:
    """Makes room for the tokens of a call: [b, MOST_STEPS] of `NO_TOKEN`."""
    zeros = lambda dtype, *shape: jnp.zeros((n_rows, MOST_STEPS, *shape), dtype)
    n_top = min(MAX_LOGPROBS, config.vocab_size)
    top = zeros(jnp.int32, n_top), zeros(jnp.float32, n_top)
    return Sampled(zeros(jnp.int32) + NO_TOKEN, zeros(jnp.float32), zeros(bool), *top)


def _take(tree, rows_r: jax.Array):
    """Copies some rows, in order, of every array of a tree."""
    slices = lambda array: [jax.lax.dynamic_slice_in_dim(array, row, 1) for row in rows_r]
    return jax.tree.map(lambda array: jnp.concatenate(slices(array)), tree)


def _put(tree, rows_r: jax.Array, new):
    """Writes the rows of `new` into the arrays of a tree, in place where it is donated."""

    def put(array, new):
        for i in range(len(rows_r)):
            row = jax.lax.slice_in_dim(new, i, i + 1)
            array = jax.lax.dynamic_update_slice_in_dim(array, row, rows_r[i], 0)
        return array

    return jax.tree.map(put, tree, new)


@functools.partial(jax.jit, static_argnames="config", donate_argnames="state")
def forward(
    params: Params, state: DecodeState, stays_b: jax.Array, *, config: ModelConfig
) -> tuple[DecodeState, jax.Array]:
    """Runs the first half of a step of `decode`: returns the state and the logits [b, v] from
    which `sample_rows` chooses.
    """
    state, logits_bv = _forward(params, stay(state, stays_b), config)
    return DecodeState(state.cache, place_rows(state.rows)), logits_bv


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
    rows, sampled = sample_active(rows, logits_bv, allowed_bv, with_top)
    return place_rows(rows), replicate(sampled)


def stay(state: DecodeState, stays_b: jax.Array) -> DecodeState:
    """Ends the rows whose request was cancelled, and lays the state on the ambient mesh."""
    rows = state.rows._replace(is_active_b=state.rows.is_active_b & stays_b)
    return DecodeState(jax.tree.map(place_cache, state.cache), place_rows(rows))


def unpack_bits(words_bw: jax.Array, size: int) -> jax.Array:
    """bool [b, size] from uint32 words [b, w], the lowest bit of the first word first."""
    bits = (words_bw[:, :, None] >> jnp.arange(32, dtype=jnp.uint32)) & 1
    return bits.reshape(words_bw.shape[0], -1)[:, :size].astype(bool)
