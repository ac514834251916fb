"""Bases held in fewer bits: their values, their layout, their memory, and runs over them."""

import dataclasses
import gc
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest

from hclx.config import DataConfig, MeshConfig, ModelConfig, OptimizerConfig
from hclx.errors import ConfigError
from hclx.model import n_params, param_specs
from hclx.model.matmul import Int8Weight
from hclx.parallel import make_mesh
from hclx.train.initial_weights import choose_initial_weights
from hclx.train.optimizer import make_optimizer
from hclx.train.run import RunOptions
from hclx.tune import TuneConfig, abstract_tuning_state, tuning_decay_mask
from hclx.tune.artefact import base_fingerprint, read_artefact
from hclx.tune.frozen_base import abstract_base, hold_base, read_held_base
from hclx.tune.merged_run import check_merge
from hclx.tune.row_files import Row
from hclx.tune.tuning_data import TuningText
from hclx.tune.tuning_memory import state_memory
from hclx.tune.tuning_run import ARTEFACT, read_base, tune, tuning_parts
from tests.helpers.meshes import ONE, devices_of
from tests.helpers.runs import numbers
from tests.helpers.tuning import (
    load_base,
    loss_and_gradients,
    plain_batch,
    random_tokens,
    start,
)
from tests.helpers.tuning_runs import SHORT_RUN, labelled_rows

MESH = make_mesh(ONE, devices_of(ONE))
TRAIN = dataclasses.replace(SHORT_RUN, total_steps=4)
HELD = ("bfloat16", "int8")


@pytest.fixture(scope="module")
def place(tuning_base):
    experiment, _ = read_base(tuning_base)
    return SimpleNamespace(
        base=tuning_base,
        model=experiment.model,
        weights=choose_initial_weights(None, tuning_base, experiment.model),
    )


def settings(place, kind, **fields):
    of_base, tokenizer_dir = read_base(place.base)
    experiment = dataclasses.replace(
        of_base,
        mesh=ONE,
        optimizer=OptimizerConfig(learning_rate=1e-2, warmup_steps=1, weight_decay=0.0),
        data=DataConfig(input="rows", tokenizer_dir=tokenizer_dir, validation_permille=250),
        train=TRAIN,
    )
    return experiment, TuneConfig(kind=kind, **fields)


def text():
    rows = [{"prompt": row["text"], "completion": row["answer"]} for row in labelled_rows()]
    return TuningText("rows", [Row(str(n), row) for n, row in enumerate(rows)])


@pytest.mark.parametrize("dtype", HELD)
@pytest.mark.parametrize("shape", [ONE, MeshConfig(data=2, fsdp=2, model=2)], ids=["1", "8"])
def test_a_base_is_read_as_it_is_held(place, dtype, shape):
    mesh = make_mesh(shape, jax.devices()[: 1 if shape is ONE else 8])
    with jax.set_mesh(mesh):
        held = read_held_base(place.weights, place.model, dtype, mesh)
        plain = read_held_base(place.weights, place.model, "float32", mesh)
    abstract = abstract_base(place.model, dtype, mesh)
    for array, like in zip(jax.tree.leaves(held), jax.tree.leaves(abstract), strict=True):
        assert (array.dtype, array.shape) == (like.dtype, like.shape)
        assert array.sharding.is_equivalent_to(like.sharding, array.ndim)
    is_int8 = lambda x: isinstance(x, Int8Weight)
    leaves = jax.tree.leaves(held, is_leaf=is_int8)
    for leaf, exact, spec in zip(
        leaves, jax.tree.leaves(plain), jax.tree.leaves(param_specs(place.model)), strict=True
    ):
        exact = np.asarray(exact)
        if is_int8(leaf):
            step = np.abs(exact).max() / 127
            n_outputs = leaf.scale.ndim - 1
            axes = tuple(range(1, exact.ndim - n_outputs))
            values = np.asarray(leaf.values * np.expand_dims(leaf.scale, axes))
            np.testing.assert_allclose(values, exact, atol=0.51 * step)
        elif dtype == "bfloat16" and (spec.in_matmul or spec.decays):
            np.testing.assert_array_equal(np.asarray(leaf), exact.astype(ml_dtypes.bfloat16))
        else:
            np.testing.assert_array_equal(np.asarray(leaf), exact)
    assert any(map(is_int8, leaves)) == (dtype == "int8")


