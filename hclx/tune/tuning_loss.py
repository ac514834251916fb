"""The loss of a tuned model, in the form that the train step takes, and its hidden states."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from hclx.config import ComputeConfig
from hclx.data.batch import Batch
from hclx.errors import ConfigError
from hclx.model import Params, head_weights, hidden_states, with_soft_slots
from hclx.model_config import ModelConfig
from hclx.train.fingerprint import array_fingerprint
from hclx.train.loss import chunked_token_losses, summed_loss
from hclx.train.step import LossFn
from hclx.tune.choice_loss import choice_loss
from hclx.tune.methods import Tuned, apply_method
from hclx.tune.tune_config import TuneConfig


def make_tuning_loss(
    model: ModelConfig, compute: ComputeConfig, config: TuneConfig, z_loss: float = 0.0
) -> LossFn:
    """The loss of a tuned model, as `hclx.train.make_loss` gives that of its base.

    The token ids from `vocab_size` on are soft slots. A target may be such an id where its weight
    is 0. Dropout draws its masks by a key that follows from the seed and the tokens of the batch:
    the same step has the same masks whenever it is computed, and on any mesh that does not shard
    the length, which changes the order of tokens in an MLP. The microbatches of a pipeline share
    them.

    Args:
      model: the base's shape.
      compute: how it is computed; `attention` is a backend and not "auto".
      config: the method and its settings; its objective says what is summed.
      z_loss: see `hclx.train.loss.summed_loss`; of the loss of tokens alone.
    Returns:
      (merged parameters, batch) -> the weighted sum of the token losses in nats, and the sum of
      the weights, float32 scalars; or those of choices, of a `ChoiceBatch`: see `choice_loss`. The
      loss is NaN if an id is neither in the vocabulary nor a soft slot.
    """

    chunk_tokens = compute.loss_chunk_tokens

    def of_tokens(head, x_btd, batch):
        targets = batch.targets_bt, batch.weights_bt
        return summed_loss(head, x_btd, *targets, chunk_tokens, z_loss), batch.weights_bt.sum()

    of_choices = lambda head, x_btd, batch: choice_loss(head, x_btd, batch, chunk_tokens)
    loss = of_choices if config.objective == "choices" else of_tokens

    def loss_fn(params, batch):
        tuned = apply_method(params, model, config, dropout_key(batch, config))
        x_btd = tuned_hidden_states(tuned, batch, model, compute)
        total, weight = loss(head_weights(tuned.params, model), x_btd, batch)
        return jnp.where(_all_known(tuned, batch, model), total, jnp.nan), weight

    return loss_fn


def make_tuned_token_losses(
    model: ModelConfig, compute: ComputeConfig, config: TuneConfig
) -> Callable[[Params, Batch], jax.Array]:
    """(merged parameters, batch) -> float32 [b, t], the unweighted loss of each target in nats, for
    evaluation: there is no dropout. The arguments are those of `make_tuning_loss`.
    """

    def token_losses(params, batch):
        tuned = apply_method(params, model, config)
        x_btd = tuned_hidden_states(tuned, batch, model, compute)
        head = head_weights(tuned.params, model)
        return chunked_token_losses(head, x_btd, batch.targets_bt, compute.loss_chunk_tokens)

    return token_losses


def tuned_hidden_states(
    tuned: Tuned, batch: Batch, model: ModelConfig, compute: ComputeConfig
) -> jax.Array:
    """The hidden states of a tuned model after the final norm.

    Args:
      tuned: see `hclx.tune.methods.apply_method`.
      batch: its positions count from 0 in each document; those behind a prefix are moved here.
      model: the base's shape.
      compute: how it is computed.
    Returns:
      [b, t, d] in `compute.dtype`.
    Raises:
      ConfigError: the positions of prefix and rows are more than the model has.
    """
    positions_bt, vectors_btd = batch.positions_bt, None
    if tuned.prefix is not None:
        length, rows = tuned.prefix.k.shape[1], batch.tokens_bt.shape[1]
        if length + rows > model.max_length:
            raise ConfigError(
                f"TuneConfig.length={length} positions of a prefix and rows of {rows} tokens are"
                f" more than ModelConfig.max_length={model.max_length}; give shorter ones"
            )
        positions_bt = positions_bt + length
    if tuned.table_pd is not None:
        vectors_btd = with_soft_slots(tuned.params, batch.tokens_bt, tuned.table_pd, model)
    return hidden_states(
        tuned.params,
        batch.tokens_bt,
        batch.segments_bt,
        positions_bt,
        model,
        compute,
        vectors_btd=vectors_btd,
        prefix=tuned.prefix,
    )


def dropout_key(batch: Batch, config: TuneConfig) -> jax.Array | None:
    """The key of the masks of a batch; None: there is no dropout."""
    if config.kind != "lora" or not config.dropout:
        return None
    key = jax.random.key(config.seed)
    for number in array_fingerprint(jnp.asarray(batch.tokens_bt)):
        key = jax.random.fold_in(key, number)
    return key


def _all_known(tuned: Tuned, batch: Batch, model: ModelConfig) -> jax.Array:
    """Whether every id is in the vocabulary or a soft slot; a look-up would silently take another
    row.
    """
    slots = 0 if tuned.table_pd is None else len(tuned.table_pd)
    tokens_bt, targets_bt = batch.tokens_bt, batch.targets_bt
    is_target_bt = (targets_bt >= 0) & (targets_bt < model.vocab_size)
    is_input_bt = (tokens_bt >= 0) & (tokens_bt < model.vocab_size + slots)
    return is_input_bt.all() & (is_target_bt | (batch.weights_bt == 0)).all()
