"""A trace of a few training steps: MODEL_DIR/profile, for XProf, TensorBoard's profile page or
Perfetto.
"""

import contextlib
import logging
import re
from pathlib import Path

import jax

from hclx.errors import ConfigError

_LOG = logging.getLogger(__name__)


def parse_steps(text: str) -> tuple[int, int] | None:
    """ "a:b" -> (a, b): the first and the last step that are traced; None for an empty text.

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
    """Starts the trace before the first step asked for, and stops it when the last one is done, or
    with the run.
    """

    def __init__(self, model_dir: str, steps: tuple[int, int] | None):
        self._folder = Path(model_dir) / "profile"
        self._first, self._last = steps or (0, -1)  # none lies between these
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

    @contextlib.contextmanager
    def step(self, step: int, before):
        """Around the dispatch of a step; `before`: what the step before gave, which ends a trace
        when it is there.
        """
        inside = self._first <= step <= self._last
        if inside and not self._running:
            self._start()
        elif self._running and not inside:
            jax.block_until_ready(before)
            self._stop()
        with (
            jax.profiler.StepTraceAnnotation("train", step_num=step)
            if inside
            else contextlib.nullcontext()
        ):
            yield

    def _start(self) -> None:
        jax.profiler.start_trace(str(self._folder))
        self._running = self._started = True

    def _stop(self) -> None:
        if self._running:
            jax.profiler.stop_trace()
            self._running = False
            _LOG.info("profile: %s", self._folder)
