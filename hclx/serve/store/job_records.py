"""Jobs of tuning: they are added, claimed by a server, watched, and ended.

A job is `queued`, then `running` at one server, which says every few seconds that it still has it.
It ends as `succeeded`, `failed`, `cancelled`, or `interrupted`: its servers were gone too often.
"""

import dataclasses
import json
import secrets
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from hclx.serve.store.database import Database
from hclx.serve.store.tables import artefacts, tuning_jobs
from hclx.serve.store.tuning_errors import NameTakenError, TooManyError
from hclx.serve.store.tuning_lock import lock_tuning

UNFINISHED = ("queued", "running")
STATES = (*UNFINISHED, "succeeded", "failed", "cancelled", "interrupted")
MOST_LOST = 3  # servers that are gone while a job runs, after which it is not tried again
_MOST_LISTED = 1000
_ID_BYTES = 5
_C = tuning_jobs.c


@dataclasses.dataclass(frozen=True)
class JobRecord:
    """A job. Times are seconds since 1970.

    Attributes:
      id: tells it apart.
      key_id, tenant: who asked for it.
      name: of the model that it makes, behind that of its base.
      kind: of `hclx.tune.tune_config.KINDS`.
      base: the fingerprint of the base.
      dataset, validation: ids of data sets; `validation` may be None.
      options: all else that was asked for.
      total_steps: that it takes.
      created: when it was asked for.
      state: see the module.
      is_cancelled: whether it is to be ended.
      step: that was reached.
      metrics: the latest figures.
      error: why it failed, or has to wait.
      started, ended: when it first ran, and when it ended.
      runner: the server that has it.
      heartbeat: when that server last said so.
      lost: how often its server was gone.
    """

    id: str
    key_id: str
    tenant: str
    name: str
    kind: str
    base: str
    dataset: str
    validation: str | None
    options: Mapping[str, Any]
    total_steps: int
    created: int
    state: str = "queued"
    is_cancelled: bool = False
    step: int = 0
    metrics: Mapping[str, float] = dataclasses.field(default_factory=dict)
    error: str | None = None
    started: int | None = None
    ended: int | None = None
    runner: str | None = None
    heartbeat: int | None = None
    lost: int = 0


def new_job_id(now: float) -> str:
    """Returns a new id, which sorts by the time: of two jobs of one second the first begins."""
    return f"ft-{int(now * 1000):011x}{secrets.token_hex(_ID_BYTES)}"


def add_job(database: Database, job: JobRecord, most: int) -> None:
    """Adds a job to the queue.

    Args:
      database: the store.
      job: a new one.
      most: jobs of its tenant that may wait or run.
    Raises:
      NameTakenError: the tenant has a model, or a job that has not ended, of this name.
      TooManyError: the tenant has as many jobs as it may have.
    """
    with database.writing(durable=True) as connection:
        lock_tuning(connection)
        own = sa.and_(_C.tenant == job.tenant, _C.state.in_(UNFINISHED))
        names = connection.scalars(sa.select(_C.name).where(own)).all()
        if len(names) >= most:
            raise TooManyError(f"{len(names)} jobs have not ended; wait for one, or cancel it")
        made = sa.select(artefacts.c.name).where(
            artefacts.c.tenant == job.tenant,
            artefacts.c.name == job.name,
            artefacts.c.base == job.base,
        )
        if job.name in names or connection.scalar(made) is not None:
            raise NameTakenError(
                f"name={job.name!r} is that of another job or artefact; choose another, or remove"
                " the artefact"
            )
        connection.execute(tuning_jobs.insert(), _row_of(job))


def list_jobs(database: Database, tenant: str | None) -> list[JobRecord]:
    """Returns the latest jobs of a tenant, or of all if that is None, from the newest on."""
    statement = _of(tuning_jobs.select(), tenant).order_by(_C.created.desc(), _C.id.desc())
    statement = statement.limit(_MOST_LISTED)
    with database.reading() as connection:
        return [_record_of(row) for row in connection.execute(statement)]


def find_job(database: Database, job_id: str, tenant: str | None = None) -> JobRecord | None:
    """Returns a job; None if there is none of this id that the tenant may see."""
    with database.reading() as connection:
        return _find(connection, job_id, tenant)


def cancel_job(database: Database, job_id: str, tenant: str | None, now: float) -> JobRecord | None:
    """Cancels a job: at once if it waits, else its server will end it. One that has ended stays as
    it is.

    Returns:
      the job; None if there is none of this id that the tenant may see.
    """
    with database.writing(durable=True) as connection:
        lock_tuning(connection)
        job = _find(connection, job_id, tenant)
        if job is None or job.state not in UNFINISHED:
            return job
        ended = {"state": "cancelled", "ended": int(now)} if job.state == "queued" else {}
        change = tuning_jobs.update().where(_C.id == job_id)
        connection.execute(change.values(is_cancelled=1, **ended))
        return _find(connection, job_id, tenant)


