"""Runs the prompt of a content over items: what happens is told in events, as it happens."""

import asyncio
import dataclasses
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hclx.errors import ConfigError
from hclx.evaluate.answering import answer_scores
from hclx.evaluate.scores import best, probabilities
from hclx.infer import Generation
from hclx.serve.api_error import ApiError, invalid
from hclx.serve.caller import Caller, Usage
from hclx.serve.safety.output_filter import Finding
from hclx.serve.service import Asked, Running
from hclx.studio.content import Content
from hclx.studio.running.item_plan import ItemPlan, plan_item, score_size
from hclx.studio.running.read_answer import read_answer
from hclx.studio.running.run_plan import RUN_ROUTE, RunPlan, plan_run
from hclx.studio.running.token_events import TokenEvents

if TYPE_CHECKING:
    from hclx.studio.studio import Studio

_AT_ONCE = 4  # items of a run that are with the server at once
_ENDED = "shutting_down"
Item = Mapping[str, str]
Event = tuple[str, dict[str, Any]]  # its name and its data
Emit = Callable[[str, dict[str, Any]], None]


async def answer_items(
    studio: "Studio",
    caller: Caller,
    content: Content,
    items: Sequence[Item],
    seed: int | None = None,
    route: str = RUN_ROUTE,
) -> list[dict[str, Any]]:
    """Answers items, each with one candidate and without log-probabilities.

    Args:
      studio: its service has the model.
      caller: who asks; quotas and usage are those of his key.
      content: the prompt, with its document; see `run_plan.read_content`.
      items: field -> text of each.
      seed: of the first item; the next ones count on from it. None: that of the document, or a
        random one. Items that are answered by several calls need seeds of their own, as texts of
        one seed have words in common.
      route: by which the usage is counted.
    Returns:
      for each item: `answer`, the key of a choice or what the parser reads, None if it reads
      nothing; `text`, as the model has written it; `choices`, key -> probability, None where it has
      written; `usage`; `ms`; and `error`, None or an object of `error_facts`, beside which all
      others are None.
    Raises:
      ApiError: none of them can be answered, as the content cannot be run.
    """
    content = dataclasses.replace(content, n=1, logprobs=0)
    plan = await plan_run(studio.service, caller, content, seed, route=route)
    return [_short(result) for result in await results_of(plan, items)]


async def results_of(plan: RunPlan, items: Sequence[Item]) -> list[dict[str, Any]]:
    """Answers items, and returns for each what its events tell: `prompt`, `scores` and `error`,
    None if there is none, and `ends`, one for each candidate.
    """
    results = [{"prompt": None, "scores": None, "ends": [], "error": None} for _ in items]
    async for name, data in events_of(plan, items):
        if name == "end":
            results[data["item"]]["ends"].append(data)
        elif name in ("prompt", "scores", "error"):
            results[data["item"]][name] = data
    for result in results:
        result["ends"].sort(key=lambda end: end["n"])
    return results


async def events_of(plan: RunPlan, items: Sequence[Item]) -> AsyncIterator[Event]:
    """Yields the events of a run, a few items at once.

    An item that fails has the event "error", and the others go on. The last event is "done", unless
    the server has ended meanwhile. Who stops listening cancels what is left.
    """
    events: asyncio.Queue[Event | None] = asyncio.Queue()
    work = asyncio.create_task(_answer_all(plan, items, events))
    is_whole = True
    try:
        while (event := await events.get()) is not None:
            name, data = event
            is_whole &= name != "error" or data["code"] != _ENDED
            yield event
        await work
        if is_whole:
            yield "done", {}
    finally:
        work.cancel()
        await asyncio.wait({work})


def error_facts(error: ApiError) -> dict[str, Any]:
    """Returns an error as events have it: `code`, `message`, `param`, the `status` of HTTP, and
    `retry_after` in seconds, None where trying again does not help.
    """
    return {
        "code": error.code,
        "message": error.message,
        "param": error.param,
        "status": error.status,
        "retry_after": error.retry_after,
    }


def error_from(facts: Mapping[str, Any]) -> ApiError:
    """Returns the error of which `error_facts` are."""
    names = ("status", "code", "message", "param", "retry_after")
    return ApiError(*(facts[name] for name in names))


