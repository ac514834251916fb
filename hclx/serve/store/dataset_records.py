"""Data sets: the records of files of rows that keys have brought."""

import dataclasses
import json
import secrets
from collections.abc import Callable

import sqlalchemy as sa

from hclx.serve.store.database import Database
from hclx.serve.store.job_records import UNFINISHED
from hclx.serve.store.tables import datasets, tuning_jobs
from hclx.serve.store.tuning_errors import InUseError, TooManyError
from hclx.serve.store.tuning_lock import lock_tuning

_ID_BYTES = 5


@dataclasses.dataclass(frozen=True)
class DatasetRecord:
    """A file of rows.

    Attributes:
      id: tells it apart.
      key_id, tenant: who brought it; keys of the tenant may use it.
      name: that the file had.
      format: its ending, such as ".csv".
      columns: the fields of its first row.
      rows, bytes: its size.
      sha256: of its content, under which it lies.
      created: seconds since 1970.
    """

    id: str
    key_id: str
    tenant: str
    name: str
    format: str
    columns: tuple[str, ...]
    rows: int
    bytes: int
    sha256: str
    created: int


def new_dataset_id(now: float) -> str:
    """Returns a new id, which sorts by the time."""
    return f"ds-{int(now * 1000):011x}{secrets.token_hex(_ID_BYTES)}"


def add_dataset(
    database: Database, record: DatasetRecord, most: int, store_file: Callable[[], None]
) -> None:
    """Writes the record of a data set.

    Args:
      database: the store.
      record: of the data set.
      most: data sets that its tenant may have.
      store_file: puts the file to its place; none of the same content is removed meanwhile.
    Raises:
      TooManyError: the tenant has as many as it may have.
    """
    with database.writing(durable=True) as connection:
        lock_tuning(connection)
        of_tenant = datasets.c.tenant == record.tenant
        count = connection.scalar(sa.select(sa.func.count()).where(of_tenant))
        if count >= most:
            raise TooManyError(f"there are {count} data sets already; remove some first")
        store_file()
        row = {**vars(record), "columns": json.dumps(record.columns)}
        connection.execute(datasets.insert(), row)


def list_datasets(database: Database, tenant: str | None) -> list[DatasetRecord]:
    """Returns the data sets of a tenant, or of all if that is None, from the oldest on."""
    statement = _of(datasets.select(), tenant).order_by(datasets.c.created, datasets.c.id)
    with database.reading() as connection:
        return [_record_of(row) for row in connection.execute(statement)]


def find_dataset(database: Database, dataset_id: str, tenant: str | None) -> DatasetRecord | None:
    """Returns a data set; None if there is none of this id that the tenant may see."""
    statement = _of(datasets.select().where(datasets.c.id == dataset_id), tenant)
    with database.reading() as connection:
        row = connection.execute(statement).first()
    return row and _record_of(row)


def remove_dataset(
    database: Database, record: DatasetRecord, remove_file: Callable[[], None]
) -> None:
    """Removes a data set.

    Args:
      database: the store.
      record: of the data set.
      remove_file: removes the file; it is called if no other data set has the same content.
    Raises:
      InUseError: a job that has not ended uses it.
    """
    with database.writing(durable=True) as connection:
        lock_tuning(connection)
        uses = sa.or_(tuning_jobs.c.dataset == record.id, tuning_jobs.c.validation == record.id)
        statement = sa.select(tuning_jobs.c.id).where(uses, tuning_jobs.c.state.in_(UNFINISHED))
        if job := connection.scalar(statement):
            raise InUseError(f"the job {job} uses {record.id}; cancel it or wait for its end")
        connection.execute(datasets.delete().where(datasets.c.id == record.id))
        same = sa.select(datasets.c.id).where(datasets.c.sha256 == record.sha256)
        if connection.scalar(same) is None:
            remove_file()


def _of(statement: sa.Select, tenant: str | None) -> sa.Select:
    return statement if tenant is None else statement.where(datasets.c.tenant == tenant)


def _record_of(row: sa.Row) -> DatasetRecord:
    fields = {**row._mapping, "columns": tuple(json.loads(row.columns))}
    return DatasetRecord(**fields)
