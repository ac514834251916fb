"""A server with the Studio over a small model, and clients that are logged in."""

import functools

from hclx.serve.admin_dialect import admin_dialect
from hclx.serve.serve_config import ServeConfig
from hclx.serve.server import DIALECTS, build_app
from hclx.studio.pages_dialect import pages_dialect
from hclx.studio.people.session_keys import SessionKeys
from hclx.studio.store.people_records import create_person, first_administrator
from hclx.studio.store.session_records import new_link
from hclx.studio.studio import Studio
from hclx.studio.studio_dialect import studio_dialect
from tests.helpers.serving import client_of

API = "/studio/api"
SAME_ORIGIN = {"Sec-Fetch-Site": "same-origin"}  # as a browser sends it from the Studio's pages


def studio_app(backend, database, clock, config=ServeConfig(), **fields):
    """An application with the Studio; `fields` are those of `Studio`."""
    keys = SessionKeys(database, clock=clock)
    admin = functools.partial(admin_dialect, database=database)
    make = lambda service: studio_dialect(Studio(service, database, clock, **fields))
    return build_app(backend, keys, config, (make, pages_dialect, admin, *DIALECTS))


def logged_in(app, database, clock, role="admin", name=None):
    """A client with the session of a new person, or of the first administrator if `name` is None
    and the role is that one; its `person` is who that is.
    """
    if role == "admin" and name is None:
        person = first_administrator(database, clock())
    else:
        person = create_person(database, name or role, role, clock())
    client = client_of(app, headers=SAME_ORIGIN)
    token = new_link(database, person.id, clock())
    answer = client.post(f"{API}/login", json={"token": token})
    assert answer.status_code == 200, answer.text
    client.person = person
    return client
