"""Kills a process when it has come to a place, and looks whether one runs."""

import os
import signal
import time

import pytest

needs_proc = pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="reads /proc")


def kill_when(process, folder, wait):
    """Ends the command and all of its processes at once, `wait` seconds after a folder has
    appeared.
    """
    end = time.monotonic() + 120
    while not folder.exists() and process.poll() is None and time.monotonic() < end:
        time.sleep(0.005)
    assert process.poll() is None, process.communicate()
    time.sleep(wait)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def kill_when_written(process, path):
    """Ends the command and all of its processes at once, as soon as a file has content."""
    end = time.monotonic() + 240
    while not (path.exists() and path.stat().st_size) and time.monotonic() < end:
        assert process.poll() is None
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def is_running(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
