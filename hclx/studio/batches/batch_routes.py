"""Routes of batches: many rows are sent, are answered while nobody waits, and are fetched."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Annotated
from urllib.parse import quote

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from hclx.errors import shown
from hclx.serve.api_error import invalid
from hclx.serve.operation import ApiRoute, Operation
from hclx.studio.batches import batch_files
from hclx.studio.batches.batch_work import needed_fields
from hclx.studio.body_checks import check_title, content_of, seen_by
from hclx.studio.content import Content
from hclx.studio.large_body import UPLOADS, read_large_body
from hclx.studio.store import batch_records, batch_row_records
from hclx.studio.store.batch_records import BatchRecord
from hclx.studio.store_calls import in_store
from hclx.studio.studio import Studio
from hclx.text.documents import composed

MOST_ROWS, MOST_COLUMNS = 20_000, 200
_LONGEST_NAME = 200
_MOST_SHOWN = 1000  # rows of an answer
_READ_AT_ONCE = 500  # rows of a download
_UPLOADS = 2  # that are in memory at once
Name = Annotated[str, Meta(min_length=1, max_length=_LONGEST_NAME)]
_FORMATS = {"csv": "text/csv; charset=utf-8", "jsonl": "application/jsonl"}


class BatchBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The body of a request for a batch; each of `rows` has a text for each of `columns`."""

    name: Name
    content: dict
    columns: Annotated[list[Name], Meta(min_length=1, max_length=MOST_COLUMNS)]
    rows: Annotated[list[list[str]], Meta(min_length=1, max_length=MOST_ROWS)]


_DOCUMENT = {"schema": "hclx.prompt/1", "name": "감정", "input": "후기: {후기}\n감정:"}
_EXAMPLE = {
    "name": "7월 후기",
    "content": {
        "schema": "hclx.studio/1",
        "document": {**_DOCUMENT, "answer": " {answer}", "choices": ["긍정", "부정"]},
    },
    "columns": ["후기"],
    "rows": [["맛있어요."], ["식어서 왔어요."]],
}
_ROUTES = (
    (
        *("POST", "", "create"),
        Operation(
            *("Asks for the answers of many rows.", None, BatchBody, _EXAMPLE, UPLOADS),
            status=201,
            statuses=(409,),
        ),
    ),
    ("GET", "", "batches", Operation("Lists batches.")),
    ("GET", "/{id}", "batch", Operation("Shows a batch.")),
    ("DELETE", "/{id}", "remove", Operation("Removes a batch and its answers.")),
    ("POST", "/{id}/pause", "pause", Operation("Pauses a batch.", statuses=(409,))),
    (
        *("POST", "/{id}/resume", "resume"),
        Operation("Lets a batch go on, or its failed rows run again.", statuses=(409,)),
    ),
    ("GET", "/{id}/rows", "rows", Operation("Shows rows.", query=("from", "count"))),
    (
        *("GET", "/{id}/result", "result"),
        Operation("Gives all rows as a file.", query=("format",), media_type="text/csv"),
    ),
)


def batch_routes(studio: Studio) -> list[ApiRoute]:
    """Returns the routes."""
    handlers = _Handlers(studio)
    return [
        ApiRoute(f"/studio/api/batches{path}", getattr(handlers, name), operation, method)
        for method, path, name, operation in _ROUTES
    ]


def batch_view(record: BatchRecord) -> dict:
    """Returns a batch as its owner sees it, without its content and the server that has it."""
    names = ("id", "name", "state", "total", "done", "failed", "created", "ended", "reason")
    return {name: getattr(record, name) for name in names} | {"columns": list(record.columns)}


