"""The one error by which a request is refused. A dialect only writes it down in its own words."""

import logging

from hclx.errors import ConfigError, HclxError
from hclx.infer import RequestError, ServerError

_LOG = logging.getLogger(__name__)


class ApiError(Exception):
    """A request is refused, or has failed.

    Attributes:
      status: of HTTP.
      code: a stable word for programs: "invalid_request", "context_length_exceeded",
        "model_not_found", "invalid_api_key", "forbidden", "rate_limit_exceeded", "overloaded",
        "shutting_down", "request_too_large", "not_found", "unsupported", "unsupported_encoding",
        "internal_error".
      message: for a person: what was wrong, and what to change.
      param: the field of the request that is wrong; None: no single one.
      retry_after: seconds after which the same request may succeed; None: it will not.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        param: str | None = None,
        retry_after: float | None = None,
    ):
        super().__init__(message)
        self.status, self.code, self.message = status, code, message
        self.param, self.retry_after = param, retry_after

    @property
    def headers(self) -> dict[str, str]:
        """Returns the headers that go with it, which clients obey."""
        if self.retry_after is not None:
            return {"Retry-After": str(max(1, round(self.retry_after)))}
        if self.status == 401:
            return {"WWW-Authenticate": "Bearer"}
        # Clients of OpenAI repeat each answer from 500 on, which overload multiplies.
        return {"X-Should-Retry": "false"} if self.status >= 500 else {}


def invalid(message: str, param: str | None = None) -> ApiError:
    """Returns the error of a request that has to be changed."""
    return ApiError(400, "invalid_request", message, param)


def shutting_down(retry_after: float) -> ApiError:
    """Returns the error of a request that comes to a server that ends, or is ended with it."""
    return ApiError(503, "shutting_down", "the server ends; try another", retry_after=retry_after)


def store_unavailable(error: HclxError) -> ApiError:
    """Returns the error of a request for which the store or a disk has failed; the log has what the
    server's files are called, and clients have not.
    """
    _LOG.error("%s", error)
    text = "the server cannot read or write its store just now; try again"
    return ApiError(503, "store_unavailable", text, retry_after=5)


def error_of(error: HclxError) -> ApiError:
    """Returns the error of a request that an engine or a check has refused with `error`."""
    if isinstance(error, ServerError):
        return ApiError(502, "upstream_failed", str(error), retry_after=1)
    if isinstance(error, RequestError | ConfigError):
        # Checks of settings name the field first: "top_p=2 is out of range".
        message = str(error).removeprefix("sampling.")  # where a request of the engine has it
        name, equals, _ = message.partition("=")
        return invalid(message, name if equals and name.isidentifier() else None)
    return ApiError(503, "engine_failed", str(error), retry_after=5)
