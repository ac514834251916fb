"""Links and sessions in the store, on both databases."""

import pytest
import sqlalchemy as sa

from hclx.serve.store import tables
from hclx.serve.store.key_records import revoke_key
from hclx.studio.store import studio_tables
from hclx.studio.store.people_records import (
    NoSuchPersonError,
    change_person,
    create_person,
    find_person,
    remove_person,
)
from hclx.studio.store.session_records import log_in, log_out, new_link, person_of_session
from tests.studio.store.test_people_records import in_threads

HOUR = 3_600


@pytest.fixture
def person(database):
    return create_person(database, "하나", "maker", 9)


def whose(database, secret, now):
    """The person of a session; None if it has ended."""
    known = person_of_session(database, secret, now)
    return known and known[0]


def test_a_link_logs_in_once(database, person):
    token = new_link(database, person.id, 10)
    secret = log_in(database, token, 11)
    assert whose(database, secret, 12) == person
    assert log_in(database, token, 12) is None
    assert log_in(database, "none", 12) is None
    assert find_person(database, person.id).seen == 11


def test_of_many_who_use_a_link_at_once_one_is_logged_in(database, person):
    token = new_link(database, person.id, 10)
    secrets = in_threads(*[lambda: log_in(database, token, 11)] * 6)
    assert len([secret for secret in secrets if secret]) == 1


def test_a_link_expires_and_a_newer_one_replaces_it(database, person):
    assert log_in(database, new_link(database, person.id, 10, seconds=60), 70) is None
    assert log_in(database, new_link(database, person.id, 10, seconds=60), 69)
    first, second = (new_link(database, person.id, 10) for _ in range(2))
    assert log_in(database, first, 11) is None and log_in(database, second, 11)
    with pytest.raises(NoSuchPersonError):
        new_link(database, "pe-none", 10)


def test_a_session_ends_after_twelve_quiet_hours(database, person):
    secret = log_in(database, new_link(database, person.id, 0), 0)
    for hours in (6, 17, 28):  # each within twelve hours of the one before
        assert whose(database, secret, hours * HOUR)
    assert whose(database, secret, 40 * HOUR - 1)
    assert whose(database, secret, 52 * HOUR) is None
    again = log_in(database, new_link(database, person.id, 60 * HOUR), 60 * HOUR)
    assert whose(database, again, 61 * HOUR)
    with database.reading() as connection:  # those that have ended are forgotten
        assert connection.scalar(sa.select(sa.func.count(studio_tables.sessions.c.sha256))) == 1


def test_a_session_ends_with_its_log_out_alone(database, person):
    secrets = [log_in(database, new_link(database, person.id, 0), 0) for _ in range(2)]
    log_out(database, secrets[0])
    assert whose(database, secrets[0], 1) is None and whose(database, secrets[1], 1) == person
    log_out(database, "none")


def test_a_session_ends_with_the_person_and_with_the_key(database, person):
    secret, link = log_in(database, new_link(database, person.id, 0), 0), None
    link = new_link(database, person.id, 1)
    remove_person(database, person.id, 2)
    assert whose(database, secret, 3) is None and log_in(database, link, 3) is None
    other = create_person(database, "두리", "user", 9)
    secret = log_in(database, new_link(database, other.id, 0), 0)
    revoke_key(database, other.key_id, 1)
    assert whose(database, secret, 2) is None


def test_a_session_is_of_the_role_that_the_person_has_now(database, person):
    secret = log_in(database, new_link(database, person.id, 0), 0)
    change_person(database, person.id, role="user")
    found, key = person_of_session(database, secret, 1)
    assert found.role == "user" and key.scopes == {"inference"} and key.id == person.key_id


def test_no_secret_is_in_the_store(database, person):
    token = new_link(database, person.id, 0)
    secret = log_in(database, token, 0)
    unused = new_link(database, person.id, 0)
    with database.reading() as connection:
        kept = [
            str(connection.execute(table.select()).all())
            for table in (*tables.TABLES.values(), *studio_tables.TABLES.values())
        ]
    for text in (token, secret, unused, secret.removeprefix("hclx-session-")):
        assert text not in "".join(kept)
