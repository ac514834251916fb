"""Compares two evaluations item by item, and tests their differences."""

import dataclasses
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from hclx.errors import DataError
from hclx.evaluate.report import paired
from hclx.evaluate.report.results_file import Results, Run, Sample, read_results, read_samples
from hclx.progress import counted

# Metrics that follow from a confusion matrix, so that they are resampled themselves; of others the
# items' own scores are.
_OF_CONFUSIONS = {"accuracy": paired.accuracy, "f1_macro": paired.f1_macro}
_ITEM_SCORE = "score of an item"
_NO_ITEM = "no item of the two folders has the same doc_hash"


@dataclasses.dataclass(frozen=True)
class Change:
    """An item whose score differs, with what both models predicted."""

    trial: int
    id: str
    doc_hash: str
    fields: Mapping[str, object]
    target: str
    predictions: tuple[str, str]
    scores: tuple[float, float]


@dataclasses.dataclass(frozen=True)
class Difference:
    """A run of both folders.

    Attributes:
      metric: what was tested: the main metric, or "score of an item" where that cannot be resampled
        by itself.
      values: of a and b, over the items of both.
      low, high: bootstrap interval of b - a, 95%.
      p, p_holm: of the test, and corrected for all runs that are compared.
      test: its name.
      items, trials: that both have.
      notes: in which the two differ beside the model.
      changes: items whose scores differ.
    """

    task: str
    template: str
    shots_asked: int
    metric: str
    values: tuple[float, float]
    low: float
    high: float
    p: float
    test: str
    items: int
    trials: int
    notes: tuple[str, ...]
    changes: tuple[Change, ...]
    p_holm: float = 1.0

    @property
    def difference(self) -> float:
        """b - a."""
        return self.values[1] - self.values[0]

    @property
    def gained(self) -> int:
        """Items that b has better, counted in each draw."""
        return sum(change.scores[1] > change.scores[0] for change in self.changes)

    @property
    def lost(self) -> int:
        """Items that b has worse, counted in each draw."""
        return len(self.changes) - self.gained


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Two evaluations and their differences; `left_out` says which runs were not compared."""

    a: Results
    b: Results
    differences: tuple[Difference, ...]
    left_out: tuple[str, ...]


def compare(dir_a: str | Path, dir_b: str | Path, seed: int = 0) -> Comparison:
    """Compares two evaluations by a paired test for each run that both have: exact McNemar for the
    accuracy of a single draw of examples; else the bootstrap over items, each with all its draws.

    Args:
      dir_a, dir_b: folders that `hclx evaluate --output` wrote; differences are b - a.
      seed: of the bootstrap.
    Returns:
      Runs are joined by task, template and shots, items by draw and doc_hash.
    Raises:
      DataError: a folder cannot be read, or nothing can be joined; it gives the reason.
    """
    results = read_results(dir_a), read_results(dir_b)
    runs_a, runs_b = map(_by_key, results)
    left_out = [
        f"{_named(key)}: only {results[key in runs_b].folder} has it"
        for key in [*runs_a, *runs_b]
        if (key in runs_a) != (key in runs_b)
    ]
    differences = []
    for key in (key for key in runs_a if key in runs_b):
        difference = _difference(results, (runs_a[key], runs_b[key]), seed)
        if isinstance(difference, str):
            left_out.append(f"{_named(key)}: {difference}")
        else:
            differences.append(difference)
    if not differences:
        reasons = "; ".join(left_out[:4]) or "they have no runs"
        more = f"; and {len(left_out) - 4} more" if len(left_out) > 4 else ""
        raise DataError(
            f"{dir_a} and {dir_b} cannot be compared: {reasons}{more}. Evaluate both with the same"
            " suite, templates, shots and split"
        )
    corrected = paired.holm([difference.p for difference in differences])
    differences = [dataclasses.replace(d, p_holm=p) for d, p in zip(differences, corrected)]
    return Comparison(*results, tuple(differences), tuple(left_out))


def _by_key(results: Results) -> dict[tuple, Run]:
    """(task, template, shots that were asked for) -> run."""
    runs = {(run.task, run.template, run.shots_asked): run for run in results.runs}
    if len(runs) < len(results.runs):
        raise DataError(
            f"{results.folder / 'results.json'} has two runs of the same task, template and number"
            " of shots, so that runs cannot be joined; evaluate them into folders of their own"
        )
    return runs


def _named(key: tuple) -> str:
    return "{} ({}, {} shots)".format(*key)


def _difference(results: tuple, runs: tuple, seed: int) -> Difference | str:
    """The difference of a run that both have, or the reason why there is none."""
    items, changes, reason = _join(results, runs)
    if not items:
        return reason
    metric, table, values = _tested(runs, items)
    bootstrap = paired.paired_bootstrap(table, values, seed=seed)
    trials = len(next(iter(items.values())))
    p, test = bootstrap.p, "paired bootstrap"
    if metric == "accuracy" and trials == 1:
        gained = sum(change.scores[1] > change.scores[0] for change in changes)
        p, test = paired.mcnemar(gained, len(changes) - gained), "McNemar, exact"
    return Difference(
        *(runs[0].task, runs[0].template, runs[0].shots_asked),
        metric=metric,
        values=bootstrap.values,
        low=bootstrap.low,
        high=bootstrap.high,
        p=p,
        test=test,
        items=len(items),
        trials=trials,
        notes=tuple(_notes(runs, len(items))),
        changes=tuple(changes),
    )


def _join(results: tuple, runs: tuple) -> tuple[dict, list[Change], str]:
    """Joins the samples of two runs.

    Returns:
      item -> for each draw, (target, prediction and score of a, prediction and score of b), for
      items that are in all draws of both; the changes among these; and the reason if there is none.
    """
    firsts = {key: _outcome(sample) for key, sample in _keyed(read_samples(results[0], runs[0]))}
    joined, differing, draws = defaultdict(dict), [], set()
    for key, sample in _keyed(read_samples(results[1], runs[1])):
        if key not in firsts:
            continue
        (trial, *item), first, second = key, firsts[key], _outcome(sample)
        draws.add(trial)
        if first is None or second is None:
            return {}, [], "its samples have items without a score"
        joined[tuple(item)][trial] = (sample.target, *first, *second)
        if first[1] != second[1]:
            differing.append((tuple(item), sample, first, second))
    whole = {item: by_draw for item, by_draw in joined.items() if set(by_draw) == draws}
    changes = [
        Change(
            *(sample.trial, sample.id, sample.doc_hash, sample.fields, sample.target),
            predictions=(first[0], second[0]),
            scores=(first[1], second[1]),
        )
        for item, sample, first, second in differing
        if item in whole
    ]
    rows = {item: [whole[item][trial] for trial in sorted(draws)] for item in whole}
    return rows, changes, _NO_ITEM


def _keyed(samples: Iterator[Sample]) -> Iterator[tuple[tuple, Sample]]:
    """Gives each sample its key: draw, doc_hash, and a number among equal items of the draw."""
    seen = defaultdict(int)
    for sample in samples:
        number = seen[sample.trial, sample.doc_hash]
        seen[sample.trial, sample.doc_hash] += 1
        yield (sample.trial, sample.doc_hash, number), sample


def _outcome(sample: Sample) -> tuple[str, float] | None:
    """Prediction and score; None without a score."""
    if sample.correct is None or sample.correct != sample.correct:
        return None
    return sample.prediction or "", float(sample.correct)


def _tested(runs: tuple, items: dict) -> tuple:
    """(name, table of items, function of its values) of what is tested, for the bootstrap."""
    rows, main = list(items.values()), runs[0].main
    is_same = main == runs[1].main
    if not (is_same and main in _OF_CONFUSIONS and all(run.labels for run in runs)):
        table = np.array([[draw[c] for c in (2, 4) for draw in draws] for draws in rows])
        return main if is_same and main == "accuracy" else _ITEM_SCORE, table, paired.mean_scores
    labels = sorted({draw[c] for draws in rows for draw in draws for c in (0, 1, 3)})
    number = {label: index for index, label in enumerate(labels)}
    table = np.array(
        [
            [number[draws[0][0]], *(number[draw[c]] for c in (1, 3) for draw in draws)]
            for draws in rows
        ]
    )
    return main, table, paired.mean_of_confusions(_OF_CONFUSIONS[main], len(labels))


def _notes(runs: tuple, items: int) -> Iterator[str]:
    """Sentences on what differs between two runs beside the model."""
    first, second = runs
    if first.prompt_hash != second.prompt_hash:
        yield "the prompt documents differ: this compares prompts as well as models"
    if first.shots != second.shots:
        yield f"a saw {counted(first.shots, 'shot')}, b {second.shots}, as examples were dropped"
    if first.score != second.score:
        yield f"a is scored by {first.score}, b by {second.score}"
    if first.seed != second.seed or first.draw != second.draw:
        yield "the examples were drawn differently"
    for name, run in zip("ab", runs):
        if run.items != items:
            yield f"{items:,} of the {counted(run.items, 'item')} of {name} are compared"
    if first.main != second.main:
        yield f"the main metric of a is {first.main}, that of b {second.main}"


def to_table(comparison: Comparison) -> str:
    """The differences as a table for a terminal.

    Args:
      comparison: what `compare` returns.
    """
    rows = [("task", "template", "shots", "metric", "a", "b", "b - a", "95%", "p", "p (Holm)")]
    for d in comparison.differences:
        interval = f"[{d.low:+.3f}, {d.high:+.3f}]"
        figures = (*(f"{value:.3f}" for value in d.values), f"{d.difference:+.3f}", interval)
        p_values = (f"{d.p:.2g}", f"{d.p_holm:.2g}")
        rows.append((d.task, d.template, str(d.shots_asked), d.metric, *figures, *p_values))
    widths = [max(map(len, column)) for column in zip(*rows)]
    lines = ["  ".join(f"{cell:<{w}}" for cell, w in zip(row, widths)).rstrip() for row in rows]
    lines += [
        f"{d.task} ({d.template}): {note}" for d in comparison.differences for note in d.notes
    ]
    lines += [f"not compared: {reason}" for reason in comparison.left_out]
    return "\n".join([f"a: {comparison.a.folder}", f"b: {comparison.b.folder}", "", *lines])
