"""Batches: a prompt that answers many rows. They are added, claimed by a server, watched, paused,
and ended.

A batch is `waiting`, then `running` at one server, which says every few seconds that it still has
it; `paused` until it is resumed; and ends as `done`, or as `failed` with the reason.
"""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from hclx.errors import shown
from hclx.serve.store.database import Database
from hclx.studio.store.record_ids import check_room, new_id, owned
from hclx.studio.store.studio_errors import ConflictError, NotThereError
from hclx.studio.store.studio_tables import batch_rows, batches

UNFINISHED = ("waiting", "running")
STATES = (*UNFINISHED, "paused", "done", "failed")
MOST_BATCHES = 200  # of one person
_AT_ONCE = 1000  # rows of one statement
_C, _R = batches.c, batch_rows.c


@dataclasses.dataclass(frozen=True)
class BatchRecord:
    """A batch. Times are seconds since 1970.

    Attributes:
      id: tells it apart.
      owner: the person who asked for it.
      name: for people.
      content: of the prompt, an object of "hclx.studio/1".
      columns: the names of the fields of its rows.
      state: see the module.
      total: its rows.
      done: those that have ended.
      failed: those of `done` that ended with an error.
      created: when it was asked for.
      ended: when its last row did, or when it failed.
      reason: why it waits though it runs, or has failed: `code` and `message`; None: no reason.
      runner: the server that has it.
      heartbeat: when that server last said so.
    """

    id: str
    owner: str
    name: str
    content: Mapping[str, Any]
    columns: tuple[str, ...]
    total: int
    created: int
    state: str = "waiting"
    done: int = 0
    failed: int = 0
    ended: int | None = None
    reason: Mapping[str, str] | None = None
    runner: str | None = None
    heartbeat: int | None = None


def add_batch(
    database: Database,
    owner: str,
    name: str,
    content: Mapping[str, Any],
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    now: float,
) -> BatchRecord:
    """Adds a batch that waits.

    Args:
      database: the store.
      owner: the id of the person who asks.
      name: for people.
      content: of the prompt.
      columns: names of fields.
      rows: for each row the texts of its fields.
      now: seconds since 1970.
    Raises:
      ConflictError: the owner has `MOST_BATCHES`.
    """
    batch_id = new_id("ba", now)
    record = BatchRecord(batch_id, owner, name, content, tuple(columns), len(rows), int(now))
    values = [
        {"batch": batch_id, "number": number, "fields": json.dumps(list(row))}
        for number, row in enumerate(rows)
    ]
    with database.writing(durable=True) as connection:
        check_room(connection, batches, owner, MOST_BATCHES)
        connection.execute(batches.insert(), _row_of(record))
        for first in range(0, len(values), _AT_ONCE):
            connection.execute(batch_rows.insert(), values[first : first + _AT_ONCE])
    return record


def list_batches(database: Database, owner: str | None) -> list[BatchRecord]:
    """Returns the batches of a person, or of all if that is None, from the newest on."""
    statement = batches.select() if owner is None else batches.select().where(_C.owner == owner)
    statement = statement.order_by(_C.created.desc(), _C.id.desc())
    with database.reading() as connection:
        return [_record_of(row) for row in connection.execute(statement.limit(_AT_ONCE))]


def find_batch(database: Database, batch_id: str, owner: str | None = None) -> BatchRecord:
    """Returns a batch.

    Args:
      database: the store.
      batch_id: its id.
      owner: the person who asks; None: an administrator, who sees those of all.
    Raises:
      NotThereError: there is none of this id that the person may see.
    """
    with database.reading() as connection:
        return _find(connection, batch_id, owner)


def pause_batch(database: Database, batch_id: str, owner: str | None) -> BatchRecord:
    """Pauses a batch: its server takes no more of its rows.

    Raises:
      NotThereError: as `find_batch`.
      ConflictError: it has ended.
    """
    is_going = *owned(batches, batch_id, owner), _C.state.in_(UNFINISHED)
    with database.writing(durable=True) as connection:
        change = batches.update().where(*is_going)
        connection.execute(change.values(state="paused", reason=None))
        batch = _find(connection, batch_id, owner)
    if batch.state != "paused":
        raise ConflictError(f"the batch {batch_id} has ended ({batch.state}); resume it instead")
    return batch


def resume_batch(database: Database, batch_id: str, owner: str | None) -> BatchRecord:
    """Lets a batch go on that is paused or has failed; of one that is done, the rows that failed
    run again.

    Raises:
      NotThereError: as `find_batch`.
      ConflictError: it goes on already, or has no row to run.
    """
    with database.writing(durable=True) as connection:
        batch = _find(connection, batch_id, owner, is_locked=True)
        if batch.state in UNFINISHED or (batch.state == "done" and not batch.failed):
            raise ConflictError(f"the batch {batch_id} is {batch.state}; it has nothing to resume")
        # A server that still has it goes on with it.
        values = {"state": "running" if batch.runner else "waiting", "reason": None, "ended": None}
        if batch.state == "done":
            is_failed = sa.and_(_R.batch == batch_id, _R.error.is_not(None))
            connection.execute(batch_rows.update().where(is_failed).values(error=None))
            values |= {"done": batch.done - batch.failed, "failed": 0}
        connection.execute(batches.update().where(_C.id == batch_id).values(**values))
        return _find(connection, batch_id, owner)


