"""Who may enter the Studio, as what, and what those may do who may not."""

from http.cookies import SimpleCookie

import httpx2
import pytest
from starlette.routing import Route

from hclx.serve.openapi_document import operation_of
from hclx.serve.serve_config import ServeConfig
from hclx.serve.store.key_records import create_key, find_key
from hclx.serve.store.usage_store import usage_by_day
from hclx.studio.store.people_records import create_person, first_administrator
from hclx.studio.store.session_records import IDLE_SECONDS, LINK_SECONDS, new_link
from tests.helpers.serving import client_of, served
from tests.helpers.studio import API, SAME_ORIGIN, studio_app

PROMPT = {"model": "tiny", "prompt": "hello", "max_tokens": 3}
PUBLIC = {
    *(("GET", "/health"), ("GET", "/ready"), ("POST", f"{API}/login")),
    *(("GET", "/studio"), ("GET", "/studio/{file:path}"), ("GET", "/apps/{slug}")),
}


@pytest.fixture
def admin(database, clock):
    return first_administrator(database, clock())


def log_in(client, token):
    return client.post(f"{API}/login", json={"token": token})


def cookie_of(response):
    (morsel,) = SimpleCookie(response.headers["set-cookie"]).values()
    return morsel


def test_a_link_opens_the_studio_once(nobody, database, clock, admin):
    token = new_link(database, admin.id, clock())
    answer = log_in(nobody, token)
    assert answer.status_code == 200 and answer.headers["cache-control"] == "no-store"
    facts = answer.json()
    assert facts == nobody.get(f"{API}/session").json()
    assert facts["person"] == {"id": admin.id, "name": "admin", "role": "admin"}
    assert facts["models"] == [{"name": "tiny", "is_tuned": False}]
    assert (facts["max_length"], facts["has_chat"], facts["has_tuning"]) == (64, True, False)
    assert facts["filter"] == {
        **{"name": "words", "categories": ["insult", "discrimination"]},
        "block": None,
    }
    again = log_in(nobody, token)
    assert again.status_code == 401 and "ask an administrator" in again.json()["error"]["message"]


def test_a_link_expires(nobody, database, clock, admin):
    token = new_link(database, admin.id, clock())
    clock.now += LINK_SECONDS
    assert log_in(nobody, token).status_code == 401
    assert nobody.get(f"{API}/session").status_code == 401


def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(app, database, clock, admin):
    with client_of(app) as client:
        morsel = cookie_of(log_in(client, new_link(database, admin.id, clock())))
    assert morsel.key == "hclx_session" and morsel["httponly"] and morsel["path"] == "/"
    assert morsel["samesite"] == "strict" and not morsel["secure"] and not morsel["domain"]


@pytest.mark.parametrize("trusted, secure", [(("127.0.0.1",), True), (("10.0.0.0/8",), False)])
def test_behind_a_proxy_that_is_trusted_the_cookie_is_for_tls(
    backend, database, clock, admin, trusted, secure
):
    app = studio_app(backend, database, clock, ServeConfig(trusted_proxies=trusted))
    with served(app) as address, httpx2.Client(base_url=address) as client:
        body = {"token": new_link(database, admin.id, clock())}
        headers = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "9.9.9.9"}
        answer = client.post(f"{API}/login", json=body, headers=headers)
    assert answer.status_code == 200
    assert bool(cookie_of(answer)["secure"]) == secure


def test_a_stolen_cookie_is_worth_nothing_after_the_log_out(app, studio_client):
    stolen = dict(studio_client.cookies)
    with client_of(app, cookies=stolen, headers=SAME_ORIGIN) as thief:
        assert thief.get(f"{API}/session").status_code == 200
        answer = studio_client.post(f"{API}/logout")
        assert answer.status_code == 200 and cookie_of(answer).value == ""
        assert not studio_client.cookies
        for client in (thief, studio_client):
            assert client.get(f"{API}/session").status_code == 401
            assert client.post("/v1/completions", json=PROMPT).status_code == 401


def test_a_session_ends_when_nothing_was_asked_for_long(studio_client, clock):
    clock.now += IDLE_SECONDS - 1
    assert studio_client.get(f"{API}/session").status_code == 200
    clock.now += IDLE_SECONDS
    answer = studio_client.get(f"{API}/session")
    assert answer.status_code == 401 and "log in again" in answer.json()["error"]["message"]


