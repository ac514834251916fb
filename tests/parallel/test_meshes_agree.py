"""Every mesh computes the same training: losses, gradients and updates against one device, in
float32.
"""

import functools

import jax
import numpy as np
import optax
import pytest

from hclx.config import (
    ComputeConfig,
    MeshConfig,
    TrainConfig,
)
from hclx.parallel import make_mesh
from hclx.train import init_state, make_loss
from hclx.train.step import accumulate_gradients, make_program
from tests.helpers.meshes import (
    ALL,
    COMPUTE,
    MESHES,
    MODEL,
    ONE,
    batch_of,
    devices_of,
    experiment,
    placed,
    windows,
)


@functools.cache
def gradients(config: MeshConfig, compute: ComputeConfig = COMPUTE, microbatches: int = 1):
    """Loss and gradient of one batch."""
    mesh = make_mesh(config, devices_of(config))
    with jax.set_mesh(mesh):
        program = make_program(experiment(config, compute, accumulation_steps=microbatches), mesh)
        loss_fn = make_loss(MODEL, compute)
        run = jax.jit(functools.partial(accumulate_gradients, loss_fn, microbatches=microbatches))
        return jax.device_get(run(*placed(program)))


@functools.cache
def training(config: MeshConfig, microbatches: int = 1):
    """Losses of eight steps."""
    mesh = make_mesh(config, devices_of(config))
    with jax.set_mesh(mesh):
        program = make_program(experiment(config, accumulation_steps=microbatches), mesh)
        state, losses = (
            init_state(MODEL, TrainConfig(seed=0), program.optimizer, program.abstract_state),
            [],
        )
        for window in windows(8):
            state, metrics = program.train_step(state, batch_of(window, program))
            losses.append(float(metrics["loss"]))
        return losses


# Every axis is in these, and each beside others; the rest is run by `make test-long`.
QUICK = (
    "data 2 x fsdp 2 x model 2",
    "seq 2 x fsdp 2 x model 2",
    "pipe 2 x seq 2 x model 2, 2 repeats",
    "pipe 4 x model 2, no remat, 2 gradient microbatches",
)


@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.long) for name in ALL]
)
def test_loss_and_gradients_agree_with_one_device(name):
    (loss, grads), (expected_loss, expected) = gradients(*ALL[name]), gradients(ONE)
    assert loss == pytest.approx(expected_loss, abs=1e-5)
    for (path, gradient), expected_gradient in zip(
        jax.tree_util.tree_leaves_with_path(grads), jax.tree.leaves(expected)
    ):
        np.testing.assert_allclose(
            gradient,
            expected_gradient,
            rtol=0,
            atol=1e-5,
            err_msg=f"{name}: {jax.tree_util.keystr(path)}",
        )
    # so that 1e-5 means something
    assert max(np.abs(g).max() for g in jax.tree.leaves(expected)) > 1e-2


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("data=8", marks=pytest.mark.long),
        "data 2 x fsdp 2 x model 2",
        pytest.param("seq 2 x fsdp 2 x model 2", marks=pytest.mark.long),
    ],
)
def test_training_agrees_with_one_device(name):
    np.testing.assert_allclose(training(MESHES[name]), training(ONE), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    "config", [pytest.param(ONE, marks=pytest.mark.long), MeshConfig(data=2, fsdp=2, model=2)]
)
def test_accumulation_changes_nothing(config):
    np.testing.assert_allclose(training(config, 2), training(config), rtol=0, atol=1e-5)


def test_the_programs_of_a_pipeline_agree_with_one_device():
    """A step with an accumulated gradient, and an evaluation."""
    config, compute, _ = ALL["pipe 2 x fsdp 2 x model 2, 4 microbatches"]
    mesh = make_mesh(config)
    with jax.set_mesh(mesh):
        program = make_program(experiment(config, compute, accumulation_steps=2), mesh)
        params, batch = placed(program)
        nats, _, tokens = program.eval_step(params, batch, np.ones(MODEL.vocab_size, np.float32))
        zeros = jax.tree.map(
            lambda x: jax.device_put(np.zeros(x.shape, x.dtype), x.sharding), program.abstract_state
        )
        state, metrics = program.train_step(zeros._replace(trainable=params), batch)
    loss, grads = gradients(ONE)
    assert float(nats / tokens) == pytest.approx(float(loss), abs=1e-5)
    assert float(metrics["loss"]) == pytest.approx(float(loss), abs=1e-5)
    assert float(metrics["grad_norm"]) == pytest.approx(float(optax.tree.norm(grads)), abs=1e-5)
    assert state.params["blocks"]["mlp"]["wi"].sharding.shard_shape((8, 64, 256)) == (4, 32, 128)


def test_parameters_are_the_same_numbers_on_any_mesh():
    """A model that is started on one mesh is the model that is started on another."""
    states = []
    for config in (ONE, MESHES["data 2 x fsdp 2 x model 2"]):
        mesh = make_mesh(config, devices_of(config))
        with jax.set_mesh(mesh):
            program = make_program(experiment(config), mesh)
            states.append(
                jax.device_get(
                    init_state(
                        MODEL, TrainConfig(seed=3), program.optimizer, program.abstract_state
                    ).params
                )
            )
    jax.tree.map(np.testing.assert_array_equal, *states)


def test_fsdp_really_cuts_parameters_and_moments():
    mesh = make_mesh(MESHES["fsdp=8"])
    abstract = make_program(experiment(MESHES["fsdp=8"]), mesh).abstract_state
    for tree in (abstract.params, abstract.opt_state[1].mu):
        wi = tree["blocks"]["mlp"]["wi"]
        assert wi.sharding.shard_shape(wi.shape) == (8, 64 // 8, 256)
