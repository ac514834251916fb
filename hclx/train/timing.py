"""Wall time of training: of its steps and their parts, and of the pauses between them."""

import collections
import contextlib
import time

import jax


class StepClock:
    """Measures steps and their parts, without compilation and without pauses.

    Attributes:
      spent: seconds of all pauses so far, by name.
    """

    PARTS = ("data", "dispatch", "device", "logging")
    TIMES = ("step_time", *(f"{part}_time" for part in PARTS))

    def __init__(self):
        # set when the first step is done, which includes compilation
        self._start: float | None = None
        self._steps = 0
        self._parts = dict.fromkeys(self.PARTS, 0.0)
        self.spent: collections.Counter[str] = collections.Counter()

    def tick(self) -> None:
        """Counts a step that was dispatched."""
        self._steps += 1

    @contextlib.contextmanager
    def part(self, name: str):
        """Counts the time inside as a part of the step.

        Args:
          name: "data" (waiting for it), "dispatch", "device" (waiting for it) or "logging".
        """
        start = time.perf_counter()
        yield
        self._parts[name] += time.perf_counter() - start

    def lap(self) -> dict[str, float] | None:
        """Mean seconds of a step since the last lap: `step_time`, and of it `data_time`,
        `dispatch_time`, `device_time` and `logging_time`; None for the first lap.
        """
        now = time.perf_counter()
        steps, times = max(1, self._steps), None
        if self._start is not None:
            times = {"step_time": (now - self._start) / steps}
            times |= {f"{name}_time": seconds / steps for name, seconds in self._parts.items()}
        self._start, self._steps, self._parts = now, 0, dict.fromkeys(self.PARTS, 0.0)
        return times

    @contextlib.contextmanager
    def paused(self, name: str, wait_for=()):
        """Leaves the time inside out of the steps and adds it to `spent`.

        Args:
          name: of the pause; goodput knows "evaluation" and "saving".
          wait_for: arrays of the last step that was dispatched, which are waited for before the
            pause begins.
        """
        with self.part("device"):
            jax.block_until_ready(wait_for)
        start = time.perf_counter()
        yield
        seconds = time.perf_counter() - start
        self.spent[name] = round(self.spent[name] + seconds, 3)
        if self._start is not None:
            self._start += seconds
