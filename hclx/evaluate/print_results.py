"""Prints the results of a suite on the terminal."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hclx.progress import counted


def print_results(results: Mapping[str, Any], missing: Sequence[str] = ()) -> None:
    """Prints each run: its main metric with the interval, what was dropped, and biases.

    Of the methods of calibration, only one that was chosen beforehand is printed: the best one on
    these items would flatter the model.

    Args:
      results: see `hclx.evaluate.suite.run_suite`.
      missing: a line for each task that was left out.
    """
    width = max(len(_name(run)) for run in results["runs"])
    for run in results["runs"]:
        print(f"{_name(run):<{width}}  {_figures(run)}  {_counts(run)}")
        for line in _biases(run):
            print(f"{'':<{width}}  {line}")
    for line in missing:
        print(f"left out: {line}")
    compiling = results["compile_seconds"]
    print(f"{results['seconds']:.1f} s, of which {compiling:.1f} s compiled programs")


def _name(run: Mapping[str, Any]) -> str:
    return f"{run['task']}/{run['template']}"


def _figures(run: Mapping[str, Any]) -> str:
    text = f"{run['main']} {_figure(run['metrics'][run['main']])}"
    if run["chance"] is not None:
        text += f" (chance {run['chance']:.3f})"
    if method := run["calibration"]:
        text += f", calibrated by {method} {_figure(run['calibrated'][method][run['main']])}"
    return text


def _figure(summary: Mapping[str, Any]) -> str:
    low, high = summary["interval"] or (math.nan, math.nan)
    mean = math.nan if summary["mean"] is None else summary["mean"]
    spread = "" if summary["std"] is None else f" std {summary['std']:.4f}"
    return f"{mean:.4f} [{low:.4f}, {high:.4f}]{spread}"


def _counts(run: Mapping[str, Any]) -> str:
    dropped = f", {run['shots_dropped']} dropped" if run["shots_dropped"] else ""
    counts = run["prompts_by_shots"]
    fewer = [f"{n} in {counted(counts[n], 'prompt')}" for n in counts if int(n) < run["shots"]]
    dropped += f" ({', '.join(fewer)})" if fewer else ""
    items, trials = counted(run["items"], "item"), counted(run["trials"], "trial")
    return f"{counted(run['shots'], 'shot')}{dropped}, {items}, {trials}"


def _biases(run: Mapping[str, Any]) -> Iterator[str]:
    if run["bias_missing"]:
        yield f"no report of biases: {run['bias_missing']}"
    for name, effect in (run["bias"] or {}).get("before", {}).items():
        after = (run["bias"]["after"] or {}).get(name)
        calibrated = f", calibrated {_effect(after)}" if after else ""
        yield f"{name.replace('_', ' ')} bias {_effect(effect)}{calibrated}"


def _effect(effect: Mapping[str, Any]) -> str:
    detected = " detected" if effect["is_detected"] else ""
    return f"{effect['effect']:+.4f} (p {effect['p']:.2g}{detected})"
