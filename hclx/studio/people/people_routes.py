"""Routes by which people log in and out, and by which administrators say who may."""

import logging
from collections.abc import Callable
from typing import Annotated, Literal

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

import hclx
from hclx.serve.admin_dialect import LimitsBody
from hclx.serve.api_error import ApiError
from hclx.serve.http_guard import SESSION_COOKIE, session_of
from hclx.serve.json_body import read_body
from hclx.serve.operation import ApiRoute, Operation
from hclx.serve.store.key_records import Limits
from hclx.studio.people.login_limit import LoginLimit
from hclx.studio.people.session_keys import PersonCaller
from hclx.studio.store import people_records, session_records
from hclx.studio.store.people_records import Person
from hclx.studio.store.session_records import INVITATION_SECONDS
from hclx.studio.store_calls import in_store
from hclx.studio.studio import Studio

_LOG = logging.getLogger(__name__)
_PATH = "/studio/api/"
_SECRET = {"Cache-Control": "no-store"}  # of answers that have a secret
Role = Literal["user", "maker", "admin"]


class LoginBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The body of a request by which a link is used."""

    token: Annotated[str, Meta(max_length=200)]


class PersonBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The body of a request that adds a person."""

    name: str
    role: Role = "user"
    limits: LimitsBody = LimitsBody()


