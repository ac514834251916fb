"""The same run over other processes and meshes, and with another batch and other hosts in the middle of an epoch."""

import collections
import json

import pytest

from hclx.data import TokenCache
from hclx.train.audit import read_examples
from tests.recovery.runs import EVERY, STEPS, assert_equal, copy, go_on, numbers


@pytest.mark.parametrize(("n", "devices"), [(1, 4), (4, 1)])
def test_one_mesh_over_other_processes_is_bit_exact(n, devices, run, whole):
    go_on(run, n=n, devices=devices)
    assert_equal(run, whole)


def test_another_mesh_sees_the_same_examples_and_agrees(run, whole):
    copy(whole, run, until=EVERY)
    go_on(run, mesh=["--gin.MeshConfig.data=2", "--gin.MeshConfig.fsdp=1", "--gin.MeshConfig.model=2"])
    assert read_examples(run) == read_examples(whole)
    for found, expected in zip(numbers(run), numbers(whole), strict=True):
        assert found == pytest.approx(expected, rel=1e-5)


def test_another_batch_and_other_hosts_see_every_window_once_an_epoch(run, whole):
    """Two processes and batches of 8, then one process and batches of 16, then four and batches of 4; with the counts of windows."""
    n_windows = sum(TokenCache(whole / "cache").n_windows("train", 128))
    copy(whole, run, until=EVERY)
    seen = 8 * EVERY
    steps = EVERY + 5
    go_on(run, "--gin.TrainConfig.global_batch_size=16", f"--gin.TrainConfig.total_steps={steps}", n=1, devices=4)
    seen += 16 * 5
    steps += -(-(2 * n_windows - seen) // 4)
    assert 2 * n_windows > seen and steps < 400
    go_on(run, "--gin.TrainConfig.global_batch_size=4", f"--gin.TrainConfig.total_steps={steps}", n=4, devices=1)
    examples = read_examples(run)
    ids = [number for step in sorted(examples) for number in sorted(examples[step])]
    assert ids == list(range(len(ids))) and len(ids) >= 2 * n_windows
    content = collections.Counter(crc for step in examples.values() for number, crc in step.items() if number < n_windows)
    again = collections.Counter(crc for step in examples.values() for number, crc in step.items() if n_windows <= number < 2 * n_windows)
    assert content == again and len(content) == n_windows  # each epoch holds each window once, in another order
    records = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [record["examples_seen"] for record in records] == [
        8 * s if s <= EVERY else 8 * EVERY + 16 * min(5, s - EVERY) + 4 * max(0, s - EVERY - 5) for s in range(1, steps + 1)
    ]
    assert STEPS < steps
