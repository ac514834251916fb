"""Measures the biases of a run's prompt on an engine; `bias` has the method."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from hclx.evaluate.answering import answer_priors, score_choices
from hclx.evaluate.bias import MAJORITY, PER_LABEL, Example, Score, bias_report
from hclx.evaluate.content_free import content_free_fields
from hclx.evaluate.item_prompts import Reader, content_free_prompt
from hclx.evaluate.items import Item
from hclx.evaluate.prompt_search import without_items
from hclx.evaluate.run_spec import RunSpec
from hclx.evaluate.shots import Fields
from hclx.infer import Engine
from hclx.progress import ProgressBar

INPUTS = 8  # of each label
NO_BIAS: Mapping[str, Any] = MappingProxyType({"bias": None, "reason": None})


class _NoRoom(Exception):
    """A prompt of the report is longer than the model reads."""


def measures_bias(spec: RunSpec) -> bool:
    """Returns whether a run asks for a report of biases and has what they are biases of: choices
    that all items share, and examples that are drawn.
    """
    is_drawn = spec.draw in ("trial", "item") and spec.shots > 0
    return bool(spec.bias_rounds and is_drawn and spec.prompt.shares_choices)


def measure_bias(
    engine: Engine,
    spec: RunSpec,
    reader: Reader,
    on_prompt: Callable[[], object] = lambda: None,
) -> dict[str, Any]:
    """Returns the biases of a run's prompt, as results.json has them.

    The inputs are the first items of the run, as many of each label, up to `INPUTS`; examples are
    drawn from the run's pool, without those that have the text of an input.

    Args:
      engine: of the model.
      spec: the run, of which `measures_bias` is true.
      reader: how the model reads.
      on_prompt: is called after each prompt that was scored.
    Returns:
      `bias`: see `BiasReport.to_json`; None if it cannot be measured, and `reason` says why.
    """
    labels = tuple(spec.prompt.choices)
    inputs = _inputs(spec.items, labels)
    pool = without_items(spec.pool, inputs)
    if reason := _missing(labels, inputs, pool):
        return {"bias": None, "reason": reason}
    with ProgressBar(4 * spec.bias_rounds + 1, "measuring biases", "prompt") as progress:
        tell = lambda: (progress.update(), on_prompt())
        return bias_of_inputs(engine, spec, reader, inputs, pool, tell, on_prompt)


def bias_of_inputs(
    engine: Engine,
    spec: RunSpec,
    reader: Reader,
    inputs: Sequence[Item],
    pool: Sequence[Item],
    on_prompt: Callable[[], object] = lambda: None,
    on_content_free: Callable[[], object] = lambda: None,
) -> dict[str, Any]:
    """Returns the biases of a run's prompt as `measure_bias` does, by inputs and examples that are
    chosen already.

    Args:
      engine, spec, reader: as for `measure_bias`.
      inputs: as many of each label.
      pool: where examples are drawn from, at least `MAJORITY` of each label.
      on_prompt: is called after each prompt that was scored.
      on_content_free: the same for inputs without content.
    """
    labels = tuple(spec.prompt.choices)
    examples = [(item.fields, item.answer) for item in pool if item.answer in labels]
    score = lambda fields, tell: _scorer(engine, spec, reader, fields, tell)
    try:
        report = bias_report(
            score([item.fields for item in inputs], on_prompt),
            examples,
            labels,
            score(content_free_fields(spec.prompt.input_fields), on_content_free),
            rounds=spec.bias_rounds,
            seed=spec.seed,
        )
    except _NoRoom as error:
        return {"bias": None, "reason": str(error)}
    return {"bias": report.to_json(), "reason": None}


def _inputs(items: Sequence[Item], labels: Sequence[str]) -> list[Item]:
    """Returns the first items of each label, as many as the rarest label has."""
    counts = Counter(item.answer for item in items)
    count = min(INPUTS, *(counts[label] for label in labels))
    by_label = {label: [item for item in items if item.answer == label] for label in labels}
    return [item for members in by_label.values() for item in members[:count]]


def _missing(labels: Sequence[str], inputs: Sequence[Item], pool: Sequence[Item]) -> str:
    """Returns why biases cannot be measured; "" if they can."""
    if not inputs:
        return "the items lack a label, and the inputs need all of them: answer more items"
    counts, least = Counter(item.answer for item in pool), max(MAJORITY, PER_LABEL)
    rare = [label for label in labels if counts[label] < least]
    if rare:
        return f"the label {rare[0]!r} has {counts[rare[0]]} examples, and {least} are needed"
    return ""


def _scorer(
    engine: Engine,
    spec: RunSpec,
    reader: Reader,
    inputs: Sequence[Fields],
    tell: Callable[[], object],
) -> Score:
    """Returns a function: examples -> the scores [inputs, labels] of the choices behind them."""
    labels, field = tuple(spec.prompt.choices), spec.prompt.answer_field

    def score(examples: Sequence[Example]) -> np.ndarray:
        shots = [{**fields, field: label} for fields, label in examples]
        prompts = [content_free_prompt(spec, fields, shots, reader) for fields in inputs]
        if any(prompt.is_truncated for prompt in prompts):
            raise _NoRoom(f"{len(shots)} examples have no room in {reader.max_length} tokens")
        priors = answer_priors(engine, prompts, reader) if spec.score == "pmi" else {}
        scored = score_choices(engine, prompts, priors)
        tell()
        return np.array([[scores[key].by(spec.score) for key in labels] for scores in scored])

    return score
