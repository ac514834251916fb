"""A damaged checkpoint, a second run, a poisoned batch and a full disk."""

import os
import resource
import shutil
import signal

import jax
import numpy as np
import pytest
import tensorstore as ts

from hclx.config import MeshConfig
from hclx.data import TokenCache
from hclx.data.sampler import Order
from hclx.errors import CheckpointError
from hclx.parallel import make_mesh
from hclx.train import Checkpointer
from hclx.train.checkpoint import checkpoints_of
from hclx.train.optimizer import decay_mask, make_optimizer
from hclx.train.run_dir import read_run
from hclx.train.state import abstract_state
from tests.helpers.commands import launch, refused
from tests.helpers.multi_process import THREADS, ended, wait_for_step
from tests.recovery.runs import (
    ALL,
    EVERY,
    STEPS,
    assert_equal,
    copy,
    events_of,
    finish,
    go_on,
    numbers,
    start,
)

FLIPS = 300


def files_of(step):
    return sorted(path for path in step.rglob("*") if path.is_file())


def data_file(step, item="params"):
    return max(files_of(step / item), key=os.path.getsize)


def flip_one_bit(path, draw):
    content = bytearray(path.read_bytes())
    content[draw.integers(len(content))] ^= 1 << draw.integers(8)
    path.write_bytes(content)


def flip(step):
    """In the numbers of the largest array, where orbax does not notice."""
    path = data_file(step)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


def empty(step):
    shutil.rmtree(step)
    step.mkdir()


DAMAGE = {
    "one bit": flip,
    "a file cut": lambda step: os.truncate(data_file(step), 100),
    "a file of zeros": (
        lambda step: data_file(step, "opt_state").write_bytes(
            bytes(os.path.getsize(data_file(step, "opt_state")))
        )
    ),
    "a file deleted": lambda step: data_file(step).unlink(),
    "an empty folder": empty,
}


def test_damaged_checkpoints_are_set_aside_and_the_result_is_the_same(run, whole):
    """Each kind of damage in one of the newest checkpoints, and an unfinished save: one start
    passes all of them by.
    """
    copy(whole, run, until=STEPS)
    steps = range(STEPS, STEPS - EVERY * len(DAMAGE), -EVERY)
    for step, damage in zip(steps, DAMAGE.values(), strict=True):
        damage(checkpoints_of(run) / str(step))
    shutil.copytree(
        checkpoints_of(whole) / str(STEPS),
        checkpoints_of(run) / f"{STEPS + EVERY}.orbax-checkpoint-tmp",
    )
    go_on(run)
    events = events_of(run, "quarantine", "restore")
    assert [(event["event"], event["step"]) for event in events] == [
        *(("quarantine", step) for step in steps),
        ("restore", steps[-1] - EVERY),
    ]
    assert len(list(checkpoints_of(run).glob("*.corrupt-*"))) == len(DAMAGE)
    assert_equal(run, whole)


def test_with_no_good_checkpoint_left_the_run_ends_and_does_not_begin_again(run, whole):
    copy(whole, run, until=2 * EVERY)
    for step in (EVERY, 2 * EVERY):
        flip(checkpoints_of(run) / str(step))
    before = numbers(run)
    with start(run) as started:
        results = finish(started, [65, 65])
    assert (
        all("holds no good checkpoint" in result.stderr for result in results)
        and numbers(run) == before
    )


