"""Kills a process when it has come to a place."""

import os
import signal
import time


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
