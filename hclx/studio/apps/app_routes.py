"""Routes of apps: versions of prompts that answer at their own addresses, with their own keys."""

import dataclasses
import logging
from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from hclx.errors import shown
from hclx.serve.admin_dialect import LimitsBody
from hclx.serve.api_error import ApiError, invalid
from hclx.serve.caller import APP_PATH, APP_SCOPE, Caller
from hclx.serve.json_body import read_body
from hclx.serve.operation import ApiRoute, Operation
from hclx.serve.store.database import Database
from hclx.serve.store.key_records import Limits
from hclx.serve.store.usage_store import DayOfUsage, usage_by_day
from hclx.studio.apps.app_slugs import is_slug, slugs_of
from hclx.studio.body_checks import MOST_NUMBER, changed_limits, check_title, content_of, seen_by
from hclx.studio.content import Content
from hclx.studio.people.session_keys import PersonCaller
from hclx.studio.running.item_plan import MESSAGE
from hclx.studio.running.run_plan import plan_run
from hclx.studio.running.run_prompt import answer_items, error_from
from hclx.studio.running.run_routes import event_answer
from hclx.studio.store import app_records, version_records
from hclx.studio.store.app_records import AppRecord
from hclx.studio.store.people_records import Person
from hclx.studio.store.version_records import VersionRecord, find_version_of
from hclx.studio.store_calls import in_store
from hclx.studio.studio import Studio
from hclx.text.documents import composed

_LOG = logging.getLogger(__name__)
_PATH = "/studio/api/apps"
_SECRET = {"Cache-Control": "no-store"}  # of answers that have a secret
_MAKERS = ("maker", "admin")  # roles of those who may make apps
Number = Annotated[int, Meta(ge=1, le=MOST_NUMBER)]


class AppBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The body of a request for an app."""

    prompt: str
    number: Number
    title: str
    slug: str | None = None
    limits: LimitsBody = LimitsBody()


class AppChange(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The body of a request that changes an app; what is left out stays as it is."""

    title: str | None = None
    number: Number | None = None
    limits: LimitsBody = LimitsBody()


_EXAMPLE = {"prompt": "pr-0199a3c1f2e5d4c3b2a1", "number": 1, "title": "후기의 감정"}
_ROUTES = (
    ("GET", _PATH, "apps", Operation("Lists apps.")),
    (
        *("POST", _PATH, "create"),
        Operation(
            *("Makes an app, and tells the secret of its key this once.", None, AppBody, _EXAMPLE),
            status=201,
            statuses=(409,),
        ),
    ),
    ("PATCH", f"{_PATH}/{{slug}}", "change", Operation("Changes an app.", body=AppChange)),
    (
        *("POST", f"{_PATH}/{{slug}}/key", "renew_key"),
        Operation("Gives an app another key, and revokes the one that it had.", status=201),
    ),
    ("DELETE", f"{_PATH}/{{slug}}", "remove", Operation("Removes an app for good.")),
    (
        *("GET", f"{APP_PATH}{{slug}}/about", "introduction"),
        Operation("Tells the title and the fields of an app.", is_public=True),
    ),
    (
        *("POST", f"{APP_PATH}{{slug}}", "call"),
        Operation("Answers as an app does.", body=dict[str, Any], streams=True),
    ),
)


def app_routes(studio: Studio) -> list[ApiRoute]:
    """Returns the routes."""
    handlers = _Handlers(studio)
    return [
        ApiRoute(path, getattr(handlers, name), operation, method)
        for method, path, name, operation in _ROUTES
    ]


def app_view(app: AppRecord) -> dict:
    """Returns an app as its owner sees it, without the secret of its key, which nobody knows."""
    names = ("slug", "title", "prompt", "number", "key_id", "created")
    facts = {"owner_id": app.owner, "limits": vars(app.limits)}
    return {**{name: getattr(app, name) for name in names}, **facts}


def today_view(day: DayOfUsage | None) -> dict:
    """Returns what the holders of the key of an app have used on this day of UTC."""
    if day is None:
        return {"requests": 0, "tokens": 0}
    return {"requests": day.requests, "tokens": day.prompt_tokens + day.completion_tokens}


def fields_of(content: Content) -> tuple[str, ...]:
    """Returns the names of the fields that an app of a content takes."""
    return (MESSAGE,) if content.view == "chat" else content.document.input_fields


