"""Checkpoints of the format before, and of states with frozen parameters."""

import dataclasses
import functools
import json
import tarfile
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from hclx.config import MeshConfig, ModelConfig, TrainConfig
from hclx.data.batch import make_batch
from hclx.errors import CheckpointError, ConfigError
from hclx.model import abstract_params, init_params
from hclx.model.legacy import to_format_2
from hclx.parallel import make_mesh
from hclx.train import Checkpointer, checkpoint_format
from hclx.train.checkpoint_format import LoopState
from hclx.train.checkpoint_tools import verify_checkpoints
from hclx.train.state import fresh_state, init_state, map_moments, merge
from hclx.train.step import make_loss, make_program, train_step
from tests.helpers.checkpoints import META, assert_equal
from tests.helpers.meshes import COMPUTE, ONE, batch_of, devices_of, experiment

MANY = MeshConfig(data=2, fsdp=2, model=2)
# A checkpoint of step 3 as the last version with format 2 wrote it, the losses of the steps
# before and after it, and the gradient norm of the latter.
OLD = Path(__file__).parent / "format_2.tar.gz"
OLD_MODEL = ModelConfig(vocab_size=32, n_layers=2, d_model=8, n_heads=2, max_length=8, qk_norm=True)


def old_program(mesh):
    whole = experiment(mesh, total_steps=8, global_batch_size=4, sequence_length=8, spike_window=4)
    optimizer = dataclasses.replace(whole.optimizer, warmup_steps=1, learning_rate=1e-2)
    whole = dataclasses.replace(whole, model=OLD_MODEL, optimizer=optimizer)
    return make_program(whole, make_mesh(mesh, devices_of(mesh)))


@pytest.fixture()
def old(tmp_path):
    with tarfile.open(OLD) as archive:
        archive.extractall(tmp_path, filter="data")
    return tmp_path / "run"


class TestFormat2:
    @pytest.mark.parametrize("mesh", [pytest.param(ONE, marks=pytest.mark.long), MANY])
    def test_a_real_one_is_converted_and_its_run_resumes(self, old, mesh):
        program, expected = old_program(mesh), json.loads((old / "expected.json").read_text())
        rows = np.random.default_rng(0).integers(1, 32, (4, 4, 9)).astype(np.int32)
        with jax.set_mesh(program.mesh), Checkpointer(old) as checkpointer:
            state, loop, meta = checkpointer.restore(program.abstract_state)
            assert (int(state.step), loop, meta["format"]) == (3, LoopState(12, []), 2)
            sharding = lambda tree: jax.tree.map(lambda x: x.sharding, tree)
            assert sharding(state.trainable) == sharding(program.abstract_state.trainable)
            state, metrics = program.train_step(state, batch_of(rows[3], program))
            assert float(metrics["loss"]) == pytest.approx(expected["losses"][3], rel=1e-6)
            assert float(metrics["grad_norm"]) == pytest.approx(expected["grad_norm"], rel=1e-5)
            checkpointer.save(state, LoopState(16, []), META)
            again, _, meta = checkpointer.restore(program.abstract_state)
        assert meta["format"] == checkpoint_format.FORMAT
        assert_equal(again, jax.device_get(state))

    def test_a_real_one_is_read_for_inference_and_verified_in_its_own_layout(self, old):
        program = old_program(ONE)
        with Checkpointer(old, read_only=True) as reader:
            abstract = program.abstract_state.params
            params, _ = reader.restore_params(abstract)
            assert reader.problem(3, program.abstract_state) == ""
            assert params["blocks"]["attention"]["kv"].shape == (2, 8, 2, 2, 4)
            files = [p for p in (old / "checkpoints" / "3" / "params").rglob("*") if p.is_file()]
            draw, refused = np.random.default_rng(0), 0
            for path in sorted(files) * 2:
                content = path.read_bytes()
                damaged = bytearray(content)
                damaged[draw.integers(len(content))] ^= 4
                path.write_bytes(damaged)
                try:
                    assert_equal(reader.restore_params(abstract)[0], jax.device_get(params))
                except CheckpointError:
                    refused += 1
                path.write_bytes(content)
            assert refused >= 4  # some bytes are read by nobody

    def test_every_number_is_where_it_was(self, tmp_path, monkeypatch):
        """A state with distinct numbers, in the layout before, onto one device and onto eight."""
        program, count = old_program(ONE), iter(range(10**6))
        train = TrainConfig(spike_window=4)
        with jax.set_mesh(program.mesh):
            state = init_state(OLD_MODEL, train, program.optimizer, program.abstract_state)
        fill = lambda x: jnp.arange(x.size, dtype=x.dtype).reshape(x.shape) + next(count)
        state = state._replace(
            trainable=jax.tree.map(fill, state.trainable),
            opt_state=jax.tree.map(fill, state.opt_state),
        )
        old = state._replace(
            trainable=to_format_2(state.trainable),
            opt_state=map_moments(to_format_2, lambda x: x, state.opt_state, state.trainable),
        )
        assert "qkv" in old.trainable["blocks"]["attention"]
        monkeypatch.setattr(checkpoint_format, "FORMAT", 2)
        with Checkpointer(tmp_path) as checkpointer:
            checkpointer.save(old, LoopState(48, []), META)
        monkeypatch.undo()
        for mesh in (ONE, MANY):
            program = old_program(mesh)
            with jax.set_mesh(program.mesh), Checkpointer(tmp_path) as checkpointer:
                restored, _, _ = checkpointer.restore(program.abstract_state)
            assert_equal(restored, jax.device_get(state))
        taken, path_of = {}, lambda path: jax.tree_util.keystr(path, simple=True, separator="/")
        with Checkpointer(tmp_path) as checkpointer:
            checkpointer.restore_params(abstract_params(OLD_MODEL), take=taken.__setitem__)
        for path, array in jax.tree_util.tree_leaves_with_path(state.trainable):
            assert np.array_equal(taken.pop(path_of(path)), array)
        assert not taken