def claim_job(
    database: Database, runner: str, base: str, now: float, silence: float
) -> JobRecord | None:
    """Gives the oldest job that waits to a server; None if none does. Jobs whose server is gone
    wait again before that, or have been interrupted too often.

    Args:
      database: the store.
      runner: the server.
      base: the fingerprint of its model.
      now: seconds since 1970.
      silence: seconds after which a server that has said nothing is gone.
    """
    with database.writing(durable=True) as connection:
        lock_tuning(connection)
        _give_back_lost(connection, base, now, silence)
        waiting = sa.select(_C.id).where(_C.state == "queued", _C.base == base)
        job_id = connection.scalar(waiting.order_by(_C.created, _C.id).limit(1))
        if job_id is None:
            return None
        values = {"state": "running", "runner": runner, "heartbeat": int(now), "error": None}
        values["started"] = sa.func.coalesce(_C.started, int(now))
        connection.execute(tuning_jobs.update().where(_C.id == job_id).values(**values))
        return _find(connection, job_id, None)


def beat(
    database: Database,
    job_id: str,
    runner: str,
    now: float,
    step: int,
    metrics: Mapping[str, float],
) -> JobRecord | None:
    """Says that a server still has a job, and how far it is.

    Returns:
      the job, which may have been cancelled; None if it is this server's no more.
    """
    values = {"heartbeat": int(now), "step": step, "metrics": json.dumps(dict(metrics))}
    with database.writing() as connection:
        changed = connection.execute(_own(job_id, runner).values(**values)).rowcount
        return _find(connection, job_id, None) if changed else None


def end_job(
    database: Database, job_id: str, runner: str, state: str, now: float, error: str | None = None
) -> None:
    """Ends a job of a server, unless it is that server's no more."""
    values = {"state": state, "ended": int(now), "error": error}
    with database.writing(durable=True) as connection:
        connection.execute(_own(job_id, runner).values(**values))


def give_back(database: Database, job_id: str, runner: str, reason: str) -> None:
    """Lets a job of a server wait again, such as when the server ends; the next server that claims
    it goes on where it was saved.
    """
    values = {"state": "queued", "runner": None, "heartbeat": None, "error": reason}
    with database.writing(durable=True) as connection:
        connection.execute(_own(job_id, runner).values(**values))


def _give_back_lost(connection: sa.Connection, base: str, now: float, silence: float) -> None:
    gone = sa.and_(_C.state == "running", _C.base == base, _C.heartbeat < int(now - silence))
    change = tuning_jobs.update().where(gone)
    ended = {"ended": int(now), "runner": None, "lost": _C.lost + 1}
    connection.execute(change.where(_C.is_cancelled == 1).values(state="cancelled", **ended))
    reason = f"its server was gone {MOST_LOST} times while it ran; ask for the job again"
    often = change.where(_C.lost + 1 >= MOST_LOST)
    connection.execute(often.values(state="interrupted", error=reason, **ended))
    reason = "its server was gone while it ran; it goes on where it was saved"
    waits = {"state": "queued", "runner": None, "heartbeat": None, "error": reason}
    connection.execute(change.values(**waits, lost=_C.lost + 1))


def _own(job_id: str, runner: str) -> sa.Update:
    is_own = sa.and_(_C.id == job_id, _C.runner == runner, _C.state == "running")
    return tuning_jobs.update().where(is_own)


def _find(connection: sa.Connection, job_id: str, tenant: str | None) -> JobRecord | None:
    row = connection.execute(_of(tuning_jobs.select().where(_C.id == job_id), tenant)).first()
    return row and _record_of(row)


def _of(statement: sa.Select, tenant: str | None) -> sa.Select:
    return statement if tenant is None else statement.where(_C.tenant == tenant)


def _row_of(job: JobRecord) -> dict[str, Any]:
    texts = {"options": json.dumps(dict(job.options)), "metrics": json.dumps(dict(job.metrics))}
    return {**vars(job), **texts, "is_cancelled": int(job.is_cancelled)}


def _record_of(row: sa.Row) -> JobRecord:
    texts = {"options": json.loads(row.options), "metrics": json.loads(row.metrics)}
    return JobRecord(**{**row._mapping, **texts, "is_cancelled": bool(row.is_cancelled)})
