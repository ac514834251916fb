"""Ids of records, and statements that all kinds of records need."""

import secrets
from collections.abc import Sequence

import sqlalchemy as sa

from hclx.studio.store.studio_errors import ConflictError
from hclx.studio.store.studio_tables import people

_ID_BYTES = 5


def new_id(prefix: str, now: float) -> str:
    """Returns a new id, which sorts by the time among those of one prefix."""
    return f"{prefix}-{int(now * 1000):011x}{secrets.token_hex(_ID_BYTES)}"


def owned(table: sa.Table, record_id: str, owner: str | None) -> Sequence[sa.ColumnElement]:
    """Returns the conditions of the record of an id that a person sees.

    Args:
      table: has the columns id and owner.
      record_id: of the record.
      owner: the id of the person; None: an administrator, who sees those of all.
    """
    is_it = table.c.id == record_id
    return [is_it] if owner is None else [is_it, table.c.owner == owner]


def check_room(
    connection: sa.Connection, table: sa.Table, owner: str, most: int, *conditions
) -> None:
    """Raises ConflictError if a person has as many records as one may have. Until the transaction
    ends, no other adds one for that person.

    Args:
      connection: in a transaction for writing.
      table: of the records, with the column owner.
      owner: the id of the person.
      most: records of one person.
      conditions: of the records that count.
    """
    connection.execute(
        sa.select(people.c.id).where(people.c.id == owner).with_for_update(key_share=True)
    )
    is_own = table.c.owner == owner
    count = sa.select(sa.func.count()).select_from(table).where(is_own, *conditions)
    if connection.scalar(count) >= most:
        raise ConflictError(f"there are {most:,} of your own already; remove some first")
