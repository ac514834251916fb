"""The tokens that requests have taken, by key and day. The store has no text of them."""

import dataclasses
import functools

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from hclx.serve.store.database import Database
from hclx.serve.store.key_records import no_such_key
from hclx.serve.store.tables import api_keys, usage

_INSERT = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}
_DAY = 86_400


@dataclasses.dataclass(frozen=True)
class Finished:
    """A request that has ended.

    Attributes:
      prompt_tokens: that were read.
      completion_tokens: that were written.
      model: the name by which the model was asked for.
      route: the path of the request, without its values.
      reason: for which it ended, such as "stop", "length" or "cancelled".
    """

    prompt_tokens: int = 0
    completion_tokens: int = 0
    model: str = ""
    route: str = ""
    reason: str = ""


@dataclasses.dataclass(frozen=True)
class DayOfUsage:
    """The requests of a key that ended on one day.

    Attributes:
      start: when the day began in UTC, in seconds since 1970.
      key_id: the key.
      name: of the key.
      requests: their number.
      prompt_tokens: that they read.
      completion_tokens: that they wrote.
    """

    start: int
    key_id: str
    name: str
    requests: int
    prompt_tokens: int
    completion_tokens: int


def add_usage(
    connection: sa.Connection, record_id: str, key_id: str, finished: Finished, now: float
) -> bool:
    """Writes the record of a request; returns whether there was none under this id before.

    Args:
      connection: in a transaction for writing.
      record_id: the id of the request's reservation.
      key_id: the key that asked.
      finished: the request.
      now: when it ended, in seconds since 1970.
    """
    row = {"id": record_id, "key_id": key_id, "finished": int(now), **vars(finished)}
    return connection.scalar(_adding(connection.dialect.name), row) is not None


@functools.cache
def _adding(dialect: str) -> sa.Insert:
    """Returns the statement that writes a record, and returns its id; no row if there is one."""
    return _INSERT[dialect](usage).on_conflict_do_nothing().returning(usage.c.id)


def usage_by_day(database: Database, since: float, key_id: str | None = None) -> list[DayOfUsage]:
    """Sums usage up by day and key.

    Args:
      database: the store.
      since: days that ended before, in seconds since 1970, are left out.
      key_id: of a single key; None: of all.
    Returns:
      the days on which there was some, from the oldest on, by key id within a day.
    Raises:
      ConfigError: there is no such key.
    """
    start = usage.c.finished // _DAY * _DAY
    statement = (
        sa.select(
            start.label("start"),
            usage.c.key_id,
            api_keys.c.name,
            sa.func.count().label("requests"),
            sa.func.sum(usage.c.prompt_tokens).label("prompt_tokens"),
            sa.func.sum(usage.c.completion_tokens).label("completion_tokens"),
        )
        .join(api_keys, api_keys.c.id == usage.c.key_id)
        .where(usage.c.finished >= int(since) // _DAY * _DAY)
        .group_by(sa.literal_column("start"), usage.c.key_id, api_keys.c.name)
        .order_by(sa.literal_column("start"), usage.c.key_id)
    )
    with database.reading() as connection:
        if key_id is not None:
            statement = statement.where(usage.c.key_id == key_id)
            if connection.execute(api_keys.select().where(api_keys.c.id == key_id)).first() is None:
                raise no_such_key(connection, key_id)
        rows = connection.execute(statement).all()
    # sums of 64-bit numbers are decimals in PostgreSQL
    return [DayOfUsage(*row[:3], *map(int, row[3:])) for row in rows]
