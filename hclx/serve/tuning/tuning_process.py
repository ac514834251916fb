"""The process of a job of tuning, as its server sees it."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from hclx.errors import PreemptedError, shown

LOG = "log"
_READ_BYTES = 20_000  # of the end of the log
_MOST_BYTES = 1000  # of an error
_SHELL = 128  # and the number of the signal are the exit code of a program that a signal has ended


class TuningProcess:
    """A child that runs a command."""

    def __init__(self, command: Sequence[str], folder: Path, seconds: float):
        """Starts it.

        Args:
          command: a module of hclx.launch, and its options.
          folder: takes its log.
          seconds: that it has to save when it is to end.
        """
        self._log, self._seconds, self._killed_at = folder / LOG, seconds, None
        arguments = [
            sys.executable,
            "-m",
            "hclx.serve.tuning.tuning_child",
            f"{seconds:g}",
            *command,
        ]
        with self._log.open("ab") as log:
            self._begin = log.tell()
            self._child = subprocess.Popen(
                arguments,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,  # a Ctrl-C in the terminal is the server's
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
            )

    @property
    def pid(self) -> int:
        """The id of the process."""
        return self._child.pid

    def code(self) -> int | None:
        """Returns its exit code, as shells have it; None while it runs. One that was asked to end
        and has not in time is killed.
        """
        if self._killed_at is not None and time.monotonic() > self._killed_at:
            self._child.kill()
        code = self._child.poll()
        if code is not None:
            self._child.stdin.close()
        return _SHELL - code if code is not None and code < 0 else code

    def end(self) -> None:
        """Asks it to save and end."""
        if self._killed_at is None and self._child.poll() is None:
            self._killed_at = time.monotonic() + self._seconds
            self._child.terminate()

    def wait(self) -> int:
        """Waits for its end, and returns its exit code."""
        while (code := self.code()) is None:
            time.sleep(0.05)
        return code

    def kill(self) -> None:
        """Ends it at once."""
        self._child.kill()
        self.wait()

    def reason(self, code: int) -> str:
        """Returns why it failed: the last error that it has written."""
        with self._log.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(self._begin, size - _READ_BYTES))
            text = file.read().decode("utf-8", "replace")
        return reason_of(text, code)


def was_ended(code: int) -> bool:
    """Returns whether an exit code is that of a command which a signal to end has reached."""
    signals = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    return code in (PreemptedError.exit_code, *(_SHELL + number for number in signals))


def reason_of(log: str, code: int) -> str:
    """Returns why a command failed, in a line.

    Args:
      log: the end of what it has written.
      code: its exit code.
    """
    lines = [line.strip() for line in re.split(r"[\r\n]+", log) if line.strip()]
    errors = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    if errors:
        return errors[-1][:_MOST_BYTES]
    if code == _SHELL + signal.SIGKILL:
        return "the process was killed, perhaps because the memory did not suffice"
    if code > _SHELL:
        return f"the process was ended by signal {code - _SHELL}"
    last = shown(lines[-1]) if lines else "nothing"
    return f"the process ended with {code}; its last line was {last}"
