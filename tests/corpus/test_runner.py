"""The local runner: every block reaches the place of its key, every shard is written once, whatever
the number of workers; and what becomes of workers.
"""

import dataclasses
import functools
import json
import os
import subprocess
import sys
import time
from typing import NamedTuple

import pytest

from hclx.corpus import runner
from hclx.corpus.runner import LocalRunner, advance, make_runner
from hclx.errors import ConfigError, DataError, StuckError
from tests.helpers.beam_functions import refuse
from tests.helpers.commands import environment
from tests.helpers.killing import is_running, needs_proc


@dataclasses.dataclass(frozen=True)
class Shard:
    index: int


def map_numbers(shard):
    """Every number below 20 under its remainder."""
    for number in range(shard.index, 20, 4):
        yield number % 3, (number, shard.index)


def reduce_numbers(blocks):
    """To the shard that each number came from: the sum of all numbers with its remainder."""
    blocks = list(blocks)
    for _, shard in blocks:
        if shard != 3:  # one shard receives nothing
            yield shard, sum(number for number, _ in blocks)


def map_sums(shard, blocks):
    for total in blocks:
        yield "all", (shard.index, total)


def reduce_sums(blocks):
    yield 0, sorted(blocks)


def write(shard, blocks, folder):
    (folder / f"{shard.index}").write_text(json.dumps(sorted(blocks)))


def touch(item, folder):
    with (folder / f"item{item}").open("a") as file:
        file.write("once")


def wait_or_refuse(item):
    time.sleep(60) if item == "wait" else refuse(item)


def kill_itself(item):
    os.kill(os.getpid(), 9)


SUMS = {r: sum(n for n in range(20) if n % 3 == r) for r in range(3)}
SHARDS = [Shard(i) for i in range(4)]


def read(folder, index):
    return json.loads((folder / str(index)).read_text())


@pytest.mark.parametrize("workers", [1, 2])
def test_blocks_reach_their_key_and_return(tmp_path, workers):
    runner = make_runner(workers=workers)
    runner.map_reduce(
        [(map_numbers, reduce_numbers)], functools.partial(write, folder=tmp_path), SHARDS, ""
    )
    for index in range(3):
        assert read(tmp_path, index) == sorted(SUMS[n % 3] for n in range(index, 20, 4))
    assert read(tmp_path, 3) == []


@pytest.mark.parametrize("workers", [1, 2])
def test_a_second_round_takes_what_the_first_sent_to_each_shard(tmp_path, workers):
    make_runner(workers=workers).map_reduce(
        [(map_numbers, reduce_numbers), (map_sums, reduce_sums)],
        functools.partial(write, folder=tmp_path),
        SHARDS,
        "",
    )
    expected = sorted([index, SUMS[n % 3]] for index in range(3) for n in range(index, 20, 4))
    assert read(tmp_path, 0) == [expected]
    assert [read(tmp_path, i) for i in (1, 2, 3)] == [[]] * 3


@pytest.mark.parametrize("workers", [1, 3])
def test_every_item_is_done_once(tmp_path, workers):
    make_runner(workers=workers).map(functools.partial(touch, folder=tmp_path), range(7))
    assert sorted((p.name, p.read_text()) for p in tmp_path.iterdir()) == [
        (f"item{i}", "once") for i in range(7)
    ]
    make_runner(workers=workers).map(refuse, [])


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_of_a_worker_is_the_error_of_the_command(workers):
    with pytest.raises(DataError, match=r"^b\.jsonl:7: not what it should be$"):
        make_runner(workers=workers).map(refuse, ["b"])


def test_an_error_does_not_wait_for_calls_that_still_run():
    begin = time.monotonic()
    with pytest.raises(DataError, match=r"^b\.jsonl:7"):
        make_runner(workers=2).map(wait_or_refuse, ["wait", "b", "wait"])
    assert time.monotonic() - begin < 50  # those calls take 60 s


def test_a_worker_that_is_killed_ends_the_command_with_its_code():
    with pytest.raises(StuckError, match=r"^a worker process ended \(-9\); if memory ran out, .*"):
        make_runner(workers=2).map(kill_itself, range(4))


