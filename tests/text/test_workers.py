"""Processes that split and encode text end with the one that started them, and with a Ctrl-C."""

import os
import signal
import subprocess
import sys
import time

import pytest

from hclx.errors import StuckError
from hclx.text.workers import call_native, default_workers, ordered_map
from tests.helpers.commands import environment
from tests.helpers.killing import is_running, needs_proc

# Two processes that sleep for a minute; their numbers are printed once they work.
_SLEEPING = """
import multiprocessing, sys, time
from hclx.text.workers import ordered_map

def items():
    yield 0
    yield 0
    for _ in range(8):
        yield 60

def show():
    pids = {process.pid for process in multiprocessing.active_children()}
    print(*pids, flush=True)

if __name__ == "__main__":
    try:
        for number, _ in enumerate(ordered_map(time.sleep, items(), 2)):
            if number == 1:
                show()
    except KeyboardInterrupt:
        sys.exit(130)
"""
# They wait for work, while this process waits for the next text.
_IDLE = _SLEEPING.replace("yield 60", "yield 0").replace("range(8):", "range(9):")
_IDLE = _IDLE.replace("def show", "    time.sleep(60)\n\ndef show")
_NATIVE = """
import hashlib, sys
from hclx.text.workers import call_native, sigterm_exits
print(0, flush=True)
try:
    with sigterm_exits():
        call_native(lambda: hashlib.pbkdf2_hmac("sha256", b"", b"", 100_000_000))
except KeyboardInterrupt:
    sys.exit(130)
"""


def start(code):
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    return process, [int(pid) for pid in process.stdout.readline().split()]


@needs_proc
def test_no_worker_outlives_a_parent_that_is_killed():
    process, pids = start(_SLEEPING)
    assert len(pids) == 2 and all(map(is_running, pids))
    process.kill()
    process.communicate(timeout=10)
    deadline = time.monotonic() + 10
    while any(map(is_running, pids)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(is_running, pids))


@needs_proc
@pytest.mark.parametrize("code", [_SLEEPING, _IDLE, _NATIVE], ids=["working", "idle", "native"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_answered_at_once_and_workers_write_nothing(code, number):
    process, pids = start(code)
    workers = [pid for pid in pids if pid]
    for pid in workers:
        os.kill(pid, signal.SIGINT)
    time.sleep(0.3)
    assert all(map(is_running, workers))
    begin = time.monotonic()
    if number == signal.SIGINT:  # of a terminal: to all processes of the command
        os.killpg(process.pid, number)
    else:
        process.send_signal(number)
    _, errors = process.communicate(timeout=30)
    assert time.monotonic() - begin < 2
    line = "error: ended by SIGTERM; run the same command again\n"
    expected = {signal.SIGINT: (130, ""), signal.SIGTERM: (143, line)}
    assert (process.returncode, errors) == expected[number]
    assert not any(map(is_running, workers))


def test_a_worker_that_ends_is_a_message_for_the_user():
    with pytest.raises(StuckError, match="ended; it may have run out of memory"):
        list(ordered_map(os._exit, [9] * 3, 2))


def test_an_error_of_an_item_ends_the_work_at_once():
    begin = time.monotonic()
    with pytest.raises(ValueError):
        list(ordered_map(time.sleep, [-1, *[60] * 8], 2))
    assert time.monotonic() - begin < 30


def test_results_come_in_order_and_errors_of_native_calls_are_raised():
    assert list(ordered_map(abs, range(-20, 0), 2)) == list(range(20, 0, -1))
    assert call_native(lambda: 7) == 7
    with pytest.raises(ZeroDivisionError):
        call_native(lambda: 1 / 0)


def test_what_only_linux_has_is_not_needed(monkeypatch):
    if hasattr(os, "sched_getaffinity"):
        assert default_workers() == len(os.sched_getaffinity(0))
    for name in ("sched_getaffinity", "sched_setaffinity", "pidfd_open", "memfd_create"):
        monkeypatch.delattr(os, name, raising=False)
    assert default_workers() == os.cpu_count()
    assert list(ordered_map(abs, [-1, -2, -3], 2)) == [1, 2, 3]
