"""POST /v1 and /v3/chat-completions/{model} of CLOVA Studio: answers in a chat."""

import asyncio
import time
from collections.abc import Sequence

from msgspec import UNSET
from starlette.requests import Request
from starlette.responses import Response

from hclx.errors import ConfigError, DataError
from hclx.infer import GenerateRequest, Generation
from hclx.infer import grammar as grammars
from hclx.infer.grammar import Grammar
from hclx.serve.api_error import ApiError, invalid
from hclx.serve.backend import Backend
from hclx.serve.clova_answer import Form, answer
from hclx.serve.clova_completions import STOP_REASONS
from hclx.serve.clova_fields import (
    ChatBodyV1,
    ChatBodyV3,
    Message,
    check_supported,
    sampling_of,
    tokens_to_write,
)
from hclx.serve.json_body import read_body
from hclx.serve.metrics import FINISH_REASONS
from hclx.serve.openai_chat import ends_of_answers
from hclx.serve.service import Service


class ClovaChats:
    """The handlers."""

    def __init__(self, service: Service):
        """Takes the parts of the server."""
        self._service, self._backend = service, service.backend

    async def v1(self, request: Request) -> Response:
        """Answers a request of v1. Raises ApiError if it cannot be served."""
        artefact = self._backend.artefact_of(request.path_params["model"], request.state.caller)
        body = await read_body(request, ChatBodyV1)
        ids = await chat_ids(self._backend, body.messages)
        max_tokens = tokens_to_write(self._backend, len(ids), body.max_tokens)
        asked = self._asked(request, body, ids, max_tokens, artefact)

        def result(output: Generation) -> dict:
            return {
                "message": _message(output.text),
                "stopReason": STOP_REASONS[output.stop_reason],
                "inputLength": len(ids),
                "outputLength": len(output.tokens),
                "seed": asked.sampling.seed,
                **_filter(body),
            }

        return await answer(self._service, request, asked, Form(_part, result), body.stream)

    async def v3(self, request: Request) -> Response:
        """Answers a request of v3. Raises ApiError if it cannot be served."""
        artefact = self._backend.artefact_of(request.path_params["model"], request.state.caller)
        body = await read_body(request, ChatBodyV3)
        check_supported(body)
        ids = await chat_ids(self._backend, body.messages)
        name = "maxTokens" if body.max_completion_tokens is UNSET else "maxCompletionTokens"
        most = body.max_tokens if name == "maxTokens" else body.max_completion_tokens
        max_tokens = tokens_to_write(self._backend, len(ids), most, name)
        grammar = await asyncio.to_thread(grammar_of, body)
        asked = self._asked(request, body, ids, max_tokens, artefact, grammar)

        def result(output: Generation) -> dict:
            usage = {"promptTokens": len(ids), "completionTokens": len(output.tokens)}
            return {
                "message": _message(output.text),
                "finishReason": FINISH_REASONS[output.stop_reason],
                "created": int(time.time()),
                "seed": asked.sampling.seed,
                "usage": {**usage, "totalTokens": sum(usage.values())},
                **_filter(body),
            }

        return await answer(self._service, request, asked, Form(_part, result), body.stream)

    def _asked(
        self,
        request: Request,
        body: ChatBodyV1 | ChatBodyV3,
        ids: Sequence[int],
        max_tokens: int,
        artefact: str | None,
        grammar: Grammar | None = None,
    ) -> GenerateRequest:
        config = self._service.config
        return GenerateRequest(
            tuple(ids),
            sampling_of(body, max_tokens, config, ends_of_answers(self._backend.tokenizer)),
            grammar=grammar,
            tenant=request.state.caller.tenant,
            deadline=config.deadline,
            artefact=artefact,
        )


async def chat_ids(backend: Backend, messages: Sequence[Message]) -> list[int]:
    """Returns the tokens of a chat, up to where the assistant begins.

    Raises:
      ApiError: 400, the model knows no chats, its template refuses this one, or nothing is asked.
    """
    if backend.chat_template is None:
        raise ApiError(
            400,
            "unsupported",
            "the model is a base model: its tokenizer has no template of chats; use"
            " /v1/completions/MODEL",
        )
    if not messages[-1].text:
        raise ApiError(400, "empty_text", "messages: the last one is empty", "messages")
    written = [{"role": message.role, "content": message.text} for message in messages]
    try:
        text = await asyncio.to_thread(backend.chat_template.render, written, True)
    except DataError as error:
        raise invalid(str(error), "messages") from error
    backend.check_text(text, "messages")
    return await backend.encode(text, begins=False, special=True)


def grammar_of(body: ChatBodyV3) -> Grammar | None:
    """Returns the rule of `responseFormat`; None: there is none. It may take 100 ms.

    Raises:
      ApiError: 400, the schema cannot be followed, with the keyword.
    """
    if body.response_format is UNSET:
        return None
    try:
        grammar = grammars.json_schema(body.response_format.schema)
        grammar.check()
        return grammar
    except ConfigError as error:
        name = "responseFormat.schema"
        raise ApiError(400, "invalid_schema", f"{name}: {error}", name) from error


def _message(text: str) -> dict:
    return {"role": "assistant", "content": text}


def _part(index: int, text: str) -> dict:
    return {"index": index, "message": _message(text)}


def _filter(body: ChatBodyV1 | ChatBodyV3) -> dict:
    return {"aiFilter": []} if body.include_ai_filters else {}
