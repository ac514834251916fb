"""Fields that requests and answers of hclx's own dialect share.

The structs of answers are their documentation too: see `hclx.serve.openapi_document`.
"""

from typing import Annotated

import msgspec
from msgspec import Meta
from starlette.responses import Response

from hclx.infer import TokenLogprob
from hclx.serve.api_error import ApiError, invalid
from hclx.serve.backend import Backend
from hclx.serve.caller import Usage
from hclx.serve.openai.openai_fields import dump
from hclx.serve.special_tokens import token_name

Text = str | list[int]  # a text, or token ids, to which nothing is added
Filled = Annotated[str, Meta(min_length=1)] | Annotated[list[int], Meta(min_length=1)]
Whole = Annotated[int, Meta(ge=0, lt=2**31)]


class ErrorFields(msgspec.Struct, forbid_unknown_fields=True):
    """Why a request is refused: a word for programs, a text for people, and the field."""

    code: str
    message: str
    param: str | None


class ErrorAnswer(msgspec.Struct, forbid_unknown_fields=True):
    """The answer to a request that is refused or has failed."""

    error: ErrorFields


class UsedTokens(msgspec.Struct, forbid_unknown_fields=True):
    """The tokens of a request: read, of these from the prefix cache, and written."""

    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int

    @classmethod
    def of(cls, usage: Usage) -> "UsedTokens":
        """Returns what a request has used."""
        return cls(usage.prompt_tokens, usage.cached_tokens, usage.completion_tokens)


class Alternative(msgspec.Struct, forbid_unknown_fields=True):
    """A token that might stand in a place."""

    token: int
    text: str
    logprob: float


class ScoredToken(msgspec.Struct, forbid_unknown_fields=True):
    """A token, its log-probability, and the likeliest tokens in its place, likeliest first."""

    token: int
    text: str
    logprob: float
    top: list[Alternative]


def render_error(error: ApiError) -> Response:
    """Returns the answer to a request that is refused."""
    fields = ErrorFields(error.code, error.message, error.param)
    return json_answer(ErrorAnswer(fields), error.status, error.headers)


def json_answer(answer: msgspec.Struct, status: int = 200, headers: dict | None = None) -> Response:
    """Returns a struct as an answer in JSON."""
    text = dump(msgspec.to_builtins(answer, str_keys=True))
    return Response(text, status, headers, "application/json")


def scored_token(backend: Backend, entry: TokenLogprob) -> ScoredToken:
    """Returns a token and its alternatives with their names."""
    name = lambda token: token_name(backend.tokenizer, token)
    top = [Alternative(token, name(token), logprob) for token, logprob in entry.top]
    return ScoredToken(entry.token, name(entry.token), entry.logprob, top)


async def read_ids(
    backend: Backend, value: Text, name: str, begins: bool = True
) -> tuple[int, ...]:
    """Returns the ids of a text.

    Args:
      backend: whose tokenizer encodes it.
      value: a text, or ids.
      name: of the field.
      begins: whether a text begins a document.
    Raises:
      ApiError: 400, it is certainly too long, has an id that is none, or no tokens.
    """
    if isinstance(value, str):
        backend.check_text(value, name)
        ids = await backend.encode(value, begins)
    else:
        backend.check_ids(value, name)
        ids = value
    if not ids:
        raise invalid(f"{name} is empty: give a text or token ids", name)
    return tuple(ids)


def check_count(n: int, most: int, name: str) -> None:
    """Raises ApiError (400) if a request has too many texts, or none."""
    if not 1 <= n <= most:
        raise invalid(f"{name} has {n} texts: give 1 to {most}", name)
