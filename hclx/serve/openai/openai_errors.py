"""Errors as OpenAI writes them."""

from starlette.responses import JSONResponse, Response

from hclx.serve.api_error import ApiError

_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}


def error_object(error: ApiError) -> dict:
    """Returns the body of an answer, or of an event of a stream."""
    kind = "server_error" if error.status >= 500 else "invalid_request_error"
    kind = _TYPES.get(error.status, kind)
    fields = {"message": error.message, "type": kind, "param": error.param, "code": error.code}
    return {"error": fields}


def render_error(error: ApiError) -> Response:
    """Returns the answer to a request that is refused."""
    return JSONResponse(error_object(error), error.status, error.headers)
