"""The compiled calls that read tokens into rows of the cache: prompts, texts that are scored, and
texts that are embedded.
"""

import functools

import jax
import jax.numpy as jnp

from hclx.config import ModelConfig
from hclx.infer.kv_cache import extend
from hclx.infer.rows import DecodeState, Sampled, place_rows, replicate, with_logprobs
from hclx.model import Params, unembed
from hclx.parallel import constrain


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
    return state, replicate(with_logprobs(targets_rt, logits_rtv, with_top))


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
    return state, replicate((x_rtd.astype(jnp.float32) * is_token_rt[:, :, None]).sum(1))


def _read(params, state, tokens_rt, rows_r, starts_r, counts_r, config):
    x_rtd, cache = extend(params, state.cache, tokens_rt, starts_r, config, rows_r, counts_r)
    lengths_b = state.rows.lengths_b.at[rows_r].set(starts_r + counts_r, mode="drop")
    return DecodeState(cache, place_rows(state.rows._replace(lengths_b=lengths_b))), x_rtd
