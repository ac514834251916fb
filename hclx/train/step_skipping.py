"""Which steps may change the parameters: none whose loss or gradient is not finite, and, where
asked for, no spike.

Everything here runs inside the compiled step, where a step that is refused costs nothing but
itself: the parameters and the moments stay as they are, and training goes on with the next
examples.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from hclx.config import TrainConfig


class Guard(NamedTuple):
    """What is known of the steps before, on every device alike. It is part of a checkpoint, so that
    a resumed run skips the same steps.

    The windows hold good steps only: a value that was refused never moves the limit by which the
      next one is judged.
    """

    skipped: jax.Array  # int32: steps that were left out, in all
    in_a_row: jax.Array  # int32: of them, without a good step between
    good: jax.Array  # int32: steps that were not
    losses_w: jax.Array  # float32: of the last good steps, the oldest overwritten
    norms_w: jax.Array  # float32: their gradient norms


def fresh_guard(config: TrainConfig) -> Guard:
    """Of a run that has no steps yet; every field is an array of its own, as a step donates each of
    them.
    """
    zero, window = (
        lambda: jnp.zeros((), jnp.int32),
        lambda: jnp.zeros(config.spike_window, jnp.float32),
    )
    return Guard(zero(), zero(), zero(), window(), window())


def judge(
    guard: Guard, loss: jax.Array, grad_norm: jax.Array, spike_sigmas: float
) -> tuple[jax.Array, Guard]:
    """Whether a step may change the parameters.

    Args:
      guard: of the steps before.
      loss, grad_norm: float32 scalars of this one.
      spike_sigmas: a step is a spike where either lies that many standard deviations above the mean
        of the last good steps, once there is a window full of them (as OLMo 2 and Levanter skip
        steps); 0: no step is one.
    Returns:
      A boolean scalar, and the guard after the step.
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
    """Plain numbers, exact: a float32 has one decimal form as a double."""
    return {name: value.tolist() for name, value in jax.device_get(guard)._asdict().items()}


def guard_from_json(values: dict, abstract: Guard) -> Guard:
    """The inverse, onto the shardings of `abstract`; a window of another length than there starts
    anew.
    """
    arrays = {
        name: jnp.asarray(values[name], getattr(abstract, name).dtype) for name in Guard._fields
    }
    if arrays["losses_w"].shape != abstract.losses_w.shape:
        empty = lambda: jnp.zeros(abstract.losses_w.shape, jnp.float32)
        arrays |= {"good": jnp.zeros((), jnp.int32), "losses_w": empty(), "norms_w": empty()}
    return jax.tree.map(lambda x, like: jax.device_put(x, like.sharding), Guard(**arrays), abstract)
