"""POST /v1/chat/completions: answers in a chat, written by the template of the tokenizer."""

import asyncio
import dataclasses
import functools
import time
import uuid
from collections.abc import AsyncIterator, Sequence

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from hclx.infer import GenerateRequest, Generation, TokenLogprob
from hclx.serve.api_error import ApiError, invalid
from hclx.serve.caller import Caller, Usage
from hclx.serve.chat_answer import ChatAnswer
from hclx.serve.chat_tools import ToolUse, encode_chat, tool_use
from hclx.serve.event_stream import event
from hclx.serve.json_body import read_body
from hclx.serve.openai.openai_errors import error_object
from hclx.serve.openai.openai_fields import (
    Int64,
    SamplingFields,
    check_fields,
    check_logprobs,
    check_token_ids,
    dump,
    read_grammar,
    sampling_of,
    tenant_of,
    usage_object,
    with_seeds,
)
from hclx.serve.openai.openai_logprobs import chat_logprobs
from hclx.serve.openai.openai_messages import (
    Message,
    NamedChoice,
    Tool,
    ToolChoice,
    functions_of,
    written_messages,
)
from hclx.serve.service import Asked, Running, Service
from hclx.serve.tool_formats import ToolCall


class ChatRequest(SamplingFields, kw_only=True, forbid_unknown_fields=True):
    """The body of a request."""

    messages: list[Message]
    max_tokens: Int64 | None = None
    max_completion_tokens: Int64 | None = None
    logprobs: bool | None = None
    top_logprobs: Int64 | None = None
    tools: list[Tool] | None = None
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None


@dataclasses.dataclass(frozen=True)
class ChatPlan:
    """A chat as the engine is asked it.

    Attributes:
      requests: one for each answer.
      tools: how the answers may call functions; None: they may not.
      is_parallel: whether an answer may have several calls.
      cost: in tokens.
    """

    requests: Sequence[GenerateRequest]
    tools: ToolUse | None
    is_parallel: bool
    cost: int

    def answer(self) -> ChatAnswer:
        """Begins an answer."""
        return ChatAnswer(self.tools, self.is_parallel)


class ChatPlanner:
    """Makes plans of requests."""

    def __init__(self, service: Service):
        """Takes the parts of the server."""
        self._config, self._backend = service.config, service.backend

    async def plan(self, body: ChatRequest, caller: Caller) -> ChatPlan:
        """Checks a request, and encodes its chat. Raises ApiError (400, 404)."""
        backend = self._backend
        artefact = backend.artefact_of(body.model, caller)
        check_fields(body, 1, self._config)
        check_token_ids(body, backend)
        if body.top_logprobs is not None and not body.logprobs:
            raise invalid("top_logprobs goes with logprobs=true", "top_logprobs")
        check_logprobs(body.top_logprobs, "top_logprobs", self._config)
        tools = self._tools(body)
        messages = written_messages(body.messages)
        ids = await encode_chat(backend, messages, tools, "/v1/completions")
        logprobs = (body.top_logprobs or 0) if body.logprobs else None
        max_tokens = self._max_tokens(body, len(ids), artefact)
        sampling = sampling_of(body, max_tokens, logprobs, ends_of_answers(backend.tokenizer))
        if tools is None:
            grammar = await read_grammar(body)
        else:
            grammar = await asyncio.to_thread(tools.grammar, "tools")
        request = GenerateRequest(
            tuple(ids),
            sampling,
            grammar=grammar,
            tenant=tenant_of(body, caller),
            deadline=self._config.deadline,
            artefact=artefact,
        )
        n = body.n or 1
        cost = len(ids) + n * max_tokens
        is_parallel = body.parallel_tool_calls is not False
        return ChatPlan(with_seeds(request, n), tools, is_parallel, cost)

    def _tools(self, body: ChatRequest) -> ToolUse | None:
        choice, name = body.tool_choice or "auto", None
        if isinstance(choice, NamedChoice):
            choice, name = "required", choice.function.name
        tools = tool_use(self._backend, functions_of(body.tools), choice, name)
        has_form = body.response_format is not None and body.response_format.type != "text"
        if tools is not None and (has_form or body.structured_outputs is not None):
            name = "response_format" if has_form else "structured_outputs"
            raise invalid(f"{name} does not go with tools: calls have a form of their own", name)
        return tools

    def _max_tokens(self, body: ChatRequest, n_prompt: int, artefact: str | None) -> int:
        asked = body.max_completion_tokens
        name = "max_tokens" if asked is None else "max_completion_tokens"
        asked = body.max_tokens if asked is None else asked
        if body.max_tokens not in (None, asked):
            raise invalid("max_tokens and max_completion_tokens are the same; give one", name)
        if asked is not None and asked < 1:
            raise invalid(f"{name}={asked}: give 1 or more", name)
        most = self._backend.check_length(n_prompt, asked, name, artefact)
        return most if asked is not None else min(most, self._config.answer_tokens)


