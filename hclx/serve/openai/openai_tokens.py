"""Routes by which clients encode and decode text as the model does: /tokenize, /detokenize and
/tokenizer_info, as vLLM has them.
"""

import asyncio

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from hclx.serve.json_body import read_body
from hclx.serve.service import Service
from hclx.serve.special_tokens import decode_special, special_names, token_name


class TokenizeRequest(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The body of /tokenize."""

    prompt: str
    model: str | None = None
    add_special_tokens: bool = True
    return_token_strs: bool | None = None


class DetokenizeRequest(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The body of /detokenize."""

    tokens: list[int]
    model: str | None = None


class Tokens:
    """The handlers, which need no turn of the engine."""

    def __init__(self, service: Service):
        """Takes the parts of the server."""
        self._backend = service.backend

    async def tokenize(self, request: Request) -> Response:
        """Encodes a text, in which special tokens that it spells are these tokens."""
        body = await read_body(request, TokenizeRequest)
        self._check(body.model, request)
        ids = await self._backend.encode(body.prompt, body.add_special_tokens, special=True)
        answer = {"count": len(ids), "max_model_len": self._backend.max_length, "tokens": ids}
        if body.return_token_strs:
            answer["token_strs"] = [token_name(self._backend.tokenizer, token) for token in ids]
        return JSONResponse(answer)

    async def detokenize(self, request: Request) -> Response:
        """Decodes ids to text, with the names of special tokens."""
        body = await read_body(request, DetokenizeRequest)
        self._check(body.model, request)
        self._backend.check_ids(body.tokens, "tokens")
        tokenizer = self._backend.tokenizer
        text = await asyncio.to_thread(decode_special, tokenizer, body.tokens)
        return JSONResponse({"prompt": text})

    async def info(self, request: Request) -> Response:
        """Returns the names of special tokens, and the template of chats."""
        self._check(None, request)
        tokenizer = self._backend.tokenizer
        return JSONResponse(
            {
                "tokenizer_class": type(tokenizer).__name__,
                **special_names(tokenizer),
                "model_max_length": self._backend.max_length,
                "chat_template": getattr(tokenizer, "chat_template", "") or None,
            }
        )

    def _check(self, model: str | None, request: Request) -> None:
        request.state.caller.check_scope("inference")
        if model is not None:
            self._backend.artefact_of(model, request.state.caller)
