"""Prompts, versions and links over HTTP."""

import copy

import pytest

from hclx.studio.content import MOST_BYTES
from tests.helpers.studio import API
from tests.helpers.threads import at_once
from tests.studio.contents import EVERY_KNOB, SMALL

PROMPTS = f"{API}/prompts"


@pytest.fixture
def maker(login_as):
    return login_as("maker", "하나")


def made(client, content=SMALL, title="후기"):
    answer = client.post(PROMPTS, json={"title": title, "content": content})
    assert answer.status_code == 201, answer.text
    return answer.json()


def change(client, prompt, **values):
    body = {name: prompt[name] for name in ("title", "content", "revision")} | values
    return client.put(f"{PROMPTS}/{prompt['id']}", json=body)


def saved(client, prompt, note="", revision=None):
    body = {"note": note, "revision": revision or prompt["revision"]}
    return client.post(f"{PROMPTS}/{prompt['id']}/versions", json=body)


def test_a_prompt_with_every_knob_comes_back_as_it_was(maker):
    before = copy.deepcopy(EVERY_KNOB)
    prompt = made(maker, EVERY_KNOB, "후기 <b>감정</b>")
    path = f"{PROMPTS}/{prompt['id']}"
    assert prompt["content"] == before and prompt["versions"] == []
    assert maker.get(path).json() == prompt
    assert saved(maker, prompt, "처음").json() == {"number": 1}
    assert maker.get(f"{path}/versions/1").json()["content"] == before
    copied = made(maker, maker.get(f"{path}/versions/1").json()["content"])
    assert copied["content"] == before and copied["id"] != prompt["id"]


def test_a_draft_is_changed_listed_saved_and_restored(maker, clock):
    prompt = made(maker)
    clock.now += 5
    assert saved(maker, prompt, "예시 없이\n짧게").status_code == 201
    other = {**SMALL, "n": 4}
    assert change(maker, prompt, content=other, title="새 후기").json() == {"revision": 2}
    whole = maker.get(f"{PROMPTS}/{prompt['id']}").json()
    assert (whole["title"], whole["content"], whole["revision"]) == ("새 후기", other, 2)
    assert whole["updated"] == whole["created"] + 5
    (version,) = whole["versions"]
    assert (version["number"], version["title"], version["author"]) == (1, "후기", "하나")
    assert version["note"] == "예시 없이\n짧게" and version["created"] == whole["updated"]
    (head,) = maker.get(PROMPTS).json()["data"]
    assert (head["versions"], head["owner"], head["owner_id"]) == (1, "하나", maker.person.id)
    old = maker.get(f"{PROMPTS}/{prompt['id']}/versions/1").json()
    restored = change(maker, whole, content=old["content"], title=old["title"])
    assert restored.json() == {"revision": 3}
    whole = maker.get(f"{PROMPTS}/{prompt['id']}").json()
    assert whole["content"] == SMALL and len(whole["versions"]) == 1


def test_an_old_revision_gets_the_prompt_as_it_is_now(maker):
    prompt = made(maker)
    change(maker, prompt, title="첫째")
    now = maker.get(f"{PROMPTS}/{prompt['id']}").json()
    for refused in (change(maker, prompt, title="둘째"), saved(maker, prompt)):
        assert refused.status_code == 409
        assert refused.json()["error"]["code"] == "conflict"
        assert refused.json()["current"] == now
    assert maker.get(f"{PROMPTS}/{prompt['id']}").json() == now


def test_two_tabs_that_write_at_once_lose_nothing_in_silence(maker):
    prompt = made(maker)
    for _ in range(5):
        titles = [f"{prompt['revision']}-{tab}" for tab in range(3)]
        answers = at_once([lambda t=title: change(maker, prompt, title=t) for title in titles])
        assert sorted(answer.status_code for answer in answers) == [200, 409, 409]
        winner = next(t for t, answer in zip(titles, answers) if answer.status_code == 200)
        prompt = maker.get(f"{PROMPTS}/{prompt['id']}").json()
        assert prompt["title"] == winner
        told = [answer.json()["current"] for answer in answers if answer.status_code == 409]
        assert told == [prompt, prompt]


