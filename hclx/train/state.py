"""The train state: what a step changes, how it is laid out, and which steps may change it."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from hclx.config import ModelConfig, TrainConfig
from hclx.errors import ConfigError
from hclx.model import Params, abstract_params, init_params, logical_axes
from hclx.parallel import named_sharding


class Guard(NamedTuple):
    """Statistics of the steps so far, by which a step is skipped; the same on every device.

    They are part of a checkpoint, so that a resumed run skips the same steps. The windows hold good
    steps only: a refused value never moves the limit by which the next one is judged.

    Attributes:
      skipped: int32, the steps that were skipped, in all.
      in_a_row: int32, the steps that were skipped since the last good one.
      good: int32, the steps that were not skipped.
      losses_w: float32 [`spike_window`], of the last good steps, the oldest overwritten.
      norms_w: float32 [`spike_window`], their gradient norms.
    """

    skipped: jax.Array
    in_a_row: jax.Array
    good: jax.Array
    losses_w: jax.Array
    norms_w: jax.Array


class TrainState(NamedTuple):
    """All that the train step carries from one step to the next.

    Attributes:
      step: int32, the steps that were dispatched, also skipped ones.
      trainable: float32, the parameters that gradients, moments and checkpoints concern.
      frozen: the other parameters; {} in pretraining.
      opt_state: Adam's moments of the trainable parameters.
      guard: decides whether a step may change them.
    """

    step: jax.Array
    trainable: Params
    frozen: Params
    opt_state: optax.OptState
    guard: Guard

    @property
    def params(self) -> Params:
        """All parameters of the model as one tree."""
        return merge(self.trainable, self.frozen)


def merge(trainable: Params, frozen: Params) -> Params:
    """Joins two trees of parameters (nested dicts) whose leaves have different paths.

    Raises:
      ConfigError: both trees hold a parameter of the same path.
    """
    merged = dict(trainable)
    for name, value in frozen.items():
        if name not in merged:
            merged[name] = value
        elif isinstance(value, dict) and isinstance(merged[name], dict):
            merged[name] = merge(merged[name], value)
        else:
            raise ConfigError(f"parameter {name!r} is both trainable and frozen")
    return merged


def abstract_state(
    model: ModelConfig, train: TrainConfig, optimizer: optax.GradientTransformation, mesh: Mesh
) -> TrainState:
    """The pretraining state as `jax.ShapeDtypeStruct`s with their shardings, for initialisation,
    restoring and ahead-of-time compilation.

    No array is made, so the devices of `mesh` need not be attached to this machine.

    Args:
      model: the model's shape.
      train: its `spike_window` is the size of the guard.
      optimizer: see `make_optimizer`.
      mesh: the devices.
    Raises:
      ConfigError: the mesh cannot shard an array evenly.
    """

    def place(path, array, axes):
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        sharding = named_sharding(mesh, axes, array.shape, name)
        return jax.ShapeDtypeStruct(array.shape, array.dtype, sharding=sharding)

    shapes = abstract_params(model)
    params = jax.tree_util.tree_map_with_path(place, shapes, logical_axes(model))
    return abstract_state_of(params, {}, train, optimizer, mesh)


def abstract_state_of(
    trainable: Params,
    frozen: Params,
    train: TrainConfig,
    optimizer: optax.GradientTransformation,
    mesh: Mesh,
) -> TrainState:
    """The state around any parameters, as `abstract_state` returns that of pretraining.

    Args:
      trainable, frozen: trees of `jax.ShapeDtypeStruct`s with shardings on `mesh`.
      train, optimizer, mesh: as in `abstract_state`.
    """
    replicated = NamedSharding(mesh, PartitionSpec())
    everywhere = lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=replicated)
    opt_state = map_moments(
        lambda moments: jax.tree.map(
            lambda x, like: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=like.sharding),
            moments,
            trainable,
        ),
        everywhere,
        jax.eval_shape(optimizer.init, trainable),
        trainable,
    )
    guard = jax.tree.map(everywhere, jax.eval_shape(lambda: fresh_guard(train)))
    step = everywhere(jax.ShapeDtypeStruct((), jnp.int32))
    return TrainState(step, trainable, frozen, opt_state, guard)


def map_moments(of_moments, of_others, opt_state: optax.OptState, params: Params):
    """Maps an optimizer state: `of_moments` takes each subtree that is structured like `params`,
    and `of_others` every array outside of these. Returns the state with their results in place.
    """
    structure = jax.tree.structure(params)
    is_moments = lambda node: jax.tree.structure(node) == structure
    return jax.tree.map(
        lambda node: of_moments(node) if is_moments(node) else of_others(node),
        opt_state,
        is_leaf=is_moments,
    )


def init_state(
    model: ModelConfig,
    train: TrainConfig,
    optimizer: optax.GradientTransformation,
    abstract: TrainState,
) -> TrainState:
    """A fresh state, its parameters drawn by `train.seed`; no device ever holds the whole of it.

    Args:
      model: the model's shape.
      train: its `seed` draws the parameters; else as in `fresh_state`.
      optimizer: as in `fresh_state`.
      abstract: the state's shardings: see `abstract_state`.
    """

    def init():
        return fresh_state(init_params(model, jax.random.key(train.seed)), train, optimizer)

    return jax.jit(init, out_shardings=jax.tree.map(lambda x: x.sharding, abstract))()


def fresh_state(
    trainable: Params,
    train: TrainConfig,
    optimizer: optax.GradientTransformation,
    frozen: Params = {},
) -> TrainState:
    """The state of step 0, around parameters that exist.

    Args:
      trainable: float32, the parameters to train.
      train: its `spike_window` is the size of the guard.
      optimizer: see `make_optimizer`.
      frozen: the other parameters of the model.
    """
    step = jnp.zeros((), jnp.int32)
    return TrainState(step, trainable, frozen, optimizer.init(trainable), fresh_guard(train))


def bytes_per_device(tree) -> int:
    """Bytes that one device holds of a tree of arrays, or of `jax.ShapeDtypeStruct`s, that have
    shardings.
    """
    sizes = (
        x.dtype.itemsize * math.prod(x.sharding.shard_shape(x.shape)) for x in jax.tree.leaves(tree)
    )
    return sum(sizes)


# ---- The guard. It runs inside the compiled step, where a refused step costs nothing but itself:
# parameters and moments stay as they are, and training continues with the next examples.


def fresh_guard(config: TrainConfig) -> Guard:
    """The guard of a run without steps; its fields are distinct arrays, as a step donates each."""
    zero = lambda: jnp.zeros((), jnp.int32)
    window = lambda: jnp.zeros(config.spike_window, jnp.float32)
    return Guard(zero(), zero(), zero(), window(), window())


def judge(
    guard: Guard, loss: jax.Array, grad_norm: jax.Array, spike_sigmas: float
) -> tuple[jax.Array, Guard]:
    """Decides whether a step may change the parameters.

    Args:
      guard: of the steps before.
      loss, grad_norm: float32 scalars of this step.
      spike_sigmas: a step is a spike if either value lies that many standard deviations above the
        mean of the last good steps, once the window is full (as OLMo 2 and Levanter skip steps);
        0: spikes are allowed.
    Returns:
      A boolean scalar, true if the step may change them, and the guard after the step. A step whose
      loss or gradient norm is not finite never may.
    """
    ok = jnp.isfinite(loss) & jnp.isfinite(grad_norm)
    if spike_sigmas:
        full = guard.good >= guard.losses_w.size
        limit = lambda window: window.mean() + spike_sigmas * window.std()
        ok &= ~full | ((loss <= limit(guard.losses_w)) & (grad_norm <= limit(guard.norms_w)))
    slot, bad = guard.good % guard.losses_w.size, 1 - ok.astype(jnp.int32)
    store = lambda window, value: jnp.where(ok, window.at[slot].set(value), window)
    return ok, Guard(
        skipped=guard.skipped + bad,
        in_a_row=(guard.in_a_row + 1) * bad,
        good=guard.good + 1 - bad,
        losses_w=store(guard.losses_w, loss),
        norms_w=store(guard.norms_w, grad_norm),
    )


def guard_to_json(guard: Guard) -> dict:
    """The fields of a guard, by name, as plain numbers and lists of them, exact: every float32 is
    also a double.
    """
    return {name: value.tolist() for name, value in jax.device_get(guard)._asdict().items()}


def guard_from_json(values: dict, abstract: Guard) -> Guard:
    """The inverse of `guard_to_json`, onto the shardings of `abstract`; windows of another length
    begin empty, with `good` 0.
    """
    arrays = {
        name: jnp.asarray(values[name], getattr(abstract, name).dtype) for name in Guard._fields
    }
    if arrays["losses_w"].shape != abstract.losses_w.shape:
        empty = lambda: jnp.zeros(abstract.losses_w.shape, jnp.float32)
        arrays |= {"good": jnp.zeros((), jnp.int32), "losses_w": empty(), "norms_w": empty()}
    return jax.tree.map(lambda x, like: jax.device_put(x, like.sharding), Guard(**arrays), abstract)
