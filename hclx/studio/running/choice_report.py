"""The biases of a prompt with choices, and its calibration: measures of `hclx.evaluate`, whose
texts are scored by the server in turns with those of others.
"""

import asyncio
import dataclasses
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np

from hclx.errors import HclxError
from hclx.evaluate.answering import score_choices
from hclx.evaluate.bias import MAJORITY
from hclx.evaluate.calibration import CALIBRATIONS, normalised
from hclx.evaluate.content_free import calibration_prompts, calibration_scores
from hclx.evaluate.item_prompts import ItemPrompt, item_prompts
from hclx.evaluate.items import Item
from hclx.evaluate.measure_bias import INPUTS, bias_of_inputs
from hclx.evaluate.run_spec import RunSpec
from hclx.infer import Score, ScoreRequest
from hclx.prompts.read_json import cleaned
from hclx.serve.api_error import ApiError, error_of, invalid
from hclx.serve.caller import Usage
from hclx.serve.service import Asked
from hclx.studio.running.item_plan import score_size
from hclx.studio.running.run_plan import RunPlan

_MOST_INPUTS = 16  # of a report of biases, over all choices
_TOKENS_AT_ONCE = 2**14  # of texts that are scored in one turn
_LONGEST_WAIT = 60.0  # seconds that a report waits for a quota
T = TypeVar("T")


