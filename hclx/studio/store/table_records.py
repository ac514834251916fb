"""Tables of texts: the rows to try a prompt on."""

import dataclasses
import json
from collections.abc import Sequence

import sqlalchemy as sa

from hclx.errors import shown
from hclx.serve.store.database import Database
from hclx.studio.store.prompt_records import stale
from hclx.studio.store.record_ids import check_room, new_id, owned
from hclx.studio.store.studio_errors import NotThereError
from hclx.studio.store.studio_tables import studio_tables

MOST_TABLES = 200  # of a person
_HEAD = [
    studio_tables.c[name]
    for name in ("id", "owner", "name", "columns", "revision", "created", "updated")
]


@dataclasses.dataclass(frozen=True)
class TableHead:
    """A table without its rows. Times are seconds since 1970.

    Attributes:
      id: tells it apart.
      owner: the person whose it is.
      name: for people.
      columns: their names.
      revision: grows with each change.
      created: when it was made.
      updated: when it was changed last.
    """

    id: str
    owner: str
    name: str
    columns: tuple[str, ...]
    revision: int
    created: int
    updated: int


@dataclasses.dataclass(frozen=True)
class TableRecord(TableHead):
    """A table.

    Attributes:
      rows: lists of as many texts as there are columns.
    """

    rows: Sequence[Sequence[str]]


def create_table(
    database: Database,
    owner: str,
    name: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    now: float,
    most: int = MOST_TABLES,
) -> TableHead:
    """Makes a table.

    Args:
      database: the store.
      owner: the id of the person whose it is.
      name: for people.
      columns: their names.
      rows: lists of as many texts.
      now: seconds since 1970.
      most: tables of one person.
    Raises:
      ConflictError: the person has as many as one may have.
    """
    table_id, at = new_id("tb", now), int(now)
    table = TableHead(table_id, owner, name, tuple(columns), 1, at, at)
    row = {**vars(table), "columns": _text(columns), "rows": _text(rows)}
    with database.writing(durable=True) as connection:
        check_room(connection, studio_tables, owner, most)
        connection.execute(studio_tables.insert(), row)
    return table


def list_tables(database: Database, owner: str | None) -> list[TableHead]:
    """Returns the tables of a person, or of all if that is None, from the newest on."""
    newest = studio_tables.c.updated.desc(), studio_tables.c.id.desc()
    statement = sa.select(*_HEAD).order_by(*newest)
    if owner is not None:
        statement = statement.where(studio_tables.c.owner == owner)
    with database.reading() as connection:
        return [TableHead(**_fields(row)) for row in connection.execute(statement)]


def find_table(database: Database, table_id: str, owner: str | None) -> TableRecord:
    """Returns a table. Raises NotThereError if the person sees none of this id."""
    statement = sa.select(*_HEAD, studio_tables.c.rows)
    with database.reading() as connection:
        row = connection.execute(statement.where(*owned(studio_tables, table_id, owner))).first()
    if row is None:
        raise _no_such_table(table_id)
    return TableRecord(**_fields(row), rows=json.loads(row._mapping["rows"]))


def change_table(
    database: Database,
    table_id: str,
    owner: str | None,
    revision: int,
    name: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    now: float,
) -> int:
    """Changes a table, if it still is as it was read.

    Args:
      database: the store.
      table_id: of the table.
      owner: the id of the person who asks; None: an administrator.
      revision: that was read.
      name, columns, rows, now: see `create_table`.
    Returns:
      its new revision.
    Raises:
      NotThereError: the person sees no table of this id.
      StaleRevisionError: it has another revision.
    """
    conditions = owned(studio_tables, table_id, owner)
    values = {"name": name, "columns": _text(columns), "rows": _text(rows)}
    values |= {"revision": revision + 1, "updated": int(now)}
    is_read = studio_tables.c.revision == revision
    with database.writing(durable=True) as connection:
        statement = studio_tables.update().where(*conditions, is_read).values(**values)
        if connection.execute(statement).rowcount:
            return revision + 1
        if connection.scalar(sa.select(studio_tables.c.id).where(*conditions)) is None:
            raise _no_such_table(table_id)
        raise stale(table_id)


def remove_table(database: Database, table_id: str, owner: str | None) -> None:
    """Removes a table for good. Raises NotThereError if the person sees none of this id."""
    statement = studio_tables.delete().where(*owned(studio_tables, table_id, owner))
    with database.writing(durable=True) as connection:
        if not connection.execute(statement).rowcount:
            raise _no_such_table(table_id)


def _text(value: Sequence) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _fields(row: sa.Row) -> dict:
    names = (column.name for column in _HEAD)
    fields = {name: row._mapping[name] for name in names}
    return {**fields, "columns": tuple(json.loads(fields["columns"]))}


def _no_such_table(table_id: str) -> NotThereError:
    return NotThereError(f"there is no table {shown(table_id)} of yours")
