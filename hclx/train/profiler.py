"""Traces a few training steps into MODEL_DIR/profile, for XProf, TensorBoard's profile page or
Perfetto.
"""

import logging
import re
from pathlib import Path

import jax

from hclx.errors import ConfigError

_LOG = logging.getLogger(__name__)


def parse_steps(text: str) -> tuple[int, int] | None:
    """Parses "a:b" into (a, b), the first and the last step to trace; None for an empty text.

    Raises:
      ConfigError: it is not two numbers with 1 <= a <= b.
    """
    if not text:
        return None
    match = re.fullmatch(r"(\d+):(\d+)", text)
    if not match or not 1 <= int(match[1]) <= int(match[2]):
        raise ConfigError(
            f"--profile_steps={text} is not first:last, the steps to trace, as in"
            " --profile_steps=10:12"
        )
    return int(match[1]), int(match[2])


class StepProfiler:
    """Starts a trace before the first step asked for, and stops it after the last one, or with the
    run.
    """

    def __init__(self, model_dir: str, steps: tuple[int, int] | None):
        """Takes the folder of the run, and the first and the last step to trace; None: no step."""
        self._folder = Path(model_dir) / "profile"
        self._first, self._last = steps or (0, -1)  # no step lies between these
        self._running = self._started = False

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        self._stop()
        if self._last > 0 and not self._started:
            _LOG.warning(
                "profile: the run took none of the steps %d to %d, so there is no trace",
                self._first,
                self._last,
            )

    def after(self, step: int, results) -> None:
        """Starts or stops the trace between two steps.

        Args:
          step: that was dispatched last; 0 before the first.
          results: any tree of arrays that the step computes, such as its metrics, which are waited
            for before the trace ends; () before the first step.
        """
        next_is_inside = self._first <= step + 1 <= self._last
        if self._running and not next_is_inside:
            jax.block_until_ready(results)
            self._stop()
        elif next_is_inside and not self._running:
            jax.profiler.start_trace(str(self._folder))
            self._running = self._started = True

    def _stop(self) -> None:
        if self._running:
            jax.profiler.stop_trace()
            self._running = False
            _LOG.info("profile: %s", self._folder)
