"""Artefacts: the records of files that jobs of tuning have made."""

import dataclasses
import json
from collections.abc import Callable, Mapping

import sqlalchemy as sa

from hclx.serve.store.database import Database
from hclx.serve.store.tables import artefacts
from hclx.serve.store.tuning_lock import lock_tuning


@dataclasses.dataclass(frozen=True)
class ArtefactRecord:
    """The artefact of a job.

    Attributes:
      id: that of the job.
      key_id, tenant: who asked for it; keys of the tenant may use it.
      name: of the model, behind that of its base.
      kind: of `hclx.tune.tune_config.KINDS`.
      base: the fingerprint of its base.
      is_served: whether it is a model that writes text.
      bytes: its size.
      sha256: of its content, under which it lies.
      metrics: the figures of its best step.
      created: seconds since 1970.
    """

    id: str
    key_id: str
    tenant: str
    name: str
    kind: str
    base: str
    is_served: bool
    bytes: int
    sha256: str
    metrics: Mapping[str, float]
    created: int


def add_artefact(
    database: Database, record: ArtefactRecord, store_file: Callable[[], None]
) -> None:
    """Writes the record of an artefact, unless there is one of this job.

    Args:
      database: the store.
      record: of the artefact.
      store_file: puts the file to its place; none of the same content is removed meanwhile.
    """
    with database.writing(durable=True) as connection:
        lock_tuning(connection)
        store_file()
        same = sa.select(artefacts.c.id).where(artefacts.c.id == record.id)
        if connection.scalar(same) is None:
            texts = {"metrics": json.dumps(dict(record.metrics))}
            row = {**vars(record), **texts, "is_served": int(record.is_served)}
            connection.execute(artefacts.insert(), row)


def list_artefacts(
    database: Database, tenant: str | None, base: str | None = None
) -> list[ArtefactRecord]:
    """Returns artefacts, from the oldest on.

    Args:
      database: the store.
      tenant: whose they are; None: of all.
      base: the fingerprint of their base; None: of all.
    """
    statement = _of(artefacts.select(), tenant).order_by(artefacts.c.created, artefacts.c.id)
    if base is not None:
        statement = statement.where(artefacts.c.base == base)
    with database.reading() as connection:
        return [_record_of(row) for row in connection.execute(statement)]


def find_artefact(
    database: Database, artefact_id: str, tenant: str | None
) -> ArtefactRecord | None:
    """Returns an artefact; None if there is none of this id that the tenant may see."""
    statement = _of(artefacts.select().where(artefacts.c.id == artefact_id), tenant)
    with database.reading() as connection:
        row = connection.execute(statement).first()
    return row and _record_of(row)


def remove_artefact(
    database: Database, record: ArtefactRecord, remove_file: Callable[[], None]
) -> None:
    """Removes an artefact.

    Args:
      database: the store.
      record: of the artefact.
      remove_file: removes the file; it is called if no other artefact has the same content.
    """
    with database.writing(durable=True) as connection:
        lock_tuning(connection)
        connection.execute(artefacts.delete().where(artefacts.c.id == record.id))
        same = sa.select(artefacts.c.id).where(artefacts.c.sha256 == record.sha256)
        if connection.scalar(same) is None:
            remove_file()


def _of(statement: sa.Select, tenant: str | None) -> sa.Select:
    return statement if tenant is None else statement.where(artefacts.c.tenant == tenant)


def _record_of(row: sa.Row) -> ArtefactRecord:
    texts = {"metrics": json.loads(row.metrics), "is_served": bool(row.is_served)}
    return ArtefactRecord(**{**row._mapping, **texts})
