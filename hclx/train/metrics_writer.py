"""Metrics of a run: MODEL_DIR/metrics.jsonl, one JSON object a logged step, and TensorBoard beside
it.
"""

import contextlib
import time
from pathlib import Path

import jax

from hclx.train.jsonl import drop_records_after, read_records, to_line

FILE = "metrics.jsonl"


def read_metrics(model_dir: str | Path) -> list[dict]:
    """All records of a run, oldest first; a line that a killed process left unfinished is not
    one.
    """
    return read_records(Path(model_dir) / FILE)


class MetricsWriter:
    """Appends records. A resumed run first drops what came after the step that it goes on from."""

    def __init__(self, model_dir: str | Path, resume_step: int = 0):
        # imports PyTorch where it is: seconds that only the writing process spends
        from tensorboardX import SummaryWriter

        path = Path(model_dir) / FILE
        drop_records_after(path, resume_step)
        self._file = path.open("a", encoding="utf-8")
        self._board = SummaryWriter(
            str(Path(model_dir) / "tensorboard"), purge_step=resume_step + 1
        )

    def write(self, record: dict) -> None:
        """Appends one record with `step`; floats keep every digit."""
        self._file.write(to_line(record))
        self._file.flush()
        for name, value in record.items():
            if isinstance(value, (int, float)) and name != "step":
                self._board.add_scalar(name, value, record["step"])

    def close(self) -> None:
        """Flushes both."""
        self._file.close()
        self._board.close()


class StepClock:
    """Wall time of training steps and of their parts, without compilation and without what is
    paused for.
    """

    PARTS = ("data", "dispatch", "device", "logging")
    TIMES = ("step_time", *(f"{part}_time" for part in PARTS))

    def __init__(self):
        # set when the first step is done, which includes compilation
        self._start: float | None = None
        self._steps = 0
        self._parts = dict.fromkeys(self.PARTS, 0.0)

    def tick(self) -> None:
        """A step was dispatched."""
        self._steps += 1

    @contextlib.contextmanager
    def part(self, name: str):
        """Counts what happens inside as a part of the step: data (waiting for it), dispatch, device
        (waiting), logging.
        """
        start = time.perf_counter()
        yield
        self._parts[name] += time.perf_counter() - start

    def lap(self) -> dict[str, float] | None:
        """Seconds a step since the last lap: `step_time`, and of it `data_time` and so on; None for
        the first.
        """
        now = time.perf_counter()
        steps, times = max(1, self._steps), None
        if self._start is not None:
            times = {"step_time": (now - self._start) / steps}
            times |= {f"{name}_time": seconds / steps for name, seconds in self._parts.items()}
        self._start, self._steps, self._parts = now, 0, dict.fromkeys(self.PARTS, 0.0)
        return times

    @contextlib.contextmanager
    def paused(self, wait_for=()):
        """Leaves out what happens inside; the steps dispatched so far are waited for first."""
        with self.part("device"):
            jax.block_until_ready(wait_for)
        start = time.perf_counter()
        yield
        if self._start is not None:
            self._start += time.perf_counter() - start
