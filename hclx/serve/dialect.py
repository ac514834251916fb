"""A dialect: the routes of clients of one kind, and how it writes an error."""

import dataclasses
from collections.abc import Callable, Sequence

from starlette.responses import Response
from starlette.routing import Route

from hclx.serve.api_error import ApiError


@dataclasses.dataclass(frozen=True)
class Dialect:
    """One way of asking the engine.

    Attributes:
      name: for logs.
      routes: their handlers raise `ApiError`.
      render: writes an error as its clients read it, with the status and `ApiError.headers`.
      owns: whether an error at this path is its own, although no route matched; the last dialect
        gets what none owns.
      error: the struct of an error in JSON, for the document of the server; None: any JSON.
    """

    name: str
    routes: Sequence[Route]
    render: Callable[[ApiError], Response]
    owns: Callable[[str], bool]
    error: type | None = None
