"""The way of a request of CLOVA Studio through the engine: one text, as a whole or as events."""

import dataclasses
import functools
from collections.abc import AsyncIterator, Callable, Iterable

from starlette.requests import Request
from starlette.responses import Response

from hclx.infer import GenerateRequest, Generation
from hclx.serve.api_error import ApiError
from hclx.serve.caller import Usage
from hclx.serve.chat_answer import ChatAnswer
from hclx.serve.chat_tools import ToolUse
from hclx.serve.clova.clova_errors import envelope, error_body
from hclx.serve.event_stream import event
from hclx.serve.openai.openai_fields import dump
from hclx.serve.safety.output_filter import Finding
from hclx.serve.service import Asked, Running, Service


@dataclasses.dataclass(frozen=True)
class Form:
    """Writes an output as the clients of a route read it.

    Attributes:
      part: the number of a part, from 0, and its text -> the data of the event `token`.
      result: the output -> the result, and the data of the event `result`.
      tools: how the output may call functions, which are no part of its text; None: it may not.
      has_filters: whether the result tells what the filter has found, as `aiFilter`.
    """

    part: Callable[[int, str], dict]
    result: Callable[[Generation], dict]
    tools: ToolUse | None = None
    has_filters: bool = False


async def answer(
    service: Service, request: Request, text: GenerateRequest, form: Form, is_stream: bool = False
) -> Response:
    """Answers a request, as events if `is_stream` or its header Accept asks for them.

    Raises:
      ApiError: it is not admitted, or the engine refuses it.
    """
    is_stream = is_stream or "text/event-stream" in request.headers.get("accept", "")

    async def whole(running: Running) -> Response:
        return envelope(await _result(form, running))

    events = functools.partial(_events, form) if is_stream else None
    cost = len(text.prompt) + text.sampling.max_tokens
    asked = Asked.of(request, request.path_params["model"], cost, [text])
    return await service.answer(asked, whole, events)


async def _result(form: Form, running: Running) -> dict:
    output = await running.result(0)
    running.add(Usage(output.n_prompt, len(output.tokens), output.n_cached))
    result = form.result(output)
    if form.has_filters:
        result["aiFilter"] = written_findings(await running.findings(0))
    return result


def written_findings(findings: Iterable[Finding]) -> list[dict[str, str]]:
    """Returns what the filter has found as `aiFilter` tells it: "0" is the worst score, and "2" is
    safe.
    """
    return [
        {
            "groupName": finding.category.group,
            "name": finding.category.name,
            "score": str(finding.level),
            "result": "OK",
        }
        for finding in findings
    ]


async def _events(form: Form, running: Running) -> AsyncIterator[str]:
    """Yields `token` for each part, then `result` and `signal`; `error` ends a stream alone."""
    n_parts, answer = 0, ChatAnswer(form.tools)
    try:
        async for _, part in running.parts():
            read = answer.finish() if part is None else answer.feed(part.text)
            for text in read:
                if isinstance(text, str):
                    yield event(dump(form.part(n_parts, text)), "token")
                    n_parts += 1
        result = await _result(form, running)
    except ApiError as error:
        yield event(dump(error_body(error)), "error")
        return
    yield event(dump(result), "result")
    yield event(dump({"data": "[DONE]"}), "signal")
