"""The way of a request of CLOVA Studio through the engine: one text, as a whole or as events."""

import contextlib
import dataclasses
import time
from collections.abc import AsyncIterator, Callable

from starlette.requests import Request
from starlette.responses import Response

from hclx.infer import GenerateRequest, Generation
from hclx.serve.api_error import ApiError
from hclx.serve.backend import TextStreams
from hclx.serve.caller import Usage
from hclx.serve.clova_errors import envelope, error_body
from hclx.serve.event_stream import EventStream, event
from hclx.serve.openai_fields import REASONS, dump
from hclx.serve.service import Service, UsageCounter


@dataclasses.dataclass(frozen=True)
class Form:
    """Writes an output as the clients of a route read it.

    Attributes:
      part: the number of a part, from 0, and its text -> the data of the event `token`.
      result: the output -> the result, and the data of the event `result`.
    """

    part: Callable[[int, str], dict]
    result: Callable[[Generation], dict]


async def answer(
    service: Service, request: Request, asked: GenerateRequest, form: Form, is_stream: bool = False
) -> Response:
    """Answers a request, as events if `is_stream` or its header Accept asks for them.

    Raises:
      ApiError: it is not admitted, or the engine refuses it.
    """
    begin = time.monotonic()
    is_stream = is_stream or "text/event-stream" in request.headers.get("accept", "")
    async with contextlib.AsyncExitStack() as stack:
        cost = len(asked.prompt) + asked.sampling.max_tokens
        named = request.path_params["model"], request.url.path
        admitted = service.admitted(request.state.caller, cost, *named)
        counter = await stack.enter_async_context(admitted)
        texts = await stack.enter_async_context(service.started([asked], counter))
        if is_stream:
            events = _events(service, texts, counter, form, begin)
            return EventStream(events, stack.pop_all())
        return envelope(form.result(await _result(service, texts, counter)))


async def _result(service: Service, texts: TextStreams, counter: UsageCounter) -> Generation:
    result = await texts.result(0)
    counter.add(Usage(result.n_prompt, len(result.tokens), result.n_cached))
    service.metrics.ended.labels(REASONS[result.stop_reason]).inc()
    return result


async def _events(
    service: Service, texts: TextStreams, counter: UsageCounter, form: Form, begin: float
) -> AsyncIterator[str]:
    """Yields `token` for each part, then `result` and `signal`; `error` ends a stream alone."""
    last, n_parts = None, 0
    try:
        async for _, part in texts.parts():
            if part is not None:
                last = service.metrics.observe_part(begin, last)
                yield event(dump(form.part(n_parts, part)), "token")
                n_parts += 1
        result = await _result(service, texts, counter)
    except ApiError as error:
        yield event(dump(error_body(error)), "error")
        return
    yield event(dump(form.result(result)), "result")
    yield event(dump({"data": "[DONE]"}), "signal")
