"""The gradient of a loss towards the input vectors, so that a user optimises a prompt without
holding the model (Kim et al. 2021, HyperCLOVA, section 5.1: the input gradient API).

A request has token ids, in which those from `vocab_size` on are soft slots, the vectors of the
slots, and the weight of each target. The answer has the loss, the input vectors, and the gradient
by the vector of each position, from which that of a slot is the sum over its positions:
`slot_gradient`. Arrays of floats are float32 in C order, [slots, d] or [b, t, d]; where they leave
the process they are a safetensors file with the names of the fields
(`hclx.convert.small_safetensors`). Token ids are int32 [b, t].
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np

from hclx.config import ComputeConfig
from hclx.data.batch import Batch
from hclx.errors import ConfigError
from hclx.model import Params, head_weights, hidden_states, with_soft_slots
from hclx.model_config import ModelConfig
from hclx.train.loss import summed_loss


class InputGradient(NamedTuple):
    """The answer to a request.

    Attributes:
      loss: float32, the weighted mean of the losses of the targets, in nats.
      vectors_btd: float32, the input vectors: those of tokens after `embedding_multiplier`, before
        positions are added, and those of soft slots as they were given.
      gradient_btd: float32, the derivative of `loss` by `vectors_btd`; 0 behind the last target
        that weighs anything.
    """

    loss: jax.Array
    vectors_btd: jax.Array
    gradient_btd: jax.Array


def make_input_gradient(
    model: ModelConfig, compute: ComputeConfig
) -> Callable[[Params, Batch, jax.Array], InputGradient]:
    """Makes the compiled function of a model.

    Args:
      model: its shape.
      compute: how it is computed; `attention` is a backend and not "auto".
    Returns:
      (parameters, batch, float32 [p, d] vectors of the soft slots) -> InputGradient. The ids of the
      batch are not checked here: see `check_request`.
    """

    @jax.jit
    def input_gradient(params, batch, table_pd):
        weight = batch.weights_bt.sum()
        vectors_btd = with_soft_slots(params, batch.tokens_bt, table_pd, model)
        of_vectors = functools.partial(_mean_loss, params, batch, model, compute, weight)
        loss, gradient_btd = jax.value_and_grad(of_vectors)(vectors_btd)
        return InputGradient(loss, vectors_btd, gradient_btd)

    return input_gradient


def _mean_loss(params, batch, model, compute, weight, vectors_btd):
    x_btd = hidden_states(
        params,
        batch.tokens_bt,
        batch.segments_bt,
        batch.positions_bt,
        model,
        compute,
        vectors_btd=vectors_btd,
    )
    head, chunk = head_weights(params, model), compute.loss_chunk_tokens
    return summed_loss(head, x_btd, batch.targets_bt, batch.weights_bt, chunk) / weight


def check_request(batch: Batch, table_pd: np.ndarray, model: ModelConfig) -> None:
    """Refuses a request that has no answer.

    Args:
      batch: arrays of numpy.
      table_pd: the vectors of the soft slots; p may be 0.
      model: the shape of the model.
    Raises:
      ConfigError: an id is neither in the vocabulary nor a slot, a vector has another size or is
        not finite, no target weighs anything, or a row is too long.
    """
    table_pd = np.asarray(table_pd)
    if table_pd.ndim != 2 or table_pd.shape[1] != model.d_model:
        raise ConfigError(
            f"the vectors of the soft slots have shape {list(table_pd.shape)}, and this model takes"
            f" [slots, {model.d_model}]"
        )
    if not np.isfinite(table_pd).all():
        raise ConfigError("the vectors of the soft slots hold a number that is not finite")
    if batch.tokens_bt.shape[1] > model.max_length:
        raise ConfigError(
            f"a row has {batch.tokens_bt.shape[1]} tokens, and this model reads {model.max_length}"
        )
    counts = np.asarray(batch.weights_bt) > 0
    if not counts.any():
        raise ConfigError("no target has a weight above 0; give the targets of the loss")
    known = model.vocab_size + len(table_pd)
    targets = np.asarray(batch.targets_bt)[counts]
    for name, ids, end in (
        ("token", np.asarray(batch.tokens_bt), known),
        ("target", targets, model.vocab_size),
    ):
        wrong = ids[(ids < 0) | (ids >= end)]
        if wrong.size:
            raise ConfigError(f"{name} {wrong[0]} is not an id from 0 to {end - 1}")


def slot_gradient(
    gradient_btd: np.ndarray, tokens_bt: np.ndarray, vocab_size: int, slots: int
) -> np.ndarray:
    """Returns the derivative by the vector of each soft slot, float32 [slots, d]: the sum over the
    positions where it stands.
    """
    gradient = np.zeros((slots, gradient_btd.shape[-1]), np.float32)
    is_slot_bt = np.asarray(tokens_bt) >= vocab_size
    rows = np.asarray(tokens_bt)[is_slot_bt] - vocab_size
    np.add.at(gradient, rows, np.asarray(gradient_btd)[is_slot_bt])
    return gradient
