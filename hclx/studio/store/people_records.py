"""People: those who may log in, each with a role and a key of its own, whose secret nobody has."""

import dataclasses
import secrets
from collections.abc import Mapping

import sqlalchemy as sa

from hclx.errors import ConfigError, shown
from hclx.field_checks import either
from hclx.serve.store.database import Database
from hclx.serve.store.key_records import Limits, add_key, check_key_name
from hclx.serve.store.tables import api_keys, usage
from hclx.studio.store.studio_errors import ConflictError, NotThereError
from hclx.studio.store.studio_tables import login_links, people, sessions

# Role -> what the key of a person of it may do.
SCOPES_OF_ROLE = {
    "user": ("inference",),
    "maker": ("inference", "tuning"),
    "admin": ("inference", "tuning", "admin"),
}
FIRST_NAME = "admin"  # of the administrator that a new store begins with
_POSTGRES_LOCK = 0x70656F70  # "peop": of pg_advisory_xact_lock, a change of people at a time
_ID_BYTES = 6
_LIMITS = tuple(field.name for field in dataclasses.fields(Limits))
PERSON = sa.select(people, *(api_keys.c[name] for name in _LIMITS)).join(
    api_keys, api_keys.c.id == people.c.key_id
)
_SEEN = tuple(
    sa.select(sa.func.max(time)).where(owner == of).scalar_subquery().label(name)
    for name, time, owner, of in (
        ("session_seen", sessions.c.seen, sessions.c.person, people.c.id),
        ("link_used", login_links.c.used, login_links.c.person, people.c.id),
        ("key_used", usage.c.finished, usage.c.key_id, people.c.key_id),
    )
)


@dataclasses.dataclass(frozen=True)
class Person:
    """Someone who may log in. Times are seconds since 1970.

    Attributes:
      id: tells the person apart.
      name: for people; several may have one.
      role: "user", "maker" or "admin".
      key_id: the key under which the person's requests are counted.
      created: when the person was added.
      limits: the quotas of the key.
      seen: when the person was last here; None: never, or that is not known.
    """

    id: str
    name: str
    role: str
    key_id: str
    created: int
    limits: Limits = Limits()
    seen: int | None = None


class NoSuchPersonError(NotThereError):
    """The store has nobody of this id."""


class LastAdministratorError(ConflictError):
    """Nobody else could make new links for people."""


def create_person(
    database: Database, name: str, role: str, now: float, limits: Limits = Limits()
) -> Person:
    """Adds a person, and a key whose secret is thrown away.

    Args:
      database: the store.
      name: for people.
      role: of `SCOPES_OF_ROLE`.
      now: seconds since 1970.
      limits: quotas of the key.
    Raises:
      ConfigError: the name or the role is out of range.
    """
    with database.writing(durable=True) as connection:
        return _add_person(connection, name, role, now, limits)


def first_administrator(database: Database, now: float) -> Person:
    """Returns the administrator who has been there longest; adds `FIRST_NAME` if there is none."""
    is_admin = people.c.role == "admin", people.c.removed.is_(None)
    oldest = PERSON.where(*is_admin).order_by(people.c.created, people.c.id).limit(1)
    with database.writing(durable=True) as connection:
        _lock_people(connection)
        row = connection.execute(oldest).first()
        return person_of(row) if row else _add_person(connection, FIRST_NAME, "admin", now)


def list_people(database: Database) -> list[Person]:
    """Returns the people who were not removed, from the oldest on."""
    statement = PERSON.add_columns(*_SEEN).where(people.c.removed.is_(None))
    with database.reading() as connection:
        rows = connection.execute(statement.order_by(people.c.created, people.c.id)).all()
    return [_seen_person(row) for row in rows]


def find_person(database: Database, person_id: str) -> Person:
    """Returns a person. Raises NoSuchPersonError if there is none, or none any more."""
    is_it = people.c.id == person_id, people.c.removed.is_(None)
    with database.reading() as connection:
        row = connection.execute(PERSON.add_columns(*_SEEN).where(*is_it)).first()
    if row is None:
        raise _no_such_person(person_id)
    return _seen_person(row)


def person_of_key(database: Database, key_id: str) -> Person | None:
    """Returns the person whose requests a key counts; None if it is nobody's, or was."""
    is_it = people.c.key_id == key_id, people.c.removed.is_(None)
    with database.reading() as connection:
        row = connection.execute(PERSON.where(*is_it)).first()
    return row and person_of(row)


