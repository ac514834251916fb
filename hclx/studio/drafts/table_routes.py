"""Routes of tables, and of the files that they are made of."""

import asyncio
import re
from collections.abc import Callable
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from hclx.errors import HclxError
from hclx.serve.api_error import ApiError, invalid
from hclx.serve.operation import ApiRoute, Operation
from hclx.studio.body_checks import MOST_NUMBER, check_title, seen_by
from hclx.studio.drafts.conflicts import conflict_answer
from hclx.studio.drafts.table_files import check_columns, check_rows, read_table
from hclx.studio.large_body import FILE_UPLOADS, UPLOADS, read_bytes, read_large_body
from hclx.studio.store import table_records
from hclx.studio.store.table_records import TableHead, TableRecord
from hclx.studio.store_calls import in_store
from hclx.studio.studio import Studio

T = TypeVar("T")
_PATH = "/studio/api/"
_UPLOADS = 2  # that are in memory at once
_FIELD = re.compile(r"\w+(?=[=:\[])")


class TableBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The body of a request for a table; each of `rows` has a text for each of `columns`."""

    name: str
    columns: list[str]
    rows: list[list[str]]


class TableChange(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The body of a request that changes a table."""

    name: str
    columns: list[str]
    rows: list[list[str]]
    revision: Annotated[int, Meta(ge=1, le=MOST_NUMBER)]


_EXAMPLE = {"name": "후기", "columns": ["text", "감정"], "rows": [["국물이 진해요.", "긍정"]]}
_ROUTES = (
    ("GET", "tables", "tables", Operation("Lists tables, without their rows.")),
    (
        *("POST", "tables", "create"),
        Operation(
            *("Makes a table.", None, TableBody, _EXAMPLE, UPLOADS), status=201, statuses=(409,)
        ),
    ),
    ("GET", "tables/{id}", "table", Operation("Shows a table.")),
    (
        *("PUT", "tables/{id}", "change"),
        Operation(
            *("Changes a table.", None, TableChange, {**_EXAMPLE, "revision": 1}, UPLOADS),
            statuses=(409,),
        ),
    ),
    ("DELETE", "tables/{id}", "remove", Operation("Removes a table for good.")),
    (
        *("POST", "read_file", "read_file"),
        Operation(
            "Reads the table of a file, and keeps nothing.",
            uploads=FILE_UPLOADS,
            query=("name", "encoding"),
        ),
    ),
)


def table_routes(studio: Studio) -> list[ApiRoute]:
    """Returns the routes."""
    handlers = _Handlers(studio)
    return [
        ApiRoute(f"{_PATH}{path}", getattr(handlers, name), operation, method)
        for method, path, name, operation in _ROUTES
    ]


def head_view(table: TableHead) -> dict:
    """Returns a table as lists show it."""
    names = ("id", "name", "revision", "created", "updated")
    columns = {"columns": list(table.columns), "owner_id": table.owner}
    return {**{name: getattr(table, name) for name in names}, **columns}


def table_view(table: TableRecord) -> dict:
    """Returns a whole table."""
    return {**head_view(table), "rows": table.rows}


class _Handlers:
    """The handlers; they ask the store, and read files, in threads."""

    def __init__(self, studio: Studio):
        self._studio, self._database = studio, studio.database
        self._uploads = asyncio.Semaphore(_UPLOADS)

    async def tables(self, request: Request) -> Response:
        owner = seen_by(self._studio.person_of(request))
        tables = await in_store(table_records.list_tables, self._database, owner)
        return JSONResponse({"data": [head_view(table) for table in tables]})

    async def create(self, request: Request) -> Response:
        person = self._studio.person_of(request)
        async with self._uploads:
            body = await self._read(request, TableBody)
            asked = self._database, person.id, body.name, body.columns, body.rows
            table = await in_store(table_records.create_table, *asked, self._studio.clock())
        return JSONResponse(head_view(table), 201)

    async def table(self, request: Request) -> Response:
        owner = seen_by(self._studio.person_of(request))
        whole = await self._whole(request.path_params["id"], owner)
        return await asyncio.to_thread(JSONResponse, whole)

    async def change(self, request: Request) -> Response:
        owner, table_id = seen_by(self._studio.person_of(request)), request.path_params["id"]
        try:
            async with self._uploads:
                body = await self._read(request, TableChange)
                asked = self._database, table_id, owner, body.revision
                values = body.name, body.columns, body.rows, self._studio.clock()
                revision = await in_store(table_records.change_table, *asked, *values)
        except ApiError as error:
            return await conflict_answer(error, lambda: self._whole(table_id, owner))
        return JSONResponse({"revision": revision})

    async def remove(self, request: Request) -> Response:
        owner, table_id = seen_by(self._studio.person_of(request)), request.path_params["id"]
        await in_store(table_records.remove_table, self._database, table_id, owner)
        return JSONResponse({"id": table_id, "deleted": True})

    async def read_file(self, request: Request) -> Response:
        self._studio.person_of(request)
        query = request.query_params
        name, encoding = query.get("name", ""), query.get("encoding", "")
        async with self._uploads:
            content = await read_bytes(request)
            table = await _checked(read_table, name, content, encoding)
            return await asyncio.to_thread(JSONResponse, vars(table))

    async def _read(self, request: Request, kind: type[T]) -> T:
        body = await read_large_body(request, kind)
        check_title("name", body.name)
        await _checked(check_columns, body.columns)
        await _checked(check_rows, body.rows, len(body.columns))
        return body

    async def _whole(self, table_id: str, owner: str | None) -> dict:
        find = table_records.find_table
        return table_view(await in_store(find, self._database, table_id, owner))


async def _checked(function: Callable[..., T], *arguments) -> T:
    """Calls a function that reads a table in a thread. Raises ApiError (400) if it refuses."""
    try:
        return await asyncio.to_thread(function, *arguments)
    except HclxError as error:
        field = _FIELD.match(str(error))
        raise invalid(str(error), field and field[0]) from error
