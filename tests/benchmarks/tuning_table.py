"""The table of tests/benchmarks/tuning.py: every method on every task, with several seeds, case by
case into a file. A case that has its line is not run again, so that a table can take some evenings.
"""

import json
import statistics
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.benchmarks.tuning_cases import METHODS, Setup, run_case
from tests.benchmarks.tuning_tasks import BenchmarkTask

COLUMNS = {
    "trainable": "parameters",
    "artefact_bytes": "artefact, bytes",
    "state_bytes": "state, bytes",
    "state_bytes_planned": "as planned",
    "examples_a_step": "examples a step",
    "step_seconds": "s a step",
    "seconds": "seconds",
}
SCORES = ("accuracy", "chrf", "loss")


def measure(
    setup: Setup,
    tasks: dict[str, Callable[[], BenchmarkTask]],
    methods: Sequence[str],
    seeds: Sequence[int],
    output: Path,
) -> list[dict]:
    """Runs the cases that have no line yet.

    Args:
      setup: what the cases have in common.
      tasks: name -> the function that reads the task.
      methods: some of METHODS.
      seeds: of shots, initial values and the order of rows.
      output: JSON lines, one for each case; those of other settings stay.
    Returns:
      The lines of all cases that were asked for.
    """
    lines = []
    for name, read in tasks.items():
        task = None
        for seed in seeds:
            for method in methods:
                case = {"task": name, "method": method, "seed": seed, "of": _settings(setup)}
                line = known(output, case)
                if line is None:
                    task = task or read()
                    print(f"{name} {method} {seed}", file=sys.stderr, flush=True)
                    line = {**case, **run_case(setup, task, method, seed)}
                    append(output, line)
                lines.append(line)
                print(json.dumps(line, ensure_ascii=False), flush=True)
    return lines


def _settings(setup: Setup) -> dict:
    """What the result of a case depends on."""
    own = ("steps", "batch", "length", "generated", "bindings")
    values = {name: getattr(setup, name) for name in own}
    return {**values, "bindings": list(setup.bindings), "run": Path(setup.run).name}


def known(path: Path, case: dict) -> dict | None:
    """Returns the line of a case, if the file has it; a line that was not finished is no line."""
    content = path.read_text(encoding="utf-8") if path.exists() else ""
    for text in content.split("\n")[:-1]:
        line = json.loads(text)
        if {name: line.get(name) for name in case} == case:
            return line
    return None


def append(path: Path, line: dict) -> None:
    """Appends a line, behind whole lines: one that a killed process left goes."""
    content = path.read_bytes() if path.exists() else b""
    whole = content[: content.rfind(b"\n") + 1]
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as stream:
        stream.truncate(len(whole))
        stream.write(json.dumps(line, ensure_ascii=False).encode() + b"\n")


def table(lines: Sequence[dict]) -> str:
    """Renders cases: for each task and method the mean over the seeds, and the score of each."""
    parts = []
    for task in dict.fromkeys(line["task"] for line in lines):
        of_task = [line for line in lines if line["task"] == task]
        scores = [name for name in SCORES if any(name in line for line in of_task)]
        head = ["method", *scores, f"{scores[0]} by seed", *COLUMNS.values()]
        rows = [_row(method, scores, of_task) for method in METHODS]
        calibrated = _calibrated(scores, of_task)
        shown = [head, ["---"] * len(head), *filter(None, rows), *calibrated]
        parts.append(f"{task}\n\n" + "\n".join(f"| {' | '.join(row)} |" for row in shown))
    return "\n\n".join(parts)


def _row(method: str, scores: Sequence[str], lines: Sequence[dict]) -> list[str] | None:
    own = [line for line in lines if line["method"] == method]
    if not own:
        return None
    by_seed = ", ".join(_number(line.get(scores[0])) for line in own)
    names = (*scores, "", *COLUMNS)
    return [method, *(by_seed if not name else _mean(own, name) for name in names)]


def _calibrated(scores: Sequence[str], lines: Sequence[dict]) -> list[list[str]]:
    """A row for each way in which few-shot answers were calibrated."""
    own = [line for line in lines if line.get("calibrated")]
    rows = []
    for name in own[0]["calibrated"] if own else ():
        values = [line["calibrated"][name] for line in own]
        listed, mean = ", ".join(map(_number, values)), _number(statistics.mean(values))
        others = [""] * (len(scores) - 1)
        rows.append([f"few_shot, {name}", mean, *others, listed, *[""] * len(COLUMNS)])
    return rows


def _mean(lines: Sequence[dict], name: str) -> str:
    values = [line[name] for line in lines if line.get(name) is not None]
    return _number(statistics.mean(values)) if values else ""


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
