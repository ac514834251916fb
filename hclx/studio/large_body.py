"""Bodies of requests that bring many rows."""

import asyncio
from typing import TypeVar

from starlette.requests import Request

from hclx.serve.api_error import ApiError
from hclx.serve.json_body import decode_body

T = TypeVar("T")
MOST_BYTES = 2**24
# Of the operation of a route that takes such a body: the guard leaves it to the route.
UPLOADS = ("application/json",)
FILE_UPLOADS = ("application/octet-stream",)


async def read_large_body(request: Request, kind: type[T]) -> T:
    """Reads a JSON object of up to `MOST_BYTES`, as `read_body` reads smaller ones.

    Raises:
      ApiError: 413, it is larger; 415, it is compressed; 400, it does not fit.
    """
    return await asyncio.to_thread(decode_body, await read_bytes(request), kind)


async def read_bytes(request: Request) -> bytes:
    """Reads a body of up to `MOST_BYTES`.

    Raises:
      ApiError: 413, it is larger; 415, it is compressed.
    """
    coding = request.headers.get("content-encoding", "identity").strip().lower()
    if coding not in ("", "identity"):
        text = "Content-Encoding: send the body as it is, without it"
        raise ApiError(415, "unsupported_encoding", text)
    data = bytearray()
    async for part in request.stream():
        data += part
        if len(data) > MOST_BYTES:
            text = f"the body has more than {MOST_BYTES:,} bytes; send fewer rows at once"
            raise ApiError(413, "request_too_large", text)
    return bytes(data)
