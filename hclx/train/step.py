"""The training step as a pure function of state and batch, and the compiled programs of a run."""

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from hclx.config import ComputeConfig, Experiment, ModelConfig
from hclx.data.batch import Batch
from hclx.errors import ConfigError
from hclx.model import Params, head_weights, hidden_states
from hclx.model.attention import choose_backend
from hclx.model.matmul import check_precision
from hclx.parallel import check_pipeline, named_sharding
from hclx.parallel.xla_flags import compiler_options
from hclx.progress import counted
from hclx.train.loss import chunked_token_losses, summed_loss
from hclx.train.optimizer import decay_mask, learning_rate_schedule, make_optimizer
from hclx.train.state import TrainState, abstract_state, judge, merge

Metrics = dict[str, jax.Array]
# (params, batch) -> (weighted sum of token losses, sum of the weights), both float32 scalars
LossFn = Callable[[Params, Batch], tuple[jax.Array, jax.Array]]


def make_loss(model: ModelConfig, compute: ComputeConfig, z_loss: float = 0.0) -> LossFn:
    """The language-model loss as a weighted sum and the sum of its weights, so that the sums of
    microbatches add up exactly.

    Args:
      model: shape of the decoder.
      compute: how it is computed; `attention` is a backend and not "auto".
      z_loss: see `summed_loss`; it is in the gradient and not in the value.
    Returns:
      A function of all parameters and a batch to two float32 scalars, the weighted sum of the token
      losses in nats and the sum of the weights. The loss is NaN if an id is not in the vocabulary.
    """

    def loss_fn(params, batch):
        x_btd = _hidden_states(params, batch, model, compute)
        total = summed_loss(
            head_weights(params, model),
            x_btd,
            batch.targets_bt,
            batch.weights_bt,
            compute.loss_chunk_tokens,
            z_loss,
        )
        # An id outside the vocabulary is damaged data, and a look-up would silently take another
        # row. The step without a finite loss is then skipped.
        known = lambda ids: (ids >= 0).all() & (ids < model.vocab_size).all()
        total = jnp.where(known(batch.tokens_bt) & known(batch.targets_bt), total, jnp.nan)
        return total, batch.weights_bt.sum()

    return loss_fn


def make_token_losses(
    model: ModelConfig, compute: ComputeConfig
) -> Callable[[Params, Batch], jax.Array]:
    """(params, batch) -> float32 [b, t], the unweighted loss of each target in nats, for
    evaluation. `compute` is as in `make_loss`.
    """

    def token_losses(params, batch):
        x_btd = _hidden_states(params, batch, model, compute)
        head = head_weights(params, model)
        return chunked_token_losses(head, x_btd, batch.targets_bt, compute.loss_chunk_tokens)

    return token_losses


def _hidden_states(params: Params, batch: Batch, model: ModelConfig, compute: ComputeConfig):
    packed = batch.tokens_bt, batch.segments_bt, batch.positions_bt
    return hidden_states(params, *packed, model, compute)


def accumulate_gradients(
    loss_fn: LossFn, params: Params, batch: Batch, microbatches: int
) -> tuple[jax.Array, Params]:
    """Mean token loss and its gradient. The batch is computed in `microbatches`, one after the
    other: their sums are added first, and divided once at the end.

    Args:
      loss_fn: (params, batch) -> (sum, weight): see `make_loss`.
      params: what is differentiated.
      batch: its rows are a multiple of `microbatches`.
      microbatches: the number of parts.
    Returns:
      The loss, a float32 scalar, and a tree like `params`.
    """
    value_and_grad = jax.value_and_grad(loss_fn, has_aux=True)
    if microbatches == 1:
        (loss, weight), grads = value_and_grad(params, batch)
    else:
        # Row i goes to microbatch i % microbatches: each is then spread over the same devices as
        # the whole batch.
        stack = lambda x: x.reshape(-1, microbatches, *x.shape[1:]).swapaxes(0, 1)
        stacked = jax.tree.map(stack, batch)

        def add(total, microbatch):
            return jax.tree.map(jnp.add, total, value_and_grad(params, microbatch)), None

        first = jax.tree.map(lambda x: x[0], stacked)
        zero = jax.tree.map(
            lambda x: jnp.zeros(x.shape, x.dtype), jax.eval_shape(value_and_grad, params, first)
        )
        ((loss, weight), grads), _ = jax.lax.scan(add, zero, stacked)
    return loss / weight, jax.tree.map(lambda g: g / weight, grads)


