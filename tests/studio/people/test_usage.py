"""Who sees what was used, and whose it was."""

import pytest

pytest.importorskip("sqlalchemy")

from hclx.serve.store.key_records import Limits, create_key
from hclx.serve.store.usage_store import Finished, add_usage
from hclx.studio.store.app_records import create_app, remove_app, renew_key
from hclx.studio.store.prompt_records import create_prompt
from hclx.studio.store.version_records import add_version
from tests.helpers.studio import API
from tests.studio.conftest import NOON

DAY = 86_400  # seconds


@pytest.fixture
def use(database):
    """A function that records a request of a key, `days` ago."""
    numbers = iter(range(1000))

    def record(key_id, n_prompt, n_written, days=0):
        finished = Finished(n_prompt, n_written, "tiny", "/v1/completions", "stop")
        with database.writing() as connection:
            add_usage(connection, f"r{next(numbers)}", key_id, finished, NOON - days * DAY)

    return record


def rows_of(client, query=""):
    answer = client.get(f"{API}/usage{query}")
    assert answer.status_code == 200, answer.text
    names = ("day", "kind", "name", "slug", "requests", "prompt_tokens", "completion_tokens")
    return [tuple(row[name] for name in names) for row in answer.json()["data"]]


def app_of(database, person):
    """Makes an app of a person, and returns it."""
    prompt = create_prompt(database, person.id, "감정", "{}", NOON)
    add_version(database, prompt, person.id, 1, person.id, "", NOON)
    asked = person.id, person.id, prompt, 1, "후기 앱", "reviews", Limits(), NOON
    return create_app(database, *asked)[1]


def test_people_see_their_own_and_their_apps_and_administrators_see_all(
    database, login_as, studio_client, use
):
    maker, other = login_as("maker", "김하나"), login_as("user", "이두리")
    app = app_of(database, maker.person)
    _, key = create_key(database, "검색팀", NOON)
    use(maker.person.key_id, 5, 1, days=1)
    use(maker.person.key_id, 6, 2)
    use(maker.person.key_id, 7, 3)
    use(other.person.key_id, 100, 10)
    use(app.key_id, 30, 4)
    use(key.id, 50, 5)
    yesterday = ("2024-10-03", "person", "김하나", None, 1, 5, 1)
    own = ("2024-10-04", "person", "김하나", None, 2, 13, 5)
    of_app = ("2024-10-04", "app", "후기 앱", "reviews", 1, 30, 4)
    assert rows_of(maker)[0] == yesterday and set(rows_of(maker)[1:]) == {own, of_app}
    of_other = ("2024-10-04", "person", "이두리", None, 1, 100, 10)
    assert rows_of(other) == [of_other]
    of_key = ("2024-10-04", "key", "검색팀", None, 1, 50, 5)
    assert set(rows_of(studio_client)) == {yesterday, own, of_app, of_other, of_key}
    assert studio_client.get(f"{API}/usage").json()["is_whole"]
    assert not maker.get(f"{API}/usage").json()["is_whole"]
    assert yesterday not in rows_of(maker, "?days=1") and own in rows_of(maker, "?days=1")


def test_what_an_app_has_used_stays_its_owners_with_another_key_and_without_the_app(
    database, login_as, use
):
    maker = login_as("maker", "김하나")
    app = app_of(database, maker.person)
    use(app.key_id, 30, 4)
    _, renewed = renew_key(database, app.slug, maker.person.id, NOON)
    use(renewed.key_id, 3, 1)
    remove_app(database, app.slug, maker.person.id, NOON)
    used = {row[1:] for row in rows_of(maker)}
    assert used == {("app", "후기 앱", "reviews", 1, n, m) for n, m in ((30, 4), (3, 1))}


def test_what_is_no_number_of_days_is_refused(login_as, nobody):
    for days in ("0", "x", "-1"):
        assert login_as("user").get(f"{API}/usage?days={days}").status_code == 400
    assert nobody.get(f"{API}/usage").status_code == 401
