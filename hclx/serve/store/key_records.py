"""Keys: they are made, found by their secrets, listed, limited and revoked."""

import dataclasses
import hmac
import secrets
from collections.abc import Iterable, Mapping

import sqlalchemy as sa

from hclx.errors import ConfigError, guess, shown
from hclx.field_checks import Validated, either, require
from hclx.serve.caller import APP_SCOPE
from hclx.serve.store.database import Database
from hclx.serve.store.key_secret import ending_of, hash_of, new_secret
from hclx.serve.store.tables import api_keys, usage

KINDS = ("test", "service")
SCOPES = ("inference", "tuning", "admin")  # beside APP_SCOPE, which keys of apps have alone
LONGEST_NAME = 100
_MOST = 10**15  # of a limit: sums of 64 bits hold a thousand of them
_ID_BYTES = 6
_DAY = 86_400
_LAST_USE = sa.select(sa.func.max(usage.c.finished)).where(usage.c.key_id == api_keys.c.id)
_WITH_USE = sa.select(api_keys, _LAST_USE.scalar_subquery().label("last_used"))
_OF_SECRET = api_keys.select().where(api_keys.c.sha256 == sa.bindparam("digest"))


@dataclasses.dataclass(frozen=True)
class Limits(Validated):
    """The most that a key may ask for in each minute and each day of UTC; 0: no limit."""

    requests_per_minute: int = 0
    requests_per_day: int = 0
    tokens_per_minute: int = 0
    tokens_per_day: int = 0

    def _check(self):
        for field in dataclasses.fields(self):
            self._not_negative(field.name)
            value = getattr(self, field.name)
            require(value <= _MOST, f"Limits.{field.name}={value}: give at most {_MOST}, or 0")


@dataclasses.dataclass(frozen=True)
class KeyRecord:
    """A key as the store has it. Times are seconds since 1970.

    Attributes:
      id: tells it apart in logs and commands, and is no secret.
      name: for people.
      kind: "test" or "service".
      ending: the last characters of its secret.
      scopes: what it may do.
      tenant: keys of one tenant share beginnings in the prefix cache.
      created: when it was made.
      expires: from when on it is refused; None: never.
      revoked: when it was revoked; None: it was not.
      limits: its quotas.
      last_used: when its last request ended; None: there was none, or that is not known.
    """

    id: str
    name: str
    kind: str
    ending: str
    scopes: frozenset[str]
    tenant: str
    created: int
    expires: int | None
    revoked: int | None
    limits: Limits
    last_used: int | None = None

    def state(self, now: float) -> str:
        """Returns "active", "expired" or "revoked"."""
        if self.revoked is not None:
            return "revoked"
        return "expired" if self.expires is not None and self.expires <= now else "active"


class NoSuchKeyError(ConfigError):
    """The store has no key of this id."""


def create_key(
    database: Database,
    name: str,
    now: float,
    kind: str = "service",
    scopes: Iterable[str] = ("inference",),
    tenant: str = "",
    expires_days: float = 0,
    limits: Limits = Limits(),
) -> tuple[str, KeyRecord]:
    """Makes a key.

    Args:
      database: the store.
      name: for people; several keys may have one name.
      now: seconds since 1970.
      kind: "test" or "service".
      scopes: of `SCOPES`; or `APP_SCOPE` alone.
      tenant: keys of one tenant share beginnings in the prefix cache; "": this key alone.
      expires_days: days until it expires; 0: never.
      limits: its quotas.
    Returns:
      its secret, which cannot be had again, and its record.
    Raises:
      ConfigError: a value is out of range.
    """
    with database.writing(durable=True) as connection:
        return add_key(connection, name, now, kind, scopes, tenant, expires_days, limits)


def add_key(
    connection: sa.Connection,
    name: str,
    now: float,
    kind: str = "service",
    scopes: Iterable[str] = ("inference",),
    tenant: str = "",
    expires_days: float = 0,
    limits: Limits = Limits(),
) -> tuple[str, KeyRecord]:
    """Makes a key in a transaction for writing; see `create_key`."""
    scopes = frozenset(scopes)
    _check_texts(name, kind, scopes, tenant)
    if expires_days < 0:
        raise ConfigError(f"expires_days={expires_days} is negative; give days, or 0 for never")
    secret, key_id = new_secret(), secrets.token_hex(_ID_BYTES)
    values = {
        "id": key_id,
        "name": name,
        "kind": kind,
        "ending": ending_of(secret),
        "tenant": tenant or key_id,
        "created": int(now),
        "expires": int(now + expires_days * _DAY) if expires_days else None,
        "revoked": None,
    }
    row = {"sha256": hash_of(secret), "scopes": " ".join(sorted(scopes)), **vars(limits)}
    connection.execute(api_keys.insert().values(**values, **row))
    return secret, KeyRecord(**values, scopes=scopes, limits=limits)


