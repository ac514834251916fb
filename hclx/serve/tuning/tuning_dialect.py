"""Tuning over HTTP: data sets, jobs and artefacts, under /hclx/v1."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from hclx.serve.api_error import ApiError, invalid
from hclx.serve.dialect import Dialect
from hclx.serve.event_stream import EventStream, event
from hclx.serve.json_body import read_body
from hclx.serve.openai.openai_answers import ErrorAnswer
from hclx.serve.openai.openai_errors import render_error
from hclx.serve.operation import ApiRoute, Operation
from hclx.serve.service import Service
from hclx.serve.store.job_records import UNFINISHED
from hclx.serve.tuning.tuning_fields import JobBody
from hclx.serve.tuning.tuning_service import Tuning
from hclx.serve.tuning.tuning_uploads import uploaded
from hclx.serve.tuning.tuning_views import artefact_view, dataset_view, job_view, listed

_OWN = ("/hclx/v1/datasets", "/hclx/v1/tuning/", "/hclx/v1/artefacts")
_ROWS = 5  # that are shown of a data set
_UPLOADS = 16  # files that come at once; others wait
_CHECKS = 2  # data sets that are checked at once, which are in memory meanwhile
_EVENT_SECONDS = 1.0
_STREAMS = 64  # clients that watch jobs at once, for each of which the store is read
_QUIET_SECONDS = 15  # after which a comment keeps the connection alive
_FILE = ("multipart/form-data", "application/octet-stream")
_EXAMPLE = {"name": "taste", "dataset": "ds-a34fef9371ec6e75", "kind": "lora", "epochs": 4}
_ROUTES = (
    (
        *("POST", "datasets", "add_dataset"),
        Operation("Keeps a file of rows.", uploads=_FILE, query=("name", "encoding"), status=201),
    ),
    ("GET", "datasets", "datasets", Operation("Lists data sets.")),
    ("GET", "datasets/{id}", "dataset", Operation("Shows a data set and its first rows.")),
    (
        *("DELETE", "datasets/{id}", "remove_dataset"),
        Operation("Removes a data set.", statuses=(409,)),
    ),
    (
        *("POST", "tuning/jobs", "add_job"),
        Operation("Asks for a job.", None, JobBody, _EXAMPLE, status=201, statuses=(409,)),
    ),
    ("GET", "tuning/jobs", "jobs", Operation("Lists jobs.")),
    ("GET", "tuning/jobs/{id}", "job", Operation("Shows a job.")),
    ("GET", "tuning/jobs/{id}/metrics", "metrics", Operation("Shows the course of a job.")),
    ("POST", "tuning/jobs/{id}/cancel", "cancel_job", Operation("Cancels a job.")),
    (
        *("GET", "tuning/jobs/{id}/events", "events"),
        Operation("Tells the progress of a job in events.", media_type="text/event-stream"),
    ),
    ("GET", "artefacts", "artefacts", Operation("Lists what jobs have made.")),
    ("GET", "artefacts/{id}", "artefact", Operation("Shows what a job has made.")),
    ("DELETE", "artefacts/{id}", "remove_artefact", Operation("Removes what a job has made.")),
)


def tuning_dialect(service: Service, tuning: Tuning) -> Dialect:
    """Returns the routes of tuning."""
    handlers = _Handlers(service, tuning)
    routes = [
        ApiRoute(f"/hclx/v1/{path}", getattr(handlers, name), operation, method)
        for method, path, name, operation in _ROUTES
    ]
    return Dialect("tuning", routes, render_error, lambda path: path.startswith(_OWN), ErrorAnswer)


class _Handlers:
    """The handlers; what reads the store or files runs in threads."""

    def __init__(self, service: Service, tuning: Tuning):
        self._service, self._tuning = service, tuning
        self._uploads, self._checks = asyncio.Semaphore(_UPLOADS), asyncio.Semaphore(_CHECKS)
        self._n_streams = 0

    async def add_dataset(self, request: Request) -> Response:
        caller = request.state.caller
        caller.check_scope("tuning")
        async with self._uploads, uploaded(request, self._tuning.files) as upload, self._checks:
            encoding = upload.fields.pop("encoding", "")
            if upload.fields:
                name = next(iter(upload.fields))
                raise invalid(f"{name} is no field of this request; leave it out", name)
            keep = self._tuning.keep_dataset
            record = await asyncio.to_thread(keep, caller, upload.name, upload.path, encoding)
        return JSONResponse(dataset_view(record), 201)

    async def datasets(self, request: Request) -> Response:
        records = await asyncio.to_thread(self._tuning.datasets, request.state.caller)
        return JSONResponse(listed([dataset_view(record) for record in records]))

    async def dataset(self, request: Request) -> Response:
        record = await _called(self._tuning.dataset, request)
        rows = await asyncio.to_thread(self._tuning.first_rows, record, _ROWS)
        first = [row.fields for row in rows]
        return JSONResponse({**dataset_view(record), "first_rows": first})

    async def remove_dataset(self, request: Request) -> Response:
        await _called(self._tuning.remove_dataset, request)
        return _removed(request)

    async def add_job(self, request: Request) -> Response:
        body = await read_body(request, JobBody)
        async with self._checks:
            record = await asyncio.to_thread(self._tuning.add_job, request.state.caller, body)
        return JSONResponse(job_view(record, self._tuning.base), 201)

    async def jobs(self, request: Request) -> Response:
        records = await asyncio.to_thread(self._tuning.jobs, request.state.caller)
        return JSONResponse(listed([job_view(record, self._tuning.base) for record in records]))

    async def job(self, request: Request) -> Response:
        record = await _called(self._tuning.job, request)
        view = job_view(record, self._tuning.base)
        return JSONResponse({**view, "prompt": record.options.get("prompt")})

    async def metrics(self, request: Request) -> Response:
        record = await _called(self._tuning.job, request)
        return JSONResponse(listed(await asyncio.to_thread(self._tuning.curve, record)))

    async def cancel_job(self, request: Request) -> Response:
        record = await _called(self._tuning.cancel_job, request)
        return JSONResponse(job_view(record, self._tuning.base))

    async def events(self, request: Request) -> Response:
        await _called(self._tuning.job, request)  # an error is an answer, and no stream
        if self._n_streams >= _STREAMS:
            text = f"{_STREAMS} clients watch jobs already; ask for the job itself"
            raise ApiError(503, "overloaded", text, retry_after=60)
        return EventStream(self._counted(self._events(request)), contextlib.AsyncExitStack())

    async def _counted(self, events: AsyncIterator[str]) -> AsyncIterator[str]:
        self._n_streams += 1
        try:
            async for text in events:
                yield text
        finally:
            self._n_streams -= 1

    async def _events(self, request: Request) -> AsyncIterator[str]:
        """Yields the job when it has changed, until it has ended."""
        last, quiet = None, 0.0
        while True:
            record = await _called(self._tuning.job, request)
            text = json.dumps(job_view(record, self._tuning.base), ensure_ascii=False)
            if text != last:
                last, quiet = text, 0.0
                yield event(text, "progress" if record.state in UNFINISHED else "end")
            elif quiet >= _QUIET_SECONDS:
                quiet = 0.0
                yield ": still here\n\n"
            if record.state not in UNFINISHED or self._service.admission.is_draining:
                return
            await asyncio.sleep(_EVENT_SECONDS)
            quiet += _EVENT_SECONDS

    async def artefacts(self, request: Request) -> Response:
        records = await asyncio.to_thread(self._tuning.artefacts, request.state.caller)
        views = [artefact_view(record, self._tuning.base) for record in records]
        return JSONResponse(listed(views))

    async def artefact(self, request: Request) -> Response:
        record = await _called(self._tuning.artefact, request)
        return JSONResponse(artefact_view(record, self._tuning.base))

    async def remove_artefact(self, request: Request) -> Response:
        await _called(self._tuning.remove_artefact, request)
        return _removed(request)


async def _called(function: Callable, request: Request):
    """Calls a function with the caller and the id of a request, in a thread."""
    return await asyncio.to_thread(function, request.state.caller, request.path_params["id"])


def _removed(request: Request) -> Response:
    return JSONResponse({"id": request.path_params["id"], "deleted": True})
