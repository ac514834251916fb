"""The loss of a student on meshes of several devices is that on one: values and gradients; and so
is what a teacher says.
"""

import dataclasses
import functools

import jax
import numpy as np
import pytest

from hclx.data.batch import make_batch
from hclx.distill import DistillConfig, TaughtBatch, make_distillation_loss
from hclx.distill.ask_teacher import make_top_k
from hclx.model import init_params, logical_axes
from hclx.parallel import make_mesh, named_sharding
from tests.helpers.meshes import COMPUTE, MESHES, MODEL, ONE, devices_of

SMALL = dataclasses.replace(MODEL, n_layers=2, init_std=0.3)
CONFIG = DistillConfig(top_k=6, temperature=2.0, soft_weight=0.6)
QUICK = "seq 2 x fsdp 2 x model 2"


@functools.cache
def figures(name):
    """What the teacher says, and the student's loss and gradients, on a mesh."""
    shape = ONE if name == "one" else MESHES[name]
    mesh = make_mesh(shape, devices_of(shape))
    draw = np.random.default_rng(0)
    tokens = draw.integers(2, 256, (8, 65)).astype(np.int32)
    tokens[:, ::20] = 1
    plain = make_batch(tokens, 1)
    params = [
        jax.device_get(jax.jit(lambda s=seed: init_params(SMALL, jax.random.key(s)))())
        for seed in (0, 1)
    ]
    with jax.set_mesh(mesh):
        place = lambda x, axes: jax.device_put(x, named_sharding(mesh, axes, x.shape))
        teacher, student = (jax.tree.map(place, tree, logical_axes(SMALL)) for tree in params)
        rows = named_sharding(mesh, ("batch", None))
        batch = jax.device_put(plain, rows)
        said = jax.jit(make_top_k(SMALL, COMPUTE, CONFIG))(teacher, batch)
        said = jax.device_put(jax.device_get(said), rows)
        loss_fn = make_distillation_loss(SMALL, COMPUTE, CONFIG)
        run = jax.jit(jax.value_and_grad(lambda *a: loss_fn(*a)[0] / tokens.size))
        return jax.device_get((said, run(student, TaughtBatch(*batch, *said))))


@pytest.mark.parametrize(
    "name", [n if n == QUICK else pytest.param(n, marks=pytest.mark.long) for n in MESHES]
)
def test_a_mesh_gives_what_one_device_gives(name):
    (ids, log_probs), (loss, grads) = figures(name)
    (same_ids, same_probs), (same_loss, same_grads) = figures("one")
    np.testing.assert_allclose(log_probs, same_probs, atol=1e-4)
    assert (ids == same_ids).mean() > 0.999  # but for ties in float32
    assert loss == pytest.approx(float(same_loss), abs=1e-5)
    agree = functools.partial(np.testing.assert_allclose, rtol=0, atol=1e-5)
    jax.tree.map(agree, grads, same_grads)
    assert max(np.abs(g).max() for g in jax.tree.leaves(same_grads)) > 1e-3
