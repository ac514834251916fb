"""Apps over HTTP: who makes them, who calls them, and what they answer."""

import pytest

from hclx.infer import GenerateRequest, SamplingConfig
from hclx.prompts import render
from hclx.serve.store.key_records import create_key
from hclx.studio.apps.app_slugs import is_slug, slugs_of
from hclx.studio.store.people_records import change_person
from tests.helpers.studio import API
from tests.studio.run_contents import (
    CHOOSES,
    WRITES,
    content,
    document_of,
    events_in,
    small_backend,
    small_engine,
)

APPS, PROMPTS = f"{API}/apps", f"{API}/prompts"
ITEM = {"말": "친절해요"}


@pytest.fixture(scope="module")
def engine():
    with small_engine() as engine:
        yield engine


@pytest.fixture(scope="module")
def backend(engine):
    return small_backend(engine)


@pytest.fixture
def maker(login_as):
    return login_as("maker", "하나")


def version_of(client, raw=content()):
    """A prompt with one version: its id."""
    prompt = client.post(PROMPTS, json={"title": "손님 말", "content": raw}).json()
    path = f"{PROMPTS}/{prompt['id']}/versions"
    assert client.post(path, json={"revision": 1}).status_code == 201
    return prompt["id"]


def asked(client, prompt_id, **more):
    body = {"prompt": prompt_id, "number": 1, "title": "Review app", **more}
    return client.post(APPS, json=body)


def made(client, raw=content(), **more):
    """The slug of a new app, and the header with its key."""
    answer = asked(client, version_of(client, raw), **more)
    assert answer.status_code == 201, answer.text
    return answer.json()["app"]["slug"], header(answer.json()["secret"])


def header(secret):
    return {"Authorization": f"Bearer {secret}"}


def call(client, slug, headers=None, item=ITEM):
    return client.post(f"/apps/{slug}", json=item, headers=headers)


def test_an_app_answers_as_the_engine_does(maker, nobody, engine):
    slug, key = made(maker)
    text = render(document_of(content()), ITEM, document_of(content()).examples).text
    settings = SamplingConfig(max_tokens=12, temperature=0.0, stop=("\n\n",))
    (expected,) = engine.generate([GenerateRequest(text, settings)])[0]
    answer = call(nobody, slug, key)
    assert answer.status_code == 200, answer.text
    facts = answer.json()
    assert facts["text"] == expected.text and facts["answer"] == expected.text.strip()
    assert (facts["model"], facts["version"], facts["choices"]) == ("tiny", 1, None)
    assert facts["usage"]["completion_tokens"] == len(expected.tokens)


def test_an_app_with_choices_tells_their_probabilities(maker, nobody):
    slug, key = made(maker, content(CHOOSES))
    facts = call(nobody, slug, key).json()
    assert sum(facts["choices"].values()) == pytest.approx(1) and len(facts["choices"]) == 2
    assert facts["answer"] == max(facts["choices"], key=facts["choices"].get)


def test_an_app_of_a_chat_takes_a_message(maker, nobody):
    chat = {"system": "짧게", "turns": []}
    slug, key = made(maker, content(view="chat", chat=chat))
    assert nobody.get(f"/apps/{slug}/about").json()["fields"] == ["message"]
    answer = call(nobody, slug, key, {"message": "안녕?"})
    assert answer.status_code == 200 and answer.json()["usage"]["completion_tokens"] > 0


def test_the_events_of_an_app_have_one_candidate(maker, nobody):
    slug, key = made(maker, content(n=3, logprobs=5))
    whole = call(nobody, slug, key).json()
    answer = call(nobody, slug, {**key, "Accept": "text/event-stream"})
    assert answer.headers["content-type"].startswith("text/event-stream")
    events = events_in(answer.text)
    names = [name for name, _ in events]
    assert (names[0], names[-2:]) == ("prompt", ["end", "done"]) and names.count("end") == 1
    assert set(events[0][1]) == {"item", "tokens", "dropped_examples", "seed"}, "not its text"
    tokens = [data for name, data in events if name == "token"]
    assert "".join(token["text"] for token in tokens) == whole["text"]
    assert all(not token["top"] for token in tokens)
    assert WRITES["examples"][0]["말"] not in answer.text, "the prompt is told"


def test_everyone_may_read_about_an_app_and_nothing_of_its_prompt(maker, nobody):
    document = {**WRITES, "description": "느낌을 <b>한 낱말</b>로"}
    slug, _ = made(maker, content(document), title="손님 <script>")
    answer = nobody.get(f"/apps/{slug}/about")
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == {
        **{"title": "손님 <script>", "description": document["description"]},
        **{"fields": ["말"], "slug": slug},
    }
    assert nobody.get("/apps/none/about").status_code == 404


