"""The progress of a run of tuning in another process, from the files that it writes."""

import math
from pathlib import Path

from hclx.train.metrics_writer import read_metrics

_FIGURES = ("loss", "learning_rate", "tokens_per_second", "validation_loss", "bits_per_byte")


def progress_of(model_dir: str | Path) -> tuple[int, dict[str, float]]:
    """Returns the last step that a run has logged, 0 if none, and the latest of its figures.

    Args:
      model_dir: the folder of the run, which may not exist yet.
    """
    records = read_metrics(model_dir)
    figures = {}
    for record in records:
        for name, value in record.items():
            is_figure = name in _FIGURES or name.startswith("validation_")
            if is_figure and type(value) in (int, float) and math.isfinite(value):
                figures[name] = value
    return (records[-1]["step"] if records else 0), figures
