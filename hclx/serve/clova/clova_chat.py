"""POST /v1 and /v3/chat-completions/{model} of CLOVA Studio: answers in a chat."""

import asyncio
import time
from collections.abc import Sequence

import msgspec
from msgspec import UNSET, UnsetType
from starlette.requests import Request
from starlette.responses import Response

from hclx.errors import ConfigError
from hclx.infer import GenerateRequest, Generation
from hclx.infer import grammar as grammars
from hclx.infer.grammar import Grammar
from hclx.serve.api_error import ApiError, invalid
from hclx.serve.backend import Backend
from hclx.serve.chat_answer import ChatAnswer
from hclx.serve.chat_tools import Function, ToolUse, encode_chat, tool_use
from hclx.serve.clova.clova_answer import Form, answer
from hclx.serve.clova.clova_completions import STOP_REASONS
from hclx.serve.clova.clova_fields import (
    ChatBodyV1,
    ChatBodyV3,
    Message,
    NamedChoice,
    ToolMessage,
    check_supported,
    sampling_of,
    tokens_to_write,
)
from hclx.serve.json_body import read_body
from hclx.serve.openai.openai_chat import ends_of_answers
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
        max_tokens = tokens_to_write(self._backend, len(ids), body.max_tokens, artefact)
        asked = self._asked(request, body, ids, max_tokens, artefact)

        def result(output: Generation) -> dict:
            return {
                "message": _message(output.text),
                "stopReason": STOP_REASONS[output.stop_reason],
                "inputLength": len(ids),
                "outputLength": len(output.tokens),
                "seed": asked.sampling.seed,
            }

        form = Form(_part, result, has_filters=body.include_ai_filters)
        return await answer(self._service, request, asked, form, body.stream)

    async def v3(self, request: Request) -> Response:
        """Answers a request of v3. Raises ApiError if it cannot be served."""
        artefact = self._backend.artefact_of(request.path_params["model"], request.state.caller)
        body = await read_body(request, ChatBodyV3)
        check_supported(body)
        tools = tools_of(self._backend, body)
        ids = await chat_ids(self._backend, body.messages, tools)
        name = "maxTokens" if body.max_completion_tokens is UNSET else "maxCompletionTokens"
        most = body.max_tokens if name == "maxTokens" else body.max_completion_tokens
        max_tokens = tokens_to_write(self._backend, len(ids), most, artefact, name)
        grammar = await asyncio.to_thread(grammar_of, body, tools)
        asked = self._asked(request, body, ids, max_tokens, artefact, grammar)

        def result(output: Generation) -> dict:
            usage = {"promptTokens": len(ids), "completionTokens": len(output.tokens)}
            read = ChatAnswer.whole(output.text, tools)
            return {
                "message": {**_message(read.text), **_calls(read)},
                "finishReason": read.finish_reason(output),
                "created": int(time.time()),
                "seed": asked.sampling.seed,
                "usage": {**usage, "totalTokens": sum(usage.values())},
            }

        form = Form(_part, result, tools, body.include_ai_filters)
        return await answer(self._service, request, asked, form, body.stream)

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


async def chat_ids(
    backend: Backend, messages: Sequence[Message | ToolMessage], tools: ToolUse | None = None
) -> list[int]:
    """Returns the tokens of a chat, up to where the assistant begins.

    Raises:
      ApiError: 400, the model knows no chats, its template refuses this one, or nothing is asked.
    """
    is_silent = messages[-1].role == "tool" or isinstance(messages[-1].content, UnsetType)
    if not messages[-1].text and not is_silent:  # a tool may find nothing
        raise ApiError(400, "empty_text", "messages: the last one is empty", "messages")
    written = [_written(message, f"messages[{index}]") for index, message in enumerate(messages)]
    return await encode_chat(backend, written, tools, "/v1/completions/MODEL")


def _written(message: Message | ToolMessage, place: str) -> dict:
    """A message as templates read it."""
    if message.content is UNSET and not message.tool_calls:
        raise invalid(f"{place}.content is missing", f"{place}.content")
    written = {"role": message.role, "content": message.text}
    if isinstance(message, ToolMessage):
        if message.tool_calls:
            written["tool_calls"] = msgspec.to_builtins(message.tool_calls)
        if message.tool_call_id is not UNSET:
            written["tool_call_id"] = message.tool_call_id
    return written


def tools_of(backend: Backend, body: ChatBodyV3) -> ToolUse | None:
    """Returns how an answer may call functions; None: it may not.

    Raises:
      ApiError: 400, the model knows no calls, or a function cannot be one.
    """
    mode, name = body.tool_choice, None
    if isinstance(mode, NamedChoice):
        mode, name = "required", mode.function.name
    functions = [
        Function(tool.function.name, tool.function.description, tool.function.parameters)
        for tool in body.tools
    ]
    tools = tool_use(backend, functions, mode, name, ("tools", "toolChoice"))
    if tools is not None and body.response_format is not UNSET:
        text = "responseFormat does not go with tools: calls have a form of their own"
        raise invalid(text, "responseFormat")
    return tools


def grammar_of(body: ChatBodyV3, tools: ToolUse | None = None) -> Grammar | None:
    """Returns the rule of `responseFormat`, or of a call that is forced; None: there is none. It
    may take 100 ms.

    Raises:
      ApiError: 400, the schema cannot be followed, with the keyword.
    """
    if tools is not None:
        return tools.grammar("tools")
    if body.response_format is UNSET:
        return None
    try:
        grammar = grammars.json_schema(body.response_format.schema)
        grammar.check()
        return grammar
    except ConfigError as error:
        name = "responseFormat.schema"
        raise ApiError(400, "invalid_schema", f"{name}: {error}", name) from error


def _calls(answer: ChatAnswer) -> dict:
    """The calls of an answer, if there are any; their arguments are objects, not texts."""
    calls = [
        {"id": c.id, "type": "function", "function": {"name": c.name, "arguments": c.arguments}}
        for c in answer.calls
    ]
    return {"toolCalls": calls} if calls else {}


def _message(text: str) -> dict:
    return {"role": "assistant", "content": text}


def _part(index: int, text: str) -> dict:
    return {"index": index, "message": _message(text)}