def test_a_draft_may_be_wrong_and_a_version_may_not(maker):
    content = {**SMALL, "document": {**SMALL["document"], "sampling": {"top_k": "많이"}}}
    prompt = made(maker, content)
    refused = saved(maker, prompt)
    assert refused.status_code == 400
    error = refused.json()["error"]
    assert error["param"] == "content.document.sampling.top_k" and "'많이'" in error["message"]
    assert maker.get(f"{PROMPTS}/{prompt['id']}").json()["versions"] == []


def test_what_is_no_prompt_is_refused(maker):
    prompt = made(maker)
    large = {**SMALL, "document": {"name": "a" * MOST_BYTES}}
    for body, field in (
        ({"content": SMALL}, "title"),
        ({"title": "x"}, "content"),
        ({"title": "x" * 201, "content": SMALL}, "title"),
        ({"title": "a\u0000b", "content": SMALL}, "title"),
        ({"title": "a\nb", "content": SMALL}, "title"),
        ({"title": 1, "content": SMALL}, "title"),
        ({"title": "x", "content": []}, "content"),
        ({"title": "x", "content": {**SMALL, "n": 0}}, "content.n"),
        ({"title": "x", "content": {**SMALL, "knob": 0}}, "content.knob"),
        ({"title": "x", "content": {"schema": "hclx.studio/9"}}, "content.schema"),
        ({"title": "x", "content": large}, "content"),
    ):
        for method, path, more in (
            ("POST", PROMPTS, {}),
            ("PUT", f"{PROMPTS}/{prompt['id']}", {"revision": 1}),
        ):
            answer = maker.request(method, path, json={**body, **more})
            assert answer.status_code == 400, (body, answer.text)
            assert answer.json()["error"]["param"] == field
    for revision in (0, -1, 1.5, "1", None, 2**70):
        assert change(maker, prompt, revision=revision).status_code == 400
    for note in ("\u0000", "a" * 2001):
        assert saved(maker, prompt, note).json()["error"]["param"] == "note"
    assert maker.get(f"{PROMPTS}/{prompt['id']}").json() == prompt


def test_others_see_nothing_and_administrators_all(maker, login_as, studio_client, nobody):
    prompt = made(maker)
    saved(maker, prompt)
    path = f"{PROMPTS}/{prompt['id']}"
    share = maker.post(f"{path}/shares", json={"number": 1, "mode": "read"}).json()
    calls = (
        ("GET", path, None),
        ("PUT", path, {"title": "x", "content": SMALL, "revision": 1}),
        ("DELETE", path, None),
        ("POST", f"{path}/recover", None),
        ("POST", f"{path}/versions", {"revision": 1}),
        ("GET", f"{path}/versions/1", None),
        ("POST", f"{path}/shares", {"number": 1}),
        ("GET", f"{path}/shares", None),
        ("DELETE", f"{API}/shares/{share['id']}", None),
    )
    other = login_as("maker")
    for method, url, body in calls:
        assert other.request(method, url, json=body).status_code == 404, url
        assert nobody.request(method, url, json=body).status_code == 401, url
    assert other.get(PROMPTS).json() == {"data": []} and nobody.get(PROMPTS).status_code == 401
    (head,) = studio_client.get(PROMPTS).json()["data"]
    assert (head["id"], head["owner"]) == (prompt["id"], "하나")
    assert studio_client.get(path).json()["content"] == SMALL
    assert change(studio_client, prompt, title="관리자").status_code == 200
    assert saved(studio_client, prompt, revision=2).status_code == 201
    assert maker.get(path).json()["versions"][0]["author"] == "admin"


def test_a_key_without_a_person_has_no_prompts(app, database, clock, nobody):
    from hclx.serve.store.key_records import create_key

    secret, _ = create_key(database, "x", clock(), scopes=("inference", "tuning", "admin"))
    header = {"Authorization": f"Bearer {secret}"}
    assert nobody.get(PROMPTS, headers=header).status_code == 403


