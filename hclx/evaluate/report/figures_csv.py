"""Every figure of an evaluation as rows of a CSV file."""

import csv
import io
from collections.abc import Iterator, Sequence

from hclx.evaluate.report.results_file import Results, Run

_OF_RUN = (
    *("task", "template", "split", "shots_split", "shots_asked", "shots", "shots_dropped", "draw"),
    *("trials", "items", "seed", "prompt_hash", "straddles", "truncated"),
)
COLUMNS = (
    *("folder", "model", "model_step", "model_parameters", *_OF_RUN),
    *("score", "calibration", "metric", "main", "mean", "std", "low", "high", "chance"),
)


def to_csv(evaluations: Sequence[Results]) -> str:
    """The figures of evaluations, a row for each run, score, calibration and metric.

    Args:
      evaluations: what was read of their folders.
    Returns:
      The text of a file with `COLUMNS` in its first line; what is not known is empty.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for results in evaluations:
        model = {
            "model": results.model.label,
            "model_step": results.model.step,
            "model_parameters": results.model.parameters,
        }
        for run in results.runs:
            place = {"folder": results.folder, **model, **{n: getattr(run, n) for n in _OF_RUN}}
            writer.writerows({**place, **figure} for figure in _figures(run))
    return text.getvalue()


def _figures(run: Run) -> Iterator[dict]:
    """The columns of each figure; the run's own score comes first, and is not there twice."""
    blocks = [(run.score, "", run.metrics)]
    blocks += [(score, "", figures) for score, figures in run.scores.items() if score != run.score]
    blocks += [(run.score, method, figures) for method, figures in run.calibrated.items()]
    for score, calibration, figures in blocks:
        for metric, figure in figures.items():
            low, high = figure.interval or (None, None)
            is_main = metric == run.main
            yield {
                "score": score,
                "calibration": calibration,
                "metric": metric,
                "main": int(is_main and score == run.score and not calibration),
                **{"mean": figure.mean, "std": figure.std, "low": low, "high": high},
                "chance": run.chance if is_main else None,
            }