class PersonChange(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The body of a request that changes a person; what is left out stays as it is."""

    name: str | None = None
    role: Role | None = None
    limits: LimitsBody = LimitsBody()


_ROUTES = (
    ("GET", "session", "session", Operation("Tells who is logged in, and what there is.")),
    (
        *("POST", "login", "login"),
        Operation("Logs a person in by a link.", None, LoginBody, {"token": "..."}, is_public=True),
    ),
    ("POST", "logout", "logout", Operation("Ends the session.")),
    ("GET", "people", "people", Operation("Lists people.")),
    (
        *("POST", "people", "create"),
        Operation(
            "Adds a person, with a link.",
            *(None, PersonBody, {"name": "김하나", "role": "maker"}),
            status=201,
        ),
    ),
    ("POST", "people/{id}/link", "link", Operation("Makes a new link for a person.", status=201)),
    (
        *("PATCH", "people/{id}", "change"),
        Operation("Changes a person.", body=PersonChange, statuses=(409,)),
    ),
    ("DELETE", "people/{id}", "remove", Operation("Removes a person.", statuses=(409,))),
)
_OF_ADMINS = ("people", "create", "link", "change", "remove")


def people_routes(studio: Studio) -> list[ApiRoute]:
    """Returns the routes."""
    handlers = _Handlers(studio)
    of = {name: getattr(handlers, name) for _, _, name, _ in _ROUTES}
    of |= {name: _for_admins(of[name]) for name in _OF_ADMINS}
    return [
        ApiRoute(f"{_PATH}{path}", of[name], operation, method)
        for method, path, name, operation in _ROUTES
    ]


def person_view(person: Person) -> dict:
    """Returns a person as an administrator sees one."""
    return {**vars(person), "limits": vars(person.limits)}


class _Handlers:
    """The handlers; they ask the store in threads."""

    def __init__(self, studio: Studio):
        self._studio, self._limit = studio, LoginLimit(studio.clock)

    async def session(self, request: Request) -> Response:
        self._studio.person_of(request)
        return JSONResponse(self._session(request.state.caller))

    async def login(self, request: Request) -> Response:
        body = await read_body(request, LoginBody)
        address = request.client.host if request.client else ""
        self._limit.take(address)
        now, database = self._studio.clock(), self._studio.database
        secret = await in_store(session_records.log_in, database, body.token, now)
        if secret is None:
            text = "the link was used already, or has expired, or was replaced by a newer one: ask"
            text += " an administrator for another, or start the server again, which prints one"
            raise ApiError(401, "invalid_link", text, "token")
        self._limit.give_back(address)
        known = await in_store(session_records.person_of_session, database, secret, now)
        if known is None:
            raise ApiError(401, "invalid_link", "the person was removed just now")
        response = JSONResponse(self._session(PersonCaller.of(*known)), headers=_SECRET)
        set_cookie(response, secret, request)
        _LOG.info("%s has logged in", known[0].id)
        return response

    async def logout(self, request: Request) -> Response:
        self._studio.person_of(request)
        secret = session_of(request.headers)
        await in_store(session_records.log_out, self._studio.database, secret)
        response = JSONResponse({})
        response.delete_cookie(SESSION_COOKIE, **_cookie(request))
        return response

    async def people(self, request: Request) -> Response:
        people = await in_store(people_records.list_people, self._studio.database)
        return JSONResponse({"data": [person_view(person) for person in people]})

    async def create(self, request: Request) -> Response:
        body, studio = await read_body(request, PersonBody), self._studio
        limits = Limits(**_changes(body.limits))
        asked = studio.database, body.name, body.role, studio.clock(), limits
        person = await in_store(people_records.create_person, *asked)
        _log(request, "added", person.id)
        link = await self._new_link(person.id)
        return JSONResponse({"person": person_view(person), **link}, 201, _SECRET)

    async def link(self, request: Request) -> Response:
        person_id = request.path_params["id"]
        link = await self._new_link(person_id)
        _log(request, "made a link for", person_id)
        return JSONResponse(link, 201, _SECRET)

    async def change(self, request: Request) -> Response:
        body, person_id = await read_body(request, PersonChange), request.path_params["id"]
        asked = self._studio.database, person_id, body.name, body.role, _changes(body.limits)
        person = await in_store(people_records.change_person, *asked)
        _log(request, "changed", person_id)
        return JSONResponse(person_view(person))

    async def remove(self, request: Request) -> Response:
        person_id = request.path_params["id"]
        asked = self._studio.database, person_id, self._studio.clock()
        await in_store(people_records.remove_person, *asked)
        _log(request, "removed", person_id)
        return JSONResponse({"id": person_id, "deleted": True})

    async def _new_link(self, person_id: str) -> dict:
        now = self._studio.clock()
        asked = self._studio.database, person_id, now, INVITATION_SECONDS
        token = await in_store(session_records.new_link, *asked)
        return {"link_token": token, "expires": int(now) + INVITATION_SECONDS}

    def _session(self, caller: PersonCaller) -> dict:
        """Returns what the pages have to know before they show anything."""
        backend, person = self._studio.service.backend, caller.person
        rules, models = backend.rules, backend.models
        judge = rules.judge and {
            "name": rules.judge.name,
            "categories": [category.name for category in rules.judge.categories],
            "block": rules.block,
        }
        names = backend.names_for(caller)
        return {
            "person": {"id": person.id, "name": person.name, "role": person.role},
            "models": [{"name": n, "is_tuned": models.get(n, n) is not None} for n in names],
            "max_length": backend.max_length,
            "has_chat": backend.chat_template is not None,
            "has_tuning": self._studio.has_tuning,
            "filter": judge,
            "masks_pii": rules.masks_pii,
            "version": hclx.__version__,
        }


def set_cookie(response: Response, secret: str, request: Request) -> None:
    """Gives a browser the secret of its session, which no script reads and no page of others
    sends.
    """
    response.set_cookie(SESSION_COOKIE, secret, **_cookie(request))


def _cookie(request: Request) -> dict:
    is_encrypted = request.url.scheme == "https"  # of the proxy, if that is trusted
    return {"httponly": True, "samesite": "strict", "path": "/", "secure": is_encrypted}


def _for_admins(handler: Callable) -> Callable:
    async def endpoint(request: Request) -> Response:
        request.state.caller.check_scope("admin")
        return await handler(request)

    endpoint.__name__ = handler.__name__
    return endpoint


def _changes(body: LimitsBody) -> dict[str, int]:
    values = msgspec.structs.asdict(body)
    return {name: value for name, value in values.items() if value is not None}


def _log(request: Request, verb: str, person_id: str) -> None:
    _LOG.info("the key %s has %s the person %s", request.state.caller.key_id, verb, person_id)
