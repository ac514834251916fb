"""Keys: their secrets, what they may do, expiry and revocation, on both databases."""

import hashlib
import re
from pathlib import Path

import pytest
import sqlalchemy as sa

from hclx.errors import ConfigError
from hclx.serve.api_error import ApiError
from hclx.serve.store.database import open_database
from hclx.serve.store.key_records import (
    Limits,
    change_limits,
    create_key,
    key_of_secret,
    list_keys,
    revoke_key,
)
from hclx.serve.store.key_store import KeyStore
from hclx.serve.store.tables import api_keys

NOW = 1_800_000_000.5
DAY = 86_400


def test_a_secret_has_256_bits_and_is_nowhere_in_the_store(database):
    secrets = [create_key(database, "검색팀", NOW)[0] for _ in range(20)]
    assert len(set(secrets)) == 20
    assert all(re.fullmatch(r"hclx-[\w-]{43}", secret) for secret in secrets)  # 43 * 6 = 258 bits
    with database.reading() as connection:
        rows = connection.execute(api_keys.select()).all()
    assert {row.sha256 for row in rows} == {
        hashlib.sha256(secret.encode()).hexdigest() for secret in secrets
    }
    assert not any(secret[5:] in str(rows) for secret in secrets)
    if database.path is not None:
        files = b"".join(path.read_bytes() for path in Path(database.path.parent).iterdir())
        assert secrets[0][-4:].encode() in files and secrets[0][5:].encode() not in files


def test_a_key_is_known_by_its_secret_alone(database):
    secret, key = create_key(
        database,
        "김하나 · 검색",
        NOW,
        kind="test",
        scopes=("tuning", "inference"),
        tenant="검색팀",
        limits=Limits(requests_per_minute=3, tokens_per_day=10**15),
    )
    create_key(database, "another", NOW)
    assert key_of_secret(database, secret, NOW) == key
    assert (key.name, key.kind, key.tenant) == ("김하나 · 검색", "test", "검색팀")
    assert key.scopes == {"inference", "tuning"} and key.ending == secret[-4:]
    assert key.limits == Limits(3, 0, 0, 10**15)
    wrong = (secret[:-1], secret + "A", secret.upper(), key.id, "", " ", "hclx-", "\0", "\udc80")
    assert [key_of_secret(database, text, NOW) for text in wrong] == [None] * len(wrong)


def test_keys_are_tenants_of_their_own_unless_told(database):
    first, second = (create_key(database, "same", NOW)[1] for _ in range(2))
    assert first.tenant == first.id != second.tenant == second.id


def test_a_key_expires_to_the_second(database):
    secret, key = create_key(database, "two days", NOW, expires_days=2)
    assert key.expires == 1_800_000_000 + 2 * DAY and key.created == 1_800_000_000
    assert key_of_secret(database, secret, key.expires - 0.01) == key
    assert key_of_secret(database, secret, key.expires) is None
    assert [key.state(NOW), key.state(key.expires)] == ["active", "expired"]


def test_another_replica_refuses_a_key_as_soon_as_it_is_revoked(database, url):
    secret, key = create_key(database, "leaked", NOW)
    with open_database(url) as replica:
        assert key_of_secret(replica, secret, NOW) == key
        revoked = revoke_key(database, key.id, NOW + 5)
        assert key_of_secret(replica, secret, NOW) is None
        assert revoke_key(replica, key.id, NOW + 9).revoked == revoked.revoked == 1_800_000_005
    (listed,) = list_keys(database)
    assert listed.state(NOW) == "revoked"


def test_a_key_that_there_is_not_cannot_be_revoked_and_the_nearest_is_named(database):
    _, key = create_key(database, "first", NOW)
    near = key.id[:-1] + ("0" if key.id[-1] != "0" else "1")
    with pytest.raises(ConfigError, match=f"has no key '{near}'; is it {key.id}"):
        revoke_key(database, near, NOW)
    with pytest.raises(ConfigError, match="has no key"):
        revoke_key(database, "' OR 1=1 --", NOW)
    assert [key.revoked for key in list_keys(database)] == [None]


@pytest.mark.parametrize(
    "options, message",
    [
        ({"name": ""}, "name is empty"),
        ({"name": "a\0b"}, "name='a.x00b'"),
        ({"name": "a\nb"}, "can be printed"),
        ({"name": " a"}, "without spaces around"),
        ({"name": "가" * 101}, "at most 100 characters"),
        ({"tenant": "\x1b[31m"}, "tenant="),
        ({"kind": "prod"}, "kind='prod' is not test or service"),
        ({"scopes": ("inference", "root")}, "give some of inference, tuning or admin"),
        ({"scopes": ()}, "scopes=''"),
        ({"expires_days": -1}, "expires_days=-1 is negative"),
    ],
)
def test_a_key_out_of_range_is_refused_and_not_made(tmp_path, options, message):
    with open_database(str(tmp_path / "keys.db")) as database:
        with pytest.raises(ConfigError, match=message):
            create_key(database, **{"name": "good", "now": NOW, **options})
        assert list_keys(database) == []


def test_limits_change_for_all_replicas_and_what_was_counted_stays(database, url):
    secret, key = create_key(database, "first", NOW, limits=Limits(requests_per_day=2))
    store = KeyStore(database, clock=lambda: NOW)
    caller = store.authenticate(secret)
    store.admit(caller, 5)
    with open_database(url) as replica:
        changed = change_limits(replica, key.id, {"requests_per_day": 1, "tokens_per_day": 90})
    assert changed.limits == Limits(requests_per_day=1, tokens_per_day=90)
    with pytest.raises(ApiError, match="all 1 requests of this day"):
        store.admit(caller, 5)
    change_limits(database, key.id, {"requests_per_day": 0})
    with pytest.raises(ApiError, match="5 of the 90 tokens"):
        store.admit(caller, 86)
    with pytest.raises(ConfigError, match="is negative"):
        change_limits(database, key.id, {"requests_per_day": -1})
    store.admit(caller, 85)


@pytest.mark.parametrize("value", [-1, 10**15 + 1, True, 1.5])
def test_limits_out_of_range_are_refused(value):
    with pytest.raises(ConfigError, match=r"Limits\.tokens_per_day"):
        Limits(tokens_per_day=value)


def test_the_store_itself_refuses_two_keys_of_one_secret(database):
    create_key(database, "first", NOW)
    with pytest.raises(sa.exc.IntegrityError), database.writing() as connection:
        (row,) = connection.execute(api_keys.select()).all()
        connection.execute(api_keys.insert().values(**{**row._mapping, "id": "other"}))
    assert len(list_keys(database)) == 1
