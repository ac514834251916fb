"""Runs of the Studio count for the person who asks."""

import pytest
import sqlalchemy as sa

from hclx.serve.store.tables import usage
from tests.helpers.studio import API
from tests.studio.run_contents import (
    CHOOSES,
    FREE,
    ITEMS,
    content,
    named,
    results,
    small_backend,
    small_engine,
    streamed,
)


@pytest.fixture(scope="module")
def backend():
    with small_engine() as engine:
        yield small_backend(engine)


def rows(database):
    with database.reading() as connection:
        return connection.execute(sa.select(usage)).all()


@pytest.mark.parametrize("document", [FREE, CHOOSES], ids=["writes", "chooses"])
def test_usage_is_that_of_the_person(login_as, database, document):
    client = login_as("user")
    (answer,) = results(client, content(document, n=2), items=[{**ITEMS[0], "글": "가나"}])
    (row,) = rows(database)
    assert (row.key_id, row.route, row.model) == (client.person.key_id, f"{API}/run", "tiny")
    ends = answer["ends"]
    n_prompt = answer["prompt"]["tokens"]
    if document is CHOOSES:  # the prompt is read for each choice
        n_prompt = 2 * n_prompt + len(" 칭찬 불만임".encode())
    assert row.prompt_tokens == n_prompt == ends[0]["usage"]["prompt_tokens"]
    n_new = sum(end["usage"]["completion_tokens"] for end in ends)
    assert row.completion_tokens == n_new
    assert row.reason == "finished"


def test_a_measure_counts_all_that_it_reads(login_as, database):
    client = login_as("user")
    answer = client.post(f"{API}/calibrate", json={"content": content(CHOOSES), "items": ITEMS})
    assert answer.status_code == 200, answer.text
    counted = rows(database)
    assert {row.route for row in counted} == {f"{API}/calibrate"} and len(counted) == 2
    # Three items and three inputs that say nothing, of about 190 bytes, behind each of two choices.
    assert 12 * 150 < sum(row.prompt_tokens for row in counted) < 12 * 250


def test_a_quota_that_is_used_up_is_told_with_the_time_to_wait(studio_client, login_as):
    client = login_as("user")
    limits = {"limits": {"requests_per_minute": 2}}
    studio_client.patch(f"{API}/people/{client.person.id}", json=limits)
    items = [{"글": text} for text in "가나다"]
    events = streamed(client, content(FREE), items=items)
    (error,) = named(events, "error")
    assert error["status"] == 429 and 0 < error["retry_after"] <= 60
    assert len(named(events, "end")) == 2 and events[-1][0] == "done"
    alone = client.post(f"{API}/run", json={"content": content(FREE), "items": items[:1]})
    assert alone.status_code == 429 and int(alone.headers["Retry-After"]) <= 60


def test_who_is_not_logged_in_runs_nothing(nobody):
    for route in ("run", "tokens", "preview", "bias", "calibrate"):
        assert nobody.post(f"{API}/{route}", json={"content": content()}).status_code in (401, 403)


@pytest.mark.parametrize(
    "change, param",
    [
        ({"items": []}, "items"),
        ({"items": [{"글": 1}]}, "items[0]"),
        ({"items": [{"글": "가"}] * 257}, "items"),
        ({"items": [{"글": "가"}] * 20, "content": content(FREE, n=16)}, "content.n"),
        ({"content": content(FREE, logprobs=21)}, "content.logprobs"),
        (
            {"content": content({**FREE, "sampling": {"top_p": 0}})},
            "content.document.sampling.top_p",
        ),
        ({"content": content(model="old")}, "model"),
        ({"seed": -1}, "seed"),
        ({"more": 1}, "more"),
    ],
)
def test_a_run_that_is_wrong_is_refused_with_its_field(studio_client, change, param):
    body = {"content": content(FREE), "items": [{"글": "가"}], **change}
    answer = studio_client.post(f"{API}/run", json={**body, "stream": True})
    assert answer.status_code in (400, 404), answer.text
    assert answer.json()["error"]["param"] == param
