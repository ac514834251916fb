"""The administrator's API, under /hclx/v1/admin: keys, their limits, and what they have used."""

import asyncio
import datetime
import logging
import time
from collections.abc import Callable
from typing import Annotated, Literal

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from hclx.errors import ConfigError, HclxError, shown
from hclx.serve.api_error import ApiError, invalid, store_unavailable
from hclx.serve.dialect import Dialect
from hclx.serve.json_body import read_body
from hclx.serve.openai.openai_answers import ErrorAnswer
from hclx.serve.openai.openai_errors import render_error
from hclx.serve.operation import ApiRoute, Operation
from hclx.serve.service import Service
from hclx.serve.store import key_records, usage_store
from hclx.serve.store.database import Database
from hclx.serve.store.key_records import KeyRecord, Limits, NoSuchKeyError
from hclx.serve.store.usage_store import DayOfUsage

_LOG = logging.getLogger(__name__)
_PATH = "/hclx/v1/admin/"
_MOST_DAYS = 36_500
_DAY = 86_400
Number = Annotated[int, Meta(ge=0, le=10**15)]


class LimitsBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, frozen=True):
    """Quotas; those that are left out stay as they are, and are 0, no limit, in a new key."""

    requests_per_minute: Number | None = None
    requests_per_day: Number | None = None
    tokens_per_minute: Number | None = None
    tokens_per_day: Number | None = None


class KeyBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The body of a request for a key."""

    name: str
    kind: Literal["test", "service"] = "service"
    scopes: tuple[str, ...] = ("inference",)
    tenant: str = ""
    expires_days: Annotated[float, Meta(ge=0, le=_MOST_DAYS)] = 0
    limits: LimitsBody = LimitsBody()


class ChangeBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The body of a request that changes a key."""

    limits: LimitsBody


_EXAMPLE = {"name": "검색팀", "scopes": ["inference"], "limits": {"requests_per_minute": 60}}
_ROUTES = (
    (
        *("POST", "keys", "create"),
        Operation(
            "Makes a key, and tells its secret this once.", None, KeyBody, _EXAMPLE, status=201
        ),
    ),
    ("GET", "keys", "keys", Operation("Lists keys.")),
    ("GET", "keys/{id}", "key", Operation("Shows a key.")),
    ("PATCH", "keys/{id}", "change", Operation("Changes quotas of a key.", body=ChangeBody)),
    ("POST", "keys/{id}/revoke", "revoke", Operation("Revokes a key.", statuses=(409,))),
    ("GET", "usage", "usage", Operation("Sums up usage by day and key.", query=("days", "key"))),
)


def admin_dialect(
    service: Service, database: Database, clock: Callable[[], float] = time.time
) -> Dialect:
    """Returns the routes of administrators."""
    handlers = _Handlers(database, clock)
    routes = [
        ApiRoute(f"{_PATH}{path}", _for_admins(getattr(handlers, name)), operation, method)
        for method, path, name, operation in _ROUTES
    ]
    return Dialect("admin", routes, render_error, lambda path: path.startswith(_PATH), ErrorAnswer)


def key_view(record: KeyRecord, now: float) -> dict:
    """Returns a key as an administrator sees it, without its secret, which nobody knows."""
    plain = {**vars(record), "scopes": sorted(record.scopes), "limits": vars(record.limits)}
    return {"object": "key", "state": record.state(now), **plain}


def usage_view(day: DayOfUsage) -> dict:
    """Returns what a key has used on a day of UTC."""
    date = datetime.datetime.fromtimestamp(day.start, datetime.UTC).date().isoformat()
    names = ("name", "requests", "prompt_tokens", "completion_tokens")
    return {"day": date, "key": day.key_id, **{name: getattr(day, name) for name in names}}


def first_day(request: Request, now: float) -> float:
    """Returns a time on the first of the `days` of a query, 30 by default, of which today is the
    last, in seconds since 1970. Raises ApiError (400) if it is no number of days.
    """
    days = request.query_params.get("days", "30")
    if not (days.isascii() and days.isdigit() and 1 <= int(days[:9]) <= _MOST_DAYS):
        raise invalid(f"days={shown(days)}: give a number from 1 to {_MOST_DAYS}", "days")
    return now - (int(days) - 1) * _DAY


class _Handlers:
    """The handlers; they ask the store in threads."""

    def __init__(self, database: Database, clock: Callable[[], float]):
        self._database, self._clock = database, clock

    async def create(self, request: Request) -> Response:
        body = await read_body(request, KeyBody)
        asked = body.name, self._clock(), body.kind, body.scopes, body.tenant, body.expires_days
        limits = Limits(**_changes(body.limits))
        secret, record = await _asked(key_records.create_key, self._database, *asked, limits)
        _log(request, "made", record)
        view = {**key_view(record, self._clock()), "secret": secret}
        return JSONResponse(view, 201, {"Cache-Control": "no-store"})

    async def keys(self, request: Request) -> Response:
        records = await _asked(key_records.list_keys, self._database)
        views = [key_view(record, self._clock()) for record in records]
        return JSONResponse({"object": "list", "data": views})

    async def key(self, request: Request) -> Response:
        record = await _asked(key_records.find_key, self._database, request.path_params["id"])
        return JSONResponse(key_view(record, self._clock()))

    async def change(self, request: Request) -> Response:
        body = await read_body(request, ChangeBody)
        asked = request.path_params["id"], _changes(body.limits)
        record = await _asked(key_records.change_limits, self._database, *asked)
        _log(request, "limited", record)
        return JSONResponse(key_view(record, self._clock()))

    async def revoke(self, request: Request) -> Response:
        key_id = request.path_params["id"]
        if key_id == request.state.caller.key_id:
            text = f"{key_id} is the key of this request; revoke it with another one"
            raise ApiError(409, "conflict", text)
        record = await _asked(key_records.revoke_key, self._database, key_id, self._clock())
        _log(request, "revoked", record)
        return JSONResponse(key_view(record, self._clock()))

    async def usage(self, request: Request) -> Response:
        since = first_day(request, self._clock())
        asked = self._database, since, request.query_params.get("key")
        of_days = await _asked(usage_store.usage_by_day, *asked)
        return JSONResponse({"object": "list", "data": [usage_view(day) for day in of_days]})


def _for_admins(handler: Callable) -> Callable:
    async def endpoint(request: Request) -> Response:
        request.state.caller.check_scope("admin")
        return await handler(request)

    endpoint.__name__ = f"admin {handler.__name__}"
    return endpoint


async def _asked(function: Callable, *arguments):
    """Calls a function of the store in a thread. Raises ApiError if it refuses."""
    try:
        return await asyncio.to_thread(function, *arguments)
    except NoSuchKeyError as error:
        raise ApiError(404, "not_found", str(error)) from error
    except ConfigError as error:
        name, equals, _ = str(error).partition("=")
        raise invalid(str(error), name if equals and name.isidentifier() else None) from error
    except HclxError as error:
        raise store_unavailable(error) from error


def _changes(body: LimitsBody) -> dict[str, int]:
    values = msgspec.structs.asdict(body)
    return {name: value for name, value in values.items() if value is not None}


def _log(request: Request, verb: str, record: KeyRecord) -> None:
    _LOG.info("the key %s has %s the key %s", request.state.caller.key_id, verb, record.id)