def key_of_secret(database: Database, secret: str, now: float) -> KeyRecord | None:
    """Returns the key of a secret, None if there is none that is active.

    The database is asked each time, so that a key that was revoked is refused from then on.
    """
    digest = hash_of(secret)
    with database.reading() as connection:
        row = connection.execute(_OF_SECRET, {"digest": digest}).first()
    if row is None or not hmac.compare_digest(row.sha256, digest):
        return None
    record = record_of(row)
    return record if record.state(now) == "active" else None


def list_keys(database: Database) -> list[KeyRecord]:
    """Returns all keys, also those that were revoked, from the oldest on."""
    with database.reading() as connection:
        rows = connection.execute(_WITH_USE.order_by(api_keys.c.created, api_keys.c.id)).all()
    return [_used_record(row) for row in rows]


def find_key(database: Database, key_id: str) -> KeyRecord:
    """Returns a key, also one that was revoked. Raises NoSuchKeyError if there is none."""
    with database.reading() as connection:
        row = connection.execute(_WITH_USE.where(api_keys.c.id == key_id)).first()
        if row is None:
            raise no_such_key(connection, key_id)
    return _used_record(row)


def change_limits(database: Database, key_id: str, changes: Mapping[str, int]) -> KeyRecord:
    """Changes some of the limits of a key; what its windows have counted stays.

    Args:
      database: the store.
      key_id: of the key.
      changes: fields of `Limits` with their new values.
    Returns:
      its record with all of its limits.
    Raises:
      NoSuchKeyError: there is no such key.
      ConfigError: nothing is to be changed, or a limit is out of range.
    """
    if not changes:
        raise ConfigError("no limit is named; give one, such as --tokens_per_day=1000000")
    Limits(**changes)
    is_it = api_keys.c.id == key_id
    with database.writing(durable=True) as connection:
        connection.execute(api_keys.update().where(is_it).values(**changes))
        row = connection.execute(api_keys.select().where(is_it)).first()
        if row is None:
            raise no_such_key(connection, key_id)
    return record_of(row)


def revoke_key(database: Database, key_id: str, now: float) -> KeyRecord:
    """Revokes a key for good: every replica refuses it from now on. Requests that run go on.

    Returns:
      its record; a key that was revoked before keeps the time of that.
    Raises:
      NoSuchKeyError: there is no such key.
    """
    is_it = api_keys.c.id == key_id
    with database.writing(durable=True) as connection:
        connection.execute(
            api_keys.update().where(is_it, api_keys.c.revoked.is_(None)).values(revoked=int(now))
        )
        row = connection.execute(api_keys.select().where(is_it)).first()
        if row is None:
            raise no_such_key(connection, key_id)
    return record_of(row)


def no_such_key(connection: sa.Connection, key_id: str) -> NoSuchKeyError:
    """Returns the error for an id that no key of the store has, with the nearest that one has."""
    ids = connection.scalars(sa.select(api_keys.c.id)).all()
    return NoSuchKeyError(f"the store has no key {shown(key_id)}{guess(key_id, ids)}")


def record_of(row: sa.Row) -> KeyRecord:
    """Returns the record of a row of `api_keys`."""
    columns = row._mapping
    limits = Limits(**{field.name: columns[field.name] for field in dataclasses.fields(Limits)})
    plain = ("id", "name", "kind", "ending", "tenant", "created", "expires", "revoked")
    values = {name: columns[name] for name in plain}
    return KeyRecord(**values, scopes=frozenset(row.scopes.split()), limits=limits)


def _used_record(row: sa.Row) -> KeyRecord:
    return dataclasses.replace(record_of(row), last_used=row.last_used)


def check_key_name(name: str) -> None:
    """Raises ConfigError unless a text may be the name of a key."""
    _check_text("name", name)
    if not name:
        raise ConfigError("name is empty; say who will have the key")


def _check_texts(name: str, kind: str, scopes: frozenset[str], tenant: str) -> None:
    check_key_name(name)
    _check_text("tenant", tenant)
    if kind not in KINDS:
        raise ConfigError(f"kind={shown(kind)} is not {either(KINDS)}")
    is_known = scopes and (scopes <= set(SCOPES) or scopes == {APP_SCOPE})
    if not is_known:
        raise ConfigError(
            f"scopes={shown(','.join(sorted(scopes)))}: give some of {either(SCOPES)}"
        )


def _check_text(field: str, text: str) -> None:
    if len(text) > LONGEST_NAME or not text.isprintable() or text != text.strip():
        raise ConfigError(
            f"{field}={shown(text)}: give at most {LONGEST_NAME} characters that can be printed,"
            " without spaces around them"
        )
