"""One line for each task: what a reader sees first."""

import dataclasses
from collections.abc import Iterator, Sequence

from hclx.evaluate.report.results_file import Figure, Model, Results, Run
from hclx.progress import counted

# Metrics whose greatest value is 100, by the beginning of their names.
_PERCENT = ("bleu", "chrf", "ter")
_ONE_ANSWER = 0.9  # the share of predictions from which a model answers always the same
VERDICTS = {
    "above": "above chance",
    "at": "at chance",
    "below": "below chance",
    "none": "no chance level",
}


@dataclasses.dataclass(frozen=True)
class Headline:
    """The run that stands for a task.

    Attributes:
      verdict: a key of VERDICTS.
      others: the least and greatest main metric of the task's runs, if it has several.
    """

    run: Run
    verdict: str
    n_runs: int
    others: tuple[float, float] | None


def headlines(results: Results) -> list[Headline]:
    """Returns a line for each task, in the order of the results: the run with the most examples,
    of these the first. It is not the best one: to choose that by the items it is measured on would
    flatter the model.
    """
    tasks = dict.fromkeys(run.task for run in results.runs)
    return [_headline([run for run in results.runs if run.task == task]) for task in tasks]


def _headline(runs: Sequence[Run]) -> Headline:
    run = max(runs, key=lambda run: run.shots_asked)
    values = [other.figure.mean for other in runs if other.main == run.main]
    others = (min(values), max(values)) if len(runs) > 1 else None
    return Headline(run, verdict(run.figure, run.chance), len(runs), others)


def verdict(figure: Figure, chance: float | None) -> str:
    """Returns a key of VERDICTS: "at" if the interval holds chance; without an interval the mean
    itself is compared.
    """
    if chance is None:
        return "none"
    low, high = figure.interval or (figure.mean, figure.mean)
    return "above" if low > chance else "below" if high < chance else "at"


def domain(metric: str, values: Sequence[float]) -> tuple[float, float]:
    """Returns the least and greatest value of a metric: 0 to 1; 0 to 100 for those in percent; -1
    to 1 for those that can be negative, as correlations and differences are.

    Args:
      metric: its name.
      values: that are shown together.
    """
    if metric.startswith(_PERCENT) or max(values, default=0) > 1.5:
        return 0.0, 100.0
    is_signed = "diff" in metric or metric in ("pearson", "spearman", "mcc")
    return (-1.0, 1.0) if is_signed or min(values, default=0) < 0 else (0.0, 1.0)


def summary(lines: Sequence[Headline]) -> str:
    """Returns a sentence that counts tasks by their verdicts."""
    counts = {key: sum(line.verdict == key for line in lines) for key in VERDICTS}
    if len(lines) == 1:
        return f"1 task: {VERDICTS[lines[0].verdict]}."
    words = [f"{n} {VERDICTS[key]}" for key, n in counts.items() if n and key != "none"]
    if counts["none"]:
        words.append(f"{counts['none']} on which guessing has no score")
    return f"{counted(len(lines), 'task')}: {', '.join(words)}."


def one_answer(run: Run) -> str:
    """Returns a sentence if nearly all predictions are of the same label, though the right answers
    are not; else "". Such a score says what share of the items has that label, and no more.
    """
    total = sum(map(sum, run.confusion or ()))
    if not total:
        return ""
    predicted = [sum(column) / total for column in zip(*run.confusion)]
    label = max(range(len(predicted)), key=predicted.__getitem__)
    right = sum(run.confusion[label]) / total
    if predicted[label] < _ONE_ANSWER or right >= _ONE_ANSWER:
        return ""
    name = run.label_names[label] or "not read"
    return (
        f"{predicted[label]:.0%} of the predictions are “{name}”, the right answer of {right:.0%}"
    )


def cautions(run: Run) -> Iterator[str]:
    """Yields sentences on what makes a run weaker than it was asked to be."""
    if one_answer(run):
        yield one_answer(run)
    if run.shots < run.shots_asked:
        yield (
            f"{run.shots_asked} examples were asked for and {run.shots} had room in the context,"
            " for all items alike"
        )
    if run.fewer_shots:
        yield f"some prompts have fewer than {run.shots} examples: {run.fewer_shots}"
    if run.truncated:
        yield f"{counted(run.truncated, 'prompt')} did not fit and lost the beginning"
    if run.straddles:
        yield (
            f"in {counted(run.straddles, 'prompt')} a token straddles the prompt and the answer, so"
            " that the model saw other tokens than in a running text"
        )
    if run.items < 200:
        yield f"only {counted(run.items, 'item')}: the interval is wide"
    if run.draw == "trial" and run.trials == 1 and run.shots:
        yield "a single draw of examples: other examples may give another figure"


def model_label(model: Model, others: Sequence[Model]) -> str:
    """Returns the name of a model, with its step if another one has the same name."""
    same = [other for other in others if other.label == model.label]
    step = "" if model.step is None else f", step {model.step:,}"
    return f"{model.label}{step}" if len(same) > 1 else model.label
