"""Bodies of requests as typed structs; what does not fit is refused with the name of its field."""

import json
import re
from typing import TypeVar

import msgspec
from starlette.requests import Request

from hclx.errors import shown
from hclx.serve.allowed_values import allowed_values
from hclx.serve.api_error import ApiError, invalid

T = TypeVar("T")
_PLACE = re.compile(r" - at (`key` in )?`\$\.?(.*?)`$")
_HALF = re.compile(rb"\\u[dD][89abAB]..(?!\\u[dD][c-fC-F])|(?<!\\u[dD][89abAB]..)\\u[dD][c-fC-F]")
_MOST_NAME = 200  # characters of a text of the client that come back
_NOT_SUPPORTED = {None, False, True, ""}


async def read_body(request: Request, kind: type[T]) -> T:
    """Reads the JSON object of a request.

    Args:
      request: its size was checked by the guard.
      kind: a `msgspec.Struct`. Numbers are no texts, and true and false are no numbers.
    Raises:
      ApiError: 415, it is compressed; 400, it is no JSON in UTF-8, no object, or a field has
        another type.
    """
    coding = request.headers.get("content-encoding", "identity").strip().lower()
    if coding not in ("", "identity"):
        text = f"Content-Encoding is {shown(coding)}: send the body as it is, without it"
        raise ApiError(415, "unsupported_encoding", text)
    return decode_body(await request.body(), kind)


def decode_body(data: bytes, kind: type[T]) -> T:
    """Reads a JSON object of bytes; see `read_body`."""
    try:
        return msgspec.json.decode(data, type=kind)
    except msgspec.ValidationError as error:
        raise _refusal(str(error), kind) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        reason = str(error)
        if _HALF.search(data):
            reason = "a text has half of a character, such as \\ud83d alone; give both halves"
        raise invalid(f"the body is no JSON in UTF-8: {reason}") from error
    except RecursionError as error:
        raise invalid("the body nests too many levels; flatten it") from error


def _refusal(reason: str, kind: type) -> ApiError:
    """The error of a body of another type."""
    place, name = _PLACE.search(reason), None
    if place:
        reason, name = reason[: place.start()], place[2]
    if own := re.search(r"(unknown|missing required) field `(.*)`", reason, re.DOTALL):
        name = f"{name}.{own[2]}" if name else own[2]
        name = name if len(name) <= _MOST_NAME else f"{name[:_MOST_NAME]}..."
        if own[1] == "unknown":
            return invalid(f"{name} is no field of this request; leave it out", name)
        return invalid(f"{name}: it is missing; give it", name)
    if name is None:
        return invalid(f"the body: {reason}")
    if not (place[1]) and (values := allowed_values(kind, name)):
        reason = _expected(reason, values)
    param = name.replace("[...]", "")
    key = "a key of it: " if place[1] else "a value of it: " if param != name else ""
    return invalid(f"{param}: {key}{reason}", param)


def _expected(reason: str, values: tuple) -> str:
    """Says which values a field may have, if it may have these alone."""
    prefix, _, value = reason.partition("Invalid enum value ")
    value = "" if prefix else f"{value if len(value) <= _MOST_NAME else value[:_MOST_NAME] + '...'}"
    if set(values) <= _NOT_SUPPORTED:
        value = {"True": "true", "False": "false"}.get(value, value) or "that"
        return f"{value} is not supported; leave it out"
    listed = ", ".join(json.dumps(v, ensure_ascii=False) for v in values if v is not None)
    return f"{value} is not supported: give {listed}" if value else f"{reason}: give {listed}"
