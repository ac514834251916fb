"""Ends a process that makes no progress: a collective whose peer is stuck waits for ever, and no
heartbeat misses it.
"""

import faulthandler
import sys
import threading
import time
from collections.abc import Callable

from hclx.errors import StuckError
from hclx.parallel.distributed import abort_process


class Watchdog:
    """A thread that ends the process where `alive` was not called for too long."""

    def __init__(
        self, seconds: float, report: Callable[..., None], start_up_seconds: float = 1800.0
    ):
        """Prepares; 0 `seconds`: it never ends anything.

        Args:
          seconds: from one sign of life to the next.
          report: takes the event `exit`.
          start_up_seconds: to the first one, if longer: compilation and restoring are no steps.
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
        """The run made progress: a step with its evaluation, or a save."""
        self._step, self._deadline = step, time.monotonic() + self._seconds

    def _watch(self) -> None:
        while not self._stop.wait(min(1.0, self._seconds / 10)):
            if time.monotonic() > self._deadline:
                self._end()

    def _end(self) -> None:
        reason = (
            f"no progress for {self._seconds:.0f} s after step {self._step}; where every thread is"
            " stands above"
        )
        try:
            faulthandler.dump_traceback(all_threads=True)
            print(
                f"error: {reason}. Another process may be stuck; the same command goes on from the"
                " last save",
                file=sys.stderr,
                flush=True,
            )
            self._report("exit", code=StuckError.exit_code, reason=reason, step=self._step)
        finally:  # the others have the same to say, and the one that is stuck most of all
            abort_process(StuckError.exit_code)
