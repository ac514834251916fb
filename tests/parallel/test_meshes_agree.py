"""Every mesh computes the same training: losses, gradients and updates against one device, in
float32.
"""

import dataclasses
import functools

import jax
import numpy as np
import optax
import pytest

from hclx.config import (
    ComputeConfig,
    DataConfig,
    Experiment,
    MeshConfig,
    ModelConfig,
    OptimizerConfig,
    TokenizerConfig,
    TrainConfig,
)
from hclx.data.batch import make_batch
from hclx.model import init_params
from hclx.parallel import make_mesh
from hclx.train import init_state, make_loss
from hclx.train.step import accumulate_gradients, make_program

MODEL = ModelConfig(vocab_size=256, n_layers=8, d_model=64, n_heads=8, max_length=64)
COMPUTE = ComputeConfig(dtype="float32", loss_chunk_tokens=128)
MESHES = {
    "data=8": MeshConfig(data=8, fsdp=1),
    "fsdp=8": MeshConfig(fsdp=8),
    "model=8": MeshConfig(fsdp=1, model=8),
    "data 2 x fsdp 2 x model 2": MeshConfig(data=2, fsdp=2, model=2),
    "fsdp 4 x model 2": MeshConfig(fsdp=4, model=2),
    "seq 2 x data 4": MeshConfig(data=4, fsdp=1, seq=2),
    "seq 2 x fsdp 2 x model 2": MeshConfig(fsdp=2, seq=2, model=2),
    "seq 4 x fsdp 2": MeshConfig(fsdp=2, seq=4),
    "seq 4 x model 2": MeshConfig(fsdp=1, seq=4, model=2),
}
# name -> mesh, what it computes with, microbatches of the accumulated gradient
PIPELINES = {
    "pipe 2 x fsdp 2 x model 2, 4 microbatches": (
        MeshConfig(pipe=2, fsdp=2, model=2),
        {"pipeline_microbatches": 4},
        1,
    ),
    "pipe 2 x seq 2 x model 2, 2 repeats": (
        MeshConfig(pipe=2, fsdp=1, seq=2, model=2),
        {"pipeline_repeats": 2},
        1,
    ),
    "pipe 4 x model 2, no remat, 2 gradient microbatches": (
        MeshConfig(pipe=4, fsdp=1, model=2),
        {"remat": "none"},
        2,
    ),
    "pipe 4 x fsdp 2, 8 microbatches, 2 repeats": (
        MeshConfig(pipe=4),
        {"pipeline_microbatches": 8, "pipeline_repeats": 2},
        1,
    ),
}
ALL = {name: (config, COMPUTE, 1) for name, config in MESHES.items()} | {
    name: (config, dataclasses.replace(COMPUTE, **fields), microbatches)
    for name, (config, fields, microbatches) in PIPELINES.items()
}
ONE = MeshConfig(fsdp=1)


def experiment(mesh, compute=COMPUTE, **train):
    train = {
        "total_steps": 8,
        "global_batch_size": 16,
        "sequence_length": 64,
        "eval_every": 0,
    } | train
    return Experiment(
        MODEL,
        compute,
        mesh,
        OptimizerConfig(warmup_steps=2),
        DataConfig(mixture="sample"),
        TokenizerConfig(),
        TrainConfig(**train),
    )


def windows(steps=1):
    tokens = (
        np.random.default_rng(0).integers(2, MODEL.vocab_size, (steps, 16, 65)).astype(np.int32)
    )
    tokens[:, ::3, 20] = 1  # documents begin in the middle of some windows
    return tokens


def devices_of(config):
    return jax.devices()[:1] if config == ONE else jax.devices()


@functools.cache
def parameters():
    return jax.device_get(jax.jit(lambda: init_params(MODEL, jax.random.key(0)))())


def placed(program):
    """Parameters and a batch, where a program wants them."""
    params = jax.tree.map(
        lambda x, like: jax.device_put(x, like.sharding),
        parameters(),
        program.abstract_state.params,
    )
    return params, batch_of(windows()[0], program)


def batch_of(window, program):
    """A batch of rows whose documents begin with token 1, where a program wants it."""
    return jax.device_put(make_batch(window, 1), program.batch_sharding)


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


@pytest.mark.parametrize("name", ALL)
def test_loss_and_gradients_agree_with_one_device(name):
    (loss, grads), (expected_loss, expected) = gradients(*ALL[name]), gradients(ONE)
    assert loss == pytest.approx(expected_loss, abs=1e-5)
    for (path, found), wanted in zip(
        jax.tree_util.tree_leaves_with_path(grads), jax.tree.leaves(expected)
    ):
        np.testing.assert_allclose(
            found, wanted, rtol=0, atol=1e-5, err_msg=f"{name}: {jax.tree_util.keystr(path)}"
        )
    # so that 1e-5 means something
    assert max(np.abs(g).max() for g in jax.tree.leaves(expected)) > 1e-2


@pytest.mark.parametrize(
    "name", ["data=8", "data 2 x fsdp 2 x model 2", "seq 2 x fsdp 2 x model 2"]
)
def test_training_agrees_with_one_device(name):
    np.testing.assert_allclose(training(MESHES[name]), training(ONE), rtol=0, atol=1e-5)


@pytest.mark.parametrize("config", [ONE, MeshConfig(data=2, fsdp=2, model=2)])
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