_SLEEPING = """
from hclx.corpus.runner import make_runner
from tests.helpers.beam_functions import sleep
make_runner(workers=2).map(sleep, range(2))
"""


@needs_proc
def test_no_worker_outlives_a_command_that_is_killed(tmp_path):
    command = [sys.executable, "-c", _SLEEPING]
    with subprocess.Popen(command, env=environment(), cwd=tmp_path) as process:
        deadline = time.monotonic() + 60
        while len(pids := [int(name) for name in os.listdir(tmp_path)]) < 2:
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
        assert all(map(is_running, pids))
        process.kill()
    deadline = time.monotonic() + 10
    while any(map(is_running, pids)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(is_running, pids))


_ROUNDS = """
import json, os
from hclx.corpus.runner import make_runner
from tests.helpers.beam_functions import look
for name in ("one", "two", "three"):
    os.mkdir(name), os.chdir(name), os.environ.update(ROUND=name)
    make_runner(workers=2).map(look, range(4))
    print(json.dumps([json.load(open(file)) for file in os.listdir()]))
    os.chdir("..")
"""


def test_workers_of_all_stages_come_from_one_process_and_are_where_the_command_is(tmp_path):
    result = subprocess.run(
        [sys.executable, "-c", _ROUNDS],
        env=environment(),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert result.returncode == 0, result.stderr
    rounds = [json.loads(line) for line in result.stdout.splitlines()]
    assert [[name for name, _ in calls] for calls in rounds] == [
        [name] * 4 for name in ("one", "two", "three")
    ]
    assert len({parent for calls in rounds for _, parent in calls}) == 1


_IMPORTED = """
import sys
from hclx.corpus.runner import make_runner
from tests.helpers.beam_functions import write_modules
make_runner(workers=2).map(write_modules, ["a"])
print([name for name in sys.modules if name.startswith("apache_beam")])
"""


def test_nothing_that_runs_here_imports_beam_and_workers_have_the_pipeline(tmp_path):
    result = subprocess.run(
        [sys.executable, "-c", _IMPORTED],
        env=environment(),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert result.stdout == "[]\n" and not result.stderr, result.stderr
    modules = json.loads((tmp_path / "a").read_text())
    assert "hclx.corpus.near_duplicates" in modules and "apache_beam" not in modules


def test_options_that_beam_does_not_know_are_refused():
    assert isinstance(make_runner(), LocalRunner)
    with pytest.raises(ConfigError, match="--runer"):
        make_runner(["--runer=FlinkRunner"])
    make_runner(["--runner=FlinkRunner", "--parallelism=2"])


class Sized(NamedTuple):
    size: int


def work_in_steps(item):
    for _ in range(4):
        advance(item.size // 8)  # and half of it untold
        time.sleep(0.2)


@pytest.mark.parametrize("workers", [1, 2])
def test_progress_is_told_within_an_item_and_adds_up_to_its_size(workers, monkeypatch):
    told = []
    monkeypatch.setattr(runner, "_SHOWN_EVERY_SECONDS", 0.1)
    monkeypatch.setattr(
        runner.ProgressBar, "update", lambda self, count=1, note="": told.append(count)
    )
    runner.LocalRunner(workers).map(work_in_steps, [Sized(800), Sized(80)], "work")
    assert sum(told) == 880 and len([count for count in told if count]) > 3
    told.clear()
    runner.LocalRunner(workers).map(len, ["a", "bc"], "work")
    assert sum(told) == 2


def test_a_call_that_ends_before_the_last_is_sent_counts(monkeypatch):
    told, children = [], runner.multiprocessing.active_children

    def slow_children():
        time.sleep(1)
        return children()

    monkeypatch.setattr(runner.multiprocessing, "active_children", slow_children)
    monkeypatch.setattr(
        runner.ProgressBar, "update", lambda self, count=1, note="": told.append(count)
    )
    runner.LocalRunner(2).map(len, ["a", "bc"], "work")
    assert sum(told) == 2
