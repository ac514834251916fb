"""Beam: what meets at a key meets once, every part is written once, whatever the number of
workers.
"""

import dataclasses
import functools
import json
import os
import subprocess
import sys
import threading

import pytest

from hclx.corpus import nursery, runner
from hclx.corpus.runner import Engine
from hclx.errors import ConfigError, DataError
from tests.conftest import ROOT
from tests.launch.command import environment


@dataclasses.dataclass(frozen=True)
class Part:
    index: int


def give(part):
    """Every number below 20 under its remainder."""
    for number in range(part.index, 20, 4):
        yield number % 3, (number, part.index)


def meet(blocks):
    """To the part that each number came from: the sum of all that met."""
    blocks = list(blocks)
    for _, part in blocks:
        if part != 3:  # one part hears nothing
            yield part, sum(number for number, _ in blocks)


def give_again(part, blocks):
    for total in blocks:
        yield "all", (part.index, total)


def meet_again(blocks):
    blocks = sorted(blocks)
    yield 0, blocks


def write(part, blocks, folder):
    (folder / f"{part.index}").write_text(repr(sorted(blocks)))


def touch(item, folder):
    with (folder / f"item{item}").open("a") as file:
        file.write("once")


def refuse(item):
    raise DataError(f"{item}.jsonl:7: not what it should be")


def look(item):
    """Writes, where this worker runs, what it was told and which process it was forked from."""
    with open(f"{os.getpid()}-{item}", "w") as file:
        json.dump([os.environ["ROUND"], os.getppid()], file)


SUMS = {r: sum(n for n in range(20) if n % 3 == r) for r in range(3)}


@pytest.mark.parametrize("workers", [1, 2])
def test_blocks_meet_and_return(tmp_path, workers):
    engine = Engine(workers=workers)
    runner.meet(
        [(give, meet)], functools.partial(write, folder=tmp_path), [Part(i) for i in range(4)]
    )
    for index in range(3):
        assert eval((tmp_path / str(index)).read_text()) == sorted(
            SUMS[n % 3] for n in range(index, 20, 4)
        )
    assert (tmp_path / "3").read_text() == "[]"


def test_a_second_round_goes_on_from_what_the_first_gave_to_each_part(tmp_path):
    engine = Engine(workers=1)
    runner.meet(
        [(give, meet), (give_again, meet_again)],
        functools.partial(write, folder=tmp_path),
        [Part(i) for i in range(4)],
    )
    expected = sorted((index, SUMS[n % 3]) for index in range(3) for n in range(index, 20, 4))
    assert eval((tmp_path / "0").read_text()) == [expected]
    assert [(tmp_path / str(i)).read_text() for i in (1, 2, 3)] == ["[]"] * 3


def test_every_item_is_done_once(tmp_path):
    Engine(workers=1).each(functools.partial(touch, folder=tmp_path), range(7))
    assert sorted((p.name, p.read_text()) for p in tmp_path.iterdir()) == [
        (f"item{i}", "once") for i in range(7)
    ]
    Engine(workers=1).each(refuse, [])


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_of_a_worker_is_the_error_of_the_command(workers):
    with pytest.raises(DataError, match=r"^b\.jsonl:7: not what it should be$"):
        Engine(workers=workers).each(refuse, ["b"])


_SLOW_START = """
import sys
from hclx.corpus import runner, nursery
from tests.corpus.test_runner import refuse, touch
# The second worker starts when the first has done all there is to do.
wait = "import os, time\\ntry: os.mkdir({folder!r} + '/first')\\nexcept FileExistsError: time.sleep(6)\\n"
nursery.NURSERY = wait + nursery.NURSERY
try:
    runner.Engine(workers=2).each({function}, ["b"])
except Exception as error:
    print(error)
"""


@pytest.mark.parametrize(
    "function, said", [("refuse", "b.jsonl:7: not what it should be"), ("len", "")]
)
def test_a_worker_that_is_slow_to_start_is_not_waited_for_for_ever(tmp_path, function, said):
    code = _SLOW_START.format(folder=str(tmp_path), function=function)
    result = subprocess.run(
        [sys.executable, "-c", code],
        env=environment(),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert result.stdout.strip() == said and result.returncode == 0, result.stderr


_ROUNDS = """
import json, os
from hclx.corpus.runner import Engine
from tests.corpus.test_runner import look
for name in ("one", "two", "three"):
    os.mkdir(name), os.chdir(name), os.environ.update(ROUND=name)
    Engine(workers=2).each(look, range(4))
    print(json.dumps([json.load(open(file)) for file in os.listdir()]))
    os.chdir("..")
"""


def test_workers_of_all_stages_come_from_two_processes_and_are_where_the_command_is(tmp_path):
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
    assert [[name for name, _ in one] for one in rounds] == [
        [name] * 4 for name in ("one", "two", "three")
    ]
    assert len({parent for one in rounds for _, parent in one}) <= 2


def test_a_worker_that_fails_and_one_that_cannot_be_started_are_lost(monkeypatch):
    monkeypatch.setattr(nursery, "_idle", [])
    with pytest.raises(nursery.LostWorker, match=r"^a worker process ended \(1\)$"):
        nursery.run({})  # Beam would say where its runner is
    (process,) = nursery._idle
    process.kill()
    process.wait()
    with pytest.raises(nursery.LostWorker, match=r"^a worker process ended \(-9\)$"):
        nursery.run({})


def test_an_error_of_a_thread_that_has_no_worker_is_shown_and_ends_nothing(monkeypatch, capsys):
    monkeypatch.setattr(os, "_exit", lambda code: pytest.fail("the process would end"))
    runner._on_lost_worker(
        threading.ExceptHookArgs((ValueError, ValueError("of another"), None, None))
    )
    assert capsys.readouterr().err.endswith("ValueError: of another\n")


def test_options_that_beam_does_not_know_are_refused():
    with pytest.raises(ConfigError, match="--runer"):
        Engine(["--runer=FlinkRunner"])
    Engine(["--runner=FlinkRunner", "--parallelism=2"])
