"""Tools of CLOVA Studio: tokens are counted, chats shortened, texts embedded."""

import asyncio
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType
from starlette.requests import Request
from starlette.responses import Response

from hclx.serve.api_error import ApiError, invalid
from hclx.serve.caller import Usage
from hclx.serve.clova.clova_chat import chat_ids
from hclx.serve.clova.clova_errors import envelope
from hclx.serve.clova.clova_fields import MAX_TOKENS, Message, Messages
from hclx.serve.json_body import read_body
from hclx.serve.service import Asked, Service


class TokenizeBody(msgspec.Struct, forbid_unknown_fields=True):
    """A text or messages whose tokens are counted; exactly one of both."""

    text: str | UnsetType = UNSET
    messages: Messages | UnsetType = UNSET


class SlidingBody(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    """A chat, and how many tokens its answer may have."""

    messages: Messages
    max_tokens: Annotated[int, Meta(gt=0, le=MAX_TOKENS)]


class EmbeddingBody(msgspec.Struct, forbid_unknown_fields=True):
    """A text to embed."""

    text: str


class ClovaTools:
    """The handlers."""

    def __init__(self, service: Service):
        """Takes the parts of the server."""
        self._service, self._backend = service, service.backend

    async def tokenize(self, request: Request) -> Response:
        """Counts the tokens of a text, or of the text of each message."""
        self._model_of(request)
        body = await read_body(request, TokenizeBody)
        if (body.text is UNSET) == (body.messages is UNSET):
            raise invalid("give text or messages, and not both", "text")
        if body.messages is UNSET:
            return envelope({"numTokens": await self._count(body.text)})
        written = [_written(message) for message in body.messages]
        counts = await asyncio.to_thread(
            self._backend.count_tokens, [message["content"] for message in written]
        )
        messages = [{**message, "count": count} for message, count in zip(written, counts)]
        return envelope({"messages": messages})

    async def slide(self, request: Request) -> Response:
        """Removes the oldest turns of a chat until it fits together with its answer. What comes
        before the first message of the user stays.

        Raises:
          ApiError: 400, the last turn alone is too long.
        """
        self._model_of(request)
        body = await read_body(request, SlidingBody)
        turns = turns_of(body.messages)
        first, end = 0, max(0, len(turns) - 2)  # the number to remove; the last turn stays
        while first < end:
            middle = (first + end) // 2
            if await self._has_room(_joined(turns, middle), body.max_tokens):
                end = middle
            else:
                first = middle + 1
        messages = _joined(turns, first)
        if not await self._has_room(messages, body.max_tokens):
            raise ApiError(
                400,
                "context_length_exceeded",
                f"the last turn and maxTokens={body.max_tokens} are more than the"
                f" {self._backend.max_length} tokens that the model reads; shorten them",
                "messages",
            )
        return envelope({"messages": [_written(message) for message in messages]})

    async def embed(self, request: Request) -> Response:
        """Computes the vector of a text, by the first model where the path names none."""
        artefact = self._model_of(request)
        body = await read_body(request, EmbeddingBody)
        if not body.text:
            raise ApiError(400, "empty_text", "text is empty: give a text", "text")
        self._backend.check_text(body.text, "text")
        n_tokens = await self._count(body.text)
        n_read = n_tokens + len(self._backend.tokenizer.begin_ids)
        self._backend.check_read(n_read, "text")
        asked = Asked.of(request, self._name_of(request), n_read)
        async with self._service.running(asked) as running:
            (vector,) = await self._backend.embed([body.text], artefact)
            running.add(Usage(n_read))
        return envelope({"embedding": list(map(float, vector)), "inputTokens": n_tokens})

    def _model_of(self, request: Request) -> str | None:
        request.state.caller.check_scope("inference")
        return self._backend.artefact_of(self._name_of(request), request.state.caller)

    def _name_of(self, request: Request) -> str:
        return request.path_params.get("model", next(iter(self._backend.models)))

    async def _count(self, text: str) -> int:
        return len(await self._backend.encode(text, begins=False))

    async def _has_room(self, messages: list[Message], max_tokens: int) -> bool:
        try:
            ids = await chat_ids(self._backend, messages)
        except ApiError as error:
            if error.code == "context_length_exceeded":
                return False
            raise
        return len(ids) + max_tokens <= self._backend.max_length


def turns_of(messages: list[Message]) -> list[list[Message]]:
    """Returns the turns of a chat: what comes before the first message of the user, if anything,
    and each message of the user with what follows it.
    """
    turns = [[]]
    for message in messages:
        if message.role == "user":
            turns.append([])
        turns[-1].append(message)
    return turns


def _joined(turns: list[list[Message]], first: int) -> list[Message]:
    """The messages of a chat without its oldest turns, of which `first` are removed."""
    head, *others = turns
    return [*head, *(message for turn in others[first:] for message in turn)]


def _written(message: Message) -> dict[str, str]:
    return {"role": message.role, "content": message.text}
