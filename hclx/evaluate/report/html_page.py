"""The pages of an evaluation and of a comparison, as HTML in one file without scripts.

The pages are templates/report.html.j2 and compare.html.j2; this module prepares what they show.
"""

import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import jinja2

from hclx.errors import DataError
from hclx.evaluate.report import glance, svg
from hclx.evaluate.report.comparison import Comparison, Difference, notes_of
from hclx.evaluate.report.figures_csv import to_csv
from hclx.evaluate.report.plots import size_label, task_plots
from hclx.evaluate.report.published import tables_of
from hclx.evaluate.report.published_rows import tables_with_own_rows
from hclx.evaluate.report.results_file import Figure, Results, read_results
from hclx.evaluate.report.sample_choice import chosen_changes, chosen_samples
from hclx.evaluate.samples import replace_text
from hclx.evaluate.statistics import expected_calibration_error
from hclx.progress import counted

_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f]")
_SCORES = {
    "total": "sum of the answer's log-probabilities",
    "per_token": "log-probability of the answer per token",
    "per_character": "log-probability of the answer per character, as acc_norm of"
    " lm-evaluation-harness",
    "per_byte": "log-probability of the answer per byte of UTF-8",
    "pmi": "log-probability of the answer, less that without the prompt",
}
_DRAWS = {
    "trial": "the same examples before all items, drawn anew for each draw",
    "item": "other examples before every item",
    "own": "each item's own examples, such as the other questions of its paragraph",
    "fixed": "the examples of the prompt itself",
}


def write_report(folders: Sequence[str | Path], output: str | Path) -> list[Path]:
    """Writes the report of one evaluation, or of several side by side.

    Args:
      folders: that `hclx evaluate --output` wrote; one or more.
      output: the folder that takes report.html and report.csv; it is made.
    Returns:
      The files that were written.
    Raises:
      DataError: a folder cannot be read, or none is named; see `read_results`.
    """
    if not folders:
        raise DataError("there is nothing to report: name a folder that `hclx evaluate` wrote")
    evaluations = [read_results(folder) for folder in folders]
    files = {"report.html": render_report(evaluations), "report.csv": to_csv(evaluations)}
    return _write(Path(output), files)


def write_comparison(comparison: Comparison, output: str | Path) -> list[Path]:
    """Writes the comparison of two evaluations.

    Args:
      comparison: what `compare` returns.
      output: the folder that takes compare.html and changed.jsonl; it is made.
    Returns:
      The files that were written.
    """
    lines = [
        json.dumps(
            {
                **{name: getattr(difference, name) for name in ("task", "template", "shots_asked")},
                **{name: getattr(change, name) for name in ("trial", "id", "doc_hash", "fields")},
                "gold": change.target,
                "predictions": change.predictions,
                "correct": change.scores,
            },
            ensure_ascii=False,
        )
        for difference in comparison.differences
        for change in difference.changes
    ]
    changed = "".join(f"{line}\n" for line in lines)
    files = {"compare.html": render_comparison(comparison), "changed.jsonl": changed}
    return _write(Path(output), files)


def render_report(evaluations: Sequence[Results]) -> str:
    """The page of one evaluation or of several.

    Args:
      evaluations: what was read of their folders. Samples are read here.
    Raises:
      DataError: a file of samples cannot be read.
    """
    models = [results.model for results in evaluations]
    labels = [glance.model_label(model, models) for model in models]
    labelled = list(zip(labels, evaluations))
    tasks = dict.fromkeys(run.task for results in evaluations for run in results.runs)
    context = {
        "title": f"Evaluation of {labels[0]}" if len(labels) == 1 else "Evaluations side by side",
        "models": labelled,
        "overviews": [(label, glance.headlines(results)) for label, results in labelled],
        "tasks": [_task(name, labelled) for name in tasks],
        "score_names": _SCORES,
        "draw_names": _DRAWS,
    }
    return _page("report.html.j2", context)


