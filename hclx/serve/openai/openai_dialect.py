"""The dialect of OpenAI, with what servers of open models have added to it."""

import time

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from hclx.serve.dialect import Dialect
from hclx.serve.openai import openai_answers as answers
from hclx.serve.openai.openai_chat import ChatCompletions, ChatRequest
from hclx.serve.openai.openai_completions import CompletionRequest, Completions
from hclx.serve.openai.openai_embeddings import EmbeddingRequest, Embeddings
from hclx.serve.openai.openai_errors import render_error
from hclx.serve.openai.openai_moderations import ModerationAnswer, ModerationRequest, Moderations
from hclx.serve.openai.openai_response_body import ResponseRequest
from hclx.serve.openai.openai_responses import Responses
from hclx.serve.openai.openai_tokens import DetokenizeRequest, TokenizeRequest, Tokens
from hclx.serve.operation import ApiRoute, Operation
from hclx.serve.service import Service

_TEXT = {"max_tokens": 8, "temperature": 0.7}
_COMPLETE = Operation(
    "Continues prompts.",
    answers.CompletionAnswer,
    CompletionRequest,
    {"prompt": "오늘 아침에는", "logprobs": 1, "echo": True, **_TEXT},
    streams=True,
)
_CHAT = Operation(
    "Answers in a chat.",
    answers.ChatAnswer,
    ChatRequest,
    {
        "messages": [{"role": "user", "content": "뭐 해?"}],
        **{"logprobs": True, "top_logprobs": 1, **_TEXT},
    },
    streams=True,
)
_RESPOND = Operation(
    "Answers in a chat, in the newer form of OpenAI.",
    answers.ResponseAnswer,
    ResponseRequest,
    {"input": "뭐 해?", "max_output_tokens": 8},
    streams=True,
)
_EMBED = Operation(
    "Computes vectors of texts.",
    answers.EmbeddingAnswer,
    EmbeddingRequest,
    {"input": ["바다", "산"]},
)
_MODERATE = Operation(
    "Judges texts.", ModerationAnswer, ModerationRequest, {"input": "오늘은 맑다."}
)
_TOKENIZE = Operation("Encodes a text.", answers.TokensAnswer, TokenizeRequest, {"prompt": "바다"})
_DETOKENIZE = Operation(
    "Decodes tokens.", answers.TextAnswer, DetokenizeRequest, {"tokens": [1, 2]}
)
_INFO = Operation("Tells the tokenizer.", answers.TokenizerAnswer)
_MODELS = Operation("Lists the models.", answers.ModelsAnswer)
_MODEL = Operation("Tells a model.", answers.ModelAnswer)


def openai_dialect(service: Service) -> Dialect:
    """Returns the routes of the dialect, which answers at every path that no other owns."""
    created = int(time.time())
    completions, chats = Completions(service), ChatCompletions(service)
    embeddings, tokens = Embeddings(service), Tokens(service)
    responses = Responses(service)
    moderations = Moderations(service)

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

    async def respond(request: Request) -> Response:
        return await responses(request)

    async def embed(request: Request) -> Response:
        return await embeddings(request)

    async def moderate(request: Request) -> Response:
        return await moderations(request)

    async def models(request: Request) -> Response:
        listed = [described(name) for name in service.backend.names_for(request.state.caller)]
        return JSONResponse({"object": "list", "data": listed})

    async def model(request: Request) -> Response:
        name = request.path_params["name"]
        service.backend.artefact_of(name, request.state.caller)
        return JSONResponse(described(name))

    routes = [
        ApiRoute("/v1/completions", complete, _COMPLETE),
        ApiRoute("/v1/chat/completions", chat, _CHAT),
        ApiRoute("/v1/responses", respond, _RESPOND),
        ApiRoute("/v1/embeddings", embed, _EMBED),
        ApiRoute("/v1/moderations", moderate, _MODERATE),
        ApiRoute("/tokenize", tokens.tokenize, _TOKENIZE),
        ApiRoute("/detokenize", tokens.detokenize, _DETOKENIZE),
        ApiRoute("/tokenizer_info", tokens.info, _INFO),
        ApiRoute("/v1/models", models, _MODELS),
        ApiRoute("/v1/models/{name:path}", model, _MODEL),
    ]
    return Dialect("openai", routes, render_error, lambda path: True, answers.ErrorAnswer)
