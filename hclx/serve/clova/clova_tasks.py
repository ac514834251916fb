"""Tuning tasks of CLOVA Studio, under /tuning/v2/tasks, on the jobs of this server.

A task is a job of LoRA, and its id is that of the job: /v1/tasks/ID/completions asks its model.
"""

import asyncio
import datetime
import json
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response

from hclx.errors import DataError
from hclx.serve.api_error import ApiError, invalid
from hclx.serve.caller import Caller
from hclx.serve.clova.clova_errors import envelope, render_error
from hclx.serve.clova.clova_results import RefusedEnvelope
from hclx.serve.clova.clova_rows import rows_of_clova
from hclx.serve.dialect import Dialect
from hclx.serve.json_body import decode_body
from hclx.serve.operation import ApiRoute, Operation
from hclx.serve.service import Service
from hclx.serve.store.job_records import JobRecord
from hclx.serve.tuning.tuning_fields import JobBody
from hclx.serve.tuning.tuning_service import Tuning
from hclx.serve.tuning.tuning_uploads import uploaded

_PATH = "/tuning/v2/tasks"
_STATUS = {
    **{"queued": "WAIT", "running": "RUNNING", "succeeded": "SUCCEEDED", "failed": "FAILED"},
    **{"interrupted": "FAILED", "cancelled": "CANCELED"},
}
_RATE = "OptimizerConfig.learning_rate"
_TASK = "clova"  # the option of a job that has what only a task has
_MOST = 100  # tasks of a page


class TaskBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """The body of a request for a task. `trainingDatasetFilePath` is the id of a data set."""

    model: str
    name: str = ""
    tuning_type: Literal["PEFT"] = "PEFT"
    task_type: Literal["GENERATION", "CLASSIFICATION"] = "GENERATION"
    train_epochs: Annotated[int, Meta(ge=1, le=20)] = 8
    learning_rate: Annotated[float, Meta(gt=0, le=1)] = 1e-4
    training_dataset_file_path: str = ""
    training_dataset_bucket: str = ""
    training_dataset_access_key: str = ""
    training_dataset_secret_key: str = ""


def clova_tasks_dialect(service: Service, tuning: Tuning) -> Dialect:
    """Returns the routes of tasks."""
    tasks = _Tasks(tuning)
    routes = [
        ApiRoute(
            _PATH,
            tasks.create,
            Operation(
                "Makes a task.", body=TaskBody, uploads=("multipart/form-data",), statuses=(409,)
            ),
        ),
        ApiRoute(_PATH, tasks.tasks, Operation("Lists tasks.", query=("page", "size"))),
        ApiRoute(f"{_PATH}/{{id}}", tasks.task, Operation("Shows a task.")),
        ApiRoute(f"{_PATH}/{{id}}/cancel", tasks.cancel, Operation("Cancels a task."), "POST"),
    ]
    owns = lambda path: path.startswith(_PATH)
    return Dialect("clova tasks", routes, render_error, owns, RefusedEnvelope)


def task_view(record: JobRecord, model: str) -> dict:
    """Returns a job as a task of the model of this name."""
    own = record.options.get(_TASK, {})
    return {
        "id": record.id,
        "name": record.name,
        "model": model,
        "method": {"lora": "LoRA"}.get(record.kind, record.kind),
        "taskType": own.get("task_type", "GENERATION"),
        "trainEpochs": record.options.get("epochs"),
        "learningRate": record.options["settings"].get(_RATE),
        "status": _STATUS[record.state],
        "statusInfo": {
            "currentStep": record.step,
            "totalSteps": record.total_steps,
            "message": record.error,
        },
        "createdClientType": "API",
        "createdDate": _date(record.created),
        "startedDate": _date(record.started),
        "endedDate": _date(record.ended),
    }