def train_step(
    state: TrainState,
    batch: Batch,
    *,
    loss_fn: LossFn,
    optimizer: optax.GradientTransformation,
    schedule: optax.Schedule,
    microbatches: int,
    spike_sigmas: float = 0.0,
) -> tuple[TrainState, Metrics]:
    """Updates the trainable parameters once. If the guard refuses the step, it is counted, and
    nothing else changes.

    Args:
      state: float32 throughout.
      batch: of the global batch size.
      loss_fn: of the merged parameters, see `make_loss`.
      optimizer: see `make_optimizer`.
      schedule: step -> learning rate.
      microbatches: into which the batch is split for gradient accumulation.
      spike_sigmas: see `judge`.
    Returns:
      The new state, and a dict of scalars: `loss` (nats a token), `grad_norm` (before clipping),
      `learning_rate`, and how many steps were `skipped` in all and `skipped_in_a_row`.
    """
    loss_of = lambda trainable, batch: loss_fn(merge(trainable, state.frozen), batch)
    loss, grads = accumulate_gradients(loss_of, state.trainable, batch, microbatches)
    grad_norm, rate = optax.tree.norm(grads), schedule(state.step)
    ok, guard = judge(state.guard, loss, grad_norm, spike_sigmas)
    kept = state.trainable, state.opt_state

    def update():
        updates, opt_state = optimizer.update(grads, state.opt_state, state.trainable)
        return jax.tree.map(lambda p, u: p - rate * u, state.trainable, updates), opt_state

    # Selected and not multiplied by 0, which would leave a NaN what it is. A selection is part of
    # the update's own loops on TPUs; on CPU, XLA copies the old moments for it, and a branch is
    # faster.
    trainable, opt_state = jax.lax.platform_dependent(
        cpu=lambda: jax.lax.cond(ok, update, lambda: kept),
        default=lambda: jax.tree.map(functools.partial(jnp.where, ok), update(), kept),
    )
    metrics = {"loss": loss, "grad_norm": grad_norm, "learning_rate": rate}
    return TrainState(state.step + 1, trainable, state.frozen, opt_state, guard), metrics | {
        "skipped": guard.skipped,
        "skipped_in_a_row": guard.in_a_row,
    }


# ---- The compiled programs of a run


@dataclasses.dataclass(frozen=True)
class Program:
    """The programs of a run. The caller makes `mesh` the ambient mesh before it calls one.

    Attributes:
      mesh: the devices.
      optimizer: see `make_optimizer`.
      abstract_state: see `hclx.train.state.abstract_state`.
      abstract_batch: `jax.ShapeDtypeStruct`s of the global batch, with shardings.
      batch_sharding: of each field of a batch.
      train_step: (state, batch) -> (state, metrics) as the function of this name; donates the
        state.
      replay_step: the same without donation, so that a state can be run again.
      eval_step: (params, batch, float32 [v] bytes of each token) -> float32 scalars: the sums over
        the targets of nats, of UTF-8 bytes and of weights, each target by its weight.
      token_losses: (params, batch) -> float32 [b, t] on every device, the loss of each target.
    """

    mesh: Mesh
    optimizer: optax.GradientTransformation
    abstract_state: TrainState
    abstract_batch: Batch
    batch_sharding: NamedSharding
    train_step: Callable
    replay_step: Callable
    eval_step: Callable
    token_losses: Callable


class Training(NamedTuple):
    """A kind of training as functions: which parameters it trains, and their loss.

    Attributes:
      decays: tree of booleans like the trainable parameters: see `make_optimizer`.
      abstract_state: optimizer -> the abstract state on the mesh.
      loss: computation -> the loss of the merged parameters.
      token_losses: computation -> the losses of targets, for evaluation.
    """

    decays: Params
    abstract_state: Callable[[optax.GradientTransformation], TrainState]
    loss: Callable[[ComputeConfig], LossFn]
    token_losses: Callable[[ComputeConfig], Callable[[Params, Batch], jax.Array]]


def pretraining(experiment: Experiment, mesh: Mesh) -> Training:
    """The training of all parameters of a decoder."""
    model, train = experiment.model, experiment.train
    return Training(
        decay_mask(model),
        lambda optimizer: abstract_state(model, train, optimizer, mesh),
        lambda compute: make_loss(model, compute, train.z_loss),
        lambda compute: make_token_losses(model, compute),
    )


def make_program(
    experiment: Experiment,
    mesh: Mesh,
    rate_factors: tuple[tuple[int, float], ...] = (),
    training: Training | None = None,
) -> Program:
    """Builds the programs of an experiment on a mesh; nothing is compiled or allocated yet.

    Args:
      experiment: the whole configuration.
      mesh: its devices need not be attached to this machine.
      rate_factors: see `factors` of `learning_rate_schedule`.
      training: what is computed; None: `pretraining`.

    Raises:
      ConfigError: the mesh cannot shard the model or the batch evenly, or its devices cannot
        compute what is asked for.
    """
    train, compute = experiment.train, _resolve(experiment, mesh)
    training = training or pretraining(experiment, mesh)
    optimizer = make_optimizer(experiment.optimizer, training.decays)
    state = training.abstract_state(optimizer)
    # Positions are not sharded: each process reads whole rows, and the model splits them.
    batch_sharding = named_sharding(mesh, ("batch", None))
    shape = train.global_batch_size, train.sequence_length
    field = lambda dtype: jax.ShapeDtypeStruct(shape, dtype, sharding=batch_sharding)
    ids = field(jnp.int32)
    step = functools.partial(
        train_step,
        loss_fn=training.loss(compute),
        optimizer=optimizer,
        schedule=learning_rate_schedule(experiment.optimizer, train.total_steps, rate_factors),
        microbatches=train.accumulation_steps,
        spike_sigmas=train.spike_sigmas,
    )
    shardings = jax.tree.map(lambda x: x.sharding, state)
    device = mesh.devices.flat[0]
    compiled = functools.partial(
        jax.jit,
        step,
        in_shardings=(shardings, batch_sharding),
        out_shardings=(shardings, None),
        compiler_options=compiler_options(device.device_kind) if device.platform == "tpu" else None,
    )
    token_losses = training.token_losses(compute)
    return Program(
        mesh=mesh,
        optimizer=optimizer,
        abstract_state=state,
        abstract_batch=Batch(ids, ids, field(jnp.float32), ids, ids),
        batch_sharding=batch_sharding,
        train_step=compiled(donate_argnums=0),
        replay_step=compiled(),
        eval_step=jax.jit(functools.partial(_eval_step, token_losses)),
        token_losses=jax.jit(token_losses, out_shardings=NamedSharding(mesh, PartitionSpec())),
    )


