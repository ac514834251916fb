"""kill -9, a peer that hangs, SIGTERM and STOP: wherever a run is hit, it goes on to the same last
digit.
"""

import ctypes
import os
import platform
import random
import signal
import time
from pathlib import Path

import pytest

from hclx.train.checkpoint import checkpoints_of
from hclx.train.events import read_events
from tests.helpers.multi_process import ended
from tests.recovery.runs import (
    EVERY,
    STEPS,
    assert_equal,
    assert_equal_so_far,
    copy,
    events_of,
    finish,
    go_on,
    numbers,
    start,
    wait_until,
)

COORDINATOR, PEER = 0, 1
PTRACE_CONT, PTRACE_SEIZE, PTRACE_INTERRUPT = 7, 0x4206, 0x4207
# the number of the system call by which threads wait for each other
FUTEX = "98" if platform.machine() == "aarch64" else "202"
FUTEX_WAIT, FUTEX_WAIT_BITSET = 0, 9


def wait_for_training(started, run, attempt):
    """Until an attempt (the first is 0) has written two losses of its own: the second one shows how
    the first step left the state.
    """
    # and what came after the restored step is cut from the metrics
    begun = lambda: len(events_of(run, "first_step")) > attempt
    wait_until(
        lambda: begun() and numbers(run)[-1]["step"] >= events_of(run, "restore")[-1]["step"] + 2,
        started,
    )


def wait_for_a_save(started, run):
    """Until a save has begun to write, beside the steps."""
    before = set(checkpoints_of(run).glob("*orbax-checkpoint-tmp*"))
    wait_until(lambda: set(checkpoints_of(run).glob("*orbax-checkpoint-tmp*")) - before, started)


