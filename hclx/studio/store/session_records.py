"""Links that log a person in once, and sessions: browsers in which someone is logged in.

Of both the store has only hashes, as it has of keys: see `hclx.serve.store.key_secret`.
"""

import secrets

import sqlalchemy as sa

from hclx.serve.store.database import Database
from hclx.serve.store.key_records import KeyRecord, record_of
from hclx.serve.store.key_secret import hash_of
from hclx.serve.store.tables import api_keys
from hclx.studio.store.people_records import PERSON, Person, find_person, person_of
from hclx.studio.store.studio_tables import login_links, people, sessions

PREFIX = "hclx-session-"
LINK_SECONDS = 15 * 60  # of the link that a server prints
INVITATION_SECONDS = 3 * 86_400  # of a link for somebody else, who reads it later
IDLE_SECONDS = 12 * 3_600  # a session of which nothing was heard for so long has ended
_STEP_SECONDS = 60  # a session is written no more often
_RANDOM_BYTES = 32


def new_link(database: Database, person_id: str, now: float, seconds: int = LINK_SECONDS) -> str:
    """Makes a link, in place of those of the person that were not used.

    Args:
      database: the store.
      person_id: of the person.
      now: seconds since 1970.
      seconds: after which it expires.
    Returns:
      its token, which is shown once.
    Raises:
      NoSuchPersonError: there is no such person.
    """
    token = secrets.token_urlsafe(_RANDOM_BYTES)
    row = {"sha256": hash_of(token), "person": find_person(database, person_id).id}
    unused = login_links.c.person == person_id, login_links.c.used.is_(None)
    with database.writing(durable=True) as connection:
        connection.execute(login_links.delete().where(*unused))
        times = {"created": int(now), "expires": int(now + seconds)}
        connection.execute(login_links.insert(), {**row, **times})
    return token


def log_in(database: Database, token: str, now: float) -> str | None:
    """Uses a link, once.

    Returns:
      the secret of a new session; None if there is no such link, or it was used or has expired.
    """
    digest, at, secret = hash_of(token), int(now), PREFIX + secrets.token_urlsafe(_RANDOM_BYTES)
    is_open = login_links.c.used.is_(None), login_links.c.expires > at
    of_someone = login_links.c.person.in_(sa.select(people.c.id).where(people.c.removed.is_(None)))
    use = login_links.update().where(login_links.c.sha256 == digest, *is_open, of_someone)
    ended = sessions.c.seen <= at - IDLE_SECONDS
    with database.writing(durable=True) as connection:
        connection.execute(sessions.delete().where(ended))
        # Of two that use it at the same time, the second waits here and then changes no row.
        if connection.execute(use.values(used=at)).rowcount == 0:
            return None
        of_link = sa.select(login_links.c.person).where(login_links.c.sha256 == digest)
        times = {"created": at, "seen": at}
        row = {"sha256": hash_of(secret), "person": connection.scalar(of_link), **times}
        connection.execute(sessions.insert(), row)
    return secret


def log_out(database: Database, secret: str) -> None:
    """Ends a session, if there is one."""
    with database.writing(durable=True) as connection:
        connection.execute(sessions.delete().where(sessions.c.sha256 == hash_of(secret)))


def person_of_session(
    database: Database, secret: str, now: float
) -> tuple[Person, KeyRecord] | None:
    """Returns who is logged in, with the key; None if the session has ended, or the person was
    removed, or the key is not active. The session goes on for `IDLE_SECONDS` from now.
    """
    is_it = sessions.c.sha256 == hash_of(secret)
    joined = PERSON.add_columns(sessions.c.seen).join(sessions, sessions.c.person == people.c.id)
    with database.reading() as connection:
        row = connection.execute(joined.where(is_it, people.c.removed.is_(None))).first()
        if row is None or row.seen <= now - IDLE_SECONDS:
            return None
        is_key = api_keys.c.id == row.key_id
        key = record_of(connection.execute(api_keys.select().where(is_key)).one())
    if key.state(now) != "active":
        return None
    if row.seen <= now - _STEP_SECONDS:
        with database.writing() as connection:
            connection.execute(sessions.update().where(is_it).values(seen=int(now)))
    return person_of(row), key
