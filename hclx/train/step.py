"""The training step: a pure function of state and batch."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

from hclx.config import ComputeConfig, ModelConfig
from hclx.model import Params, head_weights, hidden_states, packing
from hclx.train.loss import chunked_token_losses, summed_loss
from hclx.train.state import TrainState
from hclx.train.step_skipping import judge

Metrics = dict[str, jax.Array]
# (params, tokens [b, t + 1]) -> (sum of token losses, number of tokens), both float32 scalars
LossFn = Callable[[Params, jax.Array], tuple[jax.Array, jax.Array]]


def make_loss(
    model: ModelConfig, compute: ComputeConfig, eod_id: int, z_loss: float = 0.0
) -> LossFn:
    """The language-model loss of windows of packed documents, as a sum and a count, so that pieces
    add up exactly.

    `z_loss` is in its gradient and not in its value: see `summed_loss`.
    """

    def loss(params, window_bt):
        x_btd, targets_bt = _read_windows(params, window_bt, model, compute, eod_id)
        head_vd, weights_bt = head_weights(params, model), jnp.ones(targets_bt.shape, jnp.float32)
        total = summed_loss(
            head_vd, x_btd, targets_bt, weights_bt, compute.loss_chunk_tokens, z_loss
        )
        # An id that the vocabulary does not have is damaged data, and a look-up would take another
        # one in silence.
        total = jnp.where(
            (window_bt >= 0).all() & (window_bt < model.vocab_size).all(), total, jnp.nan
        )
        return total, jnp.asarray(targets_bt.size, jnp.float32)

    return loss


def make_window_losses(
    model: ModelConfig, compute: ComputeConfig, eod_id: int
) -> Callable[[Params, jax.Array], jax.Array]:
    """(params, windows [b, t + 1]) -> float32 loss of each target [b, t], for evaluation."""

    def window_losses(params, window_bt):
        return chunked_token_losses(
            head_weights(params, model),
            *_read_windows(params, window_bt, model, compute, eod_id),
            compute.loss_chunk_tokens,
        )

    return window_losses


def _read_windows(
    params: Params, window_bt: jax.Array, model: ModelConfig, compute: ComputeConfig, eod_id: int
):
    """Hidden states of the inputs, and the targets; documents in a window never see each other."""
    inputs_bt, targets_bt = window_bt[:, :-1], window_bt[:, 1:]
    return hidden_states(params, inputs_bt, *packing(inputs_bt, eod_id), model, compute), targets_bt


def accumulate_gradients(
    loss_fn: LossFn, params: Params, window_bt: jax.Array, pieces: int
) -> tuple[jax.Array, Params]:
    """Mean token loss and its gradient, the batch being taken in `pieces`; sums first, one division
    at the end.
    """
    value_and_grad = jax.value_and_grad(loss_fn, has_aux=True)
    if pieces == 1:
        (loss, count), grads = value_and_grad(params, window_bt)
    else:
        # Row i goes to piece i % pieces: each piece is then spread over the same devices as the
        # whole batch.
        stacked = window_bt.reshape(-1, pieces, window_bt.shape[1]).swapaxes(0, 1)

        def add(total, piece):
            return jax.tree.map(jnp.add, total, value_and_grad(params, piece)), None

        zero = jax.tree.map(
            lambda x: jnp.zeros(x.shape, x.dtype),
            jax.eval_shape(value_and_grad, params, stacked[0]),
        )
        ((loss, count), grads), _ = jax.lax.scan(add, zero, stacked)
    return loss / count, jax.tree.map(lambda g: g / count, grads)


def train_step(
    state: TrainState,
    window_bt: jax.Array,
    *,
    loss_fn: LossFn,
    optimizer: optax.GradientTransformation,
    schedule: optax.Schedule,
    pieces: int,
    spike_sigmas: float = 0.0,
) -> tuple[TrainState, Metrics]:
    """One update, or none where the guard refuses the step: then the step is counted, and nothing
    else changes.

    Args:
      state: float32 throughout.
      window_bt: int32 [global batch, sequence length + 1].
      loss_fn: see `make_loss`.
      optimizer: see `make_optimizer`.
      schedule: step -> learning rate.
      pieces: gradient accumulation steps.
      spike_sigmas: see `judge`.
    Returns:
      The new state, and scalars: `loss` (nats a token), `grad_norm` (before clipping),
        `learning_rate`, and how many
      steps were `skipped`, in all and `skipped_in_a_row`.
    """
    loss, grads = accumulate_gradients(loss_fn, state.params, window_bt, pieces)
    grad_norm, rate = optax.tree.norm(grads), schedule(state.step)
    ok, guard = judge(state.guard, loss, grad_norm, spike_sigmas)
    kept = state.params, state.opt_state

    def update():
        updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
        return jax.tree.map(lambda p, u: p - rate * u, state.params, updates), opt_state

    # Chosen and not multiplied by 0, which would leave a NaN what it is. A selection is part of the
    # update's own loops on TPUs; on CPU, XLA copies the old moments for it, and a branch is faster.
    params, opt_state = jax.lax.platform_dependent(
        cpu=lambda: jax.lax.cond(ok, update, lambda: kept),
        default=lambda: jax.tree.map(functools.partial(jnp.where, ok), update(), kept),
    )
    metrics = {"loss": loss, "grad_norm": grad_norm, "learning_rate": rate}
    return TrainState(state.step + 1, params, opt_state, guard), metrics | {
        "skipped": guard.skipped,
        "skipped_in_a_row": guard.in_a_row,
    }
