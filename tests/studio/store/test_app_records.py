"""Apps and their keys in the store, on both databases."""

import pytest

from hclx.errors import ConfigError
from hclx.serve.store.key_records import Limits, find_key, key_of_secret, list_keys
from hclx.studio.store import app_records, prompt_records, version_records
from hclx.studio.store.studio_errors import ConflictError, NotThereError
from tests.helpers.threads import at_once

LIMITS = Limits(requests_per_minute=5, tokens_per_day=900)


@pytest.fixture
def prompt(database, hana):
    """The id of a prompt of Hana's with two versions."""
    prompt = prompt_records.create_prompt(database, hana, "후기", "{}", 10)
    for _ in range(2):
        version_records.add_version(database, prompt, hana, 1, hana, "", 11)
    return prompt


def made(database, owner, prompt, slug="review", number=1, limits=LIMITS, most=100):
    asked = prompt, number, "후기 앱", slug, limits, 12
    return app_records.create_app(database, owner, owner, *asked, "ours", most)


def test_an_app_has_a_key_that_can_call_nothing_else(database, hana, prompt):
    secret, app = made(database, hana, prompt)
    assert (app.slug, app.owner, app.prompt, app.number) == ("review", hana, prompt, 1)
    assert (app.title, app.created, app.limits) == ("후기 앱", 12, LIMITS)
    assert app_records.find_app(database, "review") == app
    key = key_of_secret(database, secret, 13)
    assert (key.id, key.scopes, key.limits) == (app.key_id, {"app"}, LIMITS)
    assert key.tenant == "ours"


def test_slugs_are_given_once(database, hana, duri, prompt):
    results = at_once([lambda: made(database, hana, prompt)] * 4)
    assert [type(result) for result in results].count(ConflictError) == 3
    app_records.remove_app(database, "review", hana, 13)
    n_keys = len(list_keys(database))
    theirs = prompt_records.create_prompt(database, duri, "x", "{}", 10)
    version_records.add_version(database, theirs, duri, 1, duri, "", 11)
    with pytest.raises(ConflictError, match="slug='review'"):
        made(database, duri, theirs)
    assert len(list_keys(database)) == n_keys, "a key without an app"


def test_others_see_nothing_and_administrators_all(database, hana, duri, prompt):
    for owner, number in ((duri, 1), (hana, 3)):
        with pytest.raises(NotThereError):
            made(database, owner, prompt, number=number)
    app = made(database, hana, prompt)[1]
    assert app_records.list_apps(database, duri) == []
    assert app_records.list_apps(database, hana) == app_records.list_apps(database, None) == [app]
    for call in (
        lambda: app_records.find_app(database, "review", duri),
        lambda: app_records.change_app(database, "review", duri, title="x"),
        lambda: app_records.renew_key(database, "review", duri, 13),
        lambda: app_records.remove_app(database, "review", duri, 13),
    ):
        with pytest.raises(NotThereError):
            call()
    assert app_records.change_app(database, "review", None, title="y").title == "y"


def test_an_app_is_changed_as_a_whole_or_not_at_all(database, hana, prompt):
    app = made(database, hana, prompt)[1]
    change = lambda **values: app_records.change_app(database, "review", hana, **values)
    assert change() == app
    changed = change(title="새 이름", number=2, limits={"requests_per_minute": 6})
    assert (changed.title, changed.number) == ("새 이름", 2)
    assert changed.limits == find_key(database, app.key_id).limits == Limits(6, 0, 0, 900)
    for values in ({"number": 3}, {"limits": {"tokens_per_day": -1}}):
        with pytest.raises((NotThereError, ConfigError)):
            change(title="z", **values)
    assert app_records.find_app(database, "review") == changed


def test_a_new_key_replaces_the_old_one(database, hana, prompt):
    old, app = made(database, hana, prompt)
    new, renewed = app_records.renew_key(database, "review", hana, 13)
    assert key_of_secret(database, old, 14) is None
    key = key_of_secret(database, new, 14)
    assert (key.limits, key.tenant, key.scopes) == (LIMITS, "ours", {"app"})
    assert renewed == app_records.find_app(database, "review") and renewed.key_id != app.key_id
    results = at_once([lambda: app_records.renew_key(database, "review", hana, 15)] * 3)
    active = [secret for secret, _ in results if key_of_secret(database, secret, 16)]
    assert len(active) == 1
    key_id = app_records.find_app(database, "review").key_id
    assert key_of_secret(database, active[0], 16).id == key_id


def test_a_removed_app_is_gone_with_its_key(database, hana, prompt):
    secret, _ = made(database, hana, prompt)
    with pytest.raises(ConflictError, match="review"):
        prompt_records.remove_prompt(database, prompt, hana, 13)
    prompt_records.find_prompt(database, prompt, hana)
    app_records.remove_app(database, "review", hana, 13)
    assert key_of_secret(database, secret, 14) is None
    with pytest.raises(NotThereError):
        app_records.find_app(database, "review")
    assert app_records.list_apps(database, None) == []
    prompt_records.remove_prompt(database, prompt, hana, 14)
    with pytest.raises(NotThereError):
        made(database, hana, prompt, slug="second")


def test_a_person_has_so_many_apps(database, hana, prompt):
    made(database, hana, prompt, "a-1", most=2)
    made(database, hana, prompt, "a-2", most=2)
    with pytest.raises(ConflictError, match="2 of your own"):
        made(database, hana, prompt, "a-3", most=2)
    app_records.remove_app(database, "a-1", hana, 13)
    assert made(database, hana, prompt, "a-3", most=2)


def test_a_prompt_is_not_removed_while_an_app_of_it_is_made(database, hana):
    for number in range(8):
        prompt = prompt_records.create_prompt(database, hana, "x", "{}", 10)
        version_records.add_version(database, prompt, hana, 1, hana, "", 11)
        app, removal = at_once(
            [
                lambda: made(database, hana, prompt, f"app-{number}"),
                lambda: prompt_records.remove_prompt(database, prompt, hana, 12),
            ]
        )
        if isinstance(app, Exception):
            assert isinstance(app, NotThereError) and removal is None
        else:
            assert isinstance(removal, ConflictError)
