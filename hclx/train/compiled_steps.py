"""The compiled programs of a run, ahead of any data: one abstract state, one training step, one
evaluation step.
"""

import dataclasses
import functools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh, NamedSharding

from hclx.config import ComputeConfig, Experiment
from hclx.errors import ConfigError
from hclx.model.attention import choose_backend
from hclx.model.matmul import check_precision
from hclx.parallel import check_pipeline, named_sharding
from hclx.parallel.xla_flags import compiler_options
from hclx.train.optimizer import decay_mask, learning_rate_schedule, make_optimizer
from hclx.train.state import TrainState, abstract_state
from hclx.train.step import make_loss, make_window_losses
from hclx.train.step import train_step as update


@dataclasses.dataclass(frozen=True)
class Program:
    """What `pretrain` runs; everything is traced with `mesh` as the ambient mesh."""

    mesh: Mesh
    optimizer: optax.GradientTransformation
    abstract: TrainState
    windows: NamedSharding  # of a batch of windows, [b, t + 1]
    train_step: Callable  # (state, windows) -> (state, metrics); donates the state
    replay_step: Callable  # the same, and the state stays as it is, so that it can be run again
    eval_step: Callable  # (params, windows, valid rows, bytes a piece) -> (nats, bytes, tokens)


def make_program(
    experiment: Experiment,
    mesh: Mesh,
    eod_id: int,
    rate_factors: tuple[tuple[int, float], ...] = (),
) -> Program:
    """Builds the program of an experiment on a mesh; nothing is compiled or allocated yet.

    Args:
      experiment: the whole configuration.
      mesh: of its devices, which need not be here.
      eod_id: the token that begins a document.
      rate_factors: see `learning_rate_schedule`.

    Raises:
      ConfigError: the model or the batch cannot be cut evenly by the mesh, or its devices cannot
        compute what is asked for.
    """
    train = experiment.train
    ways = mesh.shape["data"] * mesh.shape["fsdp"]
    if (train.global_batch_size // train.accumulation_steps) % ways:
        raise ConfigError(
            f"TrainConfig.global_batch_size={train.global_batch_size} in {train.accumulation_steps}"
            f" piece(s) cannot be spread over data x fsdp = {ways} devices"
        )
    compute = _resolve(experiment, mesh)
    optimizer = make_optimizer(experiment.optimizer, decay_mask(experiment.model))
    abstract = abstract_state(experiment.model, train, optimizer, mesh)
    windows = named_sharding(mesh, ("batch", None))
    shardings = jax.tree.map(lambda x: x.sharding, abstract)
    parts = {
        "loss_fn": make_loss(experiment.model, compute, eod_id, train.z_loss),
        "optimizer": optimizer,
        "schedule": learning_rate_schedule(experiment.optimizer, train.total_steps, rate_factors),
        "pieces": train.accumulation_steps,
        "spike_sigmas": train.spike_sigmas,
    }

    def train_step(state, window_bt):
        return update(state, window_bt, **parts)

    compiled = functools.partial(
        jax.jit,
        train_step,
        in_shardings=(shardings, windows),
        out_shardings=(shardings, None),
        compiler_options=compiler_options(mesh.devices.flat[0].device_kind),
    )
    window_losses = make_window_losses(experiment.model, compute, eod_id)
    return Program(
        mesh=mesh,
        optimizer=optimizer,
        abstract=abstract,
        windows=windows,
        train_step=compiled(donate_argnums=0),
        replay_step=compiled(),
        eval_step=jax.jit(functools.partial(_eval_step, window_losses)),
    )


def _resolve(experiment: Experiment, mesh: Mesh) -> ComputeConfig:
    """The computation with its attention chosen for the mesh, which must cut layers, batch, length
    and heads evenly.
    """
    train, model, compute = experiment.train, experiment.model, experiment.compute
    for name, size, axes in (
        ("TrainConfig.sequence_length", train.sequence_length, ("seq",)),
        ("ModelConfig.n_heads", model.n_heads, ("model", "seq")),
    ):
        if size % math.prod(mesh.shape[axis] for axis in axes):
            raise ConfigError(
                f"{name}={size} cannot be cut"
                f" {' x '.join(f'{axis} {mesh.shape[axis]}' for axis in axes)} ways by the mesh"
            )
    stages = mesh.shape["pipe"]
    if stages > 1:
        rows = (
            train.global_batch_size
            // train.accumulation_steps
            // (mesh.shape["data"] * mesh.shape["fsdp"])
        )
        schedule = {
            "stages": stages,
            "repeats": compute.pipeline_repeats,
            "microbatches": compute.microbatches(stages),
        }
        check_pipeline(model.n_layers, rows, **schedule)
    device = mesh.devices.flat[0]
    check_precision(compute.matmul, device)
    run = {"length": train.sequence_length, "head_size": model.d_head, "dtype": compute.dtype}
    attention = choose_backend(compute.attention, device, **run)
    return dataclasses.replace(compute, attention=attention)


def _eval_step(window_losses, params, window_bt, valid_b, piece_bytes_v):
    """Nats, UTF-8 bytes and tokens of the targets of the rows that are `valid`."""
    weights_bt = jnp.broadcast_to(valid_b[:, None], window_bt[:, 1:].shape).astype(jnp.float32)
    losses_bt = window_losses(params, window_bt)
    return (
        (losses_bt * weights_bt).sum(),
        (piece_bytes_v[window_bt[:, 1:]] * weights_bt).sum(),
        weights_bt.sum(),
    )


def evaluate(
    program: Program, params, loader, token_bytes: jax.Array, n_windows: int
) -> dict[str, float]:
    """Validation loss (nats a token) and bits per byte over the first `n_windows` windows of a
    loader's order.
    """
    batch = loader.global_batch_size
    totals = []
    for index in range(0, n_windows, batch):
        valid_b = jnp.arange(index, index + batch) < n_windows
        totals.append(program.eval_step(params, loader.batch(index), valid_b, token_bytes))
    nats, n_bytes, tokens = (
        math.fsum(map(float, column)) for column in zip(*jax.device_get(totals))
    )
    return {"validation_loss": nats / tokens, "bits_per_byte": nats / math.log(2) / n_bytes}