def test_who_was_removed_is_out_at_once(studio_client, login_as):
    maker = login_as("maker")
    assert maker.get(f"{API}/session").status_code == 200
    link = studio_client.post(f"{API}/people/{maker.person.id}/link").json()["link_token"]
    assert studio_client.delete(f"{API}/people/{maker.person.id}").status_code == 200
    assert maker.get(f"{API}/session").status_code == 401
    assert log_in(maker, link).status_code == 401
    assert studio_client.delete(f"{API}/people/{maker.person.id}").status_code == 404


def test_an_administrator_adds_people_who_log_in_by_their_link(studio_client, nobody, clock):
    clock.now += 1  # by which they are sorted
    body = {"name": "김하나", "role": "maker", "limits": {"tokens_per_day": 7}}
    answer = studio_client.post(f"{API}/people", json=body)
    assert answer.status_code == 201 and answer.headers["cache-control"] == "no-store"
    made = answer.json()
    assert log_in(nobody, made["link_token"]).json()["person"]["name"] == "김하나"
    people = studio_client.get(f"{API}/people").json()["data"]
    assert [person["name"] for person in people] == ["admin", "김하나"]
    hana = people[1]
    assert hana["seen"] is not None and hana["limits"]["tokens_per_day"] == 7
    refused = nobody.post("/v1/completions", json=PROMPT, headers=SAME_ORIGIN)
    assert refused.status_code == 400 and "7 a day" in refused.json()["error"]["message"]
    path, change = f"{API}/people/{hana['id']}", {"name": "하나", "limits": {"tokens_per_day": 0}}
    assert studio_client.patch(path, json=change).json()["name"] == "하나"
    assert nobody.post("/v1/completions", json=PROMPT, headers=SAME_ORIGIN).status_code == 200


def test_people_are_counted_each(database, login_as):
    clients = [login_as("user", "하나"), login_as("user", "두리")]
    for client, count in zip(clients, (2, 1)):
        for _ in range(count):
            assert client.post("/v1/completions", json=PROMPT).status_code == 200
    assert {day.name: day.requests for day in usage_by_day(database, 0)} == {"하나": 2, "두리": 1}


def test_a_role_holds_for_all_routes_of_the_server(studio_client, login_as):
    routes = {
        "user": [("POST", "/v1/completions", PROMPT)],
        "admin": [
            *(("GET", f"{API}/people", None), ("POST", f"{API}/people", {"name": "x"})),
            *(("POST", f"{API}/people/pe-x/link", None), ("DELETE", f"{API}/people/pe-x", None)),
            ("PATCH", f"{API}/people/pe-x", {"name": "x"}),
        ],
    }
    for role in ("user", "maker"):
        client = login_as(role)
        for least, asked in routes.items():
            for method, path, body in asked:
                status = client.request(method, path, json=body).status_code
                assert (status == 403) == (least == "admin"), (role, path)
    for method, path, body in routes["admin"]:
        assert studio_client.request(method, path, json=body).status_code != 403


def test_a_new_role_holds_from_the_next_request_on(studio_client, login_as):
    client = login_as("user")
    path = f"{API}/people/{client.person.id}"
    assert client.get(f"{API}/people").status_code == 403
    assert studio_client.patch(path, json={"role": "admin"}).json()["role"] == "admin"
    assert client.get(f"{API}/people").status_code == 200
    assert client.get(f"{API}/session").json()["person"]["role"] == "admin"


def test_the_last_administrator_stays(studio_client, login_as):
    path = f"{API}/people/{studio_client.person.id}"
    for method, body in (("DELETE", None), ("PATCH", {"role": "user"})):
        answer = studio_client.request(method, path, json=body)
        assert answer.status_code == 409 and answer.json()["error"]["code"] == "conflict"
    login_as("admin", "두리")
    assert studio_client.patch(path, json={"role": "user"}).status_code == 200
    assert studio_client.get(f"{API}/people").status_code == 403


@pytest.mark.parametrize(
    "body, param",
    [
        ({}, "name"),
        ({"name": ""}, None),
        ({"name": "<b>\n"}, "name"),
        ({"name": "x", "role": "king"}, "role"),
        ({"name": "x", "limits": {"tokens_per_day": -1}}, "limits.tokens_per_day"),
        ({"name": "x", "key_id": "k"}, "key_id"),
    ],
)
def test_what_is_no_person_is_refused(studio_client, body, param):
    answer = studio_client.post(f"{API}/people", json=body)
    assert answer.status_code == 400 and answer.json()["error"]["param"] == param
    assert len(studio_client.get(f"{API}/people").json()["data"]) == 1