def test_only_the_key_of_an_app_or_a_person_calls_it(maker, login_as, nobody, database, clock):
    slug, key = made(maker)
    _, other_key = made(maker)
    plain = header(create_key(database, "x", clock(), scopes=("inference",))[0])
    assert call(nobody, slug).status_code == 401
    assert call(nobody, slug, header("hclx-wrong")).status_code == 401
    assert call(nobody, slug, other_key).status_code == 403
    assert call(nobody, slug, plain).status_code == 403
    assert call(nobody, slug, key).status_code == 200
    assert call(login_as("user"), slug).status_code == 200


def test_the_key_of_an_app_calls_nothing_else(maker, nobody):
    slug, key = made(maker)
    body = {"model": "tiny", "prompt": "x", "max_tokens": 1}
    for method, path, own in (
        *(("GET", "/v1/models", None), ("POST", "/v1/completions", body)),
        *(("POST", "/tokenize", {"prompt": "x"}), ("GET", "/metrics", None)),
        *(("GET", "/openapi.json", None), ("GET", f"{API}/session", None)),
        *(("GET", PROMPTS, None), ("GET", APPS, None), ("DELETE", f"{APPS}/{slug}", None)),
        ("POST", f"{API}/run", {"content": content(), "items": [ITEM]}),
    ):
        answer = nobody.request(method, path, json=own, headers=key)
        assert answer.status_code == 403, (path, answer.text)


@pytest.mark.parametrize(
    "item, param",
    [
        ({}, "말"),
        ({"말": 3}, "말"),
        ({"말": None}, "말"),
        ({**ITEM, "더": "x"}, "더"),
        ([], None),
        ({"말": "가" * 500}, "items"),
    ],
)
def test_what_an_app_cannot_take_is_told(maker, nobody, item, param):
    slug, key = made(maker)
    for accept in ("application/json", "text/event-stream"):
        answer = call(nobody, slug, {**key, "Accept": accept}, item)
        if answer.status_code == 200:  # a stream tells it in an event
            (error,) = [data for name, data in events_in(answer.text) if name == "error"]
        else:
            assert answer.status_code == 400, answer.text
            error = answer.json()["error"]
        assert error["param"] == param


def test_the_quota_of_an_app_is_that_of_its_key(maker, nobody, clock):
    slug, key = made(maker, limits={"requests_per_minute": 2})
    assert [call(nobody, slug, key).status_code for _ in range(3)] == [200, 200, 429]
    assert call(maker, slug).status_code == 200, "counted under the key of the person"
    changed = maker.patch(f"{APPS}/{slug}", json={"limits": {"requests_per_minute": 3}})
    assert changed.json()["limits"]["requests_per_minute"] == 3
    assert [call(nobody, slug, key).status_code for _ in range(2)] == [200, 429]
    clock.now += 60
    assert call(nobody, slug, key).status_code == 200


def test_nobody_has_more_through_an_app_than_by_oneself(maker, studio_client, database):
    change_person(database, maker.person.id, limits={"tokens_per_day": 900})
    prompt = version_of(maker)
    for value in (901, 0):
        refused = asked(maker, prompt, limits={"tokens_per_day": value})
        assert refused.status_code == 400
        assert refused.json()["error"]["param"] == "limits.tokens_per_day"
    app = asked(maker, prompt).json()["app"]
    assert app["limits"]["tokens_per_day"] == 900
    path = f"{APPS}/{app['slug']}"
    assert maker.patch(path, json={"limits": {"tokens_per_day": 0}}).status_code == 400
    assert maker.patch(path, json={"limits": {"tokens_per_day": 7}}).status_code == 200
    unlimited = studio_client.patch(path, json={"limits": {"tokens_per_day": 0}})
    assert unlimited.json()["limits"]["tokens_per_day"] == 0


def test_lists_of_apps_tell_what_their_keys_have_used_today(maker, nobody, clock):
    def today():
        return {app["slug"]: app["today"] for app in maker.get(APPS).json()["data"]}

    slug, key = made(maker)
    asked(maker, version_of(maker), slug="never-used")
    used = [call(nobody, slug, key).json()["usage"] for _ in range(2)]
    call(maker, slug)  # as a person, whose own usage that is
    tokens = sum(usage["prompt_tokens"] + usage["completion_tokens"] for usage in used)
    none = {"requests": 0, "tokens": 0}
    evening, midnight = clock.now + 6 * 3600, clock.now + 12 * 3600
    for clock.now, requests in (clock.now, 2), (evening, 2), (midnight, 0):
        own = {"requests": requests, "tokens": tokens} if requests else none
        assert today() == {slug: own, "never-used": none}