def freeze_main_thread(pid):
    """Only that thread, so that the others live on and answer every heartbeat.

    It is caught where it waits for others without a limit: elsewhere it may hold a lock that they
      need, of malloc or of Python.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    deadline, request = time.monotonic() + 60, PTRACE_SEIZE
    while time.monotonic() < deadline:
        for number in (request, PTRACE_INTERRUPT):
            if libc.ptrace(number, pid, None, None):
                pytest.skip(
                    "this machine does not let one process stop a thread of another:"
                    f" {os.strerror(ctypes.get_errno())}"
                )
        # else whoever waits for the end of the process would be told of this
        _, status = os.waitpid(pid, 0)
        assert os.WIFSTOPPED(status)
        call, _, operation, _, timeout, *_ = (
            Path(f"/proc/{pid}/syscall").read_text().split() + [""] * 4
        )
        if (
            call == FUTEX
            and int(operation, 16) & 0x7F in (FUTEX_WAIT, FUTEX_WAIT_BITSET)
            and int(timeout, 16) == 0
        ):
            return
        request = PTRACE_CONT
        time.sleep(0.001)
    pytest.fail("the thread never waited")


@pytest.fixture(scope="module")
def hit(whole, tmp_path_factory):
    """The one run of `TestOneRun`."""
    folder = tmp_path_factory.mktemp("hit") / "run"
    copy(whole, folder, until=EVERY)
    return folder


@pytest.fixture()
def attempt(hit):
    """The number of the attempt that comes next."""
    return len(events_of(hit, "first_step"))


class TestOneRun:
    """One run that is hit again and again: each test goes on where the one before left it, and the
    last one takes it to its end.

    So the start of a test is the proof of the one before, and a start costs seconds.
    """

    @pytest.mark.parametrize("who", [COORDINATOR, PEER], ids=["coordinator", "peer"])
    @pytest.mark.parametrize("moment", ["step", "save"])
    def test_killed(self, moment, who, hit, whole, attempt):
        """The other process ends soon, by an error that is worth another try, and the next attempt
        takes over.
        """
        with start(hit) as started:
            wait_for_training(started, hit, attempt)
            if moment == "save":
                wait_for_a_save(started, hit)
            started[who].send_signal(signal.SIGKILL)
            killed, other = time.monotonic(), started[1 - who]
            other.wait(timeout=60)
            assert time.monotonic() - killed < 15 and other.returncode in (70, -signal.SIGABRT)
        assert events_of(hit, "restore")[-1]["step"] >= EVERY
        assert_equal_so_far(hit, whole)

    def test_a_peer_that_is_alive_but_stuck_ends_with_70(self, hit, whole, attempt):
        with start(hit, "--step_timeout=8") as started:
            wait_for_training(started, hit, attempt)
            freeze_main_thread(started[PEER].pid)
            frozen = time.monotonic()
            results = ended(started)
            assert [result.returncode for result in results] == [
                70,
                70,
            ] and time.monotonic() - frozen < 30
        assert all(
            "no progress for 8 s" in result.stderr and "most recent call first" in result.stderr
            for result in results
        )
        assert {
            event["process"]
            for event in events_of(hit, "exit")
            if "no progress for 8 s" in event["reason"]
        } == {0, 1}
        assert_equal_so_far(hit, whole)

    def test_sigterm_to_one_process_stops_all_at_one_step(self, hit, whole, attempt):
        """No other save is due in this attempt."""
        with start(hit, "--gin.TrainConfig.checkpoint_every=1000") as started:
            wait_for_training(started, hit, attempt)
            asked = time.monotonic()
            started[PEER].send_signal(signal.SIGTERM)
            finish(started, [75, 75])
            assert time.monotonic() - asked < 20
        assert events_of(hit, "preempt")[-1]["reason"] == "a signal to another process"
        exits = events_of(hit, "exit")[-2:]
        (saved,) = {event["step"] for event in exits}
        assert {event["code"] for event in exits} == {75} and (
            checkpoints_of(hit) / str(saved)
        ).is_dir()
        assert numbers(hit)[-1]["step"] == saved < STEPS
        assert_equal_so_far(hit, whole)

    def test_a_file_ends_the_run_with_0_and_keeps_it_ended(self, hit, whole, attempt):
        saved_by_sigterm = events_of(hit, "exit")[-1]["step"]
        with start(hit) as started:
            wait_for_training(started, hit, attempt)
            (hit / "STOP").touch()
            finish(started)
        assert events_of(hit, "restore")[-1]["step"] == saved_by_sigterm
        last_exit = events_of(hit, "exit")[-1]
        assert (last_exit["code"], last_exit["reason"]) == (0, "file STOP") and (
            checkpoints_of(hit) / str(last_exit["step"])
        ).is_dir()
        with start(hit) as started:
            results = finish(started, [64, 64])
        assert all("STOP exists" in result.stderr for result in results)
        assert_equal_so_far(hit, whole)

    def test_after_all_of_it_the_run_is_the_one_that_nothing_hit(self, hit, whole):
        (hit / "STOP").unlink(missing_ok=True)
        go_on(hit)
        assert_equal(hit, whole)
        assert not list(checkpoints_of(hit).glob("*tmp*")) and not (hit / "RUN_LOCK.json").exists()
        # A coordinator that was killed could not give its lease back: who came next found it, and
        # how far it had been, unless that was killed before its first step.
        assert any(
            event["previous"] and event["previous"].get("step", 0) >= EVERY
            for event in events_of(hit, "start")[1:]
        )


@pytest.mark.long
@pytest.mark.parametrize("seed", range(10))
def test_killed_at_a_random_moment(seed, run, whole):
    """From the first import to the last save."""
    draw = random.Random(seed)
    with start(run) as started:
        time.sleep(draw.uniform(0.0, 30.0))
        who = draw.choice([COORDINATOR, PEER])
        started[who].send_signal(signal.SIGKILL)
        started[1 - who].wait(timeout=90)
    go_on(run)
    assert_equal(run, whole)


def test_the_last_save_is_on_disk_and_was_read_back(whole):
    """Exit 0 came after the save of the last step, which is good; the summary accounts for the
    whole time.
    """
    kinds = [
        (event["event"], event.get("step")) for event in events_of(whole, "save", "verify", "exit")
    ]
    assert kinds == [
        *(("save", step) for step in range(EVERY, STEPS + 1, EVERY)),
        ("verify", STEPS),
        ("exit", STEPS),
    ]
    assert events_of(whole, "verify")[0]["good"]
    assert not (whole / "RUN_LOCK.json").exists() and not list(checkpoints_of(whole).glob("*tmp*"))


def test_a_finished_run_that_starts_again_does_nothing(run, whole):
    copy(whole, run, until=STEPS)
    before = len(read_events(run))
    go_on(run)
    assert [event["event"] for event in read_events(run)[before:]] == ["start", "restore", "exit"]
    assert_equal(run, whole)
