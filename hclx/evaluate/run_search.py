"""Searches a task's template, number of shots, calibration, examples and their order on an engine,
by validation items; `prompt_search` has the method for a number of shots.
"""

import dataclasses
import math
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from hclx.errors import ConfigError
from hclx.evaluate.answering import (
    answer_priors,
    generate_answers,
    grammar_of,
    sampling_of,
    score_choices,
)
from hclx.evaluate.content_free import calibration_prompts, calibration_scores
from hclx.evaluate.item_prompts import ItemPrompt, Reader, item_prompts
from hclx.evaluate.items import Item, Prediction
from hclx.evaluate.metrics import METRICS, check_metrics
from hclx.evaluate.prompt_search import Candidate, search_prompt, without_items
from hclx.evaluate.results import calibrated_predictions
from hclx.evaluate.run_spec import RunSpec
from hclx.evaluate.samples import doc_hash
from hclx.evaluate.shots import keep
from hclx.evaluate.trial import predict, read_text
from hclx.evaluate.tried_prompts import TriedPrompt, TriedPrompts
from hclx.hashing import json_hash
from hclx.infer import Engine
from hclx.progress import counted
from hclx.prompts import PromptDocument, prompt_from_json, prompt_hash, prompt_to_json

NONE = "none"  # in place of a method of calibration


@dataclasses.dataclass(frozen=True)
class SearchSpace:
    """The prompts that are searched, and the items that they are compared on.

    Attributes:
      task: its name.
      prompts: name of a template -> its document, whose own examples are left out.
      pool: items that examples are chosen from.
      validation: items that prompts are compared on.
      test: items that the prompt is for. None of them is answered, nor an example.
      split: the publisher's name of the part that pool and validation items are from.
      main: the name of the metric that is compared.
      score, seed: see `RunSpec`.
    """

    task: str
    prompts: Mapping[str, PromptDocument]
    pool: tuple[Item, ...]
    validation: tuple[Item, ...]
    test: tuple[Item, ...]
    split: str = "train"
    main: str = "accuracy"
    score: str = "total"
    seed: int = 0

    @property
    def sign(self) -> int:
        """1 if the metric is better where it is larger, else -1."""
        return 1 if METRICS[self.main].higher_is_better else -1


def search(
    engine: Engine,
    reader: Reader,
    space: SearchSpace,
    shots: Sequence[int],
    budget: int,
    vectors: tuple[np.ndarray, np.ndarray] | None = None,
    tell: Callable[[TriedPrompt], None] = lambda tried: None,
    kept: TriedPrompts | None = None,
) -> list[TriedPrompt]:
    """Searches prompts for every number of shots, and returns all that were evaluated, in order.

    Args:
      engine: of the model.
      reader: how it reads.
      space: what is searched.
      shots: numbers of examples.
      budget: the most prompts that are evaluated. Each template is evaluated once without examples;
        numbers of shots share the rest.
      vectors: embeddings of the pool [n, d] and of the validation items [m, d]; see
        `search_prompt`.
      tell: is called with each prompt when it was evaluated.
      kept: the prompts that an earlier search of the same plan has evaluated, which are not
        evaluated again; it takes the others.
    Raises:
      ConfigError: the budget is too small, the pool has too few examples, or a prompt cannot be.
    """
    for document in space.prompts.values():
        check_metrics((space.main,), space.validation, bool(document.choices))
    tried: list[TriedPrompt] = []

    def evaluate(candidate: Candidate) -> float:
        known = kept and kept.get(candidate)
        tried.append(known or _evaluate(engine, reader, space, candidate))
        if kept and not known:
            kept.add(candidate, tried[-1])
        tell(tried[-1])
        return space.sign * tried[-1].value

    items = (space.pool, space.validation, space.test)
    for count, share in shares_of_budget(space, shots, budget).items():
        search_prompt(evaluate, list(space.prompts), *items, count, share, space.seed, vectors)
    return tried


def search_plan(
    space: SearchSpace, reader: Reader, shots: Sequence[int], budget: int, with_vectors: bool
) -> dict[str, Any]:
    """Returns what a search depends on beside the model, as JSON. Arguments: see `search`."""
    texts = lambda items: [doc_hash(item.fields, item.answer) for item in items]
    sets = {"pool": space.pool, "validation": space.validation, "test": space.test}
    return {
        "task": space.task,
        "templates": {name: prompt_hash(prompt) for name, prompt in space.prompts.items()},
        **{name: [len(items), json_hash(texts(items))] for name, items in sets.items()},
        **{name: getattr(space, name) for name in ("split", "main", "score", "seed")},
        **{"shots": sorted(set(shots)), "budget": budget, "similar": with_vectors},
        **{"begin": list(reader.begin), "max_length": reader.max_length},
    }