async def _answer_all(plan: RunPlan, items: Sequence[Item], events: asyncio.Queue) -> None:
    gate = asyncio.Semaphore(_AT_ONCE)

    async def answer(index: int, fields: Item) -> None:
        emit = lambda name, data: events.put_nowait((name, {"item": index, **data}))
        async with gate:
            try:
                await _answer_item(plan, index, fields, emit)
            except ApiError as error:
                emit("error", error_facts(error))

    try:
        async with asyncio.TaskGroup() as group:
            for index, fields in enumerate(items):
                group.create_task(answer(index, fields))
    finally:
        events.put_nowait(None)


async def _answer_item(plan: RunPlan, index: int, fields: Item, emit: Emit) -> None:
    item = await plan_item(plan, index, fields)
    told = {"text": item.text, "tokens": len(item.ids)}
    emit("prompt", {**told, "dropped_examples": item.n_dropped, "seed": item.seed})
    asked = Asked(plan.caller, plan.route, plan.model, item.cost, item.requests, plan.rules)
    async with plan.service.running(asked) as running:
        answer = _choose if item.scores else _write
        await answer(plan, item, running, emit)


async def _choose(plan: RunPlan, item: ItemPlan, running: Running, emit: Emit) -> None:
    """Scores the choices, and ends with the likeliest; its text is no text that was written."""
    begin, prompt, totals = time.monotonic(), item.prompt, []
    sizes = list(map(score_size, item.scores.values()))
    async for score in plan.service.backend.scores(list(item.scores.values())):
        size = sizes[len(totals)]
        running.add(Usage(size, 0, min(score.n_cached, size)))
        totals.append(score.total)
    scores = answer_scores(prompt, totals)
    answer, shares = best(scores, "total"), probabilities(scores, "total")
    choices = {
        key: {"logprob": score.total, "probability": shares[key]} for key, score in scores.items()
    }
    emit("scores", {"choices": choices, "answer": answer})
    facts = {"answer": answer, "stop_reason": "scored", "findings": []}
    usage, ms = _usage(running.usage), _ms_since(begin)
    emit("end", {"n": 0, "text": prompt.choices[answer], **facts, "usage": usage, "ms": ms})


async def _write(plan: RunPlan, item: ItemPlan, running: Running, emit: Emit) -> None:
    """Writes the candidates, and tells each token and each end as they come."""
    begin, results = time.monotonic(), {}
    tokens = [TokenEvents(plan.reader.tokenizer) for _ in item.requests]
    async for n, part in running.parts():
        if part is not None:
            for event in tokens[n].of_part(part):
                emit("token", {"n": n, **event})
            continue
        results[n] = result = await running.result(n)
        findings = [_finding(finding) for finding in await running.findings(n)]
        usage = _usage(Usage(result.n_prompt, len(result.tokens), result.n_cached))
        facts = {"text": result.text, "answer": await _parsed(plan, result)}
        facts |= {"stop_reason": result.stop_reason, "usage": usage, "ms": _ms_since(begin)}
        emit("end", {"n": n, **facts, "findings": findings})
    n_new = sum(len(result.tokens) for result in results.values())
    running.add(Usage(results[0].n_prompt, n_new, results[0].n_cached))


async def _parsed(plan: RunPlan, result: Generation) -> str | None:
    """The answer in a text, with what it goes on from. An error is that of the item alone."""
    document, text = plan.content.document, plan.written + result.text
    try:
        return await asyncio.to_thread(read_answer, document, text)
    except ConfigError as error:
        raise invalid(str(error), "items") from error


def _finding(finding: Finding) -> dict:
    facts = {"category": finding.category.name, "level": finding.level}
    return {**facts, "probability": finding.probability}


def _usage(usage: Usage) -> dict[str, int]:
    return {
        "prompt_tokens": usage.prompt_tokens,
        "cached_tokens": usage.cached_tokens,
        "completion_tokens": usage.completion_tokens,
    }


def _ms_since(begin: float) -> int:
    return round((time.monotonic() - begin) * 1000)


def _short(result: Mapping[str, Any]) -> dict[str, Any]:
    """The result of an item with one candidate, as `answer_items` has it."""
    error, end = result["error"], next(iter(result["ends"]), None)
    if error is not None or end is None:
        names = ("answer", "text", "choices", "usage", "ms")
        return {**dict.fromkeys(names), "error": error}
    scores = result["scores"]
    choices = scores and {key: facts["probability"] for key, facts in scores["choices"].items()}
    facts = {name: end[name] for name in ("answer", "text", "usage", "ms")}
    return {**facts, "choices": choices, "error": None}
