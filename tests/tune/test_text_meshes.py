"""Losses of vectors and pairs on every mesh are as on one device: a query is told from the texts of
the whole global batch, wherever they are.
"""

import dataclasses
import functools

import jax
import numpy as np
import pytest

from hclx.parallel import make_mesh, named_sharding
from hclx.train.step import accumulate_gradients
from hclx.tune import TuneConfig, abstract_tuning_state, begin_state
from hclx.tune.text_groups import Group, lay_out, pack_groups
from hclx.tune.text_losses import make_text_loss
from tests.helpers.meshes import COMPUTE, MESHES, ONE, devices_of
from tests.tune.test_meshes import MODEL, TRAIN, base, optimizer_of

CONFIGS = {
    "contrast": TuneConfig(
        kind="lora", targets="q,v", objective="contrast", symmetric=True, sizes="32"
    ),
    "contrast last": TuneConfig(
        kind="prompt_tune", length=5, init="random", objective="contrast", pooling="last"
    ),
    "pair": TuneConfig(kind="finetune", objective="pair", labels="a,b,c", pooling="weighted"),
}
LENGTH = 64
QUICK = [("contrast", "data 2 x fsdp 2 x model 2"), ("pair", "fsdp=8")]
PAIRS = [
    pytest.param(name, mesh, marks=() if (name, mesh) in QUICK else pytest.mark.long)
    for name in CONFIGS
    for mesh in ("data=8", "fsdp=8", "model=8", QUICK[0][1], "seq 2 x fsdp 2 x model 2")
]


def batch_of(config):
    """16 rows of groups, of which every other has a negative."""
    draw = np.random.default_rng(0)
    text = lambda: draw.integers(2, 256, draw.integers(3, 12)).astype(np.int32)
    is_pair = config.objective == "pair"
    groups = [
        Group((text(),), (n % 3,))
        if is_pair
        else Group(tuple(text() for _ in range(2 + n % 2)), tuple(range(3 * n, 3 * n + 2 + n % 2)))
        for n in range(80 if is_pair else 32)
    ]
    layout = lay_out([groups], LENGTH)
    batch = pack_groups(groups, LENGTH, layout)
    rows = np.arange(16) % len(batch.tokens_bt)
    batch = type(batch)(*(field[rows] for field in batch))
    batch.weights_bt[len(set(rows)) :] = 0  # rows that are there twice are none
    return batch, layout


@functools.cache
def gradients(name, mesh_name):
    """Loss and gradients of one batch, away from the beginning, where B of LoRA is 0."""
    config = CONFIGS[name]
    mesh_config = MESHES.get(mesh_name, ONE)
    mesh = make_mesh(mesh_config, devices_of(mesh_config))
    rows, layout = batch_of(config)
    with jax.set_mesh(mesh):
        optimizer = optimizer_of(config)
        abstract = abstract_tuning_state(MODEL, TRAIN, config, optimizer, mesh)
        state = begin_state(MODEL, TRAIN, config, optimizer, base(), abstract)
        draw = np.random.default_rng(1)
        noise = lambda x: (
            x + jax.device_put(0.1 * draw.normal(size=x.shape).astype(np.float32), x.sharding)
        )
        trainable = {**state.trainable, "tune": jax.tree.map(noise, state.trainable["tune"])}
        batch = jax.device_put(rows, named_sharding(mesh, ("batch", None)))
        compute = dataclasses.replace(COMPUTE, attention="xla")
        loss_fn = make_text_loss(MODEL, compute, config, layout)

        def run(trainable, frozen, batch):
            of_trainable = lambda tree, batch: loss_fn({**frozen, **tree}, batch)
            return accumulate_gradients(of_trainable, trainable, batch, 1)

        return jax.device_get(jax.jit(run)(trainable, state.frozen, batch))


@pytest.mark.parametrize("name, mesh_name", PAIRS)
def test_loss_and_gradients_agree_with_one_device(name, mesh_name):
    loss, grads = gradients(name, mesh_name)
    expected_loss, expected = gradients(name, "one")
    assert loss == pytest.approx(expected_loss, abs=1e-5)
    assert max(np.abs(g).max() for g in jax.tree.leaves(expected)) > 1e-3
    agree = functools.partial(np.testing.assert_allclose, rtol=0, atol=1e-5)
    jax.tree.map(agree, grads, expected)
