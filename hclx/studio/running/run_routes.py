"""Routes by which prompts are run, shown and measured: run, tokens, preview, bias, calibrate."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response

from hclx.serve.api_error import invalid
from hclx.serve.event_stream import EventStream, event
from hclx.serve.json_body import read_body
from hclx.serve.native.native_fields import check_count
from hclx.serve.openai.openai_fields import dump
from hclx.serve.operation import ApiRoute, Operation
from hclx.studio.running.choice_report import bias_of_examples, calibrate_choices
from hclx.studio.running.prompt_preview import preview_prompt
from hclx.studio.running.run_plan import RunPlan, plan_run, read_content
from hclx.studio.running.run_prompt import Event, Item, error_from, events_of, results_of
from hclx.studio.studio import Studio

_PATH = "/studio/api/"
_REPORTS = 2  # that are measured at once
Fields = dict[str, str]
# Methods of calibration as the pages name them -> as evaluation does.
_METHODS = {"content_free": "contextual", "domain": "domain_context"}


class RunBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The body of a request that runs a content over items. `seed` is that of the first item, and
    `written` the beginning of each answer, from where it goes on.
    """

    content: dict
    items: list[Fields] = msgspec.field(default_factory=lambda: [{}])
    seed: Annotated[int, Meta(ge=0, lt=2**32)] | None = None
    written: str = ""
    stream: bool = False


class TokensBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The body of a request that counts tokens."""

    texts: list[str]


class PreviewBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The body of a request that shows a prompt; the content may be wrong."""

    content: dict
    item: Fields = {}


class BiasBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The body of a request that measures biases. Each round has two pairs of prompts."""

    content: dict
    rounds: Annotated[int, Meta(ge=6, le=32)] = 8


class CalibrateBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The body of a request that calibrates the choices of items."""

    content: dict
    items: list[Fields] = []
    method: Literal[
        *("content_free", "domain", "contextual", "contextual_identity", "domain_context"),
        *("batch", "median"),
    ] = "content_free"


_EXAMPLE = {
    "content": {
        "schema": "hclx.studio/1",
        "document": {
            "schema": "hclx.prompt/1",
            "name": "한 줄",
            "input": "오늘 {날씨:은/는}",
            "answer": "{answer}",
            "sampling": {"max_tokens": 8},
        },
    },
}


def run_routes(studio: Studio) -> list[ApiRoute]:
    """Returns the routes."""
    handlers = _Handlers(studio)
    item = {"날씨": "하늘"}
    choices = {"choices": ["맑다", "흐리다"], "sampling": {}}
    document = {**_EXAMPLE["content"]["document"], **choices}
    chosen = {"content": {**_EXAMPLE["content"], "document": document}}
    operations = {
        "run": Operation(
            "Runs a prompt over items.",
            None,
            RunBody,
            {**_EXAMPLE, "items": [item]},
            streams=True,
            statuses=(429, 503),
        ),
        "tokens": Operation("Counts tokens.", None, TokensBody, {"texts": ["오늘"]}),
        "preview": Operation(
            "Shows what a model would read.", None, PreviewBody, {**_EXAMPLE, "item": item}
        ),
        "bias": Operation("Measures the biases of a prompt with choices.", None, BiasBody, chosen),
        "calibrate": Operation(
            "Takes the preference of a prompt for some choices out.",
            None,
            CalibrateBody,
            {**chosen, "items": [item]},
        ),
    }
    return [
        ApiRoute(f"{_PATH}{name}", getattr(handlers, name), operation)
        for name, operation in operations.items()
    ]


def check_items(plan: RunPlan, items: Sequence[Item]) -> None:
    """Raises ApiError (400) for no items, or more texts than a request may have."""
    config, n = plan.service.config, 1 if plan.is_scored else plan.content.n
    check_count(len(items), config.prompts, "items")
    if len(items) * n > config.n:
        text = f"n={n} of each of {len(items)} items: give at most {config.n} texts in all"
        raise invalid(text, "content.n")


def event_answer(plan: RunPlan, items: Sequence[Item], shows_prompt: bool = True) -> Response:
    """Returns the answer that tells the events of a run as they come.

    Args:
      plan, items: the run.
      shows_prompt: whether who reads it may see what the model reads.
    """
    events = _written_events(plan, items, () if shows_prompt else ("text",))
    return EventStream(events, contextlib.AsyncExitStack())


async def whole_answer(plan: RunPlan, items: Sequence[Item]) -> list[dict[str, Any]]:
    """Returns the results of a run; see `results_of`.

    Raises:
      ApiError: there is one item alone, and it has failed.
    """
    results = await results_of(plan, items)
    if len(results) == 1 and results[0]["error"] is not None:
        raise error_from(results[0]["error"])
    return results


async def _written_events(
    plan: RunPlan, items: Sequence[Item], hidden: Sequence[str]
) -> AsyncIterator[str]:
    """Yields the events as they are sent, without the `hidden` fields of those of prompts."""
    events: AsyncIterator[Event] = events_of(plan, items)
    async with contextlib.aclosing(events):
        async for name, data in events:
            if name == "prompt":
                data = {field: value for field, value in data.items() if field not in hidden}
            yield event(dump(data), name)


def _json(answer: dict) -> Response:
    return Response(dump(answer), media_type="application/json")


class _Handlers:
    """The handlers."""

    def __init__(self, studio: Studio):
        self._studio, self._service = studio, studio.service
        self._reports = asyncio.Semaphore(_REPORTS)

    async def run(self, request: Request) -> Response:
        body = await read_body(request, RunBody)
        plan = await self._plan(request, body.content, body.seed, body.written)
        check_items(plan, body.items)
        if body.stream:
            return event_answer(plan, body.items)
        return _json({"results": await whole_answer(plan, body.items)})

    async def tokens(self, request: Request) -> Response:
        request.state.caller.check_scope("inference")
        body, backend = await read_body(request, TokensBody), self._service.backend
        for number, text in enumerate(body.texts):
            backend.check_text(text, f"texts[{number}]")
        return _json({"counts": await asyncio.to_thread(backend.count_tokens, body.texts)})

    async def preview(self, request: Request) -> Response:
        body, caller = await read_body(request, PreviewBody), request.state.caller
        caller.check_scope("inference")
        return _json(await preview_prompt(self._service, caller, body.content, body.item))

    async def bias(self, request: Request) -> Response:
        body = await read_body(request, BiasBody)
        plan = await self._plan(request, body.content)
        async with self._reports:
            return _json(await bias_of_examples(plan, body.rounds))

    async def calibrate(self, request: Request) -> Response:
        body = await read_body(request, CalibrateBody)
        plan = await self._plan(request, body.content)
        if body.items:
            check_items(plan, body.items)
        method = _METHODS.get(body.method, body.method)
        async with self._reports:
            return _json(await calibrate_choices(plan, method, body.items))

    async def _plan(
        self, request: Request, raw: dict, seed: int | None = None, written: str = ""
    ) -> RunPlan:
        caller, route = request.state.caller, request.url.path
        return await plan_run(self._service, caller, read_content(raw), seed, written, route)