class _Handlers:
    """The handlers; they ask the store in threads."""

    def __init__(self, studio: Studio):
        self._studio, self._database = studio, studio.database
        self._uploads = asyncio.Semaphore(_UPLOADS)

    async def create(self, request: Request) -> Response:
        person, caller = self._studio.person_of(request), request.state.caller
        caller.check_scope("inference")
        async with self._uploads:
            body = await read_large_body(request, BatchBody)
            body.columns = [*map(composed, body.columns)]  # as slots are
            content = content_of(body.content, needs_document=True)
            await asyncio.to_thread(_check_rows, body, content)
            if content.model:
                self._studio.service.backend.artefact_of(content.model, caller)
            asked = self._database, person.id, body.name, body.content, body.columns, body.rows
            record = await in_store(batch_records.add_batch, *asked, self._studio.clock())
        return JSONResponse(batch_view(record), 201)

    async def batches(self, request: Request) -> Response:
        owner = seen_by(self._studio.person_of(request))
        records = await in_store(batch_records.list_batches, self._database, owner)
        return JSONResponse({"data": [batch_view(record) for record in records]})

    async def batch(self, request: Request) -> Response:
        record = await self._called(batch_records.find_batch, request)
        return JSONResponse({**batch_view(record), "content": record.content})

    async def remove(self, request: Request) -> Response:
        await self._called(batch_records.remove_batch, request)
        return JSONResponse({"id": request.path_params["id"], "deleted": True})

    async def pause(self, request: Request) -> Response:
        return JSONResponse(batch_view(await self._called(batch_records.pause_batch, request)))

    async def resume(self, request: Request) -> Response:
        return JSONResponse(batch_view(await self._called(batch_records.resume_batch, request)))

    async def rows(self, request: Request) -> Response:
        record = await self._called(batch_records.find_batch, request)
        first = _number(request, "from", 0, 0, MOST_ROWS)
        count = _number(request, "count", 100, 1, _MOST_SHOWN)
        asked = self._database, record.id, first, count
        rows = await in_store(batch_row_records.list_rows, *asked)
        facts = [batch_files.row_facts(record, row) for row in rows]
        return JSONResponse({"data": facts, "total": record.total})

    async def result(self, request: Request) -> Response:
        kind = request.query_params.get("format", "csv")
        if kind not in _FORMATS:
            raise invalid(f"format={shown(kind)}: give csv or jsonl", "format")
        record = await self._called(batch_records.find_batch, request)
        name = quote(f"{record.name}.{kind}", safe="")
        headers = {"Content-Disposition": f"attachment; filename*=UTF-8''{name}"}
        headers["X-Content-Type-Options"] = "nosniff"
        return StreamingResponse(self._file(record, kind), 200, headers, _FORMATS[kind])

    async def _file(self, record: BatchRecord, kind: str) -> AsyncIterator[str]:
        """Yields the parts of a file; one that a store ends early has fewer rows than `total`, and
        its connection breaks off.
        """
        written = {"csv": batch_files.csv_of, "jsonl": batch_files.jsonl_of}[kind]
        if kind == "csv":
            yield batch_files.csv_head(record)
        for first in range(0, record.total, _READ_AT_ONCE):
            asked = self._database, record.id, first, _READ_AT_ONCE
            yield written(record, await asyncio.to_thread(batch_row_records.list_rows, *asked))

    async def _called(self, function: Callable, request: Request):
        """Calls a function of the store with the batch of a request, and returns its result."""
        owner = seen_by(self._studio.person_of(request))
        return await in_store(function, self._database, request.path_params["id"], owner)


def _check_rows(body: BatchBody, content: Content) -> None:
    """Raises ApiError (400) if rows lack what the prompt needs."""
    columns = body.columns
    check_title("name", body.name)
    if twice := [name for name in columns if columns.count(name) > 1]:
        raise invalid(f"columns has {shown(twice[0])} twice; give each column its name", "columns")
    if lacking := [name for name in needed_fields(content) if name not in columns]:
        text = f"the prompt has the slot {{{lacking[0]}}}, and no column has this name; there are"
        raise invalid(f"{text} {', '.join(columns)}", "columns")
    for number, row in enumerate(body.rows):
        if len(row) != len(columns):
            text = f"rows[{number}] has {len(row)} texts, and there are {len(columns)} columns"
            raise invalid(text, "rows")


def _number(request: Request, name: str, default: int, least: int, most: int) -> int:
    text = request.query_params.get(name, str(default))
    if not (text.isascii() and text.isdigit() and least <= int(text[:9]) <= most):
        raise invalid(f"{name}={shown(text)}: give a number from {least} to {most}", name)
    return int(text)
