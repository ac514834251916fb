"""People in the store, on both databases."""

import threading

import pytest

from hclx.errors import ConfigError
from hclx.serve.store.key_records import Limits, find_key, list_keys
from hclx.studio.store.people_records import (
    SCOPES_OF_ROLE,
    LastAdministratorError,
    NoSuchPersonError,
    change_person,
    create_person,
    find_person,
    first_administrator,
    list_people,
    person_of_key,
    remove_person,
)


def in_threads(*calls):
    """Calls functions at the same time; returns their results, or the errors that they raised."""
    barrier, results = threading.Barrier(len(calls)), [None] * len(calls)

    def run(index):
        barrier.wait()
        try:
            results[index] = calls[index]()
        except ConfigError as error:
            results[index] = error

    threads = [threading.Thread(target=run, args=(index,)) for index in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return results


def test_people_are_kept_with_keys_of_their_own(database):
    hana = create_person(database, "김하나", "maker", 9.5, Limits(tokens_per_day=7))
    duri = create_person(database, "두리", "user", 10)
    assert list_people(database) == [hana, duri]
    assert find_person(database, hana.id) == hana and hana.limits.tokens_per_day == 7
    assert person_of_key(database, duri.key_id) == duri
    assert person_of_key(database, "none") is None
    keys = {key.id: key for key in list_keys(database)}
    assert {key.name for key in keys.values()} == {"김하나", "두리"}
    assert keys[hana.key_id].limits == hana.limits
    assert keys[hana.key_id].tenant != keys[duri.key_id].tenant


def test_a_role_decides_what_the_key_may_do(database):
    admin = first_administrator(database, 1)
    person = create_person(database, "하나", "user", 2)
    assert find_key(database, person.key_id).scopes == {"inference"}
    for role, scopes in SCOPES_OF_ROLE.items():
        assert change_person(database, person.id, role=role).role == role
        assert find_key(database, person.key_id).scopes == set(scopes)
    assert find_key(database, admin.key_id).scopes == {"inference", "tuning", "admin"}


def test_a_change_is_made_as_a_whole_or_not_at_all(database):
    person = create_person(database, "하나", "maker", 9)
    for wrong in (
        {"name": "두리", "role": "king"},
        {"name": "두리", "limits": {"tokens_per_day": -1}},
        {"name": " 두리", "role": "user"},
        {"name": "", "role": "user"},
    ):
        with pytest.raises(ConfigError):
            change_person(database, person.id, **wrong)
        assert find_person(database, person.id) == person
    changed = change_person(database, person.id, "두리", "user", {"tokens_per_day": 5})
    assert (changed.name, changed.role, changed.limits.tokens_per_day) == ("두리", "user", 5)
    assert find_key(database, person.key_id).name == "두리"
    assert change_person(database, person.id) == changed
    with pytest.raises(NoSuchPersonError, match="pe-none"):
        change_person(database, "pe-none", name="x")


def test_who_was_removed_is_not_there_and_the_key_is_revoked(database):
    person = create_person(database, "하나", "maker", 9)
    remove_person(database, person.id, 20)
    assert list_people(database) == [] and person_of_key(database, person.key_id) is None
    assert find_key(database, person.key_id).revoked == 20
    for call in (find_person, lambda *a: remove_person(*a, 21), change_person):
        with pytest.raises(NoSuchPersonError):
            call(database, person.id)


def test_an_administrator_is_left(database):
    admin = first_administrator(database, 1)
    create_person(database, "하나", "maker", 2)
    for call in (
        lambda: remove_person(database, admin.id, 9),
        lambda: change_person(database, admin.id, role="maker"),
    ):
        with pytest.raises(LastAdministratorError, match="admin is the only administrator"):
            call()
    other = create_person(database, "두리", "admin", 3)
    remove_person(database, other.id, 9)
    with pytest.raises(LastAdministratorError):  # one who was removed counts no more
        remove_person(database, admin.id, 9)


def test_of_two_administrators_who_remove_each_other_at_once_one_is_left(database):
    for _ in range(3):
        first_administrator(database, 1)
        create_person(database, "하나", "admin", 2)
        pair = list_people(database)
        in_threads(*(lambda p=p: remove_person(database, p.id, 9) for p in pair))
        assert len(list_people(database)) == 1


def test_servers_that_start_at_once_add_one_administrator(database):
    people = in_threads(*[lambda: first_administrator(database, 5)] * 4)
    assert len({person.id for person in people}) == 1
    assert [person.name for person in list_people(database)] == ["admin"]
