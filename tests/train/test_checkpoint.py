"""Checkpoints: what comes back is what was saved, on any mesh; damage is named and never restored."""

import json
import os
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hclx.config import MeshConfig
from hclx.errors import CheckpointError, StorageError
from hclx.parallel import make_mesh
from hclx.train import Checkpointer, init_state
from hclx.train.program import make_program
from tests.parallel.test_meshes_agree import ONE, devices_of, experiment, windows

LOOP, META = {"step": 3, "next_index": 48}, {"hashes": {"vocabulary": "v"}}


def program_on(config):
    return make_program(experiment(config), make_mesh(config, devices_of(config)), 1)


def trained(config, steps=3):
    program = program_on(config)
    with jax.set_mesh(program.mesh):
        state = init_state(experiment(config).model, program.optimizer, program.abstract, seed=0)
        for window in windows(steps):
            state, _ = program.train_step(state, jax.device_put(window, program.windows))
    return program, state


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A folder with the checkpoint of step 3, the program it is of, and the state."""
    folder = tmp_path_factory.mktemp("run")
    program, state = trained(ONE)
    with Checkpointer(folder) as checkpointer:
        checkpointer.save(state, LOOP, META)
    return folder, program, jax.device_get(state)


def assert_equal(found, expected):
    jax.tree.map(np.testing.assert_array_equal, jax.device_get(found), expected)


def test_there_and_back_bit_for_bit(saved):
    folder, program, state = saved
    with Checkpointer(folder) as checkpointer:
        restored, loop, meta = checkpointer.restore(program.abstract)
    assert_equal(restored, state)
    assert loop == LOOP and meta["hashes"] == META["hashes"] and int(restored.step) == 3


@pytest.mark.parametrize("mesh", [MeshConfig(fsdp=8), MeshConfig(data=2, fsdp=2, model=2)])
def test_restored_onto_another_mesh(saved, mesh):
    folder, _, state = saved
    program = program_on(mesh)
    with Checkpointer(folder) as checkpointer:
        restored, _, _ = checkpointer.restore(program.abstract)
    assert_equal(restored, state)
    for array, wanted in zip(jax.tree.leaves(restored.params), jax.tree.leaves(program.abstract.params)):
        assert array.sharding == wanted.sharding


def test_saved_on_many_devices_restored_on_one(saved, tmp_path):
    _, state = trained(MeshConfig(data=2, fsdp=2, model=2))
    with Checkpointer(tmp_path) as checkpointer:
        checkpointer.save(state, LOOP, META)
        restored, _, _ = checkpointer.restore(saved[1].abstract)
    assert_equal(restored, jax.device_get(state))


def test_parameters_alone_even_where_the_moments_are_gone(saved, tmp_path):
    folder = shutil.copytree(saved[0], tmp_path / "run")
    shutil.rmtree(folder / "checkpoints" / "3" / "opt_state")
    with Checkpointer(folder, read_only=True) as checkpointer:
        params, meta = checkpointer.restore_params(saved[1].abstract.params)
    assert_equal(params, saved[2].params)
    assert meta["step"] == 3


def test_the_state_may_be_donated_as_soon_as_save_returns(tmp_path):
    program, state = trained(ONE)
    expected = jax.tree.map(np.array, jax.device_get(state))
    with Checkpointer(tmp_path) as checkpointer, jax.set_mesh(program.mesh):
        checkpointer.save(state, LOOP, META)
        program.train_step(state, jax.device_put(windows(4)[3], program.windows))  # donates
        checkpointer.wait()
        restored, _, _ = checkpointer.restore(program.abstract)
    assert_equal(restored, expected)


def test_newest_are_kept_and_multiples_for_good(tmp_path):
    program, state = trained(ONE, steps=1)
    with Checkpointer(tmp_path, keep_last=2, keep_every=4) as checkpointer:
        for step in range(1, 8):
            checkpointer.save(state._replace(step=jnp.int32(step)), LOOP, META)
        checkpointer.wait()
        assert checkpointer.steps() == [4, 6, 7]


def test_nothing_to_restore(tmp_path, saved):
    with Checkpointer(tmp_path) as checkpointer:
        assert checkpointer.restore(saved[1].abstract) is None
        with pytest.raises(CheckpointError, match="holds no checkpoint"):
            checkpointer.restore_params(saved[1].abstract.params)
    with Checkpointer(saved[0]) as checkpointer, pytest.raises(CheckpointError, match="no step 9; it has \\[3\\]"):
        checkpointer.restore(saved[1].abstract, step=9)


class TestDamage:
    @pytest.fixture()
    def run(self, saved, tmp_path):
        folder = shutil.copytree(saved[0], tmp_path / "run")
        return folder / "checkpoints" / "3", lambda: Checkpointer(folder, read_only=True).restore(saved[1].abstract)

    def test_wrong_weights_are_never_restored(self, run, saved):
        """Bits flipped in the largest data files: restored right, or refused."""
        step, restore = run
        files = sorted((p for item in ("params", "opt_state") for p in (step / item).rglob("*") if p.is_file()), key=os.path.getsize)[-4:]
        draw, refused = np.random.default_rng(0), 0
        for trial in range(24):
            path = files[trial % 4]
            original = path.read_bytes()
            damaged = bytearray(original)
            damaged[draw.integers(len(damaged))] ^= 1 << draw.integers(8)
            path.write_bytes(damaged)
            try:
                assert_equal(restore()[0], saved[2])
            except CheckpointError:
                refused += 1
            path.write_bytes(original)
        assert refused >= 12  # some bits of a file are read by nobody

    def test_an_array_that_was_exchanged_for_another_is_named(self, run, saved):
        """A valid checkpoint of other numbers, which only the fingerprint can tell from the right one."""
        step, restore = run
        meta = next((step / "meta").rglob("metadata"))
        content = json.loads(meta.read_text())
        content["fingerprint"]["params/blocks/mlp/wi"] = "float32[3, 64, 256]:0000000000000000"
        meta.write_text(json.dumps(content))
        with pytest.raises(CheckpointError, match="item meta is damaged"):
            restore()

    @pytest.mark.parametrize("item", ["params", "opt_state", "loop", "meta"])
    def test_a_lost_item(self, run, item):
        step, restore = run
        shutil.rmtree(step / item)
        with pytest.raises(CheckpointError, match="3"):
            restore()

    def test_changed_loop(self, run):
        step, restore = run
        path = next(p for p in (step / "loop").rglob("*") if p.is_file() and b"next_index" in p.read_bytes())
        path.write_bytes(path.read_bytes().replace(b"48", b"64"))
        with pytest.raises(CheckpointError, match="item loop is damaged"):
            restore()


def test_a_save_that_failed_is_an_error_and_never_silence(tmp_path, saved, monkeypatch):
    """The folder becomes a file: nothing can be written there."""
    program, state = trained(ONE, steps=1)
    checkpointer = Checkpointer(tmp_path)
    shutil.rmtree(tmp_path / "checkpoints")
    (tmp_path / "checkpoints").write_text("in the way")
    with pytest.raises(StorageError, match="step 1"):
        checkpointer.save(state, LOOP, META)
        checkpointer.wait()