def render_comparison(comparison: Comparison) -> str:
    """The page of a comparison, with a sample of the items that changed.

    Args:
      comparison: what `compare` returns.
    """
    context = {
        "title": "Comparison of two evaluations",
        "comparison": comparison,
        "notes": notes_of(comparison),
        "span": lambda difference: _span(difference, comparison.differences),
        "changes": [chosen_changes(difference) for difference in comparison.differences],
    }
    return _page("compare.html.j2", context)


def _task(name: str, labelled: Sequence[tuple[str, Results]]) -> dict:
    """The content of the section of a task."""
    runs = [
        {
            "label": label,
            "run": run,
            "verdict": glance.verdict(run.figure, run.chance),
            "cautions": list(glance.cautions(run)),
            "samples": chosen_samples(results, run),
        }
        for label, results in labelled
        for run in results.runs
        if run.task == name
    ]
    tables = tables_of(name)
    return {
        "name": name,
        "runs": runs,
        "plots": task_plots([results for _, results in labelled], name, tables),
        "published": tables_with_own_rows(tables, [(each["label"], each["run"]) for each in runs]),
    }


def _page(template: str, context: Mapping) -> str:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("hclx.evaluate.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_visible,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        number=format_number, p=format_p, count=counted, size=size_label, anchor=_anchor
    )
    environment.globals.update(
        strip=_strip,
        effect_strip=_effect_strip,
        reliability=svg.reliability_plot,
        calibration_error=expected_calibration_error,
        verdicts=glance.VERDICTS,
        summary=glance.summary,
        verdict_of=glance.verdict,
        one_answer=glance.one_answer,
    )
    return environment.get_template(template).render(context).lstrip()


def format_number(value: float | None, sign: bool = False) -> str:
    """A figure with three decimals, from 2 on with two, as percentages are; a dash if it is None or
    not a number.

    Args:
      value: the figure.
      sign: also write + before what is above 0.
    """
    if value is None or value != value:
        return "–"
    digits = 3 if abs(value) < 2 else 2
    text = f"{value:{'+' if sign else ''}.{digits}f}"
    return text.replace("-", "−")


def format_p(p: float) -> str:
    """A p-value: with two digits, and small ones as "< 0.001"; a dash if it is undefined."""
    if math.isnan(p):
        return "–"
    return "< 0.001" if p < 0.001 else f"{p:.2g}"


def _strip(metric: str, figure: Figure, reference: float | None, color: str = "s0"):
    """The small plot of a figure in a row of a table; "" if the mean is no number."""
    if not math.isfinite(figure.mean):
        return ""
    bounds = [figure.mean, *(figure.interval or ())]
    return svg.strip(figure.mean, figure.interval, glance.domain(metric, bounds), reference, color)


def _effect_strip(effect: float, interval: tuple | None, span: float, color: str):
    """The small plot of a difference, with 0 in the middle and -span and span at the ends."""
    return svg.strip(effect, interval, (-span, span), 0.0, color)


def _span(difference: Difference, among: Sequence[Difference]) -> float:
    """The greatest bound of the differences in the same unit, which share a scale."""
    unit = lambda each: glance.domain(each.metric, each.values)[1]
    same = [each for each in among if unit(each) == unit(difference)]
    bounds = [abs(bound) for each in same for bound in (each.difference, *(each.interval or ()))]
    return max(bounds) or 1.0


def _anchor(name: str) -> str:
    return re.sub(r"[^\w-]+", "-", name)


def _visible(value):
    """Replaces control characters, which HTML does not allow, by their symbols; what a macro has
    written stays as it is.
    """
    if not isinstance(value, str) or hasattr(value, "__html__"):
        return value
    return _CONTROL.sub(lambda match: chr(0x2400 + ord(match[0]) % 0x5E), value)


def _write(output: Path, files: dict[str, str]) -> list[Path]:
    output.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        replace_text(output / name, text)
    return [output / name for name in files]