class _Handlers:
    """The handlers; they ask the store in threads."""

    def __init__(self, studio: Studio):
        self._studio, self._database = studio, studio.database

    async def apps(self, request: Request) -> Response:
        owner = seen_by(self._studio.person_of(request))
        apps = await in_store(app_records.list_apps, self._database, owner)
        days = await in_store(usage_by_day, self._database, self._studio.clock())
        of_key = {day.key_id: day for day in days}
        views = [{**app_view(app), "today": today_view(of_key.get(app.key_id))} for app in apps]
        return JSONResponse({"data": views})

    async def create(self, request: Request) -> Response:
        person, body = self._studio.person_of(request), await read_body(request, AppBody)
        if person.role not in _MAKERS:
            text = "makers and administrators make apps; ask an administrator to make you one"
            raise ApiError(403, "forbidden", text)
        check_title("title", body.title)
        limits = Limits(**(vars(person.limits) | _allowed(person, body.limits)))
        owner, caller = seen_by(person), request.state.caller
        version = await in_store(find_version_of, self._database, body.prompt, owner, body.number)
        await self._check_runs(caller, version)
        slug = body.slug if body.slug is not None else await in_store(self._slug_of, body.title)
        if not is_slug(slug):
            text = f"slug={shown(slug)}: give 3 to 40 of the letters a-z, the digits and -"
            raise invalid(text, "slug")
        asked = self._database, person.id, owner, body.prompt, body.number, body.title, slug
        made = in_store(app_records.create_app, *asked, limits, self._studio.clock(), caller.tenant)
        secret, app = await made
        _log(request, "made", slug)
        return JSONResponse({"app": app_view(app), "secret": secret}, 201, _SECRET)

    async def change(self, request: Request) -> Response:
        person, slug = self._studio.person_of(request), request.path_params["slug"]
        body, owner = await read_body(request, AppChange), seen_by(person)
        limits = _allowed(person, body.limits)
        if body.title is not None:
            check_title("title", body.title)
        if body.number is not None:
            app = await in_store(app_records.find_app, self._database, slug, owner)
            of_app = self._database, app.prompt, body.number
            version = await in_store(version_records.find_version, *of_app)
            await self._check_runs(request.state.caller, version)
        asked = self._database, slug, owner, body.title, body.number, limits
        app = await in_store(app_records.change_app, *asked)
        _log(request, "changed", slug)
        return JSONResponse(app_view(app))

    async def renew_key(self, request: Request) -> Response:
        owner, slug = seen_by(self._studio.person_of(request)), request.path_params["slug"]
        asked = self._database, slug, owner, self._studio.clock()
        secret, app = await in_store(app_records.renew_key, *asked)
        _log(request, "given a new key to", slug)
        return JSONResponse({"app": app_view(app), "secret": secret}, 201, _SECRET)

    async def remove(self, request: Request) -> Response:
        owner, slug = seen_by(self._studio.person_of(request)), request.path_params["slug"]
        asked = self._database, slug, owner, self._studio.clock()
        await in_store(app_records.remove_app, *asked)
        _log(request, "removed", slug)
        return JSONResponse({"slug": slug, "deleted": True})

    async def introduction(self, request: Request) -> Response:
        app, content = await self._content_of(request)
        facts = {"title": app.title, "description": content.document.description}
        return JSONResponse({**facts, "fields": fields_of(content), "slug": app.slug})

    async def call(self, request: Request) -> Response:
        app, content = await self._content_of(request)
        caller = self._caller_of(request, app)
        item = _item(await read_body(request, dict[str, Any]), fields_of(content))
        content, route = dataclasses.replace(content, n=1, logprobs=0), request.url.path
        if "text/event-stream" in request.headers.get("accept", ""):
            plan = await plan_run(self._studio.service, caller, content, route=route)
            return event_answer(plan, [item], shows_prompt=False)
        (result,) = await answer_items(self._studio, caller, content, [item], route=route)
        if result["error"] is not None:
            raise error_from(result["error"])
        facts = {name: result[name] for name in ("answer", "text", "choices", "usage")}
        model = content.model or self._studio.service.backend.names_for(caller)[0]
        return JSONResponse({**facts, "model": model, "version": app.number})

    async def _content_of(self, request: Request) -> tuple[AppRecord, Content]:
        slug = request.path_params["slug"]
        app, version = await in_store(_app, self._database, slug)
        return app, content_of(version.content, needs_document=True)

    def _caller_of(self, request: Request, app: AppRecord) -> Caller:
        """Returns who asks, as one who may have texts written: the holder of the key of the app, or
        a person who is logged in. Raises ApiError (403) for others.
        """
        caller = request.state.caller
        if caller.key_id == app.key_id and caller.scopes == {APP_SCOPE}:
            return dataclasses.replace(caller, scopes=frozenset({"inference"}))
        if not isinstance(caller, PersonCaller):
            text = f"the key {caller.key_id} is not that of the app {app.slug}; send that one"
            raise ApiError(403, "forbidden", text)
        return caller

    async def _check_runs(self, caller: Caller, version: VersionRecord) -> None:
        """Raises ApiError if this server cannot run a version."""
        content = content_of(version.content, needs_document=True)
        await plan_run(self._studio.service, caller, content)

    def _slug_of(self, title: str) -> str:
        slugs = slugs_of(title)
        return next(
            (slug for slug in slugs if app_records.is_free(self._database, slug)), slugs[-1]
        )


def _item(body: Mapping[str, Any], fields: tuple[str, ...]) -> dict[str, str]:
    """Returns the item of a call. Raises ApiError (400) unless it has the fields of the app."""
    item = {composed(name): text for name, text in body.items()}
    for name in fields:
        if not isinstance(item.get(name), str):
            raise invalid(f"{name}: give a text; the app takes {', '.join(fields)}", name)
    if unknown := sorted(set(item) - set(fields)):
        text = f"{shown(unknown[0])} is no field of the app, which takes {', '.join(fields)}"
        raise invalid(text, unknown[0])
    return item


def _allowed(person: Person, body: LimitsBody) -> Mapping[str, int]:
    """Returns the limits that a request names. Raises ApiError (400) for one above that of the
    person: who has a quota would be without one through apps.
    """
    limits, own = changed_limits(body), vars(person.limits)
    for name, most in own.items():
        if person.role != "admin" and most and not 0 < limits.get(name, most) <= most:
            text = f"limits.{name}={limits[name]}: your own is {most:,}; give from 1 to that"
            raise invalid(text, f"limits.{name}")
    return limits


def _app(database: Database, slug: str) -> tuple[AppRecord, VersionRecord]:
    app = app_records.find_app(database, slug)
    return app, version_records.find_version(database, app.prompt, app.number)


def _log(request: Request, verb: str, slug: str) -> None:
    _LOG.info("the key %s has %s the app %s", request.state.caller.key_id, verb, shown(slug))
