"""Checkpoints: what comes back is what was saved, on any mesh; damage is named and never
restored.
"""

import dataclasses
import errno
import json
import os
import shutil
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from orbax.checkpoint._src.multihost import multihost

from hclx.config import MeshConfig
from hclx.errors import CheckpointError, NumericsError, StorageError, StuckError
from hclx.parallel import make_mesh
from hclx.train import Checkpointer, checkpoint_format, checkpoint_read
from hclx.train.step import make_program
from tests.helpers.checkpoints import (
    LOOP,
    META,
    assert_equal,
    largest,
    no_file_above,
    program_on,
    trained,
)
from tests.helpers.meshes import ONE, batch_of, devices_of, experiment, windows


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A folder with the checkpoint of step 3, the program it is of, and the state, as numbers and
    on its device.
    """
    folder = tmp_path_factory.mktemp("run")
    program, state = trained(ONE)
    with Checkpointer(folder) as checkpointer:
        checkpointer.save(state, LOOP, META)
    return folder, program, jax.tree.map(np.array, jax.device_get(state)), state


def test_there_and_back_bit_for_bit(saved):
    folder, program, state, _ = saved
    with Checkpointer(folder) as checkpointer:
        restored, loop, meta = checkpointer.restore(program.abstract_state)
    assert_equal(restored, state)
    assert loop == LOOP and meta["hashes"] == META["hashes"] and int(restored.step) == 3


@pytest.mark.parametrize("mesh", [MeshConfig(fsdp=8), MeshConfig(data=2, fsdp=2, model=2)])
def test_restored_onto_another_mesh(saved, mesh):
    folder, _, state, _ = saved
    program = program_on(mesh)
    with Checkpointer(folder) as checkpointer:
        restored, _, _ = checkpointer.restore(program.abstract_state)
    assert_equal(restored, state)
    for array, abstract_array in zip(
        jax.tree.leaves(restored.params), jax.tree.leaves(program.abstract_state.params)
    ):
        assert array.sharding == abstract_array.sharding


def test_saved_on_many_devices_restored_on_one(saved, tmp_path):
    abstract = program_on(MeshConfig(data=2, fsdp=2, model=2)).abstract_state
    place = lambda x, like: jax.device_put(x, like.sharding)
    state = jax.tree.map(place, saved[2], abstract)
    with Checkpointer(tmp_path) as checkpointer:
        checkpointer.save(state, LOOP, META)
        restored, _, _ = checkpointer.restore(saved[1].abstract_state)
    assert_equal(restored, jax.device_get(state))


def test_parameters_alone_even_where_the_moments_are_gone(saved, tmp_path):
    folder = shutil.copytree(saved[0], tmp_path / "run")
    shutil.rmtree(folder / "checkpoints" / "3" / "opt_state")
    with Checkpointer(folder, read_only=True) as checkpointer:
        params, meta = checkpointer.restore_params(saved[1].abstract_state.params)
    assert_equal(params, saved[2].params)
    assert meta["step"] == 3


def test_the_state_may_be_donated_as_soon_as_save_returns(tmp_path):
    program, state = trained(ONE)
    expected = jax.tree.map(np.array, jax.device_get(state))
    with Checkpointer(tmp_path) as checkpointer, jax.set_mesh(program.mesh):
        checkpointer.save(state, LOOP, META)
        program.train_step(state, batch_of(windows(4)[3], program))  # donates
        checkpointer.wait()
        restored, _, _ = checkpointer.restore(program.abstract_state)
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
        assert checkpointer.restore(saved[1].abstract_state) is None
        with pytest.raises(CheckpointError, match="holds no checkpoint"):
            checkpointer.restore_params(saved[1].abstract_state.params)
    with (
        Checkpointer(saved[0]) as checkpointer,
        pytest.raises(CheckpointError, match="no step 9; it has \\[3\\]"),
    ):
        checkpointer.restore_params(saved[1].abstract_state.params, step=9)


def test_another_model_is_refused_and_nothing_is_set_aside(saved):
    other = dataclasses.replace(
        experiment(ONE), model=dataclasses.replace(experiment(ONE).model, d_model=32)
    )
    abstract = make_program(other, make_mesh(ONE, devices_of(ONE))).abstract_state
    with Checkpointer(saved[0]) as checkpointer:
        with pytest.raises(
            CheckpointError, match="of another model: opt_state/.* there and float32.* here"
        ):
            checkpointer.restore(abstract)
        assert checkpointer.steps() == [3]


def test_another_format_is_refused_and_nothing_is_set_aside(tmp_path, saved, monkeypatch):
    monkeypatch.setattr(checkpoint_format, "FORMAT", 1)
    with Checkpointer(tmp_path) as checkpointer:
        checkpointer.save(saved[3], LOOP, META)
    monkeypatch.undo()
    with Checkpointer(tmp_path) as checkpointer:
        with pytest.raises(CheckpointError, match="has format 1, and this version reads 2 and 3"):
            checkpointer.restore(saved[1].abstract_state)
        assert checkpointer.steps() == [3]


class TestDamage:
    @pytest.fixture()
    def run(self, saved, tmp_path):
        folder = shutil.copytree(saved[0], tmp_path / "run")
        return folder / "checkpoints" / "3", lambda: Checkpointer(folder, read_only=True).restore(
            saved[1].abstract_state
        )

    def test_wrong_weights_are_never_restored(self, run, saved):
        """Bits flipped in the largest data files: restored right, or refused."""
        step, restore = run
        files = sorted(
            (
                p
                for item in ("params", "opt_state")
                for p in (step / item).rglob("*")
                if p.is_file()
            ),
            key=os.path.getsize,
        )[-4:]
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
        """A valid checkpoint of other numbers, which only the fingerprint can tell from the right
        one.
        """
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
        path = next(
            p for p in (step / "loop").rglob("*") if p.is_file() and b"next_index" in p.read_bytes()
        )
        path.write_bytes(path.read_bytes().replace(b"48", b"64"))
        with pytest.raises(CheckpointError, match="item loop is damaged"):
            restore()


def empty(path):
    shutil.rmtree(path)
    path.mkdir()


def replace(path, old, new):
    path.write_bytes(path.read_bytes().replace(old, new, 1))


DAMAGE = {
    "the metadata are cut": lambda path: os.truncate(path / "params" / "_METADATA", 100),
    "a name in the metadata is another": lambda path: replace(
        path / "opt_state" / "_METADATA", b"key_type", b"key_typf"
    ),
    "a file is cut": lambda path: os.truncate(largest(path, "params"), 1000),
    "a file is zeroed": (
        lambda path: largest(path, "opt_state").write_bytes(
            bytes(os.path.getsize(largest(path, "opt_state")))
        )
    ),
    "a file is gone": lambda path: largest(path, "params").unlink(),
    "an item is gone": lambda path: shutil.rmtree(path / "loop"),
    "nothing is in it": empty,
}


def raising(error):
    def refuse(patched):
        def restore(*_, **__):
            raise Exception("Encountered error while reading array index: 3") from error

        patched.setattr(checkpoint_read, "_read", restore)

    return refuse


def no_permission(patched):
    """As files of another user: root opens them all the same, so that opening is what is refused,
    and TensorStore's own message stands for its own open.
    """
    message = "PERMISSION_DENIED: Error opening local file [os_error_code='13']"
    raising(ValueError(message))(patched)


def ocdbt_error(number, status):
    return ValueError(f"{status}: Error reading local file \"x\" [os_error_code='{number}']")


REFUSE = {
    "a disk that fails": raising(OSError(errno.EIO, "Input/output error", "d/15dd")),
    "a lost server": raising(OSError(errno.ESTALE, "Stale file handle", "d/15dd")),
    "too many open files": raising(ocdbt_error(errno.EMFILE, "RESOURCE_EXHAUSTED")),
    "files of another user": no_permission,
    "a disk that fails below TensorStore": raising(ocdbt_error(errno.EIO, "DATA_LOSS")),
    "too little memory on the device": raising(
        jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 99 bytes.")
    ),
    "too little memory": raising(MemoryError()),
    "an encoding": raising(RuntimeError("Unable to cast Python instance of type str to C++ type")),
    "an ASCII locale": raising(UnicodeDecodeError("ascii", b"\xea", 0, 1, "ordinal not in range")),
}
REFUSALS = {
    "a disk that fails": (StorageError, "Input/output error"),
    "a lost server": (StorageError, "Stale file handle"),
    "too many open files": (StorageError, "Too many open files"),
    "files of another user": (StorageError, "Permission denied"),
    "a disk that fails below TensorStore": (StorageError, "Input/output error"),
    "too little memory on the device": (StuckError, "too little memory .RESOURCE_EXHAUSTED"),
    "too little memory": (StuckError, "too little memory"),
    "an encoding": (StuckError, "Unable to cast"),
    "an ASCII locale": (StuckError, "ordinal not in range"),
}


class TestFallback:
    """Two checkpoints, of which the newer one is damaged."""

    @pytest.fixture()
    def run(self, saved, tmp_path):
        folder, events = shutil.copytree(saved[0], tmp_path / "run"), []
        with Checkpointer(folder) as checkpointer:
            checkpointer.save(saved[3]._replace(step=jnp.int32(4)), LOOP, META)
        checkpoints = folder / "checkpoints"
        return (
            checkpoints,
            lambda **how: restore_once(folder, saved[1].abstract_state, events, **how),
            events,
        )

    @pytest.mark.parametrize("damage", DAMAGE)
    def test_a_damaged_one_is_set_aside_and_the_older_one_taken(self, run, saved, damage):
        checkpoints, restore, events = run
        DAMAGE[damage](checkpoints / "4")
        assert_equal(restore().state, saved[2])
        (aside,) = checkpoints.glob("4.corrupt-*")
        assert [(e, f["step"], f["name"]) for e, f in events] == [
            ("quarantine", 4, aside.name)
        ] and events[0][1]["reason"]
        assert not (checkpoints / "4").exists()

    def test_what_a_killed_save_left_is_no_checkpoint(self, run):
        checkpoints, restore, events = run
        shutil.copytree(checkpoints / "4", checkpoints / "5.orbax-checkpoint-tmp")
        assert int(restore().state.step) == 4 and not events

    def test_with_none_left_the_run_does_not_begin_again(self, run):
        checkpoints, restore, _ = run
        for step in ("3", "4"):
            empty(checkpoints / step)
        for _ in range(2):  # nor at the next start
            with pytest.raises(
                CheckpointError, match="holds no good checkpoint .3.corrupt-.*rewind --step=0"
            ):
                restore()

    def test_a_copy_under_the_name_of_another_step_is_refused(self, run):
        checkpoints, restore, events = run
        (checkpoints / "4").rename(checkpoints / "25")
        message = "25 holds the checkpoint of step 4, and its name says 25; rename it to 4"
        with pytest.raises(CheckpointError, match=message):
            restore()
        assert {p.name for p in checkpoints.iterdir()} == {"3", "25"} and not events

    @pytest.mark.parametrize("reader", REFUSALS)
    def test_what_could_not_be_read_is_no_damage(self, run, reader, monkeypatch):
        """Both are good, whatever the reading of them raised."""
        checkpoints, restore, events = run
        raised, (kind, message) = reader, REFUSALS[reader]
        with monkeypatch.context() as patched:
            how = REFUSE[raised]
            how(patched)
            with pytest.raises(kind, match=f"checkpoints/4.*{message}") as error:
                restore()
        assert "Nothing was renamed" in str(error.value) or "nothing was renamed" in str(
            error.value
        )
        assert {p.name for p in checkpoints.iterdir()} == {"3", "4"} and not events
        assert int(restore().state.step) == 4

    @pytest.mark.skipif(not os.path.exists("/proc/self/mem"), reason="Linux alone has this file")
    @pytest.mark.parametrize("item", ["params", "loop"])
    def test_an_error_of_the_disk_is_no_damage(self, run, item, tmp_path):
        """The memory of a process is a file of which the first byte gives an I/O error."""
        checkpoints, restore, events = run
        path = largest(checkpoints / "4", item)
        path.rename(tmp_path / "good")
        path.symlink_to("/proc/self/mem")
        with pytest.raises(StorageError, match="checkpoints/4.*Input/output error.*othing was ren"):
            restore()
        assert {p.name for p in checkpoints.iterdir()} == {"3", "4"} and not events
        path.unlink()
        (tmp_path / "good").rename(path)
        assert int(restore().state.step) == 4

    def test_a_reader_that_gives_up_at_all_of_them_proves_nothing(self, run):
        checkpoints, restore, events = run
        for step in ("3", "4"):
            replace(checkpoints / step / "params" / "_METADATA", b"key_type", b"key_typf")
        with pytest.raises(
            StuckError, match="checkpoints/4 could not be read: KeyError: 'key_type"
        ):
            restore()
        assert {p.name for p in checkpoints.iterdir()} == {"3", "4"} and not events

    def test_after_a_rewind_to_the_beginning_it_does(self, run):
        checkpoints, restore, _ = run
        for step in ("3", "4"):
            (checkpoints / step).rename(checkpoints / f"{step}.rewound-20260101T000000Z")
        with pytest.raises(CheckpointError, match="holds no good checkpoint"):
            restore()
        assert restore(from_scratch=True) is None


def restore_once(folder, abstract, events, **how):
    with Checkpointer(
        folder, report=lambda event, **fields: events.append((event, fields))
    ) as checkpointer:
        return checkpointer.restore(abstract, **how)


class TestFailedSaves:
    @pytest.fixture()
    def run(self, saved, tmp_path, monkeypatch):
        # Threads of a save that failed wait so long for each other: without it, five minutes.
        monkeypatch.setattr(multihost, "_DEFAULT_BARRIER_TIMEOUT", 5)
        events = []
        with Checkpointer(
            tmp_path, report=lambda event, **fields: events.append((event, fields["step"]))
        ) as checkpointer:
            yield (
                checkpointer,
                lambda step: checkpointer.save(saved[3]._replace(step=jnp.int32(step)), LOOP, META),
                events,
            )

    def test_one_is_reported_and_the_next_finds_room_again(self, run):
        checkpointer, save, events = run
        with no_file_above(4096):
            save(1)
            assert not checkpointer.wait()
        save(2)
        assert checkpointer.wait() and checkpointer.steps() == [2]
        assert events == [("save_failed", 1), ("save", 2)]

    def test_an_event_has_the_time_of_its_own_save(self, run):
        checkpointer, save, events = run
        save(1)
        deadline = time.monotonic() + 60
        while not events:  # as between the steps of a long interval
            assert time.monotonic() < deadline
            checkpointer.look()
            time.sleep(0.01)
        assert events == [("save", 1)]
        checkpointer.wait()
        assert events == [("save", 1)]

    def test_a_failure_is_known_before_the_next_save(self, run):
        checkpointer, save, events = run
        with no_file_above(4096):
            save(1)
            deadline = time.monotonic() + 60
            while not events:
                assert time.monotonic() < deadline
                checkpointer.look()
        assert events == [("save_failed", 1)]

    def test_parameters_that_are_not_finite_are_never_saved(self, run, saved):
        checkpointer, save, events = run
        save(1)
        checkpointer.wait()
        for value, item in ((jnp.nan, "params"), (jnp.inf, "opt_state")):
            broken = jax.tree.map(jnp.copy, saved[3])._replace(step=jnp.int32(2))
            if item == "params":
                norm = broken.trainable["final_norm"]
                norm = norm | {"bias": norm["bias"].at[3].set(value)}
                broken = broken._replace(trainable=broken.trainable | {"final_norm": norm})
            else:
                broken = broken._replace(
                    opt_state=jax.tree.map(
                        lambda x: x.at[0].set(value) if x.dtype == jnp.float32 else x,
                        broken.opt_state,
                    )
                )
            with pytest.raises(NumericsError, match=f"^{item}/.* of step 2 .* not saved"):
                checkpointer.save(broken, LOOP, META)
        assert checkpointer.steps() == [1] and events == [("save", 1)]

    def test_three_in_a_row_end_the_run_and_what_was_saved_stays(self, run):
        checkpointer, save, events = run
        save(1)
        checkpointer.wait()
        with no_file_above(4096):
            with pytest.raises(StorageError, match="could not save step 4 .* .3 of 3 in a row."):
                for step in (2, 3, 4, 5):
                    save(step)
                    checkpointer.wait()
        assert checkpointer.steps() == [1]
        assert events == [("save", 1), ("save_failed", 2), ("save_failed", 3), ("save_failed", 4)]
        remaining = {path.name for path in checkpointer.directory.iterdir()}
        # some threads of the last one may still be writing; the next start removes it
        assert remaining <= {"1", "4.orbax-checkpoint-tmp"}

    def test_a_folder_that_cannot_be_written(self, run):
        checkpointer, save, events = run
        shutil.rmtree(checkpointer.directory)
        checkpointer.directory.write_text("in the way")
        save(1)
        checkpointer.wait()  # known at once, or after the write
        assert events == [("save_failed", 1)]
        checkpointer.directory.unlink()
        checkpointer.directory.mkdir()