@pytest.mark.parametrize("kind", ["prompt_tune", "prefix_tune", "lora"])
def test_the_loss_and_its_gradients_are_those_over_rounded_weights(kind):
    base, batch = load_base("llama"), plain_batch(random_tokens())
    config = TuneConfig(kind=kind, length=5, init="text")
    tokens = [[3, 4, 5]]
    trainable = start(base, config, noise=0.1, tokens=tokens)
    held = hold_base(base.params, base.config, "bfloat16")
    rounded = jax.tree.map(lambda x: np.asarray(x, np.float32), held)
    ours = loss_and_gradients(base._replace(params=held), config, trainable, batch)
    theirs = loss_and_gradients(base._replace(params=rounded), config, trainable, batch)
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, atol=1e-5, rtol=1e-5), ours, theirs)
    exact = loss_and_gradients(base, config, trainable, batch)
    assert 1e-6 < abs(ours[0] - exact[0]) < 1e-2
    begun = start(base._replace(params=held), config, tokens=tokens)
    assert all(x.dtype == jnp.float32 for x in jax.tree.leaves(begun))


@pytest.mark.parametrize("dtype", ["bfloat16", pytest.param("int8", marks=pytest.mark.long)])
def test_a_run_names_the_base_of_the_checkpoint(place, tmp_path, dtype):
    from hclx.train.checkpoint import checkpoints_of
    from hclx.train.checkpoint_format import read_json_items

    experiment, config = settings(place, "lora", rank=2, base_dtype=dtype)
    options = RunOptions(init_from=place.base, lease_seconds=1.0)
    whole, figures = tune(experiment, config, text(), str(tmp_path / "run"), options, MESH)
    saved, _ = read_json_items(checkpoints_of(place.base) / "0")
    artefact = read_artefact(tmp_path / "run" / ARTEFACT)
    assert artefact.base == base_fingerprint(saved["fingerprint"])
    assert artefact.config == config and artefact.metrics == figures
    before = read_held_base(place.weights, place.model, dtype, MESH)
    jax.tree.map(np.testing.assert_array_equal, jax.device_get((whole.frozen, before))[0], before)
    (tmp_path / "run" / ARTEFACT).unlink()
    _, again = tune(experiment, config, text(), str(tmp_path / "run"), options, MESH)
    assert again == figures and [r["step"] for r in numbers(tmp_path / "run")] == [1, 2, 3, 4]


def live_bytes():
    gc.collect()
    return sum(array.nbytes for array in jax.live_arrays())


def planned_and_measured(place, kind, length=30, **fields):
    """The memory of the state that a run plans, and that of the arrays that it then has."""
    experiment, config = settings(place, kind, length=length, **fields)
    train = dataclasses.replace(experiment.train, sequence_length=96)
    experiment = dataclasses.replace(experiment, train=train)
    parts, _ = tuning_parts(experiment, config, text(), MESH)
    with jax.set_mesh(MESH):
        program = parts.make_program(())
        planned, before = state_memory(program.abstract_state), live_bytes()
        frozen = parts.read_frozen(program, place.weights)
        state = parts.begin(program, place.weights, frozen)
        del frozen
        return planned, live_bytes() - before, state


def test_planned_memory_is_that_of_the_arrays(place):
    whole, measured_whole, state = planned_and_measured(place, "finetune")
    assert measured_whole == pytest.approx(whole.held, rel=0.1)
    del state
    soft, measured_soft, state = planned_and_measured(place, "prompt_tune", base_dtype="bfloat16")
    assert measured_soft == pytest.approx(soft.held, rel=0.1)
    n = sum(x.size for x in jax.tree.leaves(state.frozen))
    assert whole.total == pytest.approx(16 * n, rel=0.01)
    assert measured_soft < measured_whole / 4
    assert state_memory(state) == soft


def test_a_soft_prompt_of_100_takes_a_quarter_of_the_memory_at_most():
    model = ModelConfig(vocab_size=16_384, n_layers=12, d_model=576, n_heads=9)
    optimizer = lambda config: make_optimizer(OptimizerConfig(), tuning_decay_mask(model, config))
    planned = lambda config: state_memory(
        abstract_tuning_state(model, TRAIN, config, optimizer(config), MESH)
    )
    whole = planned(TuneConfig(kind="finetune"))
    soft = planned(TuneConfig(length=100, base_dtype="bfloat16"))
    assert soft.frozen == pytest.approx(2 * n_params(model), rel=0.01)
    assert soft.trainable == 4 * 100 * 576 and soft.moments == pytest.approx(8 * 100 * 576, abs=8)
    assert soft.total < 0.13 * whole.total and soft.held < 0.18 * whole.held
    exact = planned(TuneConfig(length=100))
    assert exact.total > whole.total / 4


def test_what_cannot_be_held_or_merged_is_refused():
    with pytest.raises(ConfigError, match="base_dtype='bfloat16' is for a frozen base"):
        TuneConfig(kind="finetune", base_dtype="bfloat16")
    with pytest.raises(ConfigError, match="base_dtype='fp4' is not"):
        TuneConfig(base_dtype="fp4")
    with pytest.raises(ConfigError, match="adds to weights in float32"):
        check_merge("missing", TuneConfig(kind="lora", base_dtype="int8"))