def test_a_real_run_in_hand_can_be_read(data_dir):
    """Each run beside the data, of whatever format."""
    runs = [path.parent for path in (data_dir.parent / "models").glob("*/config.json")]
    if not runs:
        pytest.skip("there is no run in ../models")
    for run in runs:
        assert all(problem == "" for _, problem in verify_checkpoints(run, []))


class TestFrozen:
    """Training the final norm alone, on top of the other parameters."""

    MODEL = ModelConfig(vocab_size=32, n_layers=1, d_model=8, n_heads=2, max_length=8)
    OPTIMIZER = optax.chain(optax.clip_by_global_norm(1.0), optax.scale_by_adam())

    @pytest.fixture(scope="class")
    def batch(self):
        rows = np.random.default_rng(0).integers(1, 32, (4, 9)).astype(np.int32)
        return make_batch(rows, 1)

    def state(self, names):
        """Of step 0, with the parameters of these names as trainable ones."""
        params = jax.jit(lambda: init_params(self.MODEL, jax.random.key(0)))()
        trainable = {name: params.pop(name) for name in names}
        return fresh_state(trainable, TrainConfig(), self.OPTIMIZER, frozen=params)

    def step(self, state, batch):
        return jax.jit(
            functools.partial(
                train_step,
                loss_fn=make_loss(self.MODEL, COMPUTE),
                optimizer=self.OPTIMIZER,
                schedule=lambda step: 0.1,
                microbatches=2,
            )
        )(state, batch)

    def test_gradients_moments_and_updates_concern_the_trainable_part(self, batch):
        state, everything = self.state(["final_norm"]), self.state(self.state([]).frozen)
        after, metrics = self.step(state, batch)
        _, expected = self.step(everything, batch)
        assert_equal(after.frozen, state.frozen)
        assert float(metrics["loss"]) == float(expected["loss"])
        assert 0 < float(metrics["grad_norm"]) < float(expected["grad_norm"])
        assert jax.tree.structure(after.opt_state[1].mu) == jax.tree.structure(state.trainable)
        scale = after.trainable["final_norm"]["scale"]
        assert np.abs(scale - state.trainable["final_norm"]["scale"]).min() > 0.05
        assert jax.tree.structure(after.params) == jax.tree.structure(everything.params)

    def test_checkpoints_hold_the_trainable_part_and_name_the_frozen_one(self, batch, tmp_path):
        state, _ = self.step(self.state(["final_norm"]), batch)
        abstract = jax.tree.map(
            lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), state
        )
        other = jax.tree.map(lambda x: x, state.frozen)
        other["embedding"]["token"] = other["embedding"]["token"].at[3, 4].add(1e-3)
        with Checkpointer(tmp_path) as checkpointer:
            checkpointer.save(state, LoopState(4, []), META)
            restored, _, meta = checkpointer.restore(abstract, state.frozen)
            assert_equal(restored, jax.device_get(state))
            parts = {name.split("/")[0] for name in meta["fingerprint"]}
            assert parts == {"params", "opt_state", "frozen"}
            params, _ = checkpointer.restore_params(abstract.trainable)
            assert_equal(params, jax.device_get(state.trainable))
            for frozen, message in (
                (other, "frozen/embedding/token is float32.* there and float32.* here"),
                ({}, "frozen/blocks/.* is float32.* there and None here"),
            ):
                with pytest.raises(CheckpointError, match=f"other frozen parameters: {message}"):
                    checkpointer.restore(abstract, frozen)
            assert checkpointer.steps() == [1]  # and nothing was set aside

    def test_merging_is_the_union_and_never_a_choice(self):
        merged = merge({"a": {"x": 1}, "b": 2}, {"a": {"y": {"z": 3}}, "c": 4})
        assert merged == {"a": {"x": 1, "y": {"z": 3}}, "b": 2, "c": 4}
        assert merge({"a": 1}, {}) == {"a": 1} == merge({}, {"a": 1})
        for trainable, frozen in (({"a": {"x": 1}}, {"a": {"x": 2}}), ({"a": 1}, {"a": {"x": 2}})):
            with pytest.raises(ConfigError, match="is both trainable and frozen"):
                merge(trainable, frozen)
