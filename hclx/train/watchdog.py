"""Ends a process that makes no progress: a collective whose peer is stuck never returns, and the
heartbeats of both processes continue.
"""

import faulthandler
import sys
import threading
import time
from collections.abc import Callable

from hclx.errors import StuckError
from hclx.parallel.distributed import abort_process


class Watchdog:
    """A thread that ends the process if `alive` was not called for too long."""

    def __init__(
        self, seconds: float, report: Callable[..., None], start_up_seconds: float = 1800.0
    ):
        """Prepares the thread.

        Args:
          seconds: at most, from one call of `alive` to the next; 0: no limit.
          report: takes the event `exit`.
          start_up_seconds: at most, to the first call, if longer: it includes restoring and
            compilation.
        """
        self._seconds, self._report = seconds, report
        self._begin = start_up_seconds
        self._deadline, self._step, self._stop = 0.0, None, threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)

    def __enter__(self):
        self._deadline = time.monotonic() + max(self._seconds, self._begin)
        if self._seconds:
            self._thread.start()
        return self

    def __exit__(self, *exc_info):
        self._stop.set()

    def alive(self, step: int) -> None:
        """Reports progress, from which the time counts anew: the number of a step that is done,
        with its evaluation or save.
        """
        self._step, self._deadline = step, time.monotonic() + self._seconds

    def _watch(self) -> None:
        while not self._stop.wait(min(1.0, self._seconds / 10)):
            if time.monotonic() > self._deadline:
                self._end()

    def _end(self) -> None:
        reason = (
            f"no progress for {self._seconds:.0f} s after step {self._step}; stack traces of all"
            " threads are printed above"
        )
        try:
            faulthandler.dump_traceback(all_threads=True)
            print(
                f"error: {reason}. Another process may be stuck; re-run the same command to resume"
                " from the last save",
                file=sys.stderr,
                flush=True,
            )
            self._report("exit", code=StuckError.exit_code, reason=reason, step=self._step)
        finally:  # the other processes print theirs, above all the one that is stuck
            abort_process(StuckError.exit_code)
