"""POST /v1/chat/completions: answers in a chat, written by the template of the tokenizer."""

import functools
import time
import uuid
from collections.abc import AsyncIterator, Sequence
from typing import Literal

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from hclx.errors import DataError
from hclx.infer import GenerateRequest, Generation, TokenLogprob
from hclx.serve.api_error import ApiError, invalid
from hclx.serve.caller import Caller, Usage
from hclx.serve.event_stream import event
from hclx.serve.json_body import read_body
from hclx.serve.metrics import FINISH_REASONS
from hclx.serve.openai_errors import error_object
from hclx.serve.openai_fields import (
    Int64,
    SamplingFields,
    check_fields,
    check_logprobs,
    dump,
    read_grammar,
    sampling_of,
    tenant_of,
    usage_object,
    with_seeds,
)
from hclx.serve.service import Asked, Running, Service
from hclx.serve.special_tokens import token_name


class TextPart(msgspec.Struct, forbid_unknown_fields=True):
    """A part of a message; there are no others than texts."""

    type: Literal["text"]
    text: str


class Message(msgspec.Struct, forbid_unknown_fields=True):
    """A message of a chat."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[TextPart]
    name: str | None = None

    @property
    def text(self) -> str:
        """Returns its text."""
        parts = self.content
        return parts if isinstance(parts, str) else "".join(part.text for part in parts)


class ChatRequest(SamplingFields, kw_only=True, forbid_unknown_fields=True):
    """The body of a request."""

    messages: list[Message]
    max_tokens: Int64 | None = None
    max_completion_tokens: Int64 | None = None
    logprobs: bool | None = None
    top_logprobs: Int64 | None = None
    tools: list | None = None
    parallel_tool_calls: bool | None = None


class ChatCompletions:
    """The handler."""

    def __init__(self, service: Service):
        """Takes the parts of the server."""
        self._service, self._backend = service, service.backend

    async def __call__(self, request: Request) -> Response:
        """Answers a request. Raises ApiError if it cannot be served."""
        body = await read_body(request, ChatRequest)
        requests = await self._requests(body, request.state.caller)
        head = {
            "id": f"chatcmpl-{uuid.uuid4().hex}",
            "object": "chat.completion.chunk" if body.stream else "chat.completion",
            "created": int(time.time()),
            "model": body.model,
        }
        cost = len(requests[0].prompt) + sum(asked.sampling.max_tokens for asked in requests)

        async def whole(running: Running) -> Response:
            results = await running.results()
            _count(running, results)
            choices = [self._choice(index, result) for index, result in enumerate(results)]
            return JSONResponse({**head, "choices": choices, "usage": usage_object(running.usage)})

        events = functools.partial(self._events, body, head) if body.stream else None
        asked = Asked.of(request, body.model, cost, requests)
        return await self._service.answer(asked, whole, events)

    async def _requests(self, body: ChatRequest, caller: Caller) -> list[GenerateRequest]:
        """Returns the `n` requests to the engine. Raises ApiError (400, 404)."""
        config, backend = self._service.config, self._backend
        artefact = backend.artefact_of(body.model, caller)
        check_fields(body, 1, config)
        if body.tools:
            raise ApiError(400, "unsupported", "tools are not supported; leave them out", "tools")
        if body.top_logprobs is not None and not body.logprobs:
            raise invalid("top_logprobs goes with logprobs=true", "top_logprobs")
        check_logprobs(body.top_logprobs, "top_logprobs", config)
        ids = await self._ids(body)
        asked = body.max_completion_tokens
        name = "max_tokens" if asked is None else "max_completion_tokens"
        asked = body.max_tokens if asked is None else asked
        if asked is not None and asked < 1:
            raise invalid(f"{name}={asked}: give 1 or more", name)
        max_tokens = backend.check_length(len(ids), asked, name)
        sampling = sampling_of(
            body,
            max_tokens,
            (body.top_logprobs or 0) if body.logprobs else None,
            ends_of_answers(backend.tokenizer),
        )
        request = GenerateRequest(
            tuple(ids),
            sampling,
            grammar=await read_grammar(body),
            tenant=tenant_of(body, caller),
            deadline=config.deadline,
            artefact=artefact,
        )
        return with_seeds(request, body.n or 1)

    async def _ids(self, body: ChatRequest) -> list[int]:
        """The tokens of the chat, up to where the assistant begins."""
        template = self._backend.chat_template
        if template is None:
            raise ApiError(
                400,
                "unsupported",
                f"model={body.model!r} is a base model: its tokenizer has no template of chats; use"
                " /v1/completions",
                "model",
            )
        if not body.messages:
            raise invalid("messages is empty: give one or more", "messages")
        messages = [{"role": message.role, "content": message.text} for message in body.messages]
        try:
            text = template.render(messages, True)
        except DataError as error:
            raise invalid(str(error), "messages") from error
        self._backend.check_text(text, "messages")
        return await self._backend.encode(text, begins=False, special=True)

    def _choice(self, index: int, result: Generation) -> dict:
        return {
            "index": index,
            "message": {"role": "assistant", "content": result.text, "refusal": None},
            "logprobs": self._logprobs(result),
            "finish_reason": FINISH_REASONS[result.stop_reason],
        }

    def _logprobs(self, result: Generation) -> dict | None:
        if result.logprobs is None:
            return None
        return {"content": [self._logprob(entry) for entry in result.logprobs]}

    def _logprob(self, entry: TokenLogprob) -> dict:
        def described(token: int, logprob: float) -> dict:
            data = self._backend.tokenizer.decode_bytes([token])
            name = token_name(self._backend.tokenizer, token)
            return {"token": name, "logprob": logprob, "bytes": list(data)}

        top = [described(token, logprob) for token, logprob in entry.top]
        return {**described(entry.token, entry.logprob), "top_logprobs": top}

    async def _events(self, body: ChatRequest, head: dict, running: Running) -> AsyncIterator[str]:
        """Yields the events of a stream. Log-probabilities come with the last part of an answer."""
        with_usage = body.stream_options is not None and bool(body.stream_options.include_usage)
        more, results = {"usage": None} if with_usage else {}, []

        def chunk(index: int, delta: dict, reason: str | None = None, logprobs=None) -> str:
            fields = {"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": reason}
            return event(dump({**head, "choices": [fields], **more}))

        try:
            for index in range(body.n or 1):
                yield chunk(index, {"role": "assistant", "content": ""})
            async for index, part in running.parts():
                if part is not None:
                    yield chunk(index, {"content": part})
                    continue
                results.append(await running.result(index))
                choice = self._choice(index, results[-1])
                yield chunk(index, {}, choice["finish_reason"], choice["logprobs"])
            _count(running, results)
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


def _count(running: Running, results: Sequence[Generation]) -> None:
    n_new = sum(len(result.tokens) for result in results)
    running.add(Usage(results[0].n_prompt, n_new, results[0].n_cached))
