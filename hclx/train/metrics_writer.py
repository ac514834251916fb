"""Metrics of a run: MODEL_DIR/metrics.jsonl, with one JSON object for each logged step, and
TensorBoard.
"""

import logging
import os
import socket
import time
from pathlib import Path

from hclx.train.jsonl import drop_records_after, read_records, to_line

_LOG = logging.getLogger(__name__)

FILE = "metrics.jsonl"
_MOST_WAITING = 1 << 20  # bytes that are kept until they can be written


def read_metrics(model_dir: str | Path) -> list[dict]:
    """All records of a run, oldest first, [] if it has none; a line that a killed process left
    unfinished is dropped.

    Returns:
      For each logged step `step`, `loss` (nats a token), `grad_norm` (before clipping),
      `learning_rate`, `skipped` (steps, in all), `examples_seen`, `tokens_seen`,
      `tokens_per_second`, `mfu`, `mfu_formula` and the times of `StepClock.lap`, None if unknown or
      not finite; after an evaluation also `validation_loss` and `bits_per_byte`.
    """
    return read_records(Path(model_dir) / FILE)


class MetricsWriter:
    """Appends records. A resumed run first drops those after the step that it resumes from.

    A record that cannot be written, as on a full disk, is a warning: saves tell whether the run can
    go on.
    """

    def __init__(self, model_dir: str | Path, resume_step: int = 0):
        """Opens both files of a run, of which records after `resume_step` are dropped."""
        self._path = Path(model_dir) / FILE
        drop_records_after(self._path, resume_step)
        self._file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        self._waiting = b""  # what could not be written yet
        self._is_board_open = True
        self._try_board(lambda: self._open_board(Path(model_dir) / "tensorboard", resume_step))

    def write(self, record: dict) -> None:
        """Appends one record of JSON values, as `to_line` takes them, among them `step`; floats
        keep every digit. TensorBoard gets the numbers.
        """
        was_waiting = bool(self._waiting)
        self._waiting += to_line(record).encode()
        try:
            while self._waiting:
                self._waiting = self._waiting[os.write(self._file, self._waiting) :]
        except OSError as error:
            self._waiting = self._waiting[-_MOST_WAITING:]
            if not was_waiting:
                _LOG.warning("cannot write %s: %s; it is tried again", self._path, error.strerror)
        if self._is_board_open:
            scalars = {
                name: value
                for name, value in record.items()
                if isinstance(value, (int, float)) and name != "step"
            }
            self._try_board(lambda: self._board.write(record["step"], scalars))

    def close(self) -> None:
        """Flushes and closes both files."""
        os.close(self._file)
        if self._is_board_open:
            self._try_board(self._board.close)

    def _open_board(self, folder: Path, resume_step: int) -> None:
        self._board = _Board(folder, resume_step + 1)

    def _try_board(self, work) -> None:
        try:
            work()
        except OSError as error:  # half a record may be written, after which nothing is read
            self._is_board_open = False
            _LOG.warning("TensorBoard gets no more from this start: %s", error.strerror or error)


class _Board:
    """An event file of TensorBoard, which is written at once and by no thread: tensorboardX's own
    writer waits without end once its thread has died of a full disk.
    """

    def __init__(self, folder: Path, purge_step: int):
        """Makes a file that TensorBoard reads after those that are there, whose names have the time
        of their making, and tells it to drop what they hold of `purge_step` and later.
        """
        # imports PyTorch if it is installed, which takes seconds, in the writing process only
        from tensorboardX.proto import event_pb2
        from tensorboardX.record_writer import RecordWriter
        from tensorboardX.summary import scalar

        self._event, self._scalar = event_pb2.Event, scalar
        folder.mkdir(parents=True, exist_ok=True)
        stamps = [path.name.split(".")[3] for path in folder.glob("events.out.tfevents.*.*")]
        last = max((int(stamp) for stamp in stamps if stamp.isdecimal()), default=0)
        stamp = max(int(time.time()), last + 1)  # also where the clock was set back
        path = folder / f"events.out.tfevents.{stamp:010d}.{socket.gethostname()}"
        self._records = RecordWriter(str(path))
        log = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
        for event in (
            self._event(wall_time=time.time(), file_version="brain.Event:2"),
            self._event(wall_time=time.time(), step=purge_step, session_log=log),
        ):
            self._records.write(event.SerializeToString())
        self._records.flush()

    def write(self, step: int, scalars: dict[str, float]) -> None:
        for name, value in scalars.items():
            summary = self._scalar(name, value)
            event = self._event(wall_time=time.time(), step=step, summary=summary)
            self._records.write(event.SerializeToString())
        self._records.flush()

    def close(self) -> None:
        self._records.close()


def figures_in_words(evaluation: dict[str, float]) -> str:
    """Returns an evaluation in words, such as "validation loss 3.1234, 1.0123 bits a byte".

    Args:
      evaluation: name -> value; those of a suite are left out.
    """
    texts = {
        name: f"{name.replace('_', ' ')} {value:{'d' if isinstance(value, int) else '.4f'}}"
        for name, value in evaluation.items()
        if name.startswith(("validation_", "best_"))
    }
    if "bits_per_byte" in evaluation:
        texts["validation_loss"] += f", {evaluation['bits_per_byte']:.4f} bits a byte"
    return ", ".join(texts.values())
