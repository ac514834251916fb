"""Compares two evaluations item by item, and tests their differences."""

import dataclasses
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from hclx.errors import DataError
from hclx.evaluate.items import Item, Prediction
from hclx.evaluate.metrics import METRICS
from hclx.evaluate.metrics.metric import mean_of
from hclx.evaluate.report.results_file import Results, Run, Sample, read_results, read_samples
from hclx.evaluate.report.significance import holm, mcnemar
from hclx.evaluate.statistics import paired_bootstrap
from hclx.progress import counted

# Of predictions that are the scores themselves, in place of metrics that need more of an item than
# its sample holds.
_ITEM_SCORE = mean_of("score of an item", lambda items, scores: np.array(scores, float))
_RESAMPLES = 4000
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

    @property
    def is_gain(self) -> bool:
        """Whether b has the better score."""
        return self.scores[1] > self.scores[0]


@dataclasses.dataclass(frozen=True)
class Difference:
    """A run of both folders.

    Attributes:
      metric: what was tested: the main metric, or "score of an item" where that metric needs more
        than samples hold.
      values: of a and b, over the items of both.
      interval: of b - a, 95%, by the bootstrap over items; None if it is undefined.
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
    interval: tuple[float, float] | None
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
        return sum(change.is_gain for change in self.changes)

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
    corrected = holm([1.0 if math.isnan(d.p) else d.p for d in differences])
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
    pairs, reason = _join(results, runs)
    if reason:
        return reason
    items = [_item(pair[1]) for pair in pairs[0]]
    metric, predictions = _tested(runs, pairs, items)
    values = [np.mean([metric.function(items, p) for p in trials]) for trials in predictions]
    bootstrap = paired_bootstrap(metric, items, predictions, resamples=_RESAMPLES, seed=seed)
    changes = [_change(*pair) for pair in sum(pairs, []) if pair[0].correct != pair[1].correct]
    p, test = bootstrap.p, "paired bootstrap"
    if metric.name == "accuracy" and len(pairs) == 1:
        gained = sum(change.is_gain for change in changes)
        p, test = mcnemar(gained, len(changes) - gained), "McNemar, exact"
    return Difference(
        *(runs[0].task, runs[0].template, runs[0].shots_asked, metric.name),
        values=(float(values[0]), float(values[1])),
        interval=bootstrap.interval,
        p=p,
        test=test,
        items=len(items),
        trials=len(pairs),
        notes=tuple(_notes(runs, len(items))),
        changes=tuple(changes),
    )


def _join(results: tuple, runs: tuple) -> tuple[list[list[tuple[Sample, Sample]]], str]:
    """Joins the samples of two runs.

    Returns:
      The pairs of samples of each draw: in all draws those of the same items, in the same order.
      And the reason if there is none.
    """
    # What is not compared would fill the memory: the texts of all items, in each draw.
    firsts = {
        key: dataclasses.replace(sample, fields={})
        for key, sample in _keyed(read_samples(results[0], runs[0]))
    }
    joined: dict[tuple, dict[int, tuple]] = defaultdict(dict)
    texts: dict[tuple, Mapping] = {}
    for (trial, *item), sample in _keyed(read_samples(results[1], runs[1])):
        first, item = firsts.get((trial, *item)), tuple(item)
        if first is not None:
            fields = texts.setdefault(item, sample.fields)
            joined[item][trial] = (first, dataclasses.replace(sample, fields=fields))
    draws = sorted({trial for by_draw in joined.values() for trial in by_draw})
    whole = [by_draw for by_draw in joined.values() if len(by_draw) == len(draws)]
    pairs = [[by_draw[trial] for by_draw in whole] for trial in draws]
    if not whole:
        return [], _NO_ITEM
    if not all(sample.is_scored for pair in sum(pairs, []) for sample in pair):
        return [], "it has items without a score"
    return pairs, ""


def _keyed(samples: Iterator[Sample]) -> Iterator[tuple[tuple, Sample]]:
    """Gives each sample its key: draw, doc_hash, and a number among equal items of the draw."""
    seen = defaultdict(int)
    for sample in samples:
        number = seen[sample.trial, sample.doc_hash]
        seen[sample.trial, sample.doc_hash] += 1
        yield (sample.trial, sample.doc_hash, number), dataclasses.replace(sample, prompt=None)


class _UnknownFact(KeyError):
    """A metric needs a fact about an item that samples do not hold."""


class _NotInSamples(dict):
    """Stands for `Item.gold` where samples lack it: even an optional value is not known."""

    def __missing__(self, name: str) -> object:
        raise _UnknownFact(name)

    def get(self, name: str, default: object = None) -> object:
        raise _UnknownFact(name)


def _item(sample: Sample) -> Item:
    facts = _NotInSamples() if sample.facts is None else sample.facts
    return Item(sample.id, sample.fields, sample.target, sample.answers, facts)


def _tested(runs: tuple, pairs: Sequence, items: Sequence[Item]) -> tuple:
    """(metric, predictions of both runs in each draw) that are tested: the main metric of both, or
    the items' own scores if that metric needs more than samples hold.
    """
    answered = lambda sample: Prediction(
        sample.prediction or "", sample.probabilities or {}, sample.text or ""
    )
    metric = METRICS.get(runs[0].main) if runs[0].main == runs[1].main else None
    if metric:
        predictions = _of_both(pairs, answered)
        try:
            metric.function(items, predictions[0][0])
            return metric, predictions
        except _UnknownFact:
            pass  # the items' own scores are tested instead
    return _ITEM_SCORE, _of_both(pairs, lambda sample: float(sample.correct))


def _of_both(pairs: Sequence, read) -> tuple[list[list], list[list]]:
    first, second = ([[read(pair[side]) for pair in draw] for draw in pairs] for side in (0, 1))
    return first, second


def _change(first: Sample, second: Sample) -> Change:
    return Change(
        *(second.trial, second.id, second.doc_hash, second.fields, second.target),
        predictions=(first.prediction or "", second.prediction or ""),
        scores=(float(first.correct), float(second.correct)),
    )


def _notes(runs: tuple, items: int) -> Iterator[str]:
    """Sentences on what differs between two runs beside the model."""
    first, second = runs
    if first.prompt_hash != second.prompt_hash:
        yield "the prompt documents differ: this compares prompts as well as models"
    if first.shots != second.shots:
        yield f"a saw {counted(first.shots, 'shot')}, b {second.shots}, as examples were dropped"
    if first.score != second.score:
        yield f"a is scored by {first.score}, b by {second.score}"
    has_examples = first.shots or second.shots
    if has_examples and (first.seed != second.seed or first.draw != second.draw):
        yield "the examples were drawn differently"
    for name, run in zip("ab", runs):
        if run.items != items:
            yield f"{items:,} of the {counted(run.items, 'item')} of {name} are compared"
    if first.main != second.main:
        yield f"the main metric of a is {first.main}, that of b {second.main}"


def notes_of(comparison: Comparison) -> list[tuple[str, list[str]]]:
    """Returns each note with the runs that it is on; [] of runs stands for all, and a single text
    for all that have examples.

    Args:
      comparison: what `compare` returns.
    """
    runs = defaultdict(list)
    for d in comparison.differences:
        for note in d.notes:
            runs[note].append(_named((d.task, d.template, d.shots_asked)))
    differences = comparison.differences
    with_shots = [_named((d.task, d.template, d.shots_asked)) for d in differences if d.shots_asked]
    short = lambda names: ["all runs with examples"] if names == with_shots else names
    return [
        (note, [] if len(names) == len(differences) else short(names))
        for note, names in runs.items()
    ]


def to_table(comparison: Comparison) -> str:
    """The differences as a table for a terminal.

    Args:
      comparison: what `compare` returns.
    """
    rows = [("task", "template", "shots", "metric", "a", "b", "b - a", "95%", "p", "p (Holm)")]
    for d in comparison.differences:
        interval = "[{:+.3f}, {:+.3f}]".format(*d.interval) if d.interval else "undefined"
        figures = (*(f"{value:.3f}" for value in d.values), f"{d.difference:+.3f}", interval)
        p_values = (f"{d.p:.2g}", f"{d.p_holm:.2g}")
        rows.append((d.task, d.template, str(d.shots_asked), d.metric, *figures, *p_values))
    widths = [max(map(len, column)) for column in zip(*rows)]
    lines = ["  ".join(f"{cell:<{w}}" for cell, w in zip(row, widths)).rstrip() for row in rows]
    for note, runs in notes_of(comparison):
        lines.append(f"{', '.join(runs) or 'all runs'}: {note}")
    lines += [f"not compared: {reason}" for reason in comparison.left_out]
    return "\n".join([f"a: {comparison.a.folder}", f"b: {comparison.b.folder}", "", *lines])
