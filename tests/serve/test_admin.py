"""The administrator's API."""

import pytest

pytest.importorskip("sqlalchemy")

from hclx.serve.admin_dialect import admin_dialect
from hclx.serve.caller import Caller, Ended, Usage
from hclx.serve.server import DIALECTS, build_app
from hclx.serve.store.database import open_database
from hclx.serve.store.key_records import create_key
from hclx.serve.store.key_store import KeyStore
from tests.helpers.serving import client_of

PATH = "/hclx/v1/admin"
NOON = 20_000 * 86_400 + 43_200.0


@pytest.fixture
def store(tmp_path):
    with open_database(f"{tmp_path}/keys.db") as database:
        yield KeyStore(database, clock=lambda: NOON)


@pytest.fixture
def client(backend, store):
    make = lambda service: admin_dialect(service, store.database, lambda: NOON)
    with client_of(build_app(backend, store, dialects=(make, *DIALECTS))) as client:
        yield client


def header(secret):
    return {"Authorization": f"Bearer {secret}"}


@pytest.fixture
def admin(store):
    return header(create_key(store.database, "admin", NOON - 9, scopes=("admin",))[0])


def test_a_key_is_made_used_limited_and_revoked(client, admin):
    body = {"name": "검색팀", "tenant": "ours", "limits": {"requests_per_minute": 5}}
    answer = client.post(f"{PATH}/keys", json=body, headers=admin)
    assert answer.status_code == 201 and answer.headers["cache-control"] == "no-store"
    made = answer.json()
    own, path = header(made["secret"]), f"{PATH}/keys/{made['id']}"
    assert client.get("/v1/models", headers=own).status_code == 200
    for shown in (client.get(path, headers=admin), client.get(f"{PATH}/keys", headers=admin)):
        assert made["secret"] not in shown.text and made["secret"][-4:] in shown.text
    change = {"limits": {"tokens_per_day": 7}}
    changed = client.patch(path, json=change, headers=admin).json()
    assert changed["limits"] == {
        **{"requests_per_minute": 5, "requests_per_day": 0},
        **{"tokens_per_minute": 0, "tokens_per_day": 7},
    }
    prompt = {"model": "tiny", "prompt": "hello", "max_tokens": 5}
    refused = client.post("/v1/completions", json=prompt, headers=own)
    assert "7 a day" in refused.json()["error"]["message"]
    assert client.post(f"{path}/revoke", headers=admin).json()["state"] == "revoked"
    assert client.get("/v1/models", headers=own).status_code == 401


def test_only_administrators_may(client, store):
    other = header(create_key(store.database, "x", NOON, scopes=("inference", "tuning"))[0])
    for method, path in (
        *(("GET", "keys"), ("POST", "keys"), ("GET", "keys/x"), ("PATCH", "keys/x")),
        *(("POST", "keys/x/revoke"), ("GET", "usage")),
    ):
        assert client.request(method, f"{PATH}/{path}", headers=other).status_code == 403
        assert client.request(method, f"{PATH}/{path}").status_code == 401


@pytest.mark.parametrize(
    "body, words",
    [
        ({}, "name"),
        ({"name": ""}, "name is empty"),
        ({"name": "a", "scopes": ["all"]}, "scopes='all'"),
        ({"name": "a", "scopes": []}, "scopes"),
        ({"name": "a", "kind": "big"}, "kind"),
        ({"name": "a", "expires_days": -1}, "expires_days"),
        ({"name": "a", "limits": {"tokens_per_day": -1}}, "limits.tokens_per_day"),
        ({"name": "a", "limits": {"tokens": 1}}, "tokens"),
        ({"name": "a", "secret": "hclx-own"}, "secret is no field"),
    ],
)
def test_what_is_no_key_is_refused(client, admin, body, words):
    answer = client.post(f"{PATH}/keys", json=body, headers=admin)
    assert answer.status_code == 400 and words in answer.json()["error"]["message"]


def test_a_key_that_does_not_exist_is_told_and_none_revokes_itself(client, admin, store):
    for method, path in (("GET", ""), ("PATCH", ""), ("POST", "/revoke")):
        answer = client.request(
            method, f"{PATH}/keys/none{path}", json={"limits": {"tokens_per_day": 1}}, headers=admin
        )
        assert answer.status_code == 404, answer.text
    own = client.get(f"{PATH}/keys", headers=admin).json()["data"][0]["id"]
    assert client.post(f"{PATH}/keys/{own}/revoke", headers=admin).status_code == 409
    assert client.patch(f"{PATH}/keys/{own}", json={"limits": {}}, headers=admin).status_code == 400


def test_usage_is_told_by_key_and_day(client, admin, store):
    keys = [create_key(store.database, name, NOON - 9)[1] for name in ("a", "b")]
    for key, tokens in zip([keys[0], keys[0], keys[1]], (5, 6, 7)):
        caller = Caller(key.id)
        store.record(caller, Ended(Usage(tokens, 1), "tiny", "/v1"), store.admit(caller, 9))
    rows = client.get(f"{PATH}/usage", headers=admin).json()["data"]
    sums = {row["name"]: (row["requests"], row["prompt_tokens"]) for row in rows}
    assert sums == {"a": (2, 11), "b": (1, 7)} and rows[0]["day"] == "2024-10-04"
    (only,) = client.get(f"{PATH}/usage?key={keys[1].id}&days=1", headers=admin).json()["data"]
    assert (only["key"], only["completion_tokens"]) == (keys[1].id, 1)
    assert client.get(f"{PATH}/usage?key=none", headers=admin).status_code == 404
    for days in ("0", "x", "-1", "9" * 50):
        assert client.get(f"{PATH}/usage?days={days}", headers=admin).status_code == 400
