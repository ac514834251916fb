"""Routes that say what they take and give, of which the document of a server is made."""

import dataclasses
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match, Route
from starlette.types import Scope

Handler = Callable[[Request], Awaitable[Response]]


@dataclasses.dataclass(frozen=True)
class Operation:
    """Describes a route.

    Attributes:
      summary: what it does, in a sentence.
      answer: the type of the JSON of its answer; None: any JSON.
      body: the struct that its handler reads; None: it has no body.
      example: of the body, without the name of the model.
      uploads: the media types of bodies that are no JSON.
      query: the names of what may stand in the query.
      status: of an answer that is no refusal.
      streams: whether an answer may come in events.
      media_type: of an answer that is no JSON.
      statuses: of errors besides those of all routes.
      is_public: whether it is answered without a key.
    """

    summary: str
    answer: Any = None
    body: type | None = None
    example: Mapping[str, Any] | None = None
    uploads: tuple[str, ...] = ()
    query: tuple[str, ...] = ()
    status: int = 200
    streams: bool = False
    media_type: str = "application/json"
    statuses: tuple[int, ...] = ()
    is_public: bool = False


class ApiRoute(Route):
    """A route with its description: POST if it has a body, and else GET.

    Attributes:
      operation: the description.
    """

    def __init__(
        self, path: str, handler: Handler, operation: Operation, method: str | None = None
    ):
        """Takes the path, the handler, and what this takes and gives."""
        has_body = operation.body is not None or bool(operation.uploads)
        method = method or ("POST" if has_body else "GET")
        super().__init__(path, handler, methods=[method])
        self.operation = operation


def requests_of(
    routes: Sequence[BaseRoute], has: Callable[[Operation], bool]
) -> Callable[[Scope], bool]:
    """Returns what tells whether the operation of a request has a property. The first route that
    matches serves, so that one with it may stand behind others at the same path without it.
    """
    has_it = lambda route: isinstance(route, ApiRoute) and has(route.operation)
    serves = lambda route, scope: route.matches(scope)[0] == Match.FULL
    those = [route for route in routes if has_it(route)]

    def is_of_those(scope: Scope) -> bool:
        if not any(serves(route, scope) for route in those):  # few, so that others cost little
            return False
        return has_it(next(route for route in routes if serves(route, scope)))

    return is_of_those
