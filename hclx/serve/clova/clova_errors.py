"""Answers and errors in the envelope of CLOVA Studio."""

from starlette.responses import JSONResponse, Response

from hclx.serve.api_error import ApiError

# Codes of its documentation. All others are the status with two zeros, such as 40300 and 42900.
_CODES = {
    "context_length_exceeded": "40003",
    "empty_text": "40004",
    "unsupported": "40009",
    "invalid_schema": "40055",
    "model_not_found": "40080",
    "invalid_api_key": "40104",
}


def clova_code(error: ApiError) -> str:
    """Returns the code of an error: five digits, of which the first three are the HTTP status."""
    if error.code == "invalid_request" and error.status == 400:
        return "40001" if error.param else "40000"
    return _CODES.get(error.code, f"{error.status}00")


def error_body(error: ApiError) -> dict:
    """Returns the body of an answer, or the data of an event of a stream. The message names the
    field that is wrong.
    """
    return {"status": {"code": clova_code(error), "message": error.message}, "result": None}


def render_error(error: ApiError) -> Response:
    """Returns the answer to a request that is refused."""
    return JSONResponse(error_body(error), int(clova_code(error)[:3]), error.headers)


def envelope(result: dict) -> Response:
    """Returns the answer to a request that was served."""
    return JSONResponse({"status": {"code": "20000", "message": "OK"}, "result": result})
