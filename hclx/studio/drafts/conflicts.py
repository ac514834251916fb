"""The answer to who has changed an old revision of a record."""

from collections.abc import Awaitable, Callable

from starlette.responses import JSONResponse, Response

from hclx.serve.api_error import ApiError
from hclx.studio.store.studio_errors import StaleRevisionError


async def conflict_answer(error: ApiError, current: Callable[[], Awaitable[dict]]) -> Response:
    """Answers with the record as it is now, beside the error, so that no edit is lost in silence.

    Args:
      error: of `in_store`.
      current: reads the record.
    Raises:
      ApiError: `error`, if it is not that the record has been changed.
    """
    if not isinstance(error.__cause__, StaleRevisionError):
        raise error
    reason = {"code": error.code, "message": error.message, "param": error.param}
    return JSONResponse({"error": reason, "current": await current()}, error.status)
