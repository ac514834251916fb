"""kill -9 and SIGTERM: wherever a process is hit, the run goes on to the same last digit."""

import random
import signal
import time

import pytest

from hclx.train.checkpoint import checkpoints_of
from tests.launch.several import wait_for_step
from tests.recovery.runs import EVERY, STEPS, assert_equal, copy, events_of, finish, go_on, numbers, start, wait_until

COORDINATOR, PEER = 0, 1


def kill_and_go_on(run, whole, who, moment):
    """Kills one process at a moment; the other one ends soon, by an error that is worth another try; the run is then finished."""
    with start(run) as started:
        moment(started)
        started[who].send_signal(signal.SIGKILL)
        killed = time.monotonic()
        other = started[1 - who]
        other.wait(timeout=60)
        assert time.monotonic() - killed < 25 and other.returncode in (70, -signal.SIGABRT)
    go_on(run)
    assert_equal(run, whole)


@pytest.mark.parametrize("who", [COORDINATOR, PEER], ids=["coordinator", "peer"])
def test_killed_during_a_step(who, run, whole):
    kill_and_go_on(run, whole, who, lambda started: wait_for_step(started, run, EVERY + 2))
    (restored,) = events_of(run, "restore")
    assert restored["step"] in (EVERY, 0) or restored["step"] % EVERY == 0
    if who == COORDINATOR:  # which holds the lease, and could not give it back
        assert events_of(run, "start")[1]["previous"]["step"] >= EVERY


@pytest.mark.parametrize("who", [COORDINATOR, PEER], ids=["coordinator", "peer"])
def test_killed_during_an_asynchronous_save(who, run, whole):
    saving = lambda: any(checkpoints_of(run).glob(f"{2 * EVERY}.orbax-checkpoint-tmp*")) if checkpoints_of(run).exists() else False
    kill_and_go_on(run, whole, who, lambda started: wait_until(saving, started))
    assert not list(checkpoints_of(run).glob("*tmp*"))


@pytest.mark.long
@pytest.mark.parametrize("seed", range(10))
def test_killed_at_a_random_moment(seed, run, whole):
    """From the first import to the last save."""
    draw = random.Random(seed)
    with start(run) as started:
        time.sleep(draw.uniform(0.0, 25.0))
        who = draw.choice([COORDINATOR, PEER])
        started[who].send_signal(signal.SIGKILL)
        started[1 - who].wait(timeout=90)
    go_on(run)
    assert_equal(run, whole)


def test_sigterm_to_one_process_stops_all_at_one_step(run, whole):
    with start(run) as started:
        wait_for_step(started, run, EVERY + 2)
        asked = time.monotonic()
        started[PEER].send_signal(signal.SIGTERM)
        finish(started, [75, 75])
        assert time.monotonic() - asked < 20
    (exit_event,) = [event for event in events_of(run, "exit") if event["process"] == 0]
    saved = exit_event["step"]
    assert exit_event["code"] == 75 and EVERY < saved < STEPS and (checkpoints_of(run) / str(saved)).is_dir()
    assert numbers(run)[-1]["step"] == saved
    go_on(run)
    assert_equal(run, whole)


def test_a_file_ends_the_run_with_0_and_keeps_it_ended(run, whole):
    with start(run) as started:
        wait_for_step(started, run, EVERY)
        (run / "STOP").touch()
        finish(started)
    (exit_event,) = events_of(run, "exit")
    assert (exit_event["code"], exit_event["reason"]) == (0, "file STOP") and (checkpoints_of(run) / str(exit_event["step"])).is_dir()
    with start(run) as started:
        results = finish(started, [64, 64])
    assert all("STOP exists" in result.stderr for result in results)
    (run / "STOP").unlink()
    go_on(run)
    assert_equal(run, whole)


def test_the_last_save_is_on_disk_and_was_read_back(whole):
    """Exit 0 came after the save of the last step, which is good; the summary accounts for the whole time."""
    kinds = [(event["event"], event.get("step")) for event in events_of(whole, "save", "exit")]
    assert kinds == [*(("save", step) for step in range(EVERY, STEPS + 1, EVERY)), ("exit", STEPS)]
    assert not (whole / "RUN_LOCK.json").exists() and not list(checkpoints_of(whole).glob("*tmp*"))


def test_a_finished_run_that_starts_again_does_nothing(run, whole):
    copy(whole, run, until=STEPS)
    go_on(run)
    assert_equal(run, whole)
