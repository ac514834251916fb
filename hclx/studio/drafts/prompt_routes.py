"""Routes of prompts, as they are edited and saved."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from hclx.serve.api_error import ApiError
from hclx.serve.json_body import read_body
from hclx.serve.operation import ApiRoute, Operation
from hclx.serve.store.database import Database
from hclx.studio.body_checks import (
    MOST_NUMBER,
    check_note,
    check_title,
    content_of,
    seen_by,
    whole_number,
)
from hclx.studio.content import content_to_text
from hclx.studio.drafts.conflicts import conflict_answer
from hclx.studio.store import prompt_records, version_records
from hclx.studio.store.prompt_records import PromptHead, PromptRecord, stale
from hclx.studio.store.version_records import VersionHead, VersionRecord, find_version_of
from hclx.studio.store_calls import in_store
from hclx.studio.studio import Studio

_PATH = "/studio/api/prompts"
Revision = Annotated[int, Meta(ge=1, le=MOST_NUMBER)]


class PromptBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The body of a request for a prompt."""

    title: str
    content: dict[str, Any]


class PromptChange(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The body of a request that changes a prompt."""

    title: str
    content: dict[str, Any]
    revision: Revision


class VersionBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The body of a request that saves a version."""

    note: str = ""
    revision: Revision


_DOCUMENT = {"schema": "hclx.prompt/1", "name": "감정", "input": "후기: {text}\n감정:"}
_CONTENT = {"schema": "hclx.studio/1", "document": {**_DOCUMENT, "answer": " {answer}"}}
_EXAMPLE = {"title": "후기의 감정", "content": _CONTENT}
_ROUTES = (
    ("GET", "", "prompts", Operation("Lists prompts.")),
    ("POST", "", "create", Operation("Makes a prompt.", None, PromptBody, _EXAMPLE, status=201)),
    ("GET", "/{id}", "prompt", Operation("Shows a prompt and its versions.")),
    (
        *("PUT", "/{id}", "change"),
        Operation(
            "Changes a prompt.",
            *(None, PromptChange, {**_EXAMPLE, "revision": 1}),
            statuses=(409,),
        ),
    ),
    (
        *("DELETE", "/{id}", "remove"),
        Operation("Removes a prompt, so that it can be recovered.", statuses=(409,)),
    ),
    ("POST", "/{id}/recover", "recover", Operation("Recovers a prompt that was removed.")),
    (
        *("POST", "/{id}/versions", "save"),
        Operation(
            "Saves a version of a prompt.",
            *(None, VersionBody, {"note": "예시 셋", "revision": 1}),
            status=201,
            statuses=(409,),
        ),
    ),
    ("GET", "/{id}/versions/{number}", "version", Operation("Shows a version of a prompt.")),
)


def prompt_routes(studio: Studio) -> list[ApiRoute]:
    """Returns the routes."""
    handlers = _Handlers(studio)
    return [
        ApiRoute(f"{_PATH}{path}", getattr(handlers, name), operation, method)
        for method, path, name, operation in _ROUTES
    ]


def head_view(head: PromptHead) -> dict:
    """Returns a prompt as lists show it."""
    names = ("id", "title", "revision", "created", "updated")
    owner = {"owner": head.owner_name, "owner_id": head.owner}
    return {**{name: getattr(head, name) for name in names}, **owner, "versions": head.n_versions}


def prompt_view(prompt: PromptRecord, versions: Sequence[VersionHead]) -> dict:
    """Returns a whole prompt."""
    heads = [version_head_view(version) for version in versions]
    return {**head_view(prompt), "content": prompt.content, "versions": heads}


async def whole_prompt(database: Database, prompt_id: str, owner: str | None) -> dict:
    """Returns a prompt with its versions from the store. Raises ApiError (404) if the person sees
    none of this id.
    """
    return prompt_view(*await in_store(_prompt, database, prompt_id, owner))


def version_head_view(version: VersionHead) -> dict:
    """Returns a version as lists show it."""
    plain = {name: getattr(version, name) for name in ("number", "title", "note", "created")}
    return {**plain, "author": version.author_name, "author_id": version.author}


def version_view(version: VersionRecord) -> dict:
    """Returns a whole version."""
    return {**version_head_view(version), "content": version.content}


class _Handlers:
    """The handlers; they ask the store in threads."""

    def __init__(self, studio: Studio):
        self._studio, self._database = studio, studio.database

    async def prompts(self, request: Request) -> Response:
        owner = seen_by(self._studio.person_of(request))
        heads = await in_store(prompt_records.list_prompts, self._database, owner)
        return JSONResponse({"data": [head_view(head) for head in heads]})

    async def create(self, request: Request) -> Response:
        person = self._studio.person_of(request)
        body = await read_body(request, PromptBody)
        asked = self._database, person.id, *_checked(body), self._studio.clock()
        prompt_id = await in_store(prompt_records.create_prompt, *asked)
        return JSONResponse(await self._whole(prompt_id, person.id), 201)

    async def prompt(self, request: Request) -> Response:
        owner = seen_by(self._studio.person_of(request))
        return JSONResponse(await self._whole(request.path_params["id"], owner))

    async def change(self, request: Request) -> Response:
        owner, prompt_id = seen_by(self._studio.person_of(request)), request.path_params["id"]
        body = await read_body(request, PromptChange)
        asked = self._database, prompt_id, owner, body.revision, *_checked(body)
        try:
            now = self._studio.clock()
            revision = await in_store(prompt_records.change_prompt, *asked, now)
        except ApiError as error:
            return await conflict_answer(error, lambda: self._whole(prompt_id, owner))
        return JSONResponse({"revision": revision})

    async def remove(self, request: Request) -> Response:
        owner, prompt_id = seen_by(self._studio.person_of(request)), request.path_params["id"]
        asked = self._database, prompt_id, owner, self._studio.clock()
        await in_store(prompt_records.remove_prompt, *asked)
        return JSONResponse({"id": prompt_id, "deleted": True})

    async def recover(self, request: Request) -> Response:
        owner, prompt_id = seen_by(self._studio.person_of(request)), request.path_params["id"]
        await in_store(prompt_records.recover_prompt, self._database, prompt_id, owner)
        return JSONResponse(await self._whole(prompt_id, owner))

    async def save(self, request: Request) -> Response:
        person, prompt_id = self._studio.person_of(request), request.path_params["id"]
        body, owner = await read_body(request, VersionBody), seen_by(person)
        check_note("note", body.note)
        draft = self._database, prompt_id, owner, body.revision
        try:
            content_of(await in_store(_content_of_draft, *draft), needs_document=True)
            saved = person.id, body.note, self._studio.clock()
            number = await in_store(version_records.add_version, *draft, *saved)
        except ApiError as error:
            return await conflict_answer(error, lambda: self._whole(prompt_id, owner))
        return JSONResponse({"number": number}, 201)

    async def version(self, request: Request) -> Response:
        owner, prompt_id = seen_by(self._studio.person_of(request)), request.path_params["id"]
        number = whole_number("version", request.path_params["number"])
        version = await in_store(find_version_of, self._database, prompt_id, owner, number)
        return JSONResponse(version_view(version))

    async def _whole(self, prompt_id: str, owner: str | None) -> dict:
        return await whole_prompt(self._database, prompt_id, owner)


def _checked(body: PromptBody | PromptChange) -> tuple[str, str]:
    """Returns the title and the content, as JSON, of a draft. Raises ApiError if they are none."""
    check_title("title", body.title)
    return body.title, content_to_text(content_of(body.content, needs_document=False).raw)


def _prompt(
    database: Database, prompt_id: str, owner: str | None
) -> tuple[PromptRecord, list[VersionHead]]:
    prompt = prompt_records.find_prompt(database, prompt_id, owner)
    return prompt, version_records.list_versions(database, prompt_id)


def _content_of_draft(
    database: Database, prompt_id: str, owner: str | None, revision: int
) -> Mapping[str, Any]:
    draft = prompt_records.find_prompt(database, prompt_id, owner)
    if draft.revision != revision:
        raise stale(prompt_id)
    return draft.content
