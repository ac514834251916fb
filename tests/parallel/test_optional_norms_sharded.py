"""The switches for stability, all on, on meshes: the same training as on one device, in float32."""

import dataclasses
import functools

import jax
import numpy as np
import optax
import pytest

from hclx.model import logical_axes
from hclx.parallel import make_mesh
from hclx.train.step import accumulate_gradients, make_loss, make_program
from tests.helpers import meshes
from tests.helpers.numpy_decoder import noisy_params

MODEL = dataclasses.replace(meshes.MODEL, qk_norm=True, embedding_norm=True)
Z_LOSS = 0.1  # large enough to matter
ONE = (meshes.ONE, meshes.COMPUTE, 1)


def make(config, compute, microbatches, mesh):
    """The program, the parameters where it wants them, and a batch."""
    experiment = dataclasses.replace(
        meshes.experiment(config, compute, accumulation_steps=microbatches, z_loss=Z_LOSS),
        model=MODEL,
    )
    program = make_program(experiment, mesh)
    params = jax.tree.map(
        lambda x, like: jax.device_put(x, like.sharding),
        noisy_params(MODEL, gain=1),
        program.abstract_state.params,
    )
    return program, params, meshes.batch_of(meshes.windows()[0], program)


@functools.cache
def gradients(config, compute, microbatches, z_loss=Z_LOSS):
    mesh = make_mesh(config, meshes.devices_of(config))
    with jax.set_mesh(mesh):
        _, params, batch = make(config, compute, microbatches, mesh)
        loss_fn = make_loss(MODEL, compute, z_loss)
        run = functools.partial(accumulate_gradients, loss_fn, microbatches=microbatches)
        return jax.device_get(jax.jit(run)(params, batch))


@pytest.mark.parametrize(
    "name",
    [  # the first is compared by its norm below
        pytest.param("data 2 x fsdp 2 x model 2", marks=pytest.mark.long),
        pytest.param("seq 2 x fsdp 2 x model 2", marks=pytest.mark.long),
        pytest.param("pipe 2 x seq 2 x model 2, 2 repeats", marks=pytest.mark.long),
        pytest.param("pipe 4 x model 2, no remat, 2 gradient microbatches", marks=pytest.mark.long),
    ],
)
def test_loss_and_gradients_agree_with_one_device(name):
    (loss, grads), (expected_loss, expected) = gradients(*meshes.ALL[name]), gradients(*ONE)
    assert loss == pytest.approx(expected_loss, abs=1e-5)
    for (path, gradient), expected_gradient in zip(
        jax.tree_util.tree_leaves_with_path(grads), jax.tree.leaves(expected), strict=True
    ):
        np.testing.assert_allclose(
            gradient,
            expected_gradient,
            rtol=0,
            atol=1e-5,
            err_msg=f"{name}: {jax.tree_util.keystr(path)}",
        )


def test_the_gradient_that_is_compared_has_the_switches_in_it():
    (_, grads), (_, without) = gradients(*ONE), gradients(*ONE, z_loss=0.0)
    norms = (
        grads["embedding"]["norm"],
        grads["blocks"]["attention"]["query_norm"],
        grads["blocks"]["attention"]["key_norm"],
    )
    assert all(np.abs(norm["scale"]).max() > 1e-3 for norm in norms)
    assert np.abs(grads["embedding"]["token"] - without["embedding"]["token"]).max() > 1e-3


@pytest.mark.long
def test_a_program_differentiates_z_loss_and_reports_the_cross_entropy():
    config, compute, _ = meshes.ALL["data 2 x fsdp 2 x model 2"]
    mesh = make_mesh(config)
    with jax.set_mesh(mesh):
        program, params, batch = make(config, compute, 1, mesh)
        nats, _, tokens = program.eval_step(params, batch, np.ones(MODEL.vocab_size, np.float32))
        zeros = jax.tree.map(
            lambda x: jax.device_put(np.zeros(x.shape, x.dtype), x.sharding), program.abstract_state
        )
        _, metrics = program.train_step(zeros._replace(trainable=params), batch)
    (_, grads), (loss, _) = gradients(*ONE), gradients(*ONE, z_loss=0.0)
    assert float(metrics["loss"]) == pytest.approx(float(loss), abs=1e-5)
    assert float(nats / tokens) == pytest.approx(float(loss), abs=1e-5)
    assert float(metrics["grad_norm"]) == pytest.approx(float(optax.tree.norm(grads)), abs=1e-5)


def test_norms_of_heads_are_cut_over_stages_alone():
    axes = logical_axes(MODEL)
    for norm in ("query_norm", "key_norm"):
        assert axes["blocks"]["attention"][norm] == dict.fromkeys(
            ("scale", "bias"), ("layers", "norm")
        )
    assert axes["embedding"]["norm"] == dict.fromkeys(("scale", "bias"), ("norm",))