def remove_batch(database: Database, batch_id: str, owner: str | None) -> None:
    """Removes a batch with its rows and answers, also while it runs. Raises NotThereError as
    `find_batch`.
    """
    with database.writing(durable=True) as connection:
        _find(connection, batch_id, owner, is_locked=True)
        connection.execute(batch_rows.delete().where(_R.batch == batch_id))
        connection.execute(batches.delete().where(_C.id == batch_id))


def claim_batches(
    database: Database, runner: str, now: float, silence: float, most: int
) -> list[BatchRecord]:
    """Gives the oldest batches that wait to a server, and those whose server is gone.

    Args:
      database: the store.
      runner: the server.
      now: seconds since 1970.
      silence: seconds after which a server that has said nothing is gone.
      most: batches that it takes.
    """
    is_lost = sa.and_(_C.runner != runner, _C.heartbeat < int(now - silence))
    is_gone = sa.or_(_C.runner.is_(None), is_lost)
    is_free = sa.and_(_C.state.in_(UNFINISHED), is_gone)
    free = sa.select(_C.id).where(is_free).order_by(_C.created, _C.id).limit(most)
    with database.reading() as connection:  # most often there is none, and nothing to write
        if most < 1 or connection.scalar(free) is None:
            return []
    with database.writing(durable=True) as connection:
        ids = connection.scalars(free.with_for_update(skip_locked=True)).all()
        own = batches.update().where(_C.id.in_(ids))
        connection.execute(own.values(state="running", runner=runner, heartbeat=int(now)))
        return [_find(connection, batch_id, None) for batch_id in ids]


def beat_batches(database: Database, runner: str, now: float) -> dict[str, str]:
    """Says that a server still has its batches.

    Returns:
      id -> state of each; those that were removed, or are another server's, are not among them.
    """
    is_own = _C.runner == runner
    with database.writing() as connection:
        connection.execute(batches.update().where(is_own).values(heartbeat=int(now)))
        rows = connection.execute(sa.select(_C.id, _C.state).where(is_own)).all()
    return {row.id: row.state for row in rows}


def explain_batch(
    database: Database, batch_id: str, runner: str, reason: Mapping[str, str] | None
) -> None:
    """Says why a batch that runs at a server waits; None: it goes on."""
    is_own = sa.and_(_C.id == batch_id, _C.runner == runner, _C.state == "running")
    with database.writing() as connection:
        connection.execute(batches.update().where(is_own).values(reason=_text_of(reason)))


def end_batch(database: Database, batch_id: str, runner: str, now: float) -> None:
    """Ends a batch of a server if all of its rows have ended, and else gives it back: it stays
    paused, or waits for the next server.
    """
    is_own = sa.and_(_C.id == batch_id, _C.runner == runner)
    is_whole = sa.and_(is_own, _C.done >= _C.total)
    ended = {"state": "done", "ended": int(now), "reason": None}
    waits = {"state": "waiting", "reason": None}
    with database.writing(durable=True) as connection:
        connection.execute(batches.update().where(is_whole).values(**ended))
        is_running = sa.and_(is_own, _C.state == "running")
        connection.execute(batches.update().where(is_running).values(**waits))
        connection.execute(batches.update().where(is_own).values(runner=None, heartbeat=None))


def fail_batch(
    database: Database, batch_id: str, runner: str, now: float, reason: Mapping[str, str]
) -> None:
    """Ends a batch of a server that cannot go on, such as when its model is gone."""
    is_own = sa.and_(_C.id == batch_id, _C.runner == runner)
    values = {"state": "failed", "ended": int(now), "reason": _text_of(reason)}
    with database.writing(durable=True) as connection:
        change = batches.update().where(is_own).values(**values, runner=None, heartbeat=None)
        connection.execute(change)


def _find(
    connection: sa.Connection, batch_id: str, owner: str | None, is_locked: bool = False
) -> BatchRecord:
    statement = batches.select().where(*owned(batches, batch_id, owner))
    row = connection.execute(statement.with_for_update() if is_locked else statement).first()
    if row is None:
        raise NotThereError(f"there is no batch {shown(batch_id)}")
    return _record_of(row)


def _text_of(reason: Mapping[str, str] | None) -> str | None:
    return reason and json.dumps(dict(reason))


def _row_of(record: BatchRecord) -> dict[str, Any]:
    texts = {"content": json.dumps(record.content), "columns": json.dumps(record.columns)}
    return {**vars(record), **texts, "reason": _text_of(record.reason)}


def _record_of(row: sa.Row) -> BatchRecord:
    reason = row.reason and json.loads(row.reason)
    texts = {"content": json.loads(row.content), "columns": tuple(json.loads(row.columns))}
    return BatchRecord(**{**row._mapping, **texts, "reason": reason})