def test_random_flips_over_all_files_are_never_restored_as_wrong_weights(whole, tmp_path):
    """Bits that nobody reads change nothing; every other one is found, here on one device of the
    four that saved.
    """
    experiment, _ = read_run(whole)
    mesh = make_mesh(MeshConfig(), jax.devices()[:1])
    abstract = abstract_state(
        experiment.model,
        experiment.train,
        make_optimizer(experiment.optimizer, decay_mask(experiment.model)),
        mesh,
    )
    step = tmp_path / "run" / "checkpoints" / str(STEPS)
    shutil.copytree(checkpoints_of(whole) / str(STEPS), step)
    with Checkpointer(tmp_path / "run", read_only=True) as reader:
        expected, loop, meta = reader.restore(abstract)
        right = [np.asarray(x) for x in jax.tree.leaves(expected)]
        draw, refused_flips = np.random.default_rng(0), 0
        files = files_of(step)
        for trial in range(FLIPS):
            path = files[trial % len(files)]
            content = path.read_bytes()
            if not content:
                continue
            flip_one_bit(path, draw)
            try:
                restored = reader.restore(abstract)
            except CheckpointError:
                refused_flips += 1
            else:
                assert restored is not None and (restored.loop, restored.meta) == (loop, meta), path
                for a, b in zip(jax.tree.leaves(restored.state), right, strict=True):
                    assert np.asarray(a).tobytes() == b.tobytes(), path
            path.write_bytes(content)
    assert refused_flips > FLIPS // 4


def test_a_second_run_in_the_folder_is_refused_and_the_first_is_not_disturbed(run):
    long = "--gin.TrainConfig.total_steps=20000"
    with start(run, long) as started:
        wait_for_step(started, run, 2)
        second = launch("pretrain.py", *ALL, long, f"--model_dir={run}", variables=THREADS)
        assert "in use by a run that is alive" in refused(second, 64)
        (run / "STOP").touch()
        finish(started)
    steps = [record["step"] for record in numbers(run)]
    assert steps == list(range(1, len(steps) + 1)) and len(events_of(run, "start")) == 1


def poison(cache_dir, example):
    """Writes an id that the vocabulary does not have into the window of an example, with valid
    checksums.

    Returns the steps that see it, in each epoch one.
    """
    cache = TokenCache(cache_dir)
    _, windows = Order(cache.n_sequences("train", 128), cache.rates, 0).locate(np.arange(8 * STEPS))
    window = windows[example]
    (path,) = [
        p.parent for p in (cache_dir / "train").rglob("zarr.json") if p.parent.name == "tokens"
    ]
    stream = ts.open(
        {"driver": "zarr3", "kvstore": {"driver": "file", "path": str(path)}}, open=True
    ).result()
    stream[int(window) * 128 + 5].write(60_000).result()
    return [int(position) // 8 + 1 for position in np.flatnonzero(windows == window)]


def test_a_poisoned_batch_is_left_out_and_counted(run, whole):
    """One token that the vocabulary does not have, in one window."""
    steps = poison(run / "cache", example=8 * (EVERY + 1) + 3)
    go_on(run)
    skips = events_of(run, "skip")
    assert steps[0] == EVERY + 2 and [skip["step"] for skip in skips] == steps
    assert all(skip["examples"] == [8 * skip["step"] - 8, 8 * skip["step"]] for skip in skips)
    records, expected = numbers(run), numbers(whole)
    assert records[: EVERY + 1] == expected[: EVERY + 1]
    assert [record["step"] for record in records if record["loss"] is None] == steps and records[
        -1
    ]["skipped"] == len(steps)
    assert records[-1]["loss"] == pytest.approx(expected[-1]["loss"], rel=0.05)


@pytest.mark.long
def test_a_recipe_that_diverges_ends_with_66_and_its_last_checkpoint_is_finite(run):
    with start(
        run, "--gin.OptimizerConfig.learning_rate=1e30", "--gin.OptimizerConfig.warmup_steps=6"
    ) as started:
        results = finish(started, [66, 66])
    assert "the 8th in a row" in results[0].stderr
    assert len(events_of(run, "skip")) >= 8


def test_a_full_disk_ends_with_74_and_what_was_saved_stays(run, whole):
    copy(whole, run, until=2 * EVERY)
    with start(
        run, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (65_536, 65_536))
    ) as started:
        codes = [result.returncode for result in ended(started)]
    assert codes[0] == 74 and codes[1] in (70, 74, -signal.SIGABRT)
    assert [event["step"] for event in events_of(run, "save_failed")] == [
        3 * EVERY,
        4 * EVERY,
        5 * EVERY,
    ]
    assert {str(EVERY), str(2 * EVERY)} == {path.name for path in checkpoints_of(run).iterdir()}
    go_on(run)
    assert_equal(run, whole)
