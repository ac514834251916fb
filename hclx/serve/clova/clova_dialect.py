"""The dialect of CLOVA Studio: completions and chats of its first and third version, and tools."""

from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response

from hclx.serve.api_error import ApiError
from hclx.serve.clova import clova_results as results
from hclx.serve.clova.clova_chat import ClovaChats
from hclx.serve.clova.clova_completions import ClovaCompletions
from hclx.serve.clova.clova_errors import render_error
from hclx.serve.clova.clova_fields import ChatBodyV1, ChatBodyV3, CompletionBody
from hclx.serve.clova.clova_texts import ClovaTexts, SegmentationBody, SummaryBody
from hclx.serve.clova.clova_tools import ClovaTools, EmbeddingBody, SlidingBody, TokenizeBody
from hclx.serve.dialect import Dialect
from hclx.serve.operation import ApiRoute, Operation
from hclx.serve.service import Service

_APPS = ("/testapp", "/serviceapp")  # before the paths of older clients
_OWN = (
    *(f"{app}/" for app in _APPS),
    *("/v1/completions/", "/v1/chat-completions", "/v2/", "/v3/", "/v1/tasks/", "/v1/api-tools/"),
)


_CHAT = {"messages": [{"role": "user", "content": "뭐 해?"}], "maxTokens": 8}
_COMPLETE = Operation(
    "Continues a text.",
    results.CompletionEnvelope,
    CompletionBody,
    {"text": "오늘은", "maxTokens": 8, "includeTokens": True, "includeProbs": True},
    streams=True,
)
_CHAT_V1 = Operation("Answers in a chat.", results.ChatEnvelopeV1, ChatBodyV1, _CHAT, streams=True)
_CHAT_V3 = Operation("Answers in a chat.", results.ChatEnvelopeV3, ChatBodyV3, _CHAT, streams=True)
_TOKENIZE = Operation(
    "Counts tokens.", results.TokenCountEnvelope, TokenizeBody, {"text": "오늘은 맑다."}
)
_SLIDE = Operation(
    "Removes the oldest turns of a chat.", results.SlidingEnvelope, SlidingBody, _CHAT
)
_EMBED = Operation(
    "Computes the vector of a text.", results.EmbeddingEnvelope, EmbeddingBody, {"text": "바다"}
)
_SEGMENT = Operation(
    "Divides a text into paragraphs.",
    results.SegmentationEnvelope,
    SegmentationBody,
    {"text": "바다가 넓다. 산이 높다.", "segCnt": 2},
)
_SUMMARISE = Operation(
    "Writes the gist of texts.",
    results.SummaryEnvelope,
    SummaryBody,
    {"texts": ["바다가 넓다. 배가 떴다."], "includeAiFilters": True},
)


def clova_dialect(service: Service) -> Dialect:
    """Returns the routes of the dialect."""
    complete, chats, tools = ClovaCompletions(service), ClovaChats(service), ClovaTools(service)
    texts = ClovaTexts(service)
    # A tuned model is named by its task, as any other by its name.
    handlers = {
        "/v1/completions/{model:path}": (complete, _COMPLETE),
        "/v1/tasks/{model}/completions": (complete, _COMPLETE),
        "/v1/chat-completions/{model:path}": (chats.v1, _CHAT_V1),
        "/v1/tasks/{model}/chat-completions": (chats.v1, _CHAT_V1),
        "/v2/tasks/{model}/chat-completions": (chats.v1, _CHAT_V1),
        "/v3/chat-completions/{model:path}": (chats.v3, _CHAT_V3),
        "/v3/tasks/{model}/chat-completions": (chats.v3, _CHAT_V3),
        "/v1/api-tools/chat-tokenize/{model:path}": (tools.tokenize, _TOKENIZE),
        "/v3/api-tools/chat-tokenize/{model:path}": (tools.tokenize, _TOKENIZE),
        "/v1/api-tools/sliding/chat-messages/{model:path}": (tools.slide, _SLIDE),
        "/v1/api-tools/embedding/v2": (tools.embed, _EMBED),
        "/v1/api-tools/embedding/{model:path}": (tools.embed, _EMBED),
        "/v1/api-tools/segmentation": (texts.segment, _SEGMENT),
        "/v1/api-tools/segmentation/{model:path}": (texts.segment, _SEGMENT),
        "/v1/api-tools/summarization/v2": (texts.summarise, _SUMMARISE),
        "/v1/api-tools/summarization/v2/{model:path}": (texts.summarise, _SUMMARISE),
    }
    routes = [
        ApiRoute(app + path, _checked(handler, path), operation)
        for path, (handler, operation) in handlers.items()
        for app in ("", *_APPS)
    ]
    owns = lambda path: path.startswith(_OWN)
    return Dialect("clova", routes, render_error, owns, results.RefusedEnvelope)


def _checked(handler: Callable[[Request], Awaitable[Response]], path: str):
    """The handler of a route, which keys for tests do not call as a service."""

    async def endpoint(request: Request) -> Response:
        caller = request.state.caller
        if request.url.path.startswith("/serviceapp/") and caller.kind == "test":
            text = f"the key {caller.key_id} is for tests; use /testapp, or a key for services"
            raise ApiError(403, "forbidden", text)
        return await handler(request)

    endpoint.__name__ = f"clova {path.split('{')[0].strip('/')}"
    return endpoint