def _resolve(experiment: Experiment, mesh: Mesh) -> ComputeConfig:
    """Checks that the mesh shards the work evenly and that its devices can do it; returns the
    computation with its attention backend chosen.
    """
    check_sharding(experiment, dict(mesh.shape))
    return check_device(experiment, mesh.devices.flat[0])


def check_sharding(experiment: Experiment, shape: dict[str, int]) -> None:
    """Checks that a mesh shards batch, length, heads and layers evenly.

    Args:
      experiment: its own mesh is not looked at.
      shape: of the mesh, axis -> size.
    Raises:
      ConfigError: names what cannot be sharded.
    """
    train, model, compute = experiment.train, experiment.model, experiment.compute
    replicas = shape["data"] * shape["fsdp"]
    microbatch = train.global_batch_size // train.accumulation_steps
    if microbatch % replicas:
        raise ConfigError(
            f"TrainConfig.global_batch_size={train.global_batch_size} in"
            f" {counted(train.accumulation_steps, 'microbatch', 'microbatches')} cannot be sharded"
            f" over data x fsdp = {replicas} devices"
        )
    for name, size, axes in (
        ("TrainConfig.sequence_length", train.sequence_length, ("seq",)),
        ("ModelConfig.n_heads", model.n_heads, ("model", "seq")),
    ):
        if size % math.prod(shape[axis] for axis in axes):
            ways = " x ".join(f"{axis} {shape[axis]}" for axis in axes)
            raise ConfigError(f"{name}={size} cannot be sharded {ways} ways by the mesh")
    stages = shape["pipe"]
    if stages > 1:
        check_pipeline(
            model.n_layers,
            microbatch // replicas,
            stages=stages,
            repeats=compute.pipeline_repeats,
            microbatches=compute.microbatches(stages),
        )


def check_device(experiment: Experiment, device: jax.Device) -> ComputeConfig:
    """Returns the computation of an experiment on a kind of device, its attention backend chosen.

    Args:
      experiment: the whole configuration.
      device: one of those that compute; it need not be attached.
    Raises:
      ConfigError: the device has no such precision or attention.
    """
    train, model, compute = experiment.train, experiment.model, experiment.compute
    check_precision(compute.matmul, device)
    attention = choose_backend(
        compute.attention,
        device,
        length=train.sequence_length,
        head_size=model.d_head,
        dtype=compute.dtype,
        has_window=0 < model.window < train.sequence_length,
    )
    return dataclasses.replace(compute, attention=attention)


def _eval_step(token_losses, params, batch, token_bytes_v):
    """Weighted sums over the targets of a batch: nats, UTF-8 bytes and tokens."""
    weights_bt = batch.weights_bt
    return (
        (token_losses(params, batch) * weights_bt).sum(),
        (token_bytes_v[batch.targets_bt] * weights_bt).sum(),
        weights_bt.sum(),
    )


def evaluate(
    program: Program, params: Params, loader, token_bytes: jax.Array, n_sequences: int
) -> dict[str, float]:
    """Validation loss over the first `n_sequences` of a loader's order; the mesh of the program
    must be the ambient one.

    Args:
      program: of the run.
      params: all parameters of the model.
      loader: a `hclx.data.Loader` of the validation split.
      token_bytes: float32 [v], UTF-8 bytes of each token.
      n_sequences: how many sequences count, at least 1.
    Returns:
      `validation_loss` (nats a token) and, unless no token has bytes, `bits_per_byte` (bits a byte
      of UTF-8).
    """
    totals = [
        program.eval_step(params, loader.batch(index, stop=n_sequences), token_bytes)
        for index in range(0, n_sequences, loader.global_batch_size)
    ]
    nats, n_bytes, tokens = (
        math.fsum(map(float, column)) for column in zip(*jax.device_get(totals))
    )
    bits = {"bits_per_byte": nats / math.log(2) / n_bytes} if n_bytes else {}
    return {"validation_loss": nats / tokens, **bits}
