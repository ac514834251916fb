"""Quotas: requests and tokens of a key in each minute and each day, counted in the store, so that
all replicas count together.

A window begins at a whole minute, or at midnight in UTC. A request counts in the windows in which
it was admitted, with the tokens that it may take; once it has ended, with those that it took. One
that never ends, as its server was killed, gives its tokens back when its reservation expires.
"""

import dataclasses
import functools
import math
import secrets

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from hclx.serve.store.key_records import KeyRecord
from hclx.serve.store.tables import api_keys, quota_windows, reservations

WINDOWS = {"minute": 60, "day": 86_400}  # name -> seconds
_INSERT = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}

_KEY = sa.bindparam("key")
_LOCK = api_keys.select().where(api_keys.c.id == _KEY).with_for_update()
_EXPIRED = reservations.select().where(
    reservations.c.key_id == _KEY, reservations.c.expires <= sa.bindparam("now")
)
_REMOVE = reservations.delete().where(reservations.c.id == sa.bindparam("reservation"))
# In the windows in which a request was admitted.
_CORRECT = (
    quota_windows.update()
    .where(
        quota_windows.c.key_id == _KEY,
        quota_windows.c.start <= sa.bindparam("admitted"),
        quota_windows.c.start + quota_windows.c.seconds > sa.bindparam("admitted"),
    )
    .values(tokens=quota_windows.c.tokens + sa.bindparam("change"))
)


@dataclasses.dataclass(frozen=True)
class Reservation:
    """A request that was admitted.

    Attributes:
      id: of its record of usage, once it has ended.
      key_id: the key that asks.
      admitted: seconds since 1970, in whose windows it counts.
      tokens: that it may take, and that are counted until it has ended.
    """

    id: str
    key_id: str
    admitted: int
    tokens: int


class QuotaError(Exception):
    """A quota allows a request not now, or never.

    Attributes:
      seconds: until its window ends; None: the request is larger than the quota.
    """

    def __init__(self, message: str, seconds: int | None):
        super().__init__(message)
        self.seconds = seconds


def new_reservation(key_id: str, tokens: int, now: float) -> Reservation:
    """Returns a reservation, which is not counted yet. Its id sorts by the time."""
    name = f"{int(now * 1000):012x}{secrets.token_hex(8)}"
    return Reservation(name, key_id, int(now), max(0, tokens))


def lock_key(connection: sa.Connection, key_id: str) -> sa.Row | None:
    """Returns the row of a key; until the end of the transaction no other one counts for it."""
    return connection.execute(_LOCK, {"key": key_id}).first()


def reserve(
    connection: sa.Connection, key: KeyRecord, tokens: int, now: float, seconds: float
) -> Reservation:
    """Counts a request of a key.

    Args:
      connection: in a transaction for writing that holds the key, see `lock_key`.
      key: its limits count.
      tokens: the most that the request takes: its prompts, and what may be written behind them.
      now: seconds since 1970.
      seconds: after which its tokens are given back if it has not ended.
    Raises:
      QuotaError: a quota does not allow it. The transaction must not be written then.
    """
    reservation = new_reservation(key.id, tokens, now)
    _release_expired(connection, key.id, now)
    refusals = []
    for name, length in WINDOWS.items():
        limits = {
            unit: getattr(key.limits, f"{unit}_per_{name}") for unit in ("requests", "tokens")
        }
        if 0 < limits["tokens"] < reservation.tokens:
            raise QuotaError(
                f"the request may take {reservation.tokens:,} tokens, and the key has"
                f" {limits['tokens']:,} a {name}: send less in one request, or have it write fewer"
                " tokens",
                None,
            )
        if not _count(connection, reservation, length, limits):
            refusals.append((length - now % length, name))
    if refusals:
        wait, name = max(refusals)
        raise _refusal(connection, key, reservation, name, math.ceil(wait))
    row = {**vars(reservation), "expires": math.ceil(now + seconds)}
    connection.execute(reservations.insert(), row)
    return reservation


