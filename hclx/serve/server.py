"""The server: dialects over one engine, behind the guard."""

from collections.abc import Callable, Sequence

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Match

from hclx.serve.admission import Admission
from hclx.serve.api_error import ApiError
from hclx.serve.backend import Backend
from hclx.serve.caller import Keys, OpenKeys
from hclx.serve.clova.clova_dialect import clova_dialect
from hclx.serve.dialect import Dialect
from hclx.serve.http_guard import HttpGuard
from hclx.serve.metrics import Metrics
from hclx.serve.native.native_dialect import native_dialect
from hclx.serve.openai.openai_dialect import openai_dialect
from hclx.serve.openapi_document import ApiDocument
from hclx.serve.operation import ApiRoute, Operation, requests_of
from hclx.serve.serve_config import ServeConfig
from hclx.serve.service import Service

# The last one answers what no other owns.
DIALECTS: tuple[Callable[[Service], Dialect], ...] = (
    native_dialect,
    clova_dialect,
    openai_dialect,
)


def build_app(
    backend: Backend,
    keys: Keys | None = None,
    config: ServeConfig = ServeConfig(),
    dialects: Sequence[Callable[[Service], Dialect]] = DIALECTS,
) -> Starlette:
    """Returns the ASGI application, whose `state.service` is its `Service`.

    Args:
      backend: what is served.
      keys: who may call; None: everyone.
      config: limits.
      dialects: make the routes, the first that matches serves.
    """
    admission = Admission(config)
    service = Service(backend, keys or OpenKeys(), config, admission, Metrics(admission))
    made = [make(service) for make in dialects]

    def render(path: str, error: ApiError) -> Response:
        owner = next((dialect for dialect in made if dialect.owns(path)), made[-1])
        return owner.render(error)

    async def on_api_error(request: Request, error: ApiError) -> Response:
        return render(request.url.path, error)

    async def on_http_error(request: Request, error: HTTPException) -> Response:
        response = render(request.url.path, _of_router(error, request))
        if error.status_code == 405:
            response.headers["Allow"] = ", ".join(_methods_at(request))
        return response

    document = ApiDocument(service, made)
    routes = [
        *_own_routes(service, document),
        *(route for dialect in made for route in dialect.routes),
    ]
    guard = Middleware(
        HttpGuard,
        service=service,
        render=render,
        is_public=requests_of(routes, lambda operation: operation.is_public),
        takes_file=requests_of(routes, lambda operation: bool(operation.uploads)),
    )
    app = Starlette(
        routes=routes,
        middleware=[guard],
        exception_handlers={ApiError: on_api_error, HTTPException: on_http_error},
        lifespan=lambda app: service.working(),
    )
    app.router.redirect_slashes = False
    app.state.service, document.routes = service, app.routes
    return app


def _of_router(error: HTTPException, request: Request) -> ApiError:
    path, method = request.url.path[:100], request.method
    if error.status_code == 404:
        return ApiError(404, "not_found", f"{path} is no route of this server")
    if error.status_code == 405:
        return ApiError(405, "method_not_allowed", f"{path} does not take {method}")
    return ApiError(error.status_code, "invalid_request", str(error.detail))


def _methods_at(request: Request) -> list[str]:
    """Returns the methods of all routes that have the path of a request."""
    routes = [
        route for route in request.app.routes if route.matches(request.scope)[0] != Match.NONE
    ]
    return sorted({method for route in routes for method in route.methods or ()})


def _own_routes(service: Service, document: ApiDocument) -> list[ApiRoute]:
    async def health(request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def ready(request: Request) -> Response:
        is_ready = not service.admission.is_draining
        return JSONResponse({"status": "ok" if is_ready else "draining"}, 200 if is_ready else 503)

    async def metrics(request: Request) -> Response:
        return Response(service.metrics.text(), media_type="text/plain; version=0.0.4")

    async def openapi(request: Request) -> Response:
        return await document(request)

    is_there = Operation("Tells that the process runs.", is_public=True)
    is_ready = Operation("Tells whether requests are taken.", statuses=(503,), is_public=True)
    numbers = Operation("Tells numbers for Prometheus.", media_type="text/plain")
    return [
        ApiRoute("/health", health, is_there),
        ApiRoute("/ready", ready, is_ready),
        ApiRoute("/metrics", metrics, numbers),
        ApiRoute("/openapi.json", openapi, Operation("Describes all routes, in this document.")),
    ]
