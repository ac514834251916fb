"""POST /v1/responses: chats in the newer form of OpenAI, of which nothing is kept."""

import functools
import time
import uuid
from collections.abc import AsyncIterator

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from hclx.infer import Generation, TokenLogprob
from hclx.serve.api_error import ApiError
from hclx.serve.caller import Usage
from hclx.serve.chat_answer import ChatAnswer
from hclx.serve.json_body import read_body
from hclx.serve.openai.openai_chat import ChatPlan, ChatPlanner, count_chat
from hclx.serve.openai.openai_logprobs import chat_logprobs
from hclx.serve.openai.openai_response_body import (
    ResponseRequest,
    chat_request,
    check_stateless,
    in_words_of_responses,
)
from hclx.serve.openai.openai_response_items import Items, NumberedEvents
from hclx.serve.service import Asked, Running, Service


class Responses:
    """The handler."""

    def __init__(self, service: Service):
        """Takes the parts of the server."""
        self._service, self._planner = service, ChatPlanner(service)
        self._tokenizer = service.backend.tokenizer

    async def __call__(self, request: Request) -> Response:
        """Answers a request. Raises ApiError if it cannot be served."""
        body = await read_body(request, ResponseRequest)
        check_stateless(body)
        try:
            plan = await self._planner.plan(chat_request(body), request.state.caller)
        except ApiError as error:
            raise in_words_of_responses(error) from error
        head = _head(body)

        async def whole(running: Running) -> Response:
            (result,) = await running.results()
            count_chat(running, [result])
            answer, items = ChatAnswer.whole(result.text, plan.tools, plan.is_parallel), Items()
            for part in answer.parts:
                _end(items.add(part, self._logprobs(result.logprobs)))
            _end(items.close(_status(result)))
            return JSONResponse({**head, **_ended(items, result, running.usage)})

        events = functools.partial(self._events, plan, head) if body.stream else None
        asked = Asked.of(request, body.model, plan.cost, plan.requests)
        return await self._service.answer(asked, whole, events)

    def _logprobs(self, entries: tuple[TokenLogprob, ...] | None) -> list[dict]:
        return chat_logprobs(self._tokenizer, entries)["content"] if entries else []

    async def _events(self, plan: ChatPlan, head: dict, running: Running) -> AsyncIterator[str]:
        """Yields the events of a stream. Errors are of the type `response.failed`."""
        numbered, items, answer = NumberedEvents(), Items(), plan.answer()
        try:
            for kind in ("created", "in_progress"):
                yield numbered.written(f"response.{kind}", {"response": head})
            async for _, part in running.parts():
                read = answer.finish() if part is None else answer.feed(part.text)
                logprobs = self._logprobs(part.logprobs) if part is not None else []
                for each in read:
                    for made in items.add(each, logprobs):
                        yield numbered.written(*made)
            result = await running.result(0)
            count_chat(running, [result])
            for made in items.close(_status(result)):
                yield numbered.written(*made)
            response = {**head, **_ended(items, result, running.usage)}
            yield numbered.written(f"response.{response['status']}", {"response": response})
        except ApiError as error:
            failure = {"code": "server_error", "message": error.message}
            response = {**head, "status": "failed", "error": failure, "output": items.items}
            yield numbered.written("response.failed", {"response": response})


def _end(events) -> None:
    """Makes items without their events."""
    for _ in events:
        pass


def _status(result: Generation) -> str:
    return "completed" if result.stop_reason in ("end", "stop") else "incomplete"


def _head(body: ResponseRequest) -> dict:
    """The fields of an answer that has just begun, with the settings of the request."""
    form = msgspec.to_builtins(body.text.format) if body.text and body.text.format else {}
    form = {name: value for name, value in form.items() if value is not None}
    choice = body.tool_choice or "auto"
    return {
        "id": f"resp_{uuid.uuid4().hex}",
        "object": "response",
        "created_at": int(time.time()),
        "status": "in_progress",
        "background": False,
        "error": None,
        "incomplete_details": None,
        "instructions": body.instructions,
        "max_output_tokens": body.max_output_tokens,
        "metadata": body.metadata or {},
        "model": body.model,
        "output": [],
        "parallel_tool_calls": body.parallel_tool_calls is not False,
        "previous_response_id": None,
        "store": False,
        "temperature": 1.0 if body.temperature is None else body.temperature,
        "text": {"format": form or {"type": "text"}},
        "tool_choice": choice if isinstance(choice, str) else msgspec.to_builtins(choice),
        "tools": msgspec.to_builtins(body.tools or []),
        "top_logprobs": body.top_logprobs or 0,
        "top_p": 1.0 if body.top_p is None else body.top_p,
        "truncation": "disabled",
        "usage": None,
        "user": body.user,
    }


def _ended(items: Items, result: Generation, usage: Usage) -> dict:
    """The fields of an answer that have changed at its end."""
    is_whole = _status(result) == "completed"
    reason = "content_filter" if result.stop_reason == "content_filter" else "max_output_tokens"
    return {
        "status": _status(result),
        "incomplete_details": None if is_whole else {"reason": reason},
        "output": items.items,
        "usage": {
            "input_tokens": usage.prompt_tokens,
            "input_tokens_details": {
                "cached_tokens": usage.cached_tokens,
                "cache_write_tokens": 0,
            },
            "output_tokens": usage.completion_tokens,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        },
    }
