"""The progress of a run of tuning in another process, from the files that it writes."""

import math
from collections.abc import Mapping
from pathlib import Path

from hclx.train.metrics_writer import read_metrics

_FIGURES = ("loss", "learning_rate", "tokens_per_second", "validation_loss", "bits_per_byte")


def progress_of(model_dir: str | Path) -> tuple[int, dict[str, float]]:
    """Returns the last step that a run has logged, 0 if none, and the latest of its figures.

    Args:
      model_dir: the folder of the run, which may not exist yet.
    """
    records, figures = read_metrics(model_dir), {}
    for record in records:
        figures |= _figures_of(record)
    return (records[-1]["step"] if records else 0), figures


def curve_of(model_dir: str | Path, most: int) -> list[dict[str, float]]:
    """Returns the figures of all steps that a run has logged, each with its `step`, from the first
    on. Of more than about `most` steps some in between are left out, but none that was evaluated.

    Args:
      model_dir: the folder of the run, which may not exist yet.
      most: steps that were not evaluated.
    """
    curve = [{"step": record["step"], **_figures_of(record)} for record in read_metrics(model_dir)]
    stride = -(-len(curve) // most) or 1
    is_kept = lambda n: n % stride == 0 or n == len(curve) - 1 or "validation_loss" in curve[n]
    return [figures for n, figures in enumerate(curve) if is_kept(n)]


def _figures_of(record: Mapping[str, object]) -> dict[str, float]:
    is_figure = lambda name: name in _FIGURES or name.startswith("validation_")
    is_number = lambda value: type(value) in (int, float) and math.isfinite(value)
    return {name: v for name, v in record.items() if is_figure(name) and is_number(v)}
