"""The loss of choosing: cross-entropy over the answers that a question may have, each scored by the
log-probability of all its tokens, as `hclx evaluate` scores it.
"""

import jax
import jax.numpy as jnp

from hclx.model import Head
from hclx.train.loss import chunked_token_losses, summed_loss
from hclx.tune.packing import ChoiceBatch


def choice_loss(
    head: Head, x_btd: jax.Array, batch: ChoiceBatch, chunk_tokens: int
) -> tuple[jax.Array, jax.Array]:
    """The weighted sum of -log softmax(scores)[right answer] over the questions of packed rows,
    where the score of an answer is the sum of the log-probabilities of its tokens (Brown et al.
    2020, section 2.4, without a division by the length).

    The derivative of this loss by a token's loss is, within an answer, one number: 1 if it is the
    right one, less its probability among the answers. So the gradient is that of the sum of token
    losses with these numbers as weights, and the logits are read twice instead of kept.

    Args:
      head: the output projection, float32: see `hclx.model.head_weights`.
      x_btd: hidden states after the final norm.
      batch: each answer is a segment that ends with the answer's tokens; these all weigh what the
        question weighs.
      chunk_tokens: see `hclx.train.loss.chunk_columns`.
    Returns:
      The loss in nats, and the weight of the questions, float32 scalars.
    """
    fixed = jax.lax.stop_gradient((head, x_btd))
    nats_bt = chunked_token_losses(*fixed, batch.targets_bt, chunk_tokens)
    loss, weight, slopes_bt = _compare(nats_bt, batch)
    with_gradient = summed_loss(head, x_btd, batch.targets_bt, slopes_bt, chunk_tokens)
    return with_gradient + jax.lax.stop_gradient(loss - with_gradient), weight


def _compare(nats_bt: jax.Array, batch: ChoiceBatch) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Loss, weight, and [b, t] the derivative of the loss by each token's own.

    Segments are compared with each other position by position, which is fused and summed in one
    order: no sum is scattered, so that a step that is repeated has the same digits.
    """
    weights_bt, segments_bt, answers_bt = batch.weights_bt, batch.segments_bt, batch.answers_bt
    is_answer_bt = weights_bt > 0
    is_same_btu = segments_bt[:, :, None] == segments_bt[:, None, :]
    nats_bt = jnp.where(is_answer_bt, nats_bt, 0.0)
    scores_bt = -jnp.where(is_same_btu, nats_bt[:, None, :], 0.0).sum(2)
    # the last position of each answer stands for it
    following_bt = jnp.pad(segments_bt[:, 1:], ((0, 0), (0, 1)), constant_values=-1)
    stands_bt = is_answer_bt & (segments_bt != following_bt)
    is_rival_btu = stands_bt[:, None, :] & (answers_bt[:, :, None] == answers_bt[:, None, :])
    log_z_bt = jax.nn.logsumexp(
        jnp.broadcast_to(scores_bt[:, None, :], is_rival_btu.shape), axis=2, where=is_rival_btu
    )
    is_right_bt = segments_bt == answers_bt
    slopes_bt = weights_bt * (is_right_bt - jnp.exp(scores_bt - log_z_bt))
    counted_bt = jnp.where(stands_bt & is_right_bt, weights_bt, 0.0)
    losses_bt = jnp.where(counted_bt > 0, log_z_bt - scores_bt, 0.0)
    return (
        (counted_bt * losses_bt).sum(),
        counted_bt.sum(),
        jnp.where(is_answer_bt, slopes_bt, 0.0),
    )