def test_an_app_is_listed_changed_given_a_new_key_and_removed(maker, nobody):
    prompt = version_of(maker)
    answer = asked(maker, prompt, slug="my-app", title="첫 앱")
    assert answer.headers["cache-control"] == "no-store"
    old = header(answer.json()["secret"])
    assert maker.get(APPS).json()["data"][0].items() >= answer.json()["app"].items()
    assert answer.json()["secret"] not in maker.get(APPS).text
    body = {"title": "손님 말", "content": content(CHOOSES), "revision": 1}
    maker.put(f"{PROMPTS}/{prompt}", json=body)
    maker.post(f"{PROMPTS}/{prompt}/versions", json={"revision": 2})
    assert call(nobody, "my-app", old).json()["choices"] is None
    changed = maker.patch(f"{APPS}/my-app", json={"title": "새 이름", "number": 2}).json()
    assert (changed["title"], changed["number"]) == ("새 이름", 2)
    facts = call(nobody, "my-app", old).json()
    assert facts["version"] == 2 and facts["choices"]
    renewed = maker.post(f"{APPS}/my-app/key")
    assert renewed.status_code == 201 and renewed.headers["cache-control"] == "no-store"
    new = header(renewed.json()["secret"])
    assert call(nobody, "my-app", old).status_code == 401
    assert call(nobody, "my-app", new).status_code == 200
    assert maker.delete(f"{PROMPTS}/{prompt}").status_code == 409
    assert maker.delete(f"{APPS}/my-app").json() == {"slug": "my-app", "deleted": True}
    assert call(nobody, "my-app", new).status_code == 401
    assert nobody.get("/apps/my-app/about").status_code == 404
    assert maker.get(APPS).json() == {"data": []}
    assert asked(maker, prompt, slug="my-app").status_code == 409


def test_what_is_no_app_is_refused(maker, login_as):
    prompt = version_of(maker)
    for more, status, param in (
        *(({"slug": slug}, 400, "slug") for slug in ("", "ab", "a" * 41, "Ab-c", "가나다", "a/b")),
        *(({"number": number}, 404, None) for number in (2, 2**40)),
        *(({"number": number}, 400, "number") for number in (0, "1", 2**60)),
        ({"prompt": "pr-none"}, 404, None),
        ({"title": "a\u0000"}, 400, "title"),
        ({"limits": {"tokens_per_day": -1}}, 400, "limits.tokens_per_day"),
        ({"limits": {"tokens": 1}}, 400, "limits.tokens"),
        ({"secret": "hclx-own"}, 400, "secret"),
    ):
        answer = asked(maker, prompt, **more)
        assert answer.status_code == status, (more, answer.text)
        assert answer.json()["error"]["param"] == param
    missing = version_of(maker, content(model="none"))
    assert asked(maker, missing).status_code == 404
    assert asked(login_as("user"), prompt).status_code == 403
    assert asked(login_as("maker"), prompt).status_code == 404
    assert maker.get(APPS).json() == {"data": []}


def test_others_see_no_apps_and_administrators_all(maker, login_as, studio_client, nobody):
    slug, _ = made(maker)
    other = login_as("maker")
    for method, path, own in (
        ("PATCH", f"{APPS}/{slug}", {"title": "x"}),
        ("POST", f"{APPS}/{slug}/key", None),
        ("DELETE", f"{APPS}/{slug}", None),
    ):
        assert other.request(method, path, json=own).status_code == 404
        assert nobody.request(method, path, json=own).status_code == 401
    assert other.get(APPS).json() == {"data": []}
    (app,) = studio_client.get(APPS).json()["data"]
    assert (app["slug"], app["owner_id"]) == (slug, maker.person.id)
    assert studio_client.patch(f"{APPS}/{slug}", json={"title": "x"}).json()["title"] == "x"


def test_slugs_are_made_of_titles(maker):
    prompt = version_of(maker)
    slugs = [asked(maker, prompt, title="Café Réview 2!").json()["app"]["slug"] for _ in range(2)]
    assert slugs[0] == "cafe-review-2" and slugs[1].startswith("cafe-review-2-")
    (random,) = slugs_of("손님 말 A")
    assert random.startswith("app-") and is_slug(random) and random != slugs_of("손님 말 A")[0]
    for title in ("x" * 90, "--a--b--", "ＡＢＣ", "a" * 39 + " b", "<script>"):
        assert all(map(is_slug, slugs_of(title))), slugs_of(title)
