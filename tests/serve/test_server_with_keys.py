"""A server whose keys are in a store: who gets in, what is counted, and what a full quota says."""

import asyncio
import concurrent.futures
import dataclasses
import sqlite3
import threading
import time

import pytest

pytest.importorskip("sqlalchemy")

import sqlalchemy as sa

from hclx.errors import ConfigError
from hclx.infer import GenerateRequest, SamplingConfig
from hclx.serve.caller import Caller, Usage
from hclx.serve.server import build_app
from hclx.serve.service import Asked
from hclx.serve.store.database import open_database
from hclx.serve.store.key_records import Limits, create_key, revoke_key
from hclx.serve.store.key_store import KeyStore, open_keys
from hclx.serve.store.tables import reservations, usage
from tests.helpers.serving import client_of

NOON = 20_000 * 86_400 + 43_200.0


@pytest.fixture
def database(tmp_path):
    with open_database(f"{tmp_path}/keys.db") as opened:
        yield opened


@pytest.fixture
def keyed(backend, database):
    with client_of(build_app(backend, KeyStore(database, clock=lambda: NOON))) as client:
        yield client


def complete(client, secret, **fields):
    body = {"model": "tiny", "prompt": "hello", "max_tokens": 5, **fields}
    headers = {"Authorization": f"Bearer {secret}"}
    return client.post("/v1/completions", json=body, headers=headers)


def records(database, table=usage):
    with database.reading() as connection:
        return connection.execute(sa.select(table)).all()


def test_a_key_opens_the_server_until_it_is_revoked(keyed, database):
    secret, key = create_key(database, "first", NOON - 10)
    assert complete(keyed, secret).status_code == 200
    for wrong in ("", "hclx-wrong", secret[:-1]):
        assert complete(keyed, wrong).status_code == 401
    revoke_key(database, key.id, NOON)
    assert complete(keyed, secret).status_code == 401


def test_a_request_is_recorded_as_its_answer_counts_it(keyed, database):
    secret, key = create_key(database, "first", NOON - 10, limits=Limits(tokens_per_day=1000))
    counted = complete(keyed, secret, n=2, temperature=1).json()["usage"]
    (record,) = records(database)
    assert (record.key_id, record.model, record.route) == (key.id, "tiny", "/v1/completions")
    assert record.prompt_tokens == counted["prompt_tokens"] == 6  # one begins a document
    assert record.completion_tokens == counted["completion_tokens"]
    assert record.reason == "finished" and not records(database, reservations)


def test_a_full_quota_is_refused_with_the_time_until_it_is_free(keyed, database):
    limits = Limits(requests_per_minute=1, tokens_per_day=50)
    secret, _ = create_key(database, "first", NOON - 10, limits=limits)
    assert complete(keyed, secret, max_tokens=45).status_code == 400
    assert complete(keyed, secret).status_code == 200
    refused = complete(keyed, secret)
    assert refused.status_code == 429 and refused.headers["retry-after"] == "60"
    assert "all 1 requests of this minute" in refused.json()["error"]["message"]
    assert len(records(database)) == 1


def test_a_stream_is_recorded_and_a_refused_request_is_not(keyed, database):
    secret, _ = create_key(database, "first", NOON - 10)
    assert complete(keyed, secret, stream=True).status_code == 200
    assert complete(keyed, secret, model="other").status_code == 404
    (record,) = records(database)
    assert record.prompt_tokens == 6 and record.completion_tokens > 0


def test_a_store_that_another_process_keeps_busy_is_told_in_time(backend, tmp_path, monkeypatch):
    monkeypatch.setattr("hclx.serve.store.database._BUSY_SECONDS", 1)
    with open_database(f"{tmp_path}/keys.db") as database:
        secret, _ = create_key(database, "first", NOON - 10)
        other = sqlite3.connect(f"{tmp_path}/keys.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with client_of(build_app(backend, KeyStore(database, clock=lambda: NOON))) as client:
            with concurrent.futures.ThreadPoolExecutor(5) as threads:
                begin = time.monotonic()
                refusals = list(threads.map(lambda _: complete(client, secret), range(5)))
                assert time.monotonic() - begin < 4.5  # not in turns of a second each
            for refused in refusals:
                assert refused.status_code == 503 and refused.headers["retry-after"] == "5"
                assert refused.json()["error"]["code"] == "store_unavailable"
                assert str(tmp_path) not in refused.text and "sqlite" not in refused.text
            other.execute("ROLLBACK")
            other.close()
            assert complete(client, secret).status_code == 200


def test_a_server_takes_a_store_that_there_is_and_that_no_other_has(tmp_path):
    path = f"{tmp_path}/keys.db"
    with pytest.raises(ConfigError, match="there is no store"):
        open_keys(path).__enter__()
    open_database(path).close()
    with open_keys(path), pytest.raises(ConfigError, match="in use by another server"):
        open_keys(path).__enter__()


@pytest.mark.parametrize("moment", ["admitting", "running"])
def test_a_request_that_is_cancelled_gives_its_tokens_back(backend, database, moment):
    _, key = create_key(database, "first", NOON - 10, limits=Limits(tokens_per_day=1000))
    begun, goes_on = threading.Event(), threading.Event()

    class SlowKeys(KeyStore):
        """Takes long to admit a request."""

        def admit(self, caller, cost_tokens):
            begun.set()
            assert goes_on.wait(60)
            return super().admit(caller, cost_tokens)

    service = build_app(backend, SlowKeys(database, clock=lambda: NOON)).state.service

    async def request():
        asked = Asked(Caller(key.id), "/v1/completions", "tiny", 900)
        async with service.running(asked) as running:
            running.add(Usage(6, 2))
            await asyncio.sleep(600)

    async def cancel():
        task = asyncio.create_task(request())
        await asyncio.to_thread(begun.wait, 60)
        if moment == "running":
            goes_on.set()
            while not records(database, reservations):
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.2)
        task.cancel()
        await asyncio.sleep(0.05)
        goes_on.set()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancel())
    assert not records(database, reservations)
    (record,) = records(database)
    assert record.reason == "cancelled"
    took = record.prompt_tokens + record.completion_tokens
    assert took == (8 if moment == "running" else 0)
    KeyStore(database, clock=lambda: NOON).admit(Caller(key.id), 1000 - took)


def test_what_a_client_that_leaves_has_used_is_recorded(backend, database):
    _, key = create_key(database, "first", NOON - 10)
    service = build_app(backend, KeyStore(database, clock=lambda: NOON)).state.service
    prompt, most = (5, 6, 7), backend.max_length - 4
    sampling = SamplingConfig(max_tokens=most, min_tokens=most, temperature=1)
    requests = [GenerateRequest(prompt, dataclasses.replace(sampling, seed=n)) for n in range(2)]

    async def leave():
        asked = Asked(Caller(key.id), "/v1/completions", "tiny", 900, requests)
        async with service.running(asked) as running:
            async for _ in running.parts():
                raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(leave())
    (record,) = records(database)
    assert (record.reason, record.prompt_tokens) == ("cancelled", len(prompt))
    assert 1 <= record.completion_tokens <= 2 * most
    assert not records(database, reservations)
