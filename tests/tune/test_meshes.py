"""Every method on every mesh is as on one device: losses, gradients, and steps of the train step;
and the base stays what it was.
"""

import dataclasses
import functools

import jax
import numpy as np
import pytest

from hclx.config import ModelConfig, OptimizerConfig, TrainConfig
from hclx.data.batch import Batch, packing
from hclx.model import init_params, param_specs
from hclx.parallel import make_mesh, named_sharding
from hclx.train.fingerprint import fingerprint
from hclx.train.optimizer import make_optimizer
from hclx.train.state import bytes_per_device
from hclx.train.step import accumulate_gradients, train_step
from hclx.tune import (
    TuneConfig,
    abstract_tuning_state,
    begin_state,
    make_tuning_loss,
    tuning_decay_mask,
)
from tests.helpers.meshes import COMPUTE, MESHES, ONE, PIPELINES, devices_of

MODEL = ModelConfig(
    vocab_size=256,
    n_layers=4,
    d_model=64,
    n_heads=8,
    max_length=80,
    position="rotary",
    init_std=0.08,  # so that gradients are large
)
TRAIN = TrainConfig(spike_window=4)
CONFIGS = {
    "prompt_tune": TuneConfig(kind="prompt_tune", length=5, init="random"),
    "p_tune": TuneConfig(kind="p_tune", length=5),
    "p_tune mlp": TuneConfig(kind="p_tune", length=5, encoder="mlp"),
    "prefix_tune": TuneConfig(kind="prefix_tune", length=5),
    "prefix_tune mlp": TuneConfig(kind="prefix_tune", length=5, reparameterise=True),
    "lora": TuneConfig(kind="lora", targets="q,v,out,wi,wo", dropout=0.2),
    "lora qkv": TuneConfig(kind="lora", targets="qkv"),
    "finetune": TuneConfig(kind="finetune"),
}
QUICK_MESH = "data 2 x fsdp 2 x model 2"
QUICK = ("prefix_tune", "lora")
QUICK_PAIRS = [(name, QUICK_MESH) for name in QUICK] + [("prompt_tune", "fsdp=8")]
PIPE, PIPE_FIELDS, _ = PIPELINES["pipe 2 x fsdp 2 x model 2, 4 microbatches"]
PAIRS = [
    pytest.param(name, mesh, marks=() if (name, mesh) in QUICK_PAIRS else pytest.mark.long)
    for name in CONFIGS
    for mesh in ("data=8", "fsdp=8", "model=8", QUICK_MESH, "seq 2 x fsdp 2 x model 2", "pipe")
]


@functools.cache
def base():
    return jax.device_get(jax.jit(lambda: init_params(MODEL, jax.random.key(0)))())


def batch_of(config, seed=0):
    """Packed documents, of which every other begins with soft slots."""
    tokens = np.random.default_rng(seed).integers(2, 256, (16, 65)).astype(np.int32)
    tokens[:, ::20] = 1
    if config.kind in ("prompt_tune", "p_tune"):
        tokens[:, 21:26] = tokens[:, 61:65] = 0
        tokens[:, 21:26] = 256 + np.arange(5)
        tokens[::2, 61:65] = 256 + np.arange(4)
    weights = (tokens[:, 1:] < 256).astype(np.float32)
    return Batch(tokens[:, :-1], tokens[:, 1:], weights, *packing(tokens[:, :-1], 1))


def optimizer_of(config):
    return make_optimizer(OptimizerConfig(), tuning_decay_mask(MODEL, config))


def placed_state(config, mesh):
    optimizer = optimizer_of(config)
    abstract = abstract_tuning_state(MODEL, TRAIN, config, optimizer, mesh)
    state = begin_state(MODEL, TRAIN, config, optimizer, base(), abstract)
    return state, abstract


def compute_of(mesh_name):
    return dataclasses.replace(COMPUTE, **(PIPE_FIELDS if mesh_name == "pipe" else {}))


@functools.cache
def gradients(name, mesh_name):
    """Loss and gradients of one batch, away from the beginning, where B of LoRA is 0."""
    config = dataclasses.replace(CONFIGS[name])
    if "without dropout" in mesh_name or "seq" in mesh_name or mesh_name == "pipe":
        # Microbatches of a pipeline share their masks; a sharded length changes the order of tokens
        # in an MLP, and with it the masks.
        config = dataclasses.replace(config, dropout=0.0)
    mesh_config = ONE if mesh_name.startswith("one") else PIPE if mesh_name == "pipe" else None
    mesh_config = mesh_config or MESHES[mesh_name]
    mesh = make_mesh(mesh_config, devices_of(mesh_config))
    with jax.set_mesh(mesh):
        state, _ = placed_state(config, mesh)
        draw = np.random.default_rng(1)
        noise = lambda x: (
            x + jax.device_put(0.1 * draw.normal(size=x.shape).astype(np.float32), x.sharding)
        )
        trainable = jax.tree.map(noise, state.trainable)
        batch = jax.device_put(batch_of(config), named_sharding(mesh, ("batch", None)))
        loss_fn = make_tuning_loss(MODEL, compute_of(mesh_name), config)

        def run(trainable, frozen, batch):
            of_trainable = lambda tree, batch: loss_fn({**frozen, **tree}, batch)
            return accumulate_gradients(of_trainable, trainable, batch, 1)

        return jax.device_get(jax.jit(run)(trainable, state.frozen, batch))


