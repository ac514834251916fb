"""Who may enter the Studio."""

from tests.helpers.studio import API


def test_the_administrator_is_logged_in(studio_client):
    facts = studio_client.get(f"{API}/session").json()
    assert facts["person"]["role"] == "admin"