async def bias_of_examples(run: RunPlan, rounds: int) -> dict[str, Any]:
    """Measures the biases of a prompt with its own examples: some of each choice are the inputs,
    and the others are drawn to stand before them.

    Args:
      run: its document has choices.
      rounds: see `hclx.evaluate.bias.bias_report`; six or more.
    Returns:
      the report, see `hclx.evaluate.bias.BiasReport.to_json`.
    Raises:
      ApiError: 400, there is too little to measure with, and what is missing; or as `run_prompt`.
    """
    document = run.content.document
    _check_choices(run)
    field, labels = document.answer_field, tuple(document.choices)
    examples = [
        Item(str(number), {k: v for k, v in example.items() if k != field}, example[field])
        for number, example in enumerate(document.examples)
    ]
    counts = Counter(item.answer for item in examples)
    if rare := [label for label in labels if counts[label] <= MAJORITY]:
        counted = ", ".join(f"{label} has {counts[label]}" for label in rare)
        text = f"a report of biases needs {MAJORITY + 1} examples of each choice: {counted}"
        raise invalid(f"{text}; add some", "content.document.examples")
    least = min(counts[label] for label in labels)
    n_inputs = max(1, min(INPUTS, least - MAJORITY, _MOST_INPUTS // len(labels)))
    of_label = lambda label: [item for item in examples if item.answer == label]
    inputs = [item for label in labels for item in of_label(label)[-n_inputs:]]
    texts = [item.fields for item in inputs]
    pool = tuple(item for item in examples if item.fields not in texts)
    if rare := [label for label in labels if sum(i.answer == label for i in pool) < MAJORITY]:
        text = f"examples of {rare[0]} are the same; a report of biases needs different ones"
        raise invalid(text, "content.document.examples")
    spec = _spec(run, inputs, pool, draw="trial", shots=1, bias_rounds=rounds)
    measure = lambda engine: bias_of_inputs(engine, spec, run.reader, inputs, pool)
    measured = await _with_engine(run, measure)
    if measured["bias"] is None:
        raise invalid(f"{measured['reason']}; shorten the examples", "content.document.examples")
    return measured["bias"]


async def calibrate_choices(
    run: RunPlan, method: str, items: Sequence[Mapping[str, str]]
) -> dict[str, Any]:
    """Estimates the preference of a prompt for its choices, and takes it out of those of items.

    Args:
      run: its document has choices.
      method: a key of `hclx.evaluate.calibration.CALIBRATIONS`.
      items: their fields; there may be none where the method does not look at them.
    Returns:
      `priors`, key of a choice -> its probability before any item is read; `before` and `after`,
      for each item its `answer` and `choices`, key -> probability.
    Raises:
      ApiError: as `bias_of_examples`.
    """
    document = run.content.document
    _check_choices(run)
    source = CALIBRATIONS[method][0]
    if not items and source != "contextual":
        raise invalid(f"the method {method!r} looks at items; give some", "items")
    fields = [cleaned(item, "items") for item in items]
    of_items = fields or [dict.fromkeys(document.input_fields, "")]
    shown = [Item(str(number), texts, "") for number, texts in enumerate(of_items)]
    spec = _spec(run, shown, (), draw="fixed", shots=len(document.examples))
    measure = lambda engine: _calibrated(engine, spec, run, method, len(fields))
    return await _with_engine(run, measure)


def _check_choices(run: RunPlan) -> None:
    document = run.content.document
    if not run.is_scored:
        text = "the prompt has no choices, between which a model may be biased; give it some"
        raise invalid(text, "content.document.choices")
    if not document.shares_choices:
        text = "the choices have slots, so that each item has others; this needs the same for all"
        raise invalid(text, "content.document.choices")


def _spec(run: RunPlan, items: Sequence[Item], pool: Sequence[Item], **settings) -> RunSpec:
    document = run.content.document
    return RunSpec("studio", document.name, document, tuple(items), tuple(pool), **settings)


def _calibrated(
    engine: "_ServedEngine", spec: RunSpec, run: RunPlan, method: str, n_items: int
) -> dict[str, Any]:
    labels, (source, prior, apply) = tuple(spec.prompt.choices), CALIBRATIONS[method]
    prompts, n_shots = item_prompts(spec, 0, run.reader)
    _check_room(prompts)
    rows = [
        {key: score.total for key, score in scores.items()}
        for scores in score_choices(engine, prompts[:n_items])
    ]
    if source != "items":
        kinds = calibration_prompts(spec, 0, run.reader, n_shots)
        own = {source: kinds[source]}
        _check_room(own[source])
        others = calibration_scores(engine, spec, own)[source]
    array = lambda rows: np.array([[row[key] for key in labels] for row in rows])
    log_p_nl = array(rows).reshape(n_items, len(labels))
    log_prior_l = prior(log_p_nl if source == "items" else array(others))
    return {
        "priors": dict(zip(labels, np.exp(normalised(log_prior_l[None]))[0].tolist())),
        "before": _shares(labels, normalised(log_p_nl) if n_items else log_p_nl),
        "after": _shares(labels, apply(log_p_nl, log_prior_l) if n_items else log_p_nl),
    }


def _check_room(prompts: Sequence[ItemPrompt]) -> None:
    for prompt in prompts:
        if prompt.is_truncated:
            text = f"the prompt of the item {prompt.text[-60:]!r} is longer than the model reads"
            raise ApiError(400, "context_length_exceeded", f"{text}; shorten it", "items")


def _shares(labels: Sequence[str], log_p_nl: np.ndarray) -> list[dict[str, Any]]:
    """The choices of items, whose log-probabilities are normalised."""
    return [
        {"answer": labels[int(row.argmax())], "choices": dict(zip(labels, np.exp(row).tolist()))}
        for row in log_p_nl
    ]


async def _with_engine(run: RunPlan, measure: Callable[["_ServedEngine"], T]) -> T:
    """Calls a function with what scores by the server, in a thread of its own: those that all share
    are needed by the very requests that it waits for. Raises ApiError.
    """
    loop = asyncio.get_running_loop()
    engine, thread = _ServedEngine(run, loop), ThreadPoolExecutor(1, "hclx-report")
    try:
        return await loop.run_in_executor(thread, measure, engine)
    except HclxError as error:
        raise error_of(error) from error
    finally:
        engine.close()
        thread.shutdown(wait=False)


@dataclasses.dataclass
class _ServedEngine:
    """The method of `hclx.infer.Engine` by which texts are scored, for a thread beside the event
    loop: each of its calls waits for its turns, and counts as what it has used.
    """

    run: RunPlan
    loop: asyncio.AbstractEventLoop

    def __post_init__(self):
        self._is_closed, self._work = False, None

    def score(self, requests: Sequence[ScoreRequest]) -> list[Score]:
        """Scores texts. Raises ApiError, or CancelledError once nobody waits for it."""
        if self._is_closed:
            raise asyncio.CancelledError
        self._work = asyncio.run_coroutine_threadsafe(self._scored(requests), self.loop)
        return self._work.result()

    def close(self) -> None:
        """Cancels what is on its way."""
        self._is_closed = True
        if self._work is not None:
            self._work.cancel()

    async def _scored(self, requests: Sequence[ScoreRequest]) -> list[Score]:
        shared = {"tenant": self.run.caller.tenant, "artefact": self.run.artefact}
        left = [dataclasses.replace(request, **shared) for request in requests]
        scores: list[Score] = []
        while left:
            size, turn = 0, []
            while left and (not turn or size + score_size(left[0]) <= _TOKENS_AT_ONCE):
                size += score_size(left[0])
                turn.append(left.pop(0))
            scores += await self._in_turn(turn, size)
        return scores

    async def _in_turn(self, requests: Sequence[ScoreRequest], size: int) -> list[Score]:
        """Scores texts as one request, which a quota may have wait for its next minute."""
        while True:
            try:
                return await self._counted(requests, size)
            except ApiError as error:
                wait = error.retry_after
                if error.status != 429 or wait is None or wait > _LONGEST_WAIT:
                    raise
                await asyncio.sleep(wait)

    async def _counted(self, requests: Sequence[ScoreRequest], size: int) -> list[Score]:
        run, scores = self.run, []
        asked = Asked(run.caller, run.route, run.model, size)
        async with run.service.running(asked) as running:
            async for score in run.service.backend.scores(requests):
                n_tokens = score_size(requests[len(scores)])
                running.add(Usage(n_tokens, 0, min(score.n_cached, n_tokens)))
                scores.append(score)
        return scores