def change_person(
    database: Database,
    person_id: str,
    name: str | None = None,
    role: str | None = None,
    limits: Mapping[str, int] | None = None,
) -> Person:
    """Changes a person, as a whole or not at all; what is None stays.

    Args:
      database: the store.
      person_id: of the person.
      name: for people.
      role: which decides what the key may do from now on.
      limits: fields of `Limits` with their new values.
    Raises:
      NoSuchPersonError: there is no such person.
      LastAdministratorError: no other administrator would be left.
      ConfigError: a value is out of range.
    """
    of_person = {"name": name, "role": role}
    of_person = {field: value for field, value in of_person.items() if value is not None}
    of_key = {"name": name} if name is not None else {}
    _check(**of_person)
    if role is not None:
        of_key["scopes"] = " ".join(sorted(SCOPES_OF_ROLE[role]))
    of_key |= _checked_limits(limits or {})
    with database.writing(durable=True) as connection:
        person = _locked_person(connection, person_id)
        if role not in (None, "admin"):
            _keep_an_administrator(connection, person)
        if of_person:
            is_it = people.c.id == person_id
            connection.execute(people.update().where(is_it).values(**of_person))
        if of_key:
            is_its = api_keys.c.id == person.key_id
            connection.execute(api_keys.update().where(is_its).values(**of_key))
        return _locked_person(connection, person_id)


def remove_person(database: Database, person_id: str, now: float) -> None:
    """Removes a person: the key is revoked, and sessions and links end. What the person has made
    and used stays in the store.

    Raises:
      NoSuchPersonError: there is no such person.
      LastAdministratorError: there is no other administrator.
    """
    with database.writing(durable=True) as connection:
        person = _locked_person(connection, person_id)
        _keep_an_administrator(connection, person)
        at = int(now)
        connection.execute(people.update().where(people.c.id == person_id).values(removed=at))
        is_active = api_keys.c.id == person.key_id, api_keys.c.revoked.is_(None)
        connection.execute(api_keys.update().where(*is_active).values(revoked=at))
        connection.execute(sessions.delete().where(sessions.c.person == person_id))
        connection.execute(login_links.delete().where(login_links.c.person == person_id))


def person_of(row: sa.Row) -> Person:
    """Returns the person of a row that has the columns of `people` and the limits of the key."""
    columns = row._mapping
    limits = Limits(**{name: columns[name] for name in _LIMITS})
    plain = ("id", "name", "role", "key_id", "created")
    return Person(**{name: columns[name] for name in plain}, limits=limits)


def _seen_person(row: sa.Row) -> Person:
    times = (row.session_seen, row.link_used, row.key_used)
    seen = max((time for time in times if time is not None), default=None)
    return dataclasses.replace(person_of(row), seen=seen)


def _add_person(
    connection: sa.Connection, name: str, role: str, now: float, limits: Limits = Limits()
) -> Person:
    _check(name, role)
    _, key = add_key(connection, name, now, scopes=SCOPES_OF_ROLE[role], limits=limits)
    identity = f"pe-{secrets.token_hex(_ID_BYTES)}"
    person = Person(identity, name, role, key.id, int(now), limits)
    row = {name: getattr(person, name) for name in ("id", "name", "role", "key_id", "created")}
    connection.execute(people.insert(), row)
    return person


def _check(name: str | None = None, role: str | None = None) -> None:
    if name is not None:
        check_key_name(name)
    if role is not None and role not in SCOPES_OF_ROLE:
        raise ConfigError(f"role={shown(role)} is not {either(tuple(SCOPES_OF_ROLE))}")


def _checked_limits(limits: Mapping[str, int]) -> dict[str, int]:
    Limits(**limits)
    return dict(limits)


def _lock_people(connection: sa.Connection) -> None:
    """Waits until no other transaction changes people; SQLite has one writer at a time anyway."""
    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_POSTGRES_LOCK)))


def _locked_person(connection: sa.Connection, person_id: str) -> Person:
    _lock_people(connection)
    is_it = people.c.id == person_id, people.c.removed.is_(None)
    row = connection.execute(PERSON.where(*is_it)).first()
    if row is None:
        raise _no_such_person(person_id)
    return person_of(row)


def _keep_an_administrator(connection: sa.Connection, person: Person) -> None:
    """Raises LastAdministratorError if a person is the only administrator."""
    others = sa.select(people.c.id).where(
        people.c.role == "admin", people.c.removed.is_(None), people.c.id != person.id
    )
    if person.role == "admin" and connection.execute(others).first() is None:
        raise LastAdministratorError(
            f"{person.name} is the only administrator; make another person one first"
        )


def _no_such_person(person_id: str) -> NoSuchPersonError:
    return NoSuchPersonError(f"the store has no person {shown(person_id)}")