class _Tasks:
    """The handlers."""

    def __init__(self, tuning: Tuning):
        self._tuning = tuning

    async def create(self, request: Request) -> Response:
        """Makes a task, of a data set or of a file in a form."""
        caller = request.state.caller
        caller.check_scope("tuning")
        if request.headers.get("content-type", "").startswith("multipart/form-data"):
            async with uploaded(request, self._tuning.files) as upload:
                body = _of_form(upload.fields)
                keep = self._tuning.keep_dataset
                data = await asyncio.to_thread(keep, caller, upload.name, upload.path)
            body.training_dataset_file_path = data.id
        else:
            body = decode_body(await request.body(), TaskBody)
        record = await asyncio.to_thread(self._add, caller, body)
        return envelope(task_view(record, self._tuning.base.name))

    async def tasks(self, request: Request) -> Response:
        """Lists tasks, a page at a time."""
        page, size = (
            _number(request, *field) for field in (("page", 0, 10**6), ("size", 20, _MOST))
        )
        records = await asyncio.to_thread(self._tuning.jobs, request.state.caller)
        part = records[page * size : (page + 1) * size]
        views = [task_view(record, self._tuning.base.name) for record in part]
        return envelope({"tasks": views, "page": page, "size": size, "total": len(records)})

    async def task(self, request: Request) -> Response:
        """Shows a task."""
        return await self._answer(self._tuning.job, request)

    async def cancel(self, request: Request) -> Response:
        """Cancels a task."""
        return await self._answer(self._tuning.cancel_job, request)

    async def _answer(self, function: Callable, request: Request) -> Response:
        caller, task_id = request.state.caller, request.path_params["id"]
        record = await asyncio.to_thread(function, caller, task_id)
        return envelope(task_view(record, self._tuning.base.name))

    def _add(self, caller: Caller, body: TaskBody) -> JobRecord:
        """Makes the rows of the data set into those of a job, and adds it."""
        tuning = self._tuning
        if body.model != tuning.base.name:
            text = f"model={body.model!r} is not tuned here; give {tuning.base.name!r}"
            raise ApiError(404, "model_not_found", text, "model")
        for name in ("bucket", "access_key", "secret_key"):
            if getattr(body, f"training_dataset_{name}"):
                text = "this server reads no object storage; bring the file to /hclx/v1/datasets"
                raise ApiError(
                    400, "unsupported", f"{text}, and give its id", f"trainingDataset{name}"
                )
        if not body.training_dataset_file_path:
            name = "trainingDatasetFilePath"
            raise invalid(f"{name} is missing: give the id of a data set", name)
        data = self._converted(caller, body.training_dataset_file_path)
        asked = JobBody(
            name=body.name or f"task-{secrets.token_hex(4)}",
            dataset=data,
            epochs=body.train_epochs,
            settings={_RATE: body.learning_rate},
        )
        return tuning.add_job(caller, asked, {_TASK: {"task_type": body.task_type}})

    def _converted(self, caller: Caller, dataset_id: str) -> str:
        """Returns the id of a data set with the rows of another as they are tuned on; of the same
        one if they are so already.
        """
        tuning = self._tuning
        record = tuning.dataset(caller, dataset_id)
        if "messages" in record.columns or {"prompt", "completion"} <= set(record.columns):
            return dataset_id
        try:
            rows = rows_of_clova(
                tuning.first_rows(record, 0), tuning.base.backend.chat_template is not None
            )
        except DataError as error:
            raise invalid(str(error), "trainingDatasetFilePath") from error
        name = f"{Path(record.name).stem}.jsonl"
        with tuning.files.new_file(".jsonl") as new:
            lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
            new.write_text("".join(lines), encoding="utf-8")
            return tuning.keep_dataset(caller, name, new).id


def _of_form(fields: dict[str, str]) -> TaskBody:
    """Reads the fields of a form, in which numbers are texts."""
    try:
        return msgspec.convert(fields, TaskBody, strict=False)
    except msgspec.ValidationError as error:
        raise invalid(str(error)) from error


def _number(request: Request, name: str, default: int, most: int) -> int:
    text = request.query_params.get(name, str(default))
    if not (text.isascii() and text.isdigit() and int(text[:9]) <= most):
        raise invalid(f"{name}: give a number up to {most:,}", name)
    return int(text)


def _date(seconds: int | None) -> str | None:
    if seconds is None:
        return None
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).isoformat()
