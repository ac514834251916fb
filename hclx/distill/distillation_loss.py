"""The loss of a student: what the teacher says, and what the text says, token by token.

Of the teacher, the k likeliest tokens are known, with their probabilities; all others are one
further outcome. The student's probabilities are grouped in the same way, and the loss is the
Kullback-Leibler divergence over these k + 1 outcomes. So the gradient towards the logits of the k
tokens is that of the whole distributions, q - p. Probabilities that are normalised over the k
tokens would be a biased estimate of the teacher (Anshumann et al. 2025, "Sparse logit sampling"):
the student would be taught that nothing else is possible.
"""

import jax
import jax.numpy as jnp

from hclx.config import ComputeConfig
from hclx.distill.distill_config import DistillConfig
from hclx.distill.taught_batch import TaughtBatch
from hclx.model import Head, head_weights, hidden_states, project_to_vocab
from hclx.model_config import ModelConfig
from hclx.parallel import constrain, flatten_tokens
from hclx.train.loss import split_positions, token_losses
from hclx.train.step import LossFn


def soft_losses(
    logits_nv: jax.Array, ids_nk: jax.Array, log_probs_nk: jax.Array, temperature: float
) -> jax.Array:
    """The divergence of each token's distribution from the teacher's, times the square of the
    temperature, so that its gradients are as large as those of the hard loss (Hinton et al. 2015,
    section 2).

    Args:
      logits_nv: float32, of the student.
      ids_nk: int32, distinct tokens of each row.
      log_probs_nk: float32, the teacher's, of softmax(logits / temperature).
      temperature: of both.
    Returns:
      float32 [n], nats; 0 where both are the same.
    """
    scaled_nv = logits_nv / temperature
    log_z_n = jax.nn.logsumexp(scaled_nv, axis=1)
    log_q_nk = jnp.take_along_axis(scaled_nv, ids_nk, axis=1) - log_z_n[:, None]
    rows_n1 = jnp.arange(len(ids_nk))[:, None]
    # Not 1 - sum(q), of which float32 leaves nothing where the student is sure.
    others_nv = scaled_nv.at[rows_n1, ids_nk].set(-jnp.inf)
    log_q_rest_n = jax.nn.logsumexp(others_nv, axis=1) - log_z_n
    p_nk = jnp.exp(log_probs_nk)
    p_rest_n = jnp.clip(1 - p_nk.sum(1), 0, 1)
    has_rest_n = p_rest_n > 0
    log_p_rest_n = jnp.log(jnp.where(has_rest_n, p_rest_n, 1))
    of_rest_n = jnp.where(has_rest_n, p_rest_n * (log_p_rest_n - log_q_rest_n), 0)
    divergence_n = (p_nk * (log_probs_nk - log_q_nk)).sum(1) + of_rest_n
    return temperature**2 * divergence_n


def make_distillation_loss(
    model: ModelConfig, compute: ComputeConfig, config: DistillConfig
) -> LossFn:
    """The loss of a student, in the form that the train step takes.

    Args:
      model: the student's shape.
      compute: how it is computed; `attention` is a backend and not "auto".
      config: the temperature, and the weight of the soft loss.
    Returns:
      (params, `TaughtBatch`) -> the weighted sum of the targets' losses, soft_weight · soft + (1 -
      soft_weight) · cross-entropy, and the sum of the weights, float32 scalars. The loss is NaN if
      an id is not in the vocabulary.
    """

    def loss_fn(params, batch: TaughtBatch):
        packed = batch.tokens_bt, batch.segments_bt, batch.positions_bt
        x_btd = hidden_states(params, *packed, model, compute)
        total = _summed(
            head_weights(params, model), x_btd, batch, compute.loss_chunk_tokens, config
        )
        known = lambda ids: (ids >= 0).all() & (ids < model.vocab_size).all()
        all_known = known(batch.tokens_bt) & known(batch.targets_bt) & known(batch.ids_btk)
        return jnp.where(all_known, total, jnp.nan), batch.weights_bt.sum()

    return loss_fn


def _summed(
    head: Head, x_btd: jax.Array, batch: TaughtBatch, chunk_tokens: int, config: DistillConfig
) -> jax.Array:
    """Logits exist for one chunk of tokens at a time, and are computed again for the gradient."""
    fields = x_btd, batch.targets_bt, batch.weights_bt, batch.ids_btk, batch.log_probs_btk
    chunks = tuple(split_positions(field, chunk_tokens) for field in fields)

    @jax.checkpoint
    def add_chunk(total, chunk):
        x_nd, targets_n, weights_n, ids_nk, log_probs_nk = map(flatten_tokens, chunk)
        logits_nv = constrain(project_to_vocab(x_nd, head), "tokens", "vocab")
        soft_n = soft_losses(logits_nv, ids_nk, log_probs_nk, config.temperature)
        hard_n = token_losses(logits_nv, targets_n)
        mixed_n = config.soft_weight * soft_n + (1 - config.soft_weight) * hard_n
        return total + jnp.sum(weights_n * mixed_n), None

    return jax.lax.scan(add_chunk, jnp.zeros((), jnp.float32), chunks)[0]
