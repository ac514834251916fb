"""Routes of links to saved prompts."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from hclx.serve.api_error import ApiError
from hclx.serve.json_body import read_body
from hclx.serve.operation import ApiRoute, Operation
from hclx.serve.store.database import Database
from hclx.studio.body_checks import MOST_NUMBER, seen_by
from hclx.studio.content import content_to_text, for_others
from hclx.studio.drafts.prompt_routes import whole_prompt
from hclx.studio.store import prompt_records, share_records
from hclx.studio.store.share_records import ShareRecord
from hclx.studio.store_calls import in_store
from hclx.studio.studio import Studio

_PATH = "/studio/api/"
_SECRET = {"Cache-Control": "no-store"}  # of answers that have a token


class ShareBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The body of a request for a link."""

    number: Annotated[int, Meta(ge=1, le=MOST_NUMBER)]
    mode: Literal["read", "copy"] = "read"


_ROUTES = (
    (
        *("POST", "prompts/{id}/shares", "share"),
        Operation(
            "Makes a link to a version.",
            *(None, ShareBody, {"number": 1, "mode": "read"}),
            status=201,
            statuses=(409,),
        ),
    ),
    ("GET", "prompts/{id}/shares", "shares", Operation("Lists links that were not revoked.")),
    ("DELETE", "shares/{id}", "revoke", Operation("Revokes a link.")),
    (
        *("GET", "shared/{token}", "shared"),
        Operation("Shows the version of a link.", is_public=True),
    ),
    (
        *("POST", "shared/{token}/copy", "copy"),
        Operation("Makes a prompt of the version of a link.", status=201, statuses=(409,)),
    ),
)


def share_routes(studio: Studio) -> list[ApiRoute]:
    """Returns the routes."""
    handlers = _Handlers(studio)
    return [
        ApiRoute(f"{_PATH}{path}", getattr(handlers, name), operation, method)
        for method, path, name, operation in _ROUTES
    ]


def share_view(share: ShareRecord) -> dict:
    """Returns a link as the owner of its prompt sees it."""
    return {name: value for name, value in vars(share).items() if name != "prompt"}


class _Handlers:
    """The handlers; they ask the store in threads."""

    def __init__(self, studio: Studio):
        self._studio, self._database = studio, studio.database

    async def share(self, request: Request) -> Response:
        owner, prompt_id = seen_by(self._studio.person_of(request)), request.path_params["id"]
        body = await read_body(request, ShareBody)
        asked = self._database, prompt_id, owner, body.number, body.mode, self._studio.clock()
        share = await in_store(share_records.create_share, *asked)
        return JSONResponse(share_view(share), 201, _SECRET)

    async def shares(self, request: Request) -> Response:
        owner = seen_by(self._studio.person_of(request))
        shares = await in_store(_shares, self._database, request.path_params["id"], owner)
        return JSONResponse({"data": [share_view(share) for share in shares]}, headers=_SECRET)

    async def revoke(self, request: Request) -> Response:
        owner, share_id = seen_by(self._studio.person_of(request)), request.path_params["id"]
        asked = self._database, share_id, owner, self._studio.clock()
        await in_store(share_records.revoke_share, *asked)
        return JSONResponse({"id": share_id, "deleted": True})

    async def shared(self, request: Request) -> Response:
        token = request.path_params["token"]
        share, version = await in_store(share_records.find_shared, self._database, token)
        content = for_others(version.content)
        facts = {name: getattr(version, name) for name in ("title", "number", "note")}
        return JSONResponse({**facts, "content": content, "mode": share.mode}, headers=_SECRET)

    async def copy(self, request: Request) -> Response:
        person, token = self._studio.person_of(request), request.path_params["token"]
        share, version = await in_store(share_records.find_shared, self._database, token)
        if share.mode != "copy":
            text = "this link is for reading alone; ask its owner for one that may be copied"
            raise ApiError(403, "forbidden", text)
        drafted = person.id, version.title, content_to_text(for_others(version.content))
        asked = self._database, *drafted, self._studio.clock()
        prompt_id = await in_store(prompt_records.create_prompt, *asked)
        return JSONResponse(await whole_prompt(self._database, prompt_id, person.id), 201)


def _shares(database: Database, prompt_id: str, owner: str | None) -> list[ShareRecord]:
    prompt_records.find_prompt(database, prompt_id, owner)
    return share_records.list_shares(database, prompt_id)
