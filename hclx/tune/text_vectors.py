"""Vectors of texts, and judgements of pairs: the states of a text, pooled, by packed rows."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from hclx.config import ComputeConfig
from hclx.data.batch import Batch
from hclx.model import Params
from hclx.model_config import ModelConfig
from hclx.parallel import constrain
from hclx.tune.methods import apply_method
from hclx.tune.text_groups import Layout
from hclx.tune.tune_config import TuneConfig
from hclx.tune.tuning_loss import dropout_key, tuned_hidden_states

_EXACT = jax.lax.Precision.HIGHEST
_TINY = 1e-24  # of a squared length: a vector of zeros stays one, and has a gradient


def segment_masks(batch: Batch, layout: Layout) -> jax.Array:
    """bool [b, t, s], whether a token is of a text."""
    return batch.segments_bt[:, :, None] == jnp.arange(layout.segments)


def pool(x_btd: jax.Array, batch: Batch, layout: Layout, pooling: str) -> jax.Array:
    """Pools the states of each text.

    Args:
      x_btd: the hidden states.
      batch: rows of texts.
      layout: of these.
      pooling: "mean"; "weighted", in which token i of a text weighs i (Muennighoff 2022, SGPT,
        section 3.1); or "last", the state of the last token.
    Returns:
      float32 [b, s, d]; zeros for a text that is missing.
    """
    is_in_bts = segment_masks(batch, layout)
    if pooling == "last":
        segments_bt = batch.segments_bt
        ends_bt = jnp.pad(segments_bt[:, 1:] != segments_bt[:, :-1], ((0, 0), (0, 1)))
        weights_bt = ends_bt.at[:, -1].set(True).astype(jnp.float32)
    elif pooling == "weighted":
        weights_bt = batch.positions_bt.astype(jnp.float32) + 1
    else:
        weights_bt = jnp.ones(batch.tokens_bt.shape, jnp.float32)
    weights_bts = is_in_bts * weights_bt[:, :, None]
    weights_bts /= jnp.maximum(weights_bts.sum(1, keepdims=True), 1)
    x_btd = x_btd.astype(jnp.float32)
    pooled_bsd = jnp.einsum("bts,btd->bsd", weights_bts, x_btd, precision=_EXACT)
    return constrain(pooled_bsd, "batch", None, None)


def unit(x: jax.Array) -> jax.Array:
    """Returns vectors [..., d] at length 1."""
    return x * jax.lax.rsqrt(jnp.maximum((x * x).sum(-1, keepdims=True), _TINY))


def make_text_outputs(
    model: ModelConfig, compute: ComputeConfig, config: TuneConfig, layout: Layout
) -> Callable[[Params, Batch, bool], jax.Array]:
    """Makes the function by which losses, metrics and readers get the outputs of a tuned model.

    Args:
      model: the base's shape.
      compute: how it is computed; `attention` is a backend and not "auto".
      config: the method and its settings.
      layout: of the rows.
    Returns:
      (merged parameters, batch, whether dropout applies) -> float32 [b, groups, texts, d], pooled
      states; or of a judge of pairs [b, groups, c], logits of the labels, or of a score.
    """

    def outputs(params, batch, drops=False):
        key = dropout_key(batch, config) if drops else None
        tuned = apply_method(params, model, config, key)
        x_btd = tuned_hidden_states(tuned, batch, model, compute)
        pooled_bsd = pool(x_btd, batch, layout, config.pooling)
        pooled_bgnd = pooled_bsd.reshape(-1, *layout, pooled_bsd.shape[-1])
        if config.objective != "pair":
            return pooled_bgnd
        product = jnp.einsum(
            "bgd,dc->bgc", pooled_bgnd[:, :, 0], tuned.head.weight, precision=_EXACT
        )
        return product + tuned.head.bias

    return outputs
