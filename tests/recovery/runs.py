"""Runs of launch/pretrain.py that are interrupted, and what has to be equal afterwards."""

import shutil
import time

from hclx.train.checkpoint import checkpoints_of
from hclx.train.events import read_events
from hclx.train.example_log import read_examples
from tests.helpers import multi_process
from tests.helpers.commands import TINY
from tests.helpers.runs import numbers

STEPS, EVERY = 32, 4
MESH = ["--gin.MeshConfig.fsdp=2", "--gin.MeshConfig.model=2"]
SMALL = [
    f"--gin.TrainConfig.{field}"
    for field in (
        f"total_steps={STEPS}",
        f"checkpoint_every={EVERY}",
        f"eval_every={STEPS}",
        "keep_last=8",
    )
]
FLAGS = ["--log_examples", "--heartbeat_seconds=6", "--lease_seconds=6", "--save_timeout=10"]
ALL = [*TINY, "--gin.ModelConfig.n_layers=1", *SMALL, *FLAGS]


def start(folder, *bindings, n=2, devices=2, mesh=MESH, **options):
    """Processes of a run; see `multi_process.processes`."""
    return multi_process.processes(n, folder, *ALL, *mesh, *bindings, devices=devices, **options)


def finish(started, codes=None):
    """Waits for processes to end by themselves, with these exit codes (0 by default)."""
    results = multi_process.ended(started)
    actual_codes = [result.returncode for result in results]
    assert actual_codes == (codes or [0] * len(results)), (
        actual_codes,
        [result.stderr[-3000:] for result in results],
    )
    return results


def go_on(folder, *bindings, **options):
    """The same command again, to the end."""
    with start(folder, *bindings, **options) as started:
        return finish(started)


def copy(whole, folder, *, until):
    """A run as a kill after the save of step `until` would leave it."""
    shutil.copytree(whole, folder, dirs_exist_ok=True)
    for path in checkpoints_of(folder).iterdir():
        if int(path.name) > until:
            shutil.rmtree(path)


def assert_equal(folder, whole):
    """Every number of every step, and the content of every window that it was computed from."""
    assert numbers(folder) == numbers(whole)
    assert read_examples(folder) == read_examples(whole)


def assert_equal_so_far(folder, whole):
    """Of a run that was hit: what it wrote before is a beginning of the one that was not."""
    records = numbers(folder)
    assert records == numbers(whole)[: len(records)]


def events_of(folder, *kinds):
    return [event for event in read_events(folder) if event["event"] in kinds]


def wait_until(condition, started, seconds=120):
    """Polls as fast as this machine can; fails where a process ended before."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert all(p.poll() is None for p in started), [
            multi_process.said(p)[-3000:] for p in started
        ]
        assert time.monotonic() < deadline
        time.sleep(0.001)
