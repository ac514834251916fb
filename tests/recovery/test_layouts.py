"""The same run over other processes and meshes, and with another batch and other hosts in the
middle of an epoch.
"""

import collections
import itertools
import zlib

import numpy as np
import pytest

from hclx.data import TokenCache
from hclx.train.example_log import read_examples
from hclx.train.metrics_writer import read_metrics
from tests.recovery.runs import EVERY, STEPS, assert_equal, copy, go_on, numbers


def test_one_mesh_in_one_process_is_bit_exact(run, whole):
    go_on(run, n=1, devices=4)
    assert_equal(run, whole)


def test_one_mesh_over_four_processes_is_bit_exact(run, whole):
    """From a checkpoint of two: four processes take turns on few cores."""
    copy(whole, run, until=STEPS - 3 * EVERY)
    go_on(run, n=4, devices=1)
    assert_equal(run, whole)


def test_another_mesh_sees_the_same_examples_and_agrees(run, whole):
    copy(whole, run, until=2 * EVERY)
    go_on(
        run, mesh=["--gin.MeshConfig.data=2", "--gin.MeshConfig.fsdp=1", "--gin.MeshConfig.model=2"]
    )
    assert read_examples(run) == read_examples(whole)
    for record, expected in zip(numbers(run), numbers(whole), strict=True):
        assert record == pytest.approx(expected, rel=1e-5)


def windows_of(cache_dir):
    """All windows of 128 targets, cut from the stream of tokens."""
    cache = TokenCache(cache_dir)
    (count,) = cache.n_sequences("train", 128)
    stream = cache.stream("train", 0).astype(np.int32)
    return [stream[128 * i : 128 * i + 129] for i in range(count)]


def test_another_batch_and_other_hosts_see_every_window_once_an_epoch(run, whole):
    """Two processes and batches of 8, then one process and batches of 16, then four and batches of
    12, to the end of an epoch.
    """
    windows = windows_of(whole / "cache")
    steps = [EVERY, 4 * EVERY]
    copy(whole, run, until=EVERY)
    go_on(
        run,
        "--allow_changes",
        "--gin.TrainConfig.global_batch_size=16",
        f"--gin.TrainConfig.total_steps={steps[1]}",
        n=1,
        devices=4,
    )
    remaining_windows = len(windows) - EVERY * (8 + 3 * 16)
    steps.append(steps[1] + -(-remaining_windows // 12))
    assert 0 < remaining_windows < 120
    go_on(
        run,
        "--allow_changes",
        "--gin.TrainConfig.global_batch_size=12",
        f"--gin.TrainConfig.total_steps={steps[2]}",
        n=4,
        devices=1,
    )
    examples = read_examples(run)
    ids = [number for step in sorted(examples) for number in sorted(examples[step])]
    assert ids == list(range(len(ids))) and len(ids) >= len(windows)
    seen = collections.Counter(
        crc for step in examples.values() for number, crc in step.items() if number < len(windows)
    )
    assert seen == collections.Counter(zlib.crc32(window.tobytes()) for window in windows)
    sizes = [8] * EVERY + [16] * (3 * EVERY) + [12] * (steps[2] - steps[1])
    assert [record["examples_seen"] for record in read_metrics(run)] == list(
        itertools.accumulate(sizes)
    )
