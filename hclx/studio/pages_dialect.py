"""The pages of the Studio at /studio/, and those of its apps at /apps/SLUG. They are for everyone,
because they tell nothing: what there is to see, they ask the API for.
"""

import asyncio
import html

from starlette.requests import Request
from starlette.responses import Response

from hclx.serve.api_error import ApiError
from hclx.serve.dialect import Dialect
from hclx.serve.operation import ApiRoute, Operation
from hclx.serve.service import Service
from hclx.studio.page_files import HEADERS, file_answer

_FIRST, _APP = "index.html", "app.html"
_API = "api/"
_ERROR = (
    '<!doctype html><html lang="ko"><head><meta charset="utf-8">'
    '<meta name="viewport" content="width=device-width"><title>{status}</title></head>'
    "<body><h1>{status}</h1><p>{text}</p></body></html>"
)


def pages_dialect(service: Service) -> Dialect:
    """Returns the routes of the pages; they stand behind those of the API."""

    def operation(summary: str) -> Operation:
        return Operation(summary, media_type="text/html", is_public=True)

    async def file(request: Request) -> Response:
        return await page(request, request.path_params["file"] or _FIRST)

    async def app(request: Request) -> Response:
        return await page(request, _APP)

    routes = [
        ApiRoute("/studio", to_pages, operation("Leads to the Studio.")),
        ApiRoute("/studio/{file:path}", file, operation("Sends a file of the Studio's pages.")),
        ApiRoute("/apps/{slug}", app, operation("Sends the page of an app.")),
    ]
    owns = lambda path: path == "/studio" or path.startswith("/studio/")
    return Dialect("pages", routes, render_page_error, owns)


async def to_pages(request: Request) -> Response:
    """Leads to the Studio, relative to where a proxy may have put the server."""
    return Response(status_code=307, headers={**HEADERS, "Location": "studio/"})


async def page(request: Request, name: str) -> Response:
    """Returns a file of the pages; see `file_answer`. Raises ApiError (404) if there is none."""
    if name.startswith(_API):
        raise ApiError(404, "not_found", f"{request.url.path[:100]} is no route of this server")
    answer = await asyncio.to_thread(file_answer, request, name)
    if answer is None:
        text = "이 주소에는 페이지가 없습니다. There is no page at this address."
        raise ApiError(404, "not_found", text)
    return answer


def render_page_error(error: ApiError) -> Response:
    """Returns an error as a page."""
    text = _ERROR.format(status=error.status, text=html.escape(error.message))
    return Response(text, error.status, {**HEADERS, **error.headers}, "text/html")
