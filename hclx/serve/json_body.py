"""Bodies of requests as typed structs; what does not fit is refused with the name of its field."""

import re
from typing import TypeVar

import msgspec
from starlette.requests import Request

from hclx.serve.api_error import ApiError, invalid

T = TypeVar("T")
_PLACE = re.compile(r" - at (?:`key` in )?`\$\.?(.*?)`$")


async def read_body(request: Request, kind: type[T]) -> T:
    """Reads the JSON object of a request.

    Args:
      request: its size was checked by the guard.
      kind: a `msgspec.Struct`. Numbers are no texts, and true and false are no numbers.
    Raises:
      ApiError: 400, it is no JSON in UTF-8, no object, or a field has another type.
    """
    return decode_body(await request.body(), kind)


def decode_body(data: bytes, kind: type[T]) -> T:
    """Reads a JSON object of bytes; see `read_body`."""
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.ValidationError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _refusal(error) from error
    except RecursionError as error:
        raise invalid("the body nests too many levels; flatten it") from error


def _refusal(error: Exception) -> ApiError:
    text = str(error)
    if not isinstance(error, msgspec.ValidationError):
        return invalid(f"the body is no JSON in UTF-8: {text}")
    place = _PLACE.search(text)
    reason, name = (text[: place.start()], place[1]) if place else (text, None)
    if own := re.search(r"(unknown|missing required) field `(.*)`", reason):
        name = f"{name}.{own[2]}" if name else own[2]
        if own[1] == "unknown":
            return invalid(f"{name} is no field of this request; leave it out", name)
    return invalid(f"{name}: {reason}" if name else f"the body: {reason}", name)
