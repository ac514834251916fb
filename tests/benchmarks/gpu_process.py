"""Processes that serve tasks, as tests/benchmarks/gpu.py and engine.py see them."""

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_SECONDS = 20.0  # with a process that was killed
MOST_CHARACTERS = 3_000  # of what a process that died wrote to stderr


class Worker:
    """A process that imports JAX or PyTorch while its first task waits, and serves tasks in order.

    Args:
      library: jax or torch.
      variables: of its environment; those that the user has set come first.
      command: another program than gpu_worker.py, which serves tasks in the same way.
    """

    def __init__(self, library: str, variables: dict[str, str], command: list[str] | None = None):
        self.ready = False
        self._paused_at, self._pauses = None, []  # (begin, end) by the monotonic clock
        self._events = queue.Queue()
        self._errors = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")
        self._process = subprocess.Popen(
            command or [sys.executable, "-m", "tests.benchmarks.gpu_worker", library],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            process_group=0,  # with the processes that it starts
            env={
                **variables,
                **os.environ,
                "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
            },
        )
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        """Puts each event where `finish` takes it, and None when the process has ended."""
        for line in self._process.stdout:
            self.ready = True
            self._events.put(json.loads(line))
        self._events.put(None)

    def ask(self, task: dict, seconds: float, on_event=lambda event: None) -> dict:
        """Runs a task: `start` and `finish`."""
        self.start(task)
        return self.finish(seconds, on_event)

    def start(self, task: dict) -> None:
        """Hands a task over, which the process begins when those before it are done."""
        with contextlib.suppress(OSError):  # the process has died, and `finish` says of what
            self._process.stdin.write(json.dumps(task) + "\n")
            self._process.stdin.flush()

    def finish(self, seconds: float, on_event=lambda event: None) -> dict:
        """Waits for the result of the oldest task that has not been waited for.

        Returns:
          The result, or {"error": one line} and where it came from, if the task failed, or the
          process died, or was not done within `seconds` and was killed.
        """
        end = time.monotonic() + seconds
        while True:
            try:
                event = self._events.get(timeout=max(0.0, end - time.monotonic()))
            except queue.Empty:
                self.kill()
                return {"error": f"stopped after {max(0.0, seconds):.0f} s"}
            if event is None:
                self._events.put(None)  # for the next call
                return self._last_words()
            if event["event"] == "result":
                return event["result"]
            on_event(event)

    def _last_words(self) -> dict:
        self._wait()
        self._errors.seek(0)
        text = self._errors.read().strip() or "it wrote no error"
        last = text.splitlines()[-1].strip()[:160]
        error = f"ended with {self._process.returncode}: {last}"
        return {"error": error, "stderr": text[-MOST_CHARACTERS:]}

    @property
    def alive(self) -> bool:
        """Whether the process can take another task."""
        return self._process.poll() is None

    def running_seconds(self, begin: float, end: float) -> float:
        """Returns how long the process was not paused, between two times of `time.monotonic`, which
        all processes of a machine share.
        """
        pauses = (min(end, until) - max(begin, since) for since, until in self._pauses)
        return end - begin - sum(seconds for seconds in pauses if seconds > 0)

    def pause(self) -> None:
        """Stops the process until `resume`, so that it starts nothing on the GPU."""
        self._signal(signal.SIGSTOP)
        self._paused_at = self._paused_at or time.monotonic()

    def resume(self) -> None:
        """Lets the process run again."""
        self._signal(signal.SIGCONT)
        if self._paused_at:
            self._pauses.append((self._paused_at, time.monotonic()))
            self._paused_at = None

    def kill(self) -> None:
        """Ends the process, and those that it started, at once, and so frees its GPU memory."""
        self._signal(signal.SIGKILL)
        self._wait()

    def _wait(self) -> None:
        # With a limit, because the system cannot end a process whose GPU does not answer.
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(PATIENCE_SECONDS)

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)