@pytest.mark.parametrize("name, mesh_name", PAIRS)
def test_loss_and_gradients_agree_with_one_device(name, mesh_name):
    loss, grads = gradients(name, mesh_name)
    has_same_masks = mesh_name != "pipe" and "seq" not in mesh_name
    expected_loss, expected = gradients(name, "one" if has_same_masks else "one without dropout")
    assert loss == pytest.approx(expected_loss, abs=1e-5)
    assert max(np.abs(g).max() for g in jax.tree.leaves(expected)) > 1e-3
    agree = functools.partial(np.testing.assert_allclose, rtol=0, atol=1e-5)
    jax.tree.map(agree, grads, expected)


def step_of(config):
    loss_fn = make_tuning_loss(MODEL, COMPUTE, config)
    return functools.partial(
        train_step,
        loss_fn=loss_fn,
        optimizer=optimizer_of(config),
        schedule=lambda step: 1e-2,
        microbatches=2,
    )


@pytest.mark.parametrize(
    "name", [n if n == "prompt_tune" else pytest.param(n, marks=pytest.mark.long) for n in CONFIGS]
)
def test_the_train_step_changes_what_is_trained_and_nothing_else(name):
    """With moments of that alone, in the layout that was planned."""
    config, mesh = CONFIGS[name], make_mesh(MESHES[QUICK_MESH])
    with jax.set_mesh(mesh):
        state, abstract = placed_state(config, mesh)
        placement = jax.tree.map(lambda x: (x.shape, x.dtype, x.sharding), abstract)
        assert jax.tree.map(lambda x: (x.shape, x.dtype, x.sharding), state) == placement
        before = fingerprint(state.trainable), fingerprint(base())
        shardings = jax.tree.map(lambda x: x.sharding, abstract)
        run = jax.jit(step_of(config), donate_argnums=0, out_shardings=(shardings, None))
        batch = jax.device_put(batch_of(config), named_sharding(mesh, ("batch", None)))
        losses = []
        for _ in range(4):
            state, metrics = run(state, batch)
            losses.append(float(metrics["loss"]))
    assert losses[-1] < losses[0] and int(metrics["skipped"]) == 0
    after = fingerprint(state.trainable)
    assert all(after[path] != before[0][path] for path in after)
    if config.kind != "finetune":
        assert fingerprint(state.frozen) == before[1]
        moments = sum(x.size for x in jax.tree.leaves(state.opt_state) if x.ndim)
        assert moments == 2 * sum(x.size for x in jax.tree.leaves(state.trainable))


def test_a_soft_prompt_of_a_hundred_takes_a_quarter_of_the_state():
    """Of what full fine-tuning holds: parameters, gradients and moments. Those of the base alone
    are that quarter; so of a base of some size.
    """
    model = dataclasses.replace(MODEL, n_layers=12, d_model=512, vocab_size=16_384)
    mesh = make_mesh(ONE, devices_of(ONE))

    def held(config):
        optimizer = make_optimizer(OptimizerConfig(), tuning_decay_mask(model, config))
        state = abstract_tuning_state(model, TRAIN, config, optimizer, mesh)
        return bytes_per_device(state) + bytes_per_device(state.trainable)

    soft, full = held(TuneConfig(length=100)), held(TuneConfig(kind="finetune"))
    assert 0.25 * full < soft < 0.256 * full


def test_a_frozen_base_costs_no_gradient():
    """No array of the size of the embedding or of a stack of weights is made beside the base: the
    compiled step of a soft prompt needs less than that for all that it computes.
    """
    model = ModelConfig(vocab_size=8_192, n_layers=2, d_model=128, n_heads=2, max_length=64)
    params = jax.eval_shape(lambda: init_params(model, jax.random.key(0)))
    ids = jax.ShapeDtypeStruct((2, 32), np.int32)
    batch = Batch(ids, ids, jax.ShapeDtypeStruct((2, 32), np.float32), ids, ids)
    compute = dataclasses.replace(COMPUTE, loss_chunk_tokens=8)

    def temporary_bytes(config):
        loss_fn = make_tuning_loss(model, compute, config)

        def run(trainable, frozen, batch):
            of_trainable = lambda tree, batch: loss_fn({**frozen, **tree}, batch)
            return accumulate_gradients(of_trainable, trainable, batch, 1)

        soft = {"tune": {"table": jax.ShapeDtypeStruct((20, 128), np.float32)}}
        trees = (params, {}) if config.kind == "finetune" else (soft, params)
        return jax.jit(run).lower(*trees, batch).compile().memory_analysis().temp_size_in_bytes

    embedding = 4 * param_specs(model)["embedding"]["token"].size
    assert temporary_bytes(TuneConfig(kind="finetune")) > embedding
    assert temporary_bytes(TuneConfig(length=20)) < embedding
