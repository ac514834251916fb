"""Files that requests bring, as a form or as the whole body, on the way to the disk."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request

from hclx.errors import known_error
from hclx.serve.api_error import ApiError, invalid
from hclx.serve.tuning.tuning_files import TuningFiles
from hclx.serve.tuning.tuning_service import check_file_name

_MOST_FIELDS = 20
_CHUNK = 2**20
_SECONDS = 600  # within which a file has to be here


class Upload(NamedTuple):
    """A file that was brought.

    Attributes:
      path: where it lies while the request is answered.
      name: that it had.
      fields: those of the form beside it, or of the query.
    """

    path: Path
    name: str
    fields: dict[str, str]


@contextlib.asynccontextmanager
async def uploaded(request: Request, files: TuningFiles) -> AsyncIterator[Upload]:
    """Writes the file of a request to the disk, in parts, and yields it.

    Args:
      request: a form with `file`; or the file alone, with `name` in its query.
      files: has room for new files.
    Raises:
      ApiError: 400, there is no file, or its name is no name of rows; 413, it is too large; 408, it
        takes too long.
    """
    async with contextlib.AsyncExitStack() as stack:
        try:
            async with asyncio.timeout(_SECONDS):
                upload = await _read(request, files, stack)
        except TimeoutError:
            raise ApiError(408, "timeout", f"no whole file in {_SECONDS} seconds") from None
        yield upload


async def _read(request: Request, files: TuningFiles, stack: contextlib.AsyncExitStack) -> Upload:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        file, fields = await _form(request, stack)
        name, parts = file.filename or "", _parts_of(file)
    else:
        fields = dict(request.query_params)
        name, parts = fields.pop("name", ""), request.stream()
    path = stack.enter_context(files.new_file(check_file_name(name)))
    await _write(path, parts)
    return Upload(path, name, fields)


async def _form(
    request: Request, stack: contextlib.AsyncExitStack
) -> tuple[UploadFile, dict[str, str]]:
    try:
        form = await stack.enter_async_context(request.form(max_files=1, max_fields=_MOST_FIELDS))
    except HTTPException as error:
        raise invalid(f"the form cannot be read: {error.detail}") from error
    file = next((value for value in form.values() if isinstance(value, UploadFile)), None)
    if file is None:
        raise invalid("file: the form has no file", "file")
    return file, {name: value for name, value in form.items() if isinstance(value, str)}


async def _parts_of(file: UploadFile) -> AsyncIterator[bytes]:
    while part := await file.read(_CHUNK):
        yield part


async def _write(path: Path, parts: AsyncIterator[bytes]) -> None:
    """Writes parts to a file, in threads, so that a slow disk stops nobody else."""
    try:
        with path.open("wb") as file:
            async for part in parts:
                await asyncio.to_thread(file.write, part)
    except OSError as error:
        raise ApiError(503, "storage_failed", str(known_error(error)), retry_after=60) from error
