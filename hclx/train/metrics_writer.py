"""Metrics of a run: MODEL_DIR/metrics.jsonl, with one JSON object for each logged step, and
TensorBoard.
"""

from pathlib import Path

from hclx.train.jsonl import drop_records_after, read_records, to_line

FILE = "metrics.jsonl"


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
    """Appends records. A resumed run first drops those after the step that it resumes from."""

    def __init__(self, model_dir: str | Path, resume_step: int = 0):
        """Opens both files of a run, of which records after `resume_step` are dropped."""
        # imports PyTorch if it is installed, which takes seconds, in the writing process only
        from tensorboardX import SummaryWriter

        path = Path(model_dir) / FILE
        drop_records_after(path, resume_step)
        self._file = path.open("a", encoding="utf-8")
        self._board = SummaryWriter(
            str(Path(model_dir) / "tensorboard"), purge_step=resume_step + 1
        )

    def write(self, record: dict) -> None:
        """Appends one record of JSON values, as `to_line` takes them, among them `step`; floats
        keep every digit. TensorBoard gets the numbers.
        """
        self._file.write(to_line(record))
        self._file.flush()
        for name, value in record.items():
            if isinstance(value, (int, float)) and name != "step":
                self._board.add_scalar(name, value, record["step"])

    def close(self) -> None:
        """Flushes and closes both files."""
        self._file.close()
        self._board.close()
