"""The files of the pages: where they lie, what they are, and how they are sent."""

import functools
import gzip
import hashlib
import importlib.resources
import re
from pathlib import PurePosixPath

from starlette.requests import Request
from starlette.responses import Response

# Scripts are those of this server alone, and a text never becomes markup: `trusted-types 'none'`
# makes innerHTML and its like throw.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self';"
    " img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none';"
    " require-trusted-types-for 'script'; trusted-types 'none'"
)
HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",  # kept, and asked for each time: an ETag answers in a few bytes
    "Vary": "Accept-Encoding",
}
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".LICENSE": "text/plain; charset=utf-8",
}
_FOLDER = importlib.resources.files("hclx.studio").joinpath("pages")
_PART = re.compile(r"\w[\w.-]{0,99}", re.ASCII)  # of a path: neither .. nor a hidden file
_FILES = 512  # of which the packed form is kept


def file_answer(request: Request, name: str) -> Response | None:
    """Returns a file as an answer; None if there is no such file.

    Args:
      request: says what the client has and takes.
      name: its path in the folder of the pages, with slashes.
    """
    kind = _TYPES.get(PurePosixPath(name).suffix)
    parts = name.split("/")
    if kind is None or not all(map(_PART.fullmatch, parts)):
        return None
    file = _FOLDER.joinpath(*parts)
    if not file.is_file():
        return None
    data = file.read_bytes()
    tag, packed = _packed(data)
    headers = {**HEADERS, "ETag": tag}
    if tag in re.split(r",\s*", request.headers.get("if-none-match", "")):
        return Response(status_code=304, headers=headers)
    if len(packed) < len(data) and _takes_gzip(request.headers.get("accept-encoding", "")):
        headers["Content-Encoding"], data = "gzip", packed
    return Response(data, headers={**headers, "Content-Type": kind})


@functools.lru_cache(_FILES)
def _packed(data: bytes) -> tuple[str, bytes]:
    """Returns the tag of a content, weak because it is that of both forms, and its packed form."""
    return f'W/"{hashlib.sha256(data).hexdigest()[:32]}"', gzip.compress(data, mtime=0)


def _takes_gzip(header: str) -> bool:
    codings = (re.sub(r"\s", "", coding).lower() for coding in header.split(","))
    return any(re.fullmatch(r"gzip(;q=(1|0?\.0*[1-9]).*)?", coding) for coding in codings)
