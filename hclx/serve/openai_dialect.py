"""The dialect of OpenAI, with what servers of open models have added to it."""

import time

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from hclx.serve.dialect import Dialect
from hclx.serve.openai_chat import ChatCompletions
from hclx.serve.openai_completions import Completions
from hclx.serve.openai_embeddings import Embeddings
from hclx.serve.openai_errors import render_error
from hclx.serve.openai_tokens import Tokens
from hclx.serve.service import Service


def openai_dialect(service: Service) -> Dialect:
    """Returns the routes of the dialect, which answers at every path that no other owns."""
    created = int(time.time())
    completions, chats = Completions(service), ChatCompletions(service)
    embeddings, tokens = Embeddings(service), Tokens(service)

    def described(name: str) -> dict:
        return {
            "id": name,
            "object": "model",
            "created": created,
            "owned_by": "hclx",
            "root": service.backend.root or name,
            "max_model_len": service.backend.max_length,
        }

    async def complete(request: Request) -> Response:
        return await completions(request)

    async def chat(request: Request) -> Response:
        return await chats(request)

    async def embed(request: Request) -> Response:
        return await embeddings(request)

    async def models(request: Request) -> Response:
        listed = [described(name) for name in service.backend.names_for(request.state.caller)]
        return JSONResponse({"object": "list", "data": listed})

    async def model(request: Request) -> Response:
        name = request.path_params["name"]
        service.backend.artefact_of(name, request.state.caller)
        return JSONResponse(described(name))

    routes = [
        Route("/v1/completions", complete, methods=["POST"]),
        Route("/v1/chat/completions", chat, methods=["POST"]),
        Route("/v1/embeddings", embed, methods=["POST"]),
        Route("/tokenize", tokens.tokenize, methods=["POST"]),
        Route("/detokenize", tokens.detokenize, methods=["POST"]),
        Route("/tokenizer_info", tokens.info),
        Route("/v1/models", models),
        Route("/v1/models/{name:path}", model),
    ]
    return Dialect("openai", routes, render_error, lambda path: True)