def test_the_eleventh_wrong_log_in_of_a_minute_waits(app, database, clock, admin):
    token = new_link(database, admin.id, clock())
    with client_of(app) as client, client_of(app, client=("9.9.9.9", 1)) as other:
        for _ in range(10):
            assert log_in(client, "wrong").status_code == 401
        for text in ("wrong", token):
            answer = log_in(client, text)
            assert answer.status_code == 429 and answer.headers["retry-after"] == "60"
        assert log_in(other, "wrong").status_code == 401  # of another address
        clock.now += 60
        assert log_in(client, token).status_code == 200


def test_right_log_ins_do_not_count(app, database, clock, admin):
    with client_of(app) as client:
        for _ in range(20):
            assert log_in(client, new_link(database, admin.id, clock())).status_code == 200


@pytest.mark.parametrize(
    "headers, status",
    [
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({"Sec-Fetch-Site": "same-origin", "Origin": "http://localhost"}, 200),
        ({"Origin": "http://localhost"}, 200),
        ({}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site", "Origin": "http://localhost:3000"}, 403),
        ({"Sec-Fetch-Site": "none"}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Origin": "http://localhost"}, 403),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Origin": "https://ally.example"}, 403),
    ],
)
def test_pages_of_others_do_nothing_with_the_cookie(
    backend, database, clock, admin, headers, status
):
    config = ServeConfig(origins=("https://ally.example",))
    app = studio_app(backend, database, clock, config)
    with client_of(app) as client:
        log_in(client, new_link(database, admin.id, clock()))
        for path, body in (("/v1/completions", PROMPT), (f"{API}/people", {"name": "x"})):
            answer = client.post(path, json=body, headers=headers)
            assert answer.status_code in (status, status + 1), (path, answer.text)
        for method in ("PATCH", "DELETE"):
            answer = client.request(method, f"{API}/people/pe-x", json={}, headers=headers)
            assert answer.status_code == (404 if status == 200 else 403)
        assert answer.headers.get("access-control-allow-credentials") is None


def test_a_key_needs_no_page_and_is_nobody(studio_client, nobody, database, clock):
    secret, _ = create_key(database, "탐색", clock(), scopes=("inference", "admin"))
    header = {"Authorization": f"Bearer {secret}", "Cookie": "hclx_session=hclx-session-x"}
    assert nobody.post("/v1/completions", json=PROMPT, headers=header).status_code == 200
    assert nobody.get(f"{API}/people", headers=header).status_code == 200
    for method, path in (("GET", "session"), ("POST", "logout")):
        answer = nobody.request(method, f"{API}/{path}", headers=header)
        assert answer.status_code == 403 and "no person" in answer.json()["error"]["message"]
    person_key = find_key(database, studio_client.person.key_id)
    assert person_key.state(clock()) == "active"


def test_no_route_is_open_but_those_that_say_so(app, nobody):
    routes = [route for route in app.routes if isinstance(route, Route)]
    asked = {(method, route.path) for route in routes for method in route.methods - {"HEAD"}}
    assert PUBLIC <= asked
    for method, path in asked - PUBLIC:
        public = [r for r in routes if r.path == path and method in r.methods]
        if not any(operation_of(route).is_public for route in public):
            plain = path.replace("{", "").replace("}", "").replace(":path", "")
            for headers in ({}, {"Cookie": "hclx_session=hclx-session-wrong", **SAME_ORIGIN}):
                answer = nobody.request(method, plain, headers=headers)
                assert answer.status_code == 401, (method, path, answer.text)


def test_what_is_public_is_known(app):
    own = [route for route in app.routes if operation_of(route).is_public]
    in_frame = {
        (method, route.path)
        for route in own
        for method in route.methods - {"HEAD"}
        if not route.path.startswith((f"{API}/shared", "/apps/{slug}/"))
    }
    assert in_frame == PUBLIC


def test_the_document_of_the_server_has_these_routes(studio_client, database, clock):
    create_person(database, "하나", "user", clock())
    paths = studio_client.get("/openapi.json").json()["paths"]
    assert {"get", "post"} <= paths[f"{API}/people"].keys()
    assert paths[f"{API}/login"]["post"]["security"] == []
