"""The dialect of CLOVA Studio: completions and chats of its first and third version, and tools."""

from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from hclx.serve.api_error import ApiError
from hclx.serve.clova_chat import ClovaChats
from hclx.serve.clova_completions import ClovaCompletions
from hclx.serve.clova_errors import render_error
from hclx.serve.clova_tools import ClovaTools
from hclx.serve.dialect import Dialect
from hclx.serve.service import Service

_APPS = ("/testapp", "/serviceapp")  # before the paths of older clients
_OWN = (
    *(f"{app}/" for app in _APPS),
    *("/v1/completions/", "/v1/chat-completions", "/v2/", "/v3/", "/v1/tasks/", "/v1/api-tools/"),
)


def clova_dialect(service: Service) -> Dialect:
    """Returns the routes of the dialect."""
    complete, chats, tools = ClovaCompletions(service), ClovaChats(service), ClovaTools(service)
    # A tuned model is named by its task, as any other by its name.
    handlers = {
        "/v1/completions/{model:path}": complete,
        "/v1/tasks/{model}/completions": complete,
        "/v1/chat-completions/{model:path}": chats.v1,
        "/v1/tasks/{model}/chat-completions": chats.v1,
        "/v2/tasks/{model}/chat-completions": chats.v1,
        "/v3/chat-completions/{model:path}": chats.v3,
        "/v3/tasks/{model}/chat-completions": chats.v3,
        "/v1/api-tools/chat-tokenize/{model:path}": tools.tokenize,
        "/v3/api-tools/chat-tokenize/{model:path}": tools.tokenize,
        "/v1/api-tools/sliding/chat-messages/{model:path}": tools.slide,
        "/v1/api-tools/embedding/v2": tools.embed,
        "/v1/api-tools/embedding/{model:path}": tools.embed,
    }
    routes = [
        Route(app + path, _checked(handler, path), methods=["POST"])
        for path, handler in handlers.items()
        for app in ("", *_APPS)
    ]
    return Dialect("clova", routes, render_error, lambda path: path.startswith(_OWN))


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
