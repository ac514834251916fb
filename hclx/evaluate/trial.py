"""Runs a trial: the items of a run with one draw of shots, batch by batch into a file."""

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from hclx.errors import DataError
from hclx.evaluate.answering import (
    answer_priors,
    generate_answers,
    grammar_of,
    plain,
    sampling_of,
    score_choices,
)
from hclx.evaluate.answers import parse_answer
from hclx.evaluate.item_prompts import ItemPrompt, Reader, item_prompts
from hclx.evaluate.items import Prediction
from hclx.evaluate.metrics import METRICS
from hclx.evaluate.run_spec import RunSpec
from hclx.evaluate.samples import SampleFile, doc_hash
from hclx.evaluate.scores import AnswerScore, best, probabilities
from hclx.hashing import json_hash
from hclx.infer import Engine

BATCH = 256  # items whose samples are written at once


def run_trial(
    engine: Engine,
    spec: RunSpec,
    trial: int,
    reader: Reader,
    path: Path,
    count: Callable[[int], object],
) -> list[dict]:
    """Answers the items that are not in the file of samples yet, and returns all samples.

    Args:
      engine: of the model.
      spec, trial: what is run; see `draw_shots`.
      reader: how the model reads.
      path: the file of samples.
      count: is told how many more items are answered.
    Raises:
      DataError: the file has samples of other items.
    """
    file = SampleFile(path)
    count(len(file.lines))
    if len(file.lines) == len(spec.items):
        return file.lines
    prompts, _ = item_prompts(spec, trial, reader)
    for prompt, line in zip(prompts, file.lines, strict=False):
        if line.get("prompt_hash") != json_hash(prompt.text) or line["id"] != prompt.item.id:
            raise DataError(f"{path} has samples of other items; remove it to have it made anew")
    priors = _priors(engine, spec, prompts, reader)
    for start in range(len(file.lines), len(prompts), BATCH):
        batch = prompts[start : start + BATCH]
        file.append(_answer(engine, spec, trial, batch, priors))
        count(len(batch))
    return file.lines


def _priors(
    engine: Engine, spec: RunSpec, prompts: Sequence[ItemPrompt], reader: Reader
) -> dict[tuple[int, ...], float]:
    """Returns the priors of answers where they cost little, or are asked for."""
    if spec.prompt.shares_choices or (spec.prompt.choices and spec.score == "pmi"):
        return answer_priors(engine, prompts, reader)
    return {}


def _answer(
    engine: Engine,
    spec: RunSpec,
    trial: int,
    prompts: Sequence[ItemPrompt],
    priors: Mapping[tuple[int, ...], float],
) -> list[dict]:
    """Returns the samples of a batch of items."""
    if spec.prompt.choices:
        scored = score_choices(engine, prompts, priors)
        predictions = [predict(scores, spec.score) for scores in scored]
        kept = [{"scores": {k: plain(score) for k, score in scores.items()}} for scores in scored]
    else:
        sampling, grammar = sampling_of(spec, trial), grammar_of(spec.prompt)
        texts = generate_answers(engine, prompts, sampling, grammar)
        predictions = [read_text(spec, text) for text in texts]
        kept = [{"text": text} for text in texts]
    own_scores = METRICS[spec.main].per_item([prompt.item for prompt in prompts], predictions)
    # JSON has no NaN, which an item has that its metric does not count.
    own_scores = (
        [None] * len(prompts)
        if own_scores is None
        else [None if math.isnan(score) else float(score) for score in own_scores]
    )
    rows = zip(prompts, predictions, own_scores, kept, strict=True)
    return [{**_sample(*row), "trial": trial, **rest} for *row, rest in rows]


def predict(scores: Mapping[str, AnswerScore], by: str) -> Prediction:
    """Returns the choice with the greatest score of that name."""
    return Prediction(best(scores, by), probabilities(scores, by))


def read_text(spec: RunSpec, text: str) -> Prediction:
    """Returns the answer that the prompt's parser reads in a generated text."""
    labels = spec.prompt.grammar.get("choices", ())
    return Prediction(parse_answer(spec.prompt.parser, text, labels), text=text)


def _sample(prompt: ItemPrompt, prediction: Prediction, own_score: float | None) -> dict:
    item = prompt.item
    return {
        "id": item.id,
        "doc_hash": doc_hash(item.fields, item.answer),
        "prompt_hash": json_hash(prompt.text),
        "target_hash": json_hash(prompt.answers.get(item.answer, item.answer)),
        "prompt": prompt.text,
        "fields": dict(item.fields),
        "gold": item.answer,
        "answers": list(item.answers),
        "facts": dict(item.gold),
        "group": item.group,
        "prediction": prediction.answer,
        "probabilities": dict(prediction.probabilities),
        "correct": own_score,
        "n_tokens": len(prompt.context),
        "shots": prompt.shots,
        "straddles": prompt.straddles,
        "is_truncated": prompt.is_truncated,
    }
