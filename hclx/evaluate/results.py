"""Turns the samples of a run into the numbers of results.json."""

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hclx.evaluate.calibration import calibrated
from hclx.evaluate.items import Prediction
from hclx.evaluate.measure_bias import NO_BIAS
from hclx.evaluate.metrics import METRICS
from hclx.evaluate.run_spec import SCORES, RunSpec
from hclx.evaluate.scores import AnswerScore
from hclx.evaluate.statistics import (
    confusion,
    expected_calibration_error,
    reliability,
    summarise,
)
from hclx.evaluate.trial import predict
from hclx.prompts import prompt_hash

Trials = Sequence[Sequence[Prediction]]


def run_record(
    spec: RunSpec,
    samples: Sequence[Sequence[dict]],
    content_free: Sequence[Mapping[str, Sequence[Mapping[str, float]]]],
    bias: Mapping[str, Any] = NO_BIAS,
) -> dict[str, Any]:
    """Returns the record of a run.

    Args:
      spec: what was run.
      samples: of each trial, in the order of the items.
      content_free: of each trial, kind of content-free inputs -> the scores of the choices behind
        each of them; see `hclx.evaluate.content_free`.
      bias: see `hclx.evaluate.measure_bias`.
    """
    trials = [[_prediction(sample) for sample in lines] for lines in samples]
    shots = max(sample["shots"] for sample in samples[0])
    lines = [sample for of_trial in samples for sample in of_trial]
    record = {
        "task": spec.task,
        "template": spec.template,
        "prompt_hash": prompt_hash(spec.prompt),
        "split": spec.split,
        "shots_split": spec.shots_split,
        "shots_asked": spec.shots,
        "shots": shots,
        "shots_dropped": spec.shots - shots,
        "prompts_by_shots": prompts_by_shots(lines),
        "draw": spec.draw,
        "trials": spec.trials,
        "items": len(spec.items),
        "seed": spec.seed,
        "score": spec.score,
        "straddles": sum(sample["straddles"] for sample in lines),
        "truncated": sum(sample["is_truncated"] for sample in lines),
        "main": spec.main,
        "chance": spec.chance,
        "calibration": spec.calibration or None,
        "metrics": summaries(spec, trials),
        "signatures": {
            name: METRICS[name].signature() for name in spec.metrics if METRICS[name].signature()
        },
    }
    biases = {"bias": bias["bias"], "bias_missing": bias["reason"]}
    return {**record, **biases, **_of_choices(spec, samples, trials, content_free)}


def prompts_by_shots(samples: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Returns the number of examples -> how many prompts have it, the greatest number first."""
    counts = Counter(sample["shots"] for sample in samples)
    return {str(shots): counts[shots] for shots in sorted(counts, reverse=True)}


def summaries(spec: RunSpec, trials: Trials) -> dict[str, dict[str, Any]]:
    """Returns name of a metric -> its `Summary` as JSON."""
    summary = lambda name: summarise(METRICS[name], spec.items, trials, seed=spec.seed)
    return {name: summary(name).to_json() for name in spec.metrics}


def _prediction(sample: Mapping[str, Any]) -> Prediction:
    return Prediction(sample["prediction"], sample["probabilities"], sample.get("text", ""))


def _of_choices(spec: RunSpec, samples, trials: Trials, content_free) -> dict[str, Any]:
    """Returns what only runs with choices have: other scores, calibration, confusion."""
    keys = list(spec.prompt.choices)
    if not keys:
        empty = {"scores": {}, "calibrated": {}, "labels": [], "verbalisers": {}}
        return {**empty, "confusion": [], "reliability": []}
    answered = [
        (item, prediction)
        for predictions in trials
        for item, prediction in zip(spec.items, predictions, strict=True)
    ]
    labels, counts = confusion(spec.items, trials, keys)
    bins = reliability(
        np.array([max(prediction.probabilities.values()) for _, prediction in answered]),
        np.array([item.answer == prediction.answer for item, prediction in answered]),
    )
    return {
        "scores": _by_score(spec, samples),
        "calibrated": _calibrated(spec, samples, content_free),
        "labels": labels,
        "verbalisers": {k: t.text({}) for k, t in spec.prompt.choices.items() if not t.fields},
        "confusion": counts,
        "reliability": [dataclasses.asdict(part) for part in bins],
        "calibration_error": expected_calibration_error(bins),
    }


def _by_score(spec: RunSpec, samples) -> dict[str, dict]:
    """Returns name of a score -> its metrics; "pmi" only where every answer has a prior."""
    scored = [[_scores(sample) for sample in lines] for lines in samples]
    has_priors = all(
        s.prior is not None for lines in scored for line in lines for s in line.values()
    )
    names = [name for name in SCORES if name != "pmi" or has_priors]
    return {
        name: summaries(spec, [[predict(line, name) for line in lines] for lines in scored])
        for name in names
    }


def _scores(sample: Mapping[str, Any]) -> dict[str, AnswerScore]:
    return {key: _score(**score) for key, score in sample["scores"].items()}


def _score(total: float, tokens: int, characters: int, bytes: int, pmi: float | None):
    return AnswerScore(total, tokens, characters, bytes, None if pmi is None else total - pmi)


def _calibrated(spec: RunSpec, samples, content_free) -> dict[str, dict]:
    """Returns method of calibration -> the metrics that it leads to."""
    scored = [[_scores(sample) for sample in lines] for lines in samples]
    return {
        method: summaries(
            spec,
            [
                calibrated_predictions(spec, method, *trial)
                for trial in zip(scored, content_free, strict=True)
            ],
        )
        for method in spec.calibrations
    }


def calibrated_predictions(
    spec: RunSpec,
    method: str,
    scores: Sequence[Mapping[str, AnswerScore]],
    content_free: Mapping[str, Sequence[Mapping[str, float]]],
) -> list[Prediction]:
    """Returns what a run's items are answered with after calibration.

    Args:
      spec: the run.
      method: one of its `calibrations`.
      scores: of the choices, for each item.
      content_free: see `content_free.calibration_scores`.
    """
    keys = list(spec.prompt.choices)
    by = "total" if spec.score == "pmi" else spec.score
    scores_nl = np.array([[of_item[key].by(by) for key in keys] for of_item in scores])
    sources = {
        kind: np.array([[of_input[key] for key in keys] for of_input in inputs])
        for kind, inputs in content_free.items()
    }
    return [
        Prediction(keys[int(row.argmax())], dict(zip(keys, map(float, np.exp(row)), strict=True)))
        for row in calibrated(method, scores_nl, sources)
    ]
