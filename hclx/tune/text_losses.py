"""The losses of vectors and of judgements, in the form that the train step takes."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from hclx.config import ComputeConfig
from hclx.data.batch import Batch
from hclx.model import Params
from hclx.model_config import ModelConfig
from hclx.parallel import constrain
from hclx.train.step import LossFn
from hclx.tune.text_groups import Layout
from hclx.tune.text_vectors import make_text_outputs, segment_masks, unit
from hclx.tune.tune_config import TuneConfig


def make_text_loss(
    model: ModelConfig, compute: ComputeConfig, config: TuneConfig, layout: Layout
) -> LossFn:
    """The loss of vectors or judgements as a sum over groups, and the number of these.

    The arguments are those of `hclx.tune.text_vectors.make_text_outputs`.

    Returns:
      (merged parameters, batch) -> two float32 scalars, as `hclx.train.make_loss` returns them. The
      loss is NaN if an id is neither in the vocabulary nor a soft slot.
    """
    losses = _make_losses(model, compute, config, layout)

    def loss_fn(params, batch):
        losses_bg, weights_bg = losses(params, batch, True)
        slots = config.length if config.kind in ("prompt_tune", "p_tune") else 0
        tokens_bt = batch.tokens_bt
        known = ((tokens_bt >= 0) & (tokens_bt < model.vocab_size + slots)).all()
        return jnp.where(known, (losses_bg * weights_bg).sum(), jnp.nan), batch.weights_bt.sum()

    return loss_fn


def make_text_token_losses(
    model: ModelConfig, compute: ComputeConfig, config: TuneConfig, layout: Layout
) -> Callable[[Params, Batch], jax.Array]:
    """(merged parameters, batch) -> float32 [b, t], the loss of a group at each of its tokens, for
    evaluation: there is no dropout. The arguments are those of `make_text_loss`.
    """
    losses = _make_losses(model, compute, config, layout)

    def token_losses(params, batch):
        losses_bs = jnp.repeat(losses(params, batch, False)[0], layout.texts, axis=1)
        return (segment_masks(batch, layout) * losses_bs[:, None]).sum(-1)

    return token_losses


def _make_losses(model, compute, config, layout):
    """(params, batch, drops) -> float32 [b, g] the losses of groups, and their weights."""
    outputs = make_text_outputs(model, compute, config, layout)
    sizes = config.vector_sizes(model.d_model)

    def losses(params, batch, drops):
        of_groups = lambda field_bt: (
            (segment_masks(batch, layout) * field_bt[:, :, None]).sum(1).reshape(-1, *layout)
        )
        weights_bg, targets_bgn = of_groups(batch.weights_bt).sum(-1), of_groups(batch.targets_bt)
        outputs_bg = outputs(params, batch, drops)
        if config.objective == "contrast":
            by_size = [
                contrastive_losses(outputs_bg[..., :size], targets_bgn, weights_bg, config)
                for size in sizes
            ]
        elif config.objective == "similarity":
            by_size = [similarity_losses(outputs_bg[..., :size], targets_bgn) for size in sizes]
        else:
            by_size = [pair_losses(outputs_bg, targets_bgn[:, :, 0], config)]
        return sum(by_size) / len(by_size), weights_bg

    return losses


def contrastive_losses(
    vectors_bgnd: jax.Array, wordings_bgn: jax.Array, weights_bg: jax.Array, config: TuneConfig
) -> jax.Array:
    """InfoNCE: the negative log-probability that a query chooses its positive among the positives
    and negatives of the whole batch, by a softmax over cosine / temperature (van den Oord et al.
    2018; Gao et al. 2021, SimCSE, equations 1 and 5). The positive of another group is left out
    where it has the wording of the own one, or its query has that of the own query: it is right,
    too. `symmetric` averages this with the loss of the positive that chooses its query.

    Args:
      vectors_bgnd: of queries, positives and perhaps negatives, in this order.
      wordings_bgn: int32, equal for equal texts.
      weights_bg: 0 for a group that is missing.
      config: `temperature` and `symmetric`.
    Returns:
      float32 [b, g], nats.
    """
    b, g, n = wordings_bgn.shape
    units_bgnd = unit(vectors_bgnd)
    # Each device compares its own queries with the candidates of all.
    flat = lambda x: constrain(x.reshape(b * g, *x.shape[2:]), *(None,) * (x.ndim - 1))
    units_mnd, wordings_mn, is_group_m = map(flat, (units_bgnd, wordings_bgn, weights_bg > 0))
    is_own_bgm = jnp.arange(b * g).reshape(b, g, 1) == jnp.arange(b * g)
    equal = lambda of, other: wordings_bgn[:, :, of, None] == wordings_mn[:, other]
    allowed_bgm = is_own_bgm | (is_group_m & ~equal(0, 0) & ~equal(1, 1))
    own_b_g = lambda logits_bgm: jnp.where(is_own_bgm, logits_bgm, 0).sum(-1)

    def logits(of, other, allowed_bgm):
        cosines = jnp.einsum(
            "bgd,md->bgm", units_bgnd[:, :, of], units_mnd[:, other], precision="highest"
        )
        return jnp.where(allowed_bgm, cosines / config.temperature, -jnp.inf)

    forward = positives_bgm = logits(0, 1, allowed_bgm)
    if n > 2:
        is_text_m = (units_mnd[:, 2] != 0).any(-1)
        allowed = is_group_m & is_text_m & ~equal(1, 2)
        forward = jnp.concatenate([positives_bgm, logits(0, 2, allowed)], axis=-1)
    losses_bg = jax.nn.logsumexp(forward, axis=-1) - own_b_g(positives_bgm)
    if config.symmetric:
        backward_bgm = logits(1, 0, allowed_bgm)
        backward_bg = jax.nn.logsumexp(backward_bgm, axis=-1) - own_b_g(backward_bgm)
        losses_bg = (losses_bg + backward_bg) / 2
    return losses_bg


def similarity_losses(vectors_bgnd: jax.Array, targets_bgn: jax.Array) -> jax.Array:
    """The squared difference between the cosine of two texts and their score (Reimers and Gurevych
    2019, Sentence-BERT, section 3).

    Args:
      vectors_bgnd: of the two texts of each group.
      targets_bgn: int32, the bits of the score at the second one.
    Returns:
      float32 [b, g].
    """
    units_bgnd = unit(vectors_bgnd)
    cosines_bg = (units_bgnd[:, :, 0] * units_bgnd[:, :, 1]).sum(-1)
    return (cosines_bg - _score(targets_bgn[:, :, 1])) ** 2


def pair_losses(logits_bgc: jax.Array, targets_bg: jax.Array, config: TuneConfig) -> jax.Array:
    """The cross-entropy of labels; of scores, that of the sigmoid of the one logit.

    Args:
      logits_bgc: see `hclx.tune.text_vectors.make_text_outputs`.
      targets_bg: int32, numbers of labels, or bits of scores from 0 to 1.
      config: `labels` says which.
    Returns:
      float32 [b, g], nats.
    """
    if config.label_names:
        chosen_bg1 = jnp.take_along_axis(logits_bgc, targets_bg[:, :, None], axis=-1)
        return jax.nn.logsumexp(logits_bgc, axis=-1) - chosen_bg1[:, :, 0]
    logits_bg, scores_bg = logits_bgc[:, :, 0], _score(targets_bg)
    return jax.nn.softplus(logits_bg) - scores_bg * logits_bg


def _score(bits: jax.Array) -> jax.Array:
    return jax.lax.bitcast_convert_type(bits.astype(jnp.int32), jnp.float32)