class ChatCompletions:
    """The handler."""

    def __init__(self, service: Service):
        """Takes the parts of the server."""
        self._service, self._planner = service, ChatPlanner(service)
        self._tokenizer = service.backend.tokenizer

    async def __call__(self, request: Request) -> Response:
        """Answers a request. Raises ApiError if it cannot be served."""
        body = await read_body(request, ChatRequest)
        plan = await self._planner.plan(body, request.state.caller)
        head = {
            "id": f"chatcmpl-{uuid.uuid4().hex}",
            "object": "chat.completion.chunk" if body.stream else "chat.completion",
            "created": int(time.time()),
            "model": body.model,
        }

        async def whole(running: Running) -> Response:
            results = await running.results()
            count_chat(running, results)
            choices = [self._choice(plan, index, result) for index, result in enumerate(results)]
            return JSONResponse({**head, "choices": choices, "usage": usage_object(running.usage)})

        events = functools.partial(self._events, body, plan, head) if body.stream else None
        asked = Asked.of(request, body.model, plan.cost, plan.requests)
        return await self._service.answer(asked, whole, events)

    def _choice(self, plan: ChatPlan, index: int, result: Generation) -> dict:
        answer = ChatAnswer.whole(result.text, plan.tools, plan.is_parallel)
        message = {"role": "assistant", "content": answer.text, "refusal": None}
        if answer.calls:
            message["content"] = answer.text or None
            message["tool_calls"] = [_written_call(call) for call in answer.calls]
        logprobs = chat_logprobs(self._tokenizer, result.logprobs)
        reason = answer.finish_reason(result)
        fields = {"index": index, "message": message, "logprobs": logprobs}
        return {**fields, "finish_reason": reason}

    async def _events(
        self, body: ChatRequest, plan: ChatPlan, head: dict, running: Running
    ) -> AsyncIterator[str]:
        """Yields the events of a stream, each with the log-probabilities of its tokens."""
        with_usage = body.stream_options is not None and bool(body.stream_options.include_usage)
        more, results, n = {"usage": None} if with_usage else {}, {}, len(plan.requests)
        answers = [plan.answer() for _ in range(n)]
        waiting: list[list[TokenLogprob]] = [[] for _ in range(n)]  # for the next event
        n_sent = [0] * n

        def chunk(index: int, delta: dict, reason: str | None = None) -> str:
            logprobs = chat_logprobs(self._tokenizer, waiting[index] or None)
            waiting[index] = []
            fields = {"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": reason}
            return event(dump({**head, "choices": [fields], **more}))

        try:
            for index in range(n):
                yield chunk(index, {"role": "assistant", "content": ""})
            async for index, part in running.parts():
                if part is None:
                    results[index] = result = await running.result(index)
                    waiting[index] += (result.logprobs or ())[n_sent[index] :]
                    read = answers[index].finish()
                else:
                    waiting[index] += part.logprobs or ()
                    n_sent[index] += len(part.logprobs or ())
                    read = answers[index].feed(part.text)
                for each in read:
                    yield chunk(index, _delta(answers[index], each))
                if part is None:
                    yield chunk(index, {}, answers[index].finish_reason(result))
            count_chat(running, [results[index] for index in range(n)])
            if with_usage:
                usage = usage_object(running.usage)
                yield event(dump({**head, "choices": [], "usage": usage}))
        except ApiError as error:
            yield event(dump(error_object(error)))
            return
        yield event("[DONE]")


def ends_of_answers(tokenizer) -> tuple[int, ...]:
    """Returns the tokens that end an answer besides the end of the document, as the makers of the
    model say.
    """
    ids = getattr(tokenizer, "generation_config", {}).get("eos_token_id", [])
    ids = ids if isinstance(ids, list) else [ids]
    return tuple(i for i in ids if isinstance(i, int) and 0 <= i < tokenizer.vocab_size)


def count_chat(running: Running, results: Sequence[Generation]) -> None:
    """Counts the tokens of a request that has ended: its prompt once."""
    n_new = sum(len(result.tokens) for result in results)
    running.add(Usage(results[0].n_prompt, n_new, results[0].n_cached))


def _written_call(call: ToolCall) -> dict:
    function = {"name": call.name, "arguments": call.arguments_text}
    return {"id": call.id, "type": "function", "function": function}


def _delta(answer: ChatAnswer, part: str | ToolCall) -> dict:
    if isinstance(part, str):
        return {"content": part}
    return {"tool_calls": [{"index": answer.calls.index(part), **_written_call(part)}]}
