"""Every mesh computes the same training: losses, gradients and updates against one device, in float32."""

import dataclasses
import functools

import jax
import numpy as np
import pytest

from hclx.config import ComputeConfig, DataConfig, Experiment, MeshConfig, ModelConfig, OptimizerConfig, TokenizerConfig, TrainConfig
from hclx.model import init_params
from hclx.parallel import make_mesh, named_sharding
from hclx.train import init_state, make_loss
from hclx.train.program import make_program
from hclx.train.state import abstract_state
from hclx.train.step import accumulate_gradients

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
PIPELINES = {
    "pipe 2 x data 4": (MeshConfig(pipe=2, data=4, fsdp=1), {}),
    "pipe 2 x fsdp 2 x model 2, 4 microbatches": (MeshConfig(pipe=2, fsdp=2, model=2), {"pipeline_microbatches": 4}),
    "pipe 2 x seq 2 x model 2, 2 repeats": (MeshConfig(pipe=2, fsdp=1, seq=2, model=2), {"pipeline_repeats": 2}),
    "pipe 4 x model 2, remat none": (MeshConfig(pipe=4, fsdp=1, model=2), {"remat": "none"}),
    "pipe 4 x fsdp 2, 8 microbatches, 2 repeats": (
        MeshConfig(pipe=4, fsdp=2), {"pipeline_microbatches": 8, "pipeline_repeats": 2}
    ),
}  # fmt: skip
ALL = {name: (config, COMPUTE) for name, config in MESHES.items()} | {
    name: (config, dataclasses.replace(COMPUTE, **fields)) for name, (config, fields) in PIPELINES.items()
}
ONE = MeshConfig(fsdp=1)
FAST = {"xla_backend_optimization_level": 0}  # such small programs take longer to optimise than to run


def experiment(mesh, compute=COMPUTE, **train):
    train = {"total_steps": 8, "global_batch_size": 16, "sequence_length": 64, "eval_every": 0} | train
    return Experiment(
        MODEL, compute, mesh, OptimizerConfig(warmup_steps=2), DataConfig(mixture="sample"), TokenizerConfig(), TrainConfig(**train)
    )


def windows(steps=1):
    tokens = np.random.default_rng(0).integers(2, MODEL.vocab_size, (steps, 16, 65)).astype(np.int32)
    tokens[:, ::3, 20] = 1  # documents begin in the middle of some windows
    return tokens


def devices_of(config):
    return jax.devices()[:1] if config == ONE else jax.devices()


@functools.cache
def gradients(config: MeshConfig, compute: ComputeConfig = COMPUTE):
    """Loss and gradient of one batch."""
    mesh = make_mesh(config, devices_of(config))
    with jax.set_mesh(mesh):
        abstract = abstract_state(MODEL, make_program(experiment(config, compute), mesh, 1).optimizer, mesh)
        place = jax.tree.map(lambda x: x.sharding, abstract.params)
        params = jax.jit(lambda: init_params(MODEL, jax.random.key(0)), out_shardings=place)()
        window = jax.device_put(windows()[0], named_sharding(mesh, ("batch", None)))
        run = functools.partial(accumulate_gradients, make_loss(MODEL, compute, 1), pieces=1)
        run = jax.jit(run, compiler_options=FAST)
        return jax.device_get(run(params, window))


@functools.cache
def training(config: MeshConfig, pieces: int = 1):
    """Losses of eight steps."""
    mesh = make_mesh(config, devices_of(config))
    with jax.set_mesh(mesh):
        whole = experiment(config, accumulation_steps=pieces)
        program = make_program(whole, mesh, 1)
        state, losses = init_state(MODEL, program.optimizer, program.abstract, seed=0), []
        for window in windows(8):
            state, metrics = program.train_step(state, jax.device_put(window, program.windows))
            losses.append(float(metrics["loss"]))
        return losses


@pytest.mark.parametrize("name", ALL)
def test_loss_and_gradients_agree_with_one_device(name):
    (loss, grads), (expected_loss, expected) = gradients(*ALL[name]), gradients(ONE)
    assert loss == pytest.approx(expected_loss, abs=1e-5)
    for (path, found), wanted in zip(jax.tree_util.tree_leaves_with_path(grads), jax.tree.leaves(expected)):
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5, err_msg=f"{name}: {jax.tree_util.keystr(path)}")
    assert max(np.abs(g).max() for g in jax.tree.leaves(expected)) > 1e-2  # so that 1e-5 means something


@pytest.mark.parametrize("name", MESHES)
def test_training_agrees_with_one_device(name):
    np.testing.assert_allclose(training(MESHES[name]), training(ONE), rtol=0, atol=1e-5)


@pytest.mark.parametrize("config", [ONE, MeshConfig(data=2, fsdp=2, model=2)])
def test_accumulation_changes_nothing(config):
    pieces = 2
    np.testing.assert_allclose(training(config, pieces), training(config), rtol=0, atol=1e-5)


def test_parameters_are_the_same_numbers_on_any_mesh():
    """A model that is started on one mesh is the model that is started on another."""
    states = []
    for config in (ONE, MESHES["data 2 x fsdp 2 x model 2"]):
        mesh = make_mesh(config, devices_of(config))
        with jax.set_mesh(mesh):
            program = make_program(experiment(config), mesh, 1)
            states.append(jax.device_get(init_state(MODEL, program.optimizer, program.abstract, seed=3).params))
    jax.tree.map(np.testing.assert_array_equal, *states)


def test_fsdp_really_cuts_parameters_and_moments():
    mesh = make_mesh(MESHES["fsdp=8"])
    abstract = make_program(experiment(MESHES["fsdp=8"]), mesh, 1).abstract
    for tree in (abstract.params, abstract.opt_state[1][0].mu):
        wi = tree["blocks"]["mlp"]["wi"]
        assert wi.sharding.shard_shape(wi.shape) == (8, 64 // 8, 256)