def best_prompt(space: SearchSpace, tried: Sequence[TriedPrompt]) -> TriedPrompt:
    """Returns the prompt with the best value, the first of equals; NaN is the worst."""
    rank = lambda each: -math.inf if math.isnan(each.value) else space.sign * each.value
    return max(tried, key=rank)


def shares_of_budget(space: SearchSpace, shots: Sequence[int], budget: int) -> dict[int, int]:
    """Returns number of shots -> how many prompts are evaluated with it, in ascending order.

    Raises:
      ConfigError: these are not enough for every template with every number, or the pool has too
        few examples.
    """
    counts, n_templates = sorted(set(shots)), len(space.prompts)
    least = len(counts) * n_templates
    if not counts or budget < least:
        raise ConfigError(
            f"budget={budget}: give {least} or more, for {counted(n_templates, 'template')} with"
            f" {counted(len(counts), 'number')} of shots"
        )
    if counts[-1] > len(space.pool):
        raise ConfigError(f"shots={counts[-1]}: the pool has {len(space.pool)} examples")
    positive = [count for count in counts if count]
    left = budget - n_templates * (0 in counts)
    more = {
        count: left // len(positive) + (place < left % len(positive))
        for place, count in enumerate(positive)
    }
    return {count: more.get(count, n_templates) for count in counts}


def embeddings(engine: Engine, space: SearchSpace) -> tuple[np.ndarray, np.ndarray]:
    """Returns vectors of the inputs of the pool [n, d] and of the validation items [m, d]."""
    template = next(iter(space.prompts.values())).input
    embed = lambda items: np.array(engine.embed([template.text(item.fields) for item in items]))
    return embed(space.pool), embed(space.validation)


def divided(
    items: Sequence[Item], test: Sequence[Item], n_validation: int, n_pool: int, seed: int
) -> tuple[tuple[Item, ...], tuple[Item, ...]]:
    """Draws validation items and a pool of examples, which share no text with each other or with
    test items.

    Args:
      items: of a split.
      test: the items that the prompt is for.
      n_validation, n_pool: the most of each; there are at least as many for the pool as not.
      seed: of the draw.
    """
    others = without_items(items, test)
    shuffled = random.Random(f"{seed} validation").sample(others, len(others))
    validation = shuffled[: min(n_validation, len(shuffled) // 2)]
    return tuple(validation), without_items(shuffled[len(validation) :], validation)[:n_pool]


def with_examples(document: PromptDocument, items: Sequence[Item]) -> PromptDocument:
    """Returns a prompt whose examples are items: the fields that its templates name, and answers.

    Raises:
      ConfigError: an item lacks a field, or its answer is no choice.
    """
    examples = []
    for item in items:
        choice = document.choices.get(item.answer)
        names = {
            *document.input.fields,
            *document.answer.fields,
            *(choice.fields if choice else ()),
        }
        texts = {name: text for name, text in item.fields.items() if name in names}
        examples.append({**texts, document.answer_field: item.answer})
    return prompt_from_json(prompt_to_json(document) | {"examples": examples})


def _evaluate(
    engine: Engine, reader: Reader, space: SearchSpace, candidate: Candidate
) -> TriedPrompt:
    document = space.prompts[candidate.template]
    spec = RunSpec(
        space.task,
        candidate.template,
        with_examples(document, [space.pool[index] for index in candidate.examples]),
        space.validation,
        split=space.split,
        shots_split=space.split,
        shots=len(candidate.examples),
        draw="fixed",
        seed=space.seed,
        score=space.score,
        metrics=(space.main,),
        main=space.main,
    )
    prompts, count = item_prompts(spec, 0, reader)
    value = METRICS[space.main].function
    values = {
        method: value(spec.items, predictions)
        for method, predictions in _predictions(engine, reader, spec, prompts, count).items()
    }
    rank = lambda method: -math.inf if math.isnan(values[method]) else space.sign * values[method]
    kept = tuple(keep(candidate.examples, count, document.drop))
    return TriedPrompt(candidate.template, spec.shots, kept, values, max(values, key=rank))


def _predictions(
    engine: Engine, reader: Reader, spec: RunSpec, prompts: Sequence[ItemPrompt], shots: int
) -> dict[str, list[Prediction]]:
    """Returns NONE and each method of calibration -> the answers."""
    if not spec.prompt.choices:
        texts = generate_answers(engine, prompts, sampling_of(spec, 0), grammar_of(spec.prompt))
        return {NONE: [read_text(spec, text) for text in texts]}
    priors = answer_priors(engine, prompts, reader) if spec.score == "pmi" else {}
    scores = score_choices(engine, prompts, priors)
    free = calibration_scores(engine, spec, calibration_prompts(spec, 0, reader, shots))
    return {NONE: [predict(of_item, spec.score) for of_item in scores]} | {
        method: calibrated_predictions(spec, method, scores, free) for method in spec.calibrations
    }