def test_a_removed_prompt_is_recovered(maker):
    prompt = made(maker)
    path = f"{PROMPTS}/{prompt['id']}"
    assert maker.delete(path).json() == {"id": prompt["id"], "deleted": True}
    assert maker.get(path).status_code == 404 == maker.delete(path).status_code
    assert change(maker, prompt).status_code == 404 and maker.get(PROMPTS).json()["data"] == []
    assert maker.post(f"{path}/recover").json() == prompt == maker.get(path).json()
    assert maker.post(f"{path}/recover").status_code == 404


@pytest.mark.parametrize("number", ["0", "2", "x", "-1", "1.0", "9" * 16, "9" * 40, "١"])
def test_a_version_that_does_not_exist_is_told(maker, number):
    prompt = made(maker)
    saved(maker, prompt)
    answer = maker.get(f"{PROMPTS}/{prompt['id']}/versions/{number}")
    assert answer.status_code == 404, answer.text


# What its owner has tried is not for others.
FOR_OTHERS = {key: value for key, value in EVERY_KNOB.items() if key not in ("item", "table")}
FOR_OTHERS["chat"] = {"system": "가게 주인처럼 답한다.", "turns": []}


def test_a_link_is_read_by_everyone_until_it_is_revoked(maker, nobody, clock):
    prompt = made(maker, EVERY_KNOB)
    saved(maker, prompt, "첫 버전")
    change(maker, prompt, title="나중")
    path = f"{PROMPTS}/{prompt['id']}/shares"
    answer = maker.post(path, json={"number": 1, "mode": "read"})
    assert answer.status_code == 201 and answer.headers["cache-control"] == "no-store"
    share = answer.json()
    assert (share["number"], share["mode"], share["created"]) == (1, "read", int(clock()))
    assert maker.get(path).json() == {"data": [share]}
    shared = nobody.get(f"{API}/shared/{share['token']}").json()
    facts = {"title": "후기", "number": 1, "note": "첫 버전", "mode": "read"}
    assert shared == {**facts, "content": FOR_OTHERS}
    assert maker.post(f"{API}/shared/{share['token']}/copy").status_code == 403
    assert nobody.delete(f"{API}/shares/{share['id']}").status_code == 401
    assert maker.delete(f"{API}/shares/{share['id']}").json()["deleted"]
    assert nobody.get(f"{API}/shared/{share['token']}").status_code == 404
    assert maker.get(path).json() == {"data": []}
    assert maker.delete(f"{API}/shares/{share['id']}").status_code == 404


def test_a_link_to_copy_makes_a_prompt_of_ones_own(maker, login_as, nobody):
    prompt = made(maker, EVERY_KNOB)
    saved(maker, prompt)
    path = f"{PROMPTS}/{prompt['id']}/shares"
    token = maker.post(path, json={"number": 1, "mode": "copy"}).json()["token"]
    other = login_as("user", "두리")
    copied = other.post(f"{API}/shared/{token}/copy")
    assert copied.status_code == 201
    whole = copied.json()
    assert (whole["title"], whole["content"], whole["owner"]) == ("후기", FOR_OTHERS, "두리")
    assert whole["id"] != prompt["id"] and whole["versions"] == [] and whole["revision"] == 1
    assert other.get(f"{PROMPTS}/{whole['id']}").json() == whole
    assert change(other, whole, title="x").status_code == 200
    assert maker.get(f"{PROMPTS}/{whole['id']}").status_code == 404
    assert nobody.post(f"{API}/shared/{token}/copy").status_code == 401


def test_what_is_no_link_is_refused(maker, nobody):
    prompt = made(maker)
    path = f"{PROMPTS}/{prompt['id']}/shares"
    assert maker.post(path, json={"number": 1, "mode": "read"}).status_code == 404
    saved(maker, prompt)
    for body in ({"number": 1, "mode": "write"}, {"number": 0}, {"mode": "read"}):
        assert maker.post(path, json=body).status_code == 400
    for token in ("x", "%27%20OR%201=1--", "a" * 5000):
        assert nobody.get(f"{API}/shared/{token}").status_code == 404


def test_html_in_a_title_stays_text(maker):
    title = "</title><script>alert(1)</script>"
    prompt = made(maker, title=title)
    answer = maker.get(f"{PROMPTS}/{prompt['id']}")
    assert answer.json()["title"] == title
    assert answer.headers["content-type"] == "application/json"
