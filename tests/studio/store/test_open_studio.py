"""A Studio that is opened from nothing, and again, on both databases."""

import pytest

from hclx.errors import ConfigError
from hclx.studio.open_studio import login_line, open_studio
from hclx.studio.store.people_records import create_person, list_people, remove_person
from hclx.studio.store.session_records import log_in


def test_a_studio_is_made_once(url, tmp_path):
    folder = tmp_path / "studio"
    for _ in range(2):
        with open_studio(folder, url) as keys:
            line = login_line(keys, "127.0.0.1", 8000)
            before, _, token = line.rpartition("/")
            assert before == "the Studio: http://127.0.0.1:8000/studio/#/login"
            people = list_people(keys.database)
            assert [(person.name, person.role) for person in people] == [("admin", "admin")]
            secret = log_in(keys.database, token, people[0].created + 1)
            assert keys.authenticate(secret).person.name == "admin"
            assert login_line(keys, "::", 80).startswith("the Studio: http://[::]:80/studio/")


def test_the_link_is_that_of_an_administrator_who_is_there(url, tmp_path):
    with open_studio(tmp_path, url) as keys:
        login_line(keys, "localhost", 80)
        (admin,) = list_people(keys.database)
        other = create_person(keys.database, "두리", "admin", admin.created)
        remove_person(keys.database, admin.id, admin.created)
        token = login_line(keys, "localhost", 80).rpartition("/")[2]
        secret = log_in(keys.database, token, other.created + 1)
        assert keys.authenticate(secret).person == other


def test_the_folder_has_the_store_and_one_server(tmp_path):
    with open_studio(tmp_path / "studio", None):
        assert (tmp_path / "studio" / "store.db").exists()
        with pytest.raises(ConfigError, match="in use by another server"):
            with open_studio(tmp_path / "studio", None):
                pass
