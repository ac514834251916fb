"""The guard against a plain Python of its rules, and a step that it refuses against a run that
never had it.
"""

import functools
import json
import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from hclx.config import TrainConfig
from hclx.train.state import fresh_guard, fresh_state, guard_from_json, guard_to_json, judge
from hclx.train.step import train_step

WINDOW = 8


def reference(values, sigmas):
    """Which (loss, norm) pairs are good, by lists and the statistics module's definitions."""
    good, kept = [], []
    for pair in values:
        ok = all(map(math.isfinite, pair))
        if ok and sigmas and len(kept) >= WINDOW:
            for i, value in enumerate(pair):
                past = [p[i] for p in kept[-WINDOW:]]
                mean = sum(past) / WINDOW
                ok &= value <= mean + sigmas * math.sqrt(
                    sum((x - mean) ** 2 for x in past) / WINDOW
                )
        good.append(ok)
        kept += [pair] if ok else []
    return good


@pytest.mark.parametrize("sigmas", [0.0, 2.0, 6.0])
def test_the_rules(sigmas):
    draw = np.random.default_rng(0)
    values = np.abs(draw.normal(3, 0.3, (120, 2))).astype(np.float32)
    values[[20, 50, 51, 90], [0, 1, 0, 1]] = 30.0  # spikes of either
    values[[3, 40, 41, 42], [0, 1, 0, 1]] = [math.nan, math.inf, -math.inf, math.nan]
    values[100:] += 1.5  # the level changes
    expected = reference([tuple(map(float, pair)) for pair in values], sigmas)
    guard, run = (
        fresh_guard(TrainConfig(spike_window=WINDOW)),
        jax.jit(functools.partial(judge, spike_sigmas=sigmas)),
    )
    accepted, in_a_row = [], 0
    for loss, norm in values:
        ok, guard = run(guard, loss, norm)
        accepted.append(bool(ok))
        in_a_row = 0 if ok else in_a_row + 1
        assert int(guard.in_a_row) == in_a_row
    assert accepted == expected and not all(expected)
    assert int(guard.skipped) == expected.count(False) and int(guard.good) == expected.count(True)


def squared_distance(params, batch):
    """Sum and count, as every loss; a batch of NaN is what a poisoned one computes to."""
    return jnp.sum((params["w"] - batch) ** 2), jnp.asarray(batch.size, jnp.float32)


def trained(batches):
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.scale_by_adam())
    step = jax.jit(
        functools.partial(
            train_step,
            loss_fn=squared_distance,
            optimizer=optimizer,
            schedule=lambda step: 0.1,
            microbatches=1,
        )
    )
    params = {"w": jnp.linspace(-1.0, 1.0, 6)}
    state = fresh_state(params, TrainConfig(), optimizer)
    for batch in batches:
        state, metrics = step(state, batch)
    return state, metrics


@pytest.mark.parametrize("platform", ["cpu", "default"])
@pytest.mark.parametrize("poison", [math.nan, math.inf])
def test_a_refused_step_changes_nothing_but_the_count_of_steps(poison, platform, monkeypatch):
    """As CPUs compile it, and as all others do."""
    monkeypatch.setattr(jax.lax, "platform_dependent", lambda **ways: ways[platform]())
    good = [jnp.full((4, 6), value, jnp.float32) for value in (0.5, -0.5, 2.0)]
    clean, _ = trained(good)
    state, metrics = trained([good[0], jnp.full((4, 6), poison, jnp.float32), *good[1:]])
    jax.tree.map(
        np.testing.assert_array_equal,
        (state.params, state.opt_state),
        (clean.params, clean.opt_state),
    )
    assert (
        int(state.step) == 4
        and int(metrics["skipped"]) == 1
        and int(metrics["skipped_in_a_row"]) == 0
    )


def test_there_and_back_through_json():
    guard = fresh_guard(TrainConfig(spike_window=WINDOW))
    for value in (0.1, 1 / 3, math.nan):
        _, guard = judge(guard, jnp.float32(value), jnp.float32(2 * value), 0.0)
    sharding = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    describe = lambda tree: jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), tree
    )
    values = json.loads(json.dumps(guard_to_json(guard), allow_nan=False))
    jax.tree.map(np.testing.assert_array_equal, guard_from_json(values, describe(guard)), guard)
    longer = guard_from_json(values, describe(fresh_guard(TrainConfig(spike_window=16))))
    assert int(longer.skipped) == 1 and int(longer.good) == 0 and longer.losses_w.shape == (16,)


def test_a_step_may_donate_a_guard_that_is_fresh_or_was_read_with_another_window():
    guard = fresh_guard(TrainConfig(spike_window=WINDOW))
    sharding = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    abstract = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), guard
    )
    values = guard_to_json(fresh_guard(TrainConfig(spike_window=4)))
    step = jax.jit(functools.partial(judge, spike_sigmas=0.0), donate_argnums=0)
    for initial_guard in (guard, guard_from_json(values, abstract)):
        _, after = step(initial_guard, jnp.float32(1), jnp.float32(1))
        assert int(after.good) == 1