def settle(connection: sa.Connection, reservation: Reservation, used: int) -> None:
    """Counts the tokens that a request took in place of those that were reserved for it. A
    reservation that has expired, and was given back, is counted anew.

    Args:
      connection: in a transaction for writing that holds the key, see `lock_key`.
      reservation: of the request.
      used: the tokens of its prompts and answers.
    """
    removed = connection.execute(_REMOVE, {"reservation": reservation.id}).rowcount
    change = used - (reservation.tokens if removed else 0)
    values = {"key": reservation.key_id, "admitted": reservation.admitted, "change": change}
    connection.execute(_CORRECT, values)


def _count(
    connection: sa.Connection, reservation: Reservation, length: int, limits: dict[str, int]
) -> bool:
    """Adds a request to its window of `length` seconds; returns whether the limits allow that."""
    values = {
        "key": reservation.key_id,
        "length": length,
        "begin": reservation.admitted // length * length,
        "cost": reservation.tokens,
        **{f"most_{unit}": limit for unit, limit in limits.items()},
    }
    requests = connection.scalar(_counting(connection.dialect.name), values)
    if requests == 1:  # the window is new
        _forget_windows(connection, reservation.key_id, length, reservation.admitted)
    return requests is not None


@functools.cache  # SQLAlchemy takes longer to make it than the database to run it
def _counting(dialect: str) -> sa.Insert:
    """Returns the statement that adds a request to a window, and returns its requests; no row if a
    limit does not allow that.
    """
    windows, number = quota_windows.c, functools.partial(sa.bindparam, type_=sa.BigInteger)
    insert = _INSERT[dialect](quota_windows).values(
        key_id=sa.bindparam("key"),
        seconds=number("length"),
        start=number("begin"),
        requests=1,
        tokens=number("cost"),
    )
    sums = {"requests": windows.requests + 1, "tokens": windows.tokens + number("cost")}
    allowed = (
        sa.or_(number(f"most_{unit}") == 0, total <= number(f"most_{unit}"))
        for unit, total in sums.items()
    )
    return insert.on_conflict_do_update(
        index_elements=[windows.key_id, windows.seconds, windows.start],
        set_=sums,
        where=sa.and_(*allowed),
    ).returning(windows.requests)


def _refusal(
    connection: sa.Connection, key: KeyRecord, reservation: Reservation, name: str, wait: int
) -> QuotaError:
    """Returns the error for a window whose limits are reached."""
    length = WINDOWS[name]
    window = connection.execute(
        quota_windows.select().where(
            quota_windows.c.key_id == key.id,
            quota_windows.c.seconds == length,
            quota_windows.c.start == reservation.admitted // length * length,
        )
    ).one()
    requests = getattr(key.limits, f"requests_per_{name}")
    if requests and window.requests >= requests:
        reason = f"all {requests:,} requests of this {name}"
    else:
        tokens = getattr(key.limits, f"tokens_per_{name}")
        reason = (
            f"{window.tokens:,} of the {tokens:,} tokens of this {name}, and the request may take"
            f" {reservation.tokens:,}"
        )
    return QuotaError(f"the key {key.id} has used {reason}; wait {wait:,} seconds", wait)


def _release_expired(connection: sa.Connection, key_id: str, now: float) -> None:
    """Gives back the tokens of requests that have not ended in time."""
    for row in connection.execute(_EXPIRED, {"key": key_id, "now": int(now)}).all():
        settle(connection, Reservation(row.id, row.key_id, row.admitted, row.tokens), 0)


def _forget_windows(connection: sa.Connection, key_id: str, length: int, now: float) -> None:
    """Removes windows of this length that ended a whole one ago: a replica whose clock is a little
    late may still count in the last one.
    """
    connection.execute(
        quota_windows.delete().where(
            quota_windows.c.key_id == key_id,
            quota_windows.c.seconds == length,
            quota_windows.c.start <= int(now) - 2 * length,
        )
    )
