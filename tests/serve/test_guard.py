"""Keys, origins, request ids, the log and the metrics, before and behind all routes."""

import logging
import re
import threading

import pytest

from hclx.serve.api_error import ApiError
from hclx.serve.caller import Caller, Usage
from hclx.serve.serve_config import ServeConfig
from hclx.serve.server import build_app
from tests.helpers.serving import client_of, served, tiny_backend

BODY = {"model": "tiny", "prompt": "a secret prompt", "max_tokens": 4, "temperature": 0}
ROUTES = [
    ("POST", "/v1/completions"),
    ("POST", "/v1/chat/completions"),
    ("POST", "/v1/embeddings"),
    ("GET", "/v1/models"),
    ("POST", "/tokenize"),
    ("POST", "/detokenize"),
    ("GET", "/tokenizer_info"),
    ("POST", "/hclx/v1/score"),
    ("POST", "/hclx/v1/choose"),
    ("POST", "/hclx/v1/generate"),
    ("POST", "/hclx/v1/gradient"),
    ("GET", "/openapi.json"),
    ("GET", "/metrics"),
    ("GET", "/nothing"),
]


class TwoKeys:
    """A store of two keys, one of which may not infer, with a quota."""

    def __init__(self):
        self.recorded, self.costs, self.is_spent = [], [], False

    def authenticate(self, secret):
        callers = {"good": Caller("k1", "t1"), "narrow": Caller("k2", "t2", frozenset({"tuning"}))}
        return callers.get(secret)

    def admit(self, caller, cost_tokens):
        self.costs.append((caller.key_id, cost_tokens))
        if self.is_spent:
            raise ApiError(429, "rate_limit_exceeded", "the quota is used up", retry_after=7)

    def record(self, caller, ended, reservation):
        self.recorded.append((caller.key_id, ended.usage))


@pytest.fixture
def keys():
    return TwoKeys()


@pytest.fixture
def guarded(engine, keys):
    config = ServeConfig(hosts=("studio.example",), origins=("https://studio.example",))
    with client_of(build_app(tiny_backend(engine), keys, config)) as client:
        yield client


def bearer(secret):
    return {"Authorization": f"Bearer {secret}"}


@pytest.mark.parametrize("method, path", ROUTES)
@pytest.mark.parametrize("headers", [{}, bearer("bad"), {"Authorization": "Basic good"}])
def test_no_route_is_open_without_a_key(guarded, method, path, headers):
    response = guarded.request(method, path, headers=headers)
    assert response.status_code == 401
    assert response.json()["error"]["code"] == "invalid_api_key"
    assert response.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("path", ["/health", "/ready"])
def test_balancers_ask_without_a_key_and_by_address(guarded, path):
    assert guarded.get(path).status_code == 200
    assert guarded.get(path, headers={"Host": "10.0.3.7:8000"}).status_code == 200
    assert guarded.get("/metrics", headers={"Host": "10.0.3.7:8000"}).status_code == 421


@pytest.mark.parametrize(
    "headers", [bearer("good"), {"X-API-Key": "good"}, {"X-NCP-CLOVASTUDIO-API-KEY": "good"}]
)
def test_usage_is_recorded_for_the_key(guarded, keys, headers):
    answer = guarded.post("/v1/completions", json=BODY, headers=headers).json()
    n_prompt, n_new = answer["usage"]["prompt_tokens"], answer["usage"]["completion_tokens"]
    assert keys.costs == [("k1", n_prompt + 4)]
    ((key_id, usage),) = keys.recorded
    assert key_id == "k1"
    assert (usage.prompt_tokens, usage.completion_tokens) == (n_prompt, n_new)


def test_usage_of_a_stream_is_recorded_too(guarded, keys):
    whole = guarded.post("/v1/completions", json=BODY, headers=bearer("good")).json()["usage"]
    guarded.post("/v1/completions", json={**BODY, "stream": True}, headers=bearer("good"))
    usage = keys.recorded[1][1]
    assert isinstance(usage, Usage)
    assert usage.completion_tokens == whole["completion_tokens"] > 0


def test_scopes_and_quotas_are_told(guarded, keys):
    response = guarded.post("/v1/completions", json=BODY, headers=bearer("narrow"))
    assert response.status_code == 403 and response.json()["error"]["type"] == "permission_error"
    keys.is_spent = True
    response = guarded.post("/v1/completions", json=BODY, headers=bearer("good"))
    assert response.status_code == 429 and response.headers["retry-after"] == "7"
    assert keys.recorded == []


def test_allowed_pages_may_call(guarded):
    origin = {"Origin": "https://studio.example"}
    response = guarded.options("/v1/completions", headers=origin)  # browsers send no key with it
    assert response.status_code == 204
    assert response.headers["access-control-allow-origin"] == "https://studio.example"
    # Without its own name a browser sends no key: the star of the Fetch standard excludes it.
    assert "Authorization" in response.headers["access-control-allow-headers"]
    response = guarded.get("/v1/models", headers={**origin, **bearer("good")})
    assert response.status_code == 200
    assert "Retry-After" in response.headers["access-control-expose-headers"]
    assert response.headers["access-control-allow-origin"] == "https://studio.example"
    own = {"Origin": "http://localhost", **bearer("good")}
    assert guarded.get("/v1/models", headers=own).status_code == 200
    named = {"Host": "studio.example:8000", **bearer("good")}
    assert guarded.get("/v1/models", headers=named).status_code == 200


def test_answers_have_the_id_that_the_log_has(guarded, caplog):
    with caplog.at_level(logging.INFO, "hclx.serve"):
        headers = {**bearer("good"), "X-Request-Id": "my-id.1"}
        response = guarded.post("/v1/completions", json=BODY, headers=headers)
        assert response.headers["x-request-id"] == "my-id.1"
        headers["X-Request-Id"] = "not an id\u00e9"
        headers = {name: value.encode("latin-1") for name, value in headers.items()}
        response = guarded.post("/v1/completions", json=BODY, headers=headers)
        assert re.fullmatch("[0-9a-f]{32}", response.headers["x-request-id"])
    first, second = [
        record.getMessage() for record in caplog.records if "POST" in record.msg % record.args
    ]
    assert "my-id.1" in first and "key=k1" in first and " 200 " in first
    assert response.headers["x-request-id"] in second
    assert "secret" not in caplog.text and "good" not in caplog.text


def test_failures_of_the_server_tell_no_inner_parts(engine, caplog):
    class Broken:
        def submit(self, request):
            raise ZeroDivisionError("inner part")

    with client_of(build_app(tiny_backend(Broken()))) as client:
        response = client.post("/v1/completions", json=BODY)
        assert response.status_code == 500 and response.headers["x-should-retry"] == "false"
        message = response.json()["error"]["message"]
        assert "inner" not in message and response.headers["x-request-id"] in message
        assert "inner part" in caplog.text
        admission = client.app.state.service.admission
        assert admission.n_running == 0


def test_metrics_count_requests_and_tokens(guarded):
    headers = bearer("good")
    usage = guarded.post("/v1/completions", json=BODY, headers=headers).json()["usage"]
    guarded.post("/v1/completions", json={**BODY, "stream": True}, headers=headers)
    guarded.post("/v1/completions", json={**BODY, "n": 0}, headers=headers)
    text = guarded.get("/metrics", headers=headers).text
    values = dict(line.rsplit(" ", 1) for line in text.splitlines() if line[0] != "#")
    assert float(values["hclx:prompt_tokens_total"]) == 2 * usage["prompt_tokens"]
    assert float(values["hclx:generation_tokens_total"]) == 2 * usage["completion_tokens"]
    assert float(values["hclx:time_to_first_token_seconds_count"]) == 1
    assert float(values["hclx:num_requests_running"]) == 0
    assert float(values['hclx:http_requests_total{path="complete",status="400"}']) == 1


def test_a_server_that_drains_is_not_ready(engine):
    with client_of(build_app(tiny_backend(engine))) as client:
        client.app.state.service.admission.is_draining = True
        assert client.get("/ready").status_code == 503
        assert client.get("/health").status_code == 200
        response = client.post("/v1/completions", json=BODY)
        assert response.status_code == 503 and response.headers["retry-after"]


def test_calls_that_wait_for_the_engine_do_not_keep_others_out(engine):
    """Vectors are computed in threads, of which there are few."""

    openai = pytest.importorskip("openai")
    release = threading.Event()

    class Waiting:
        def embed(self, texts, artefact):
            assert release.wait(60)
            return [[0.0]]

    with served(build_app(tiny_backend(Waiting()))) as address:
        with openai.OpenAI(base_url=f"{address}/v1", api_key="any", max_retries=0) as client:
            ask = lambda: client.embeddings.create(model="tiny", input="a")
            threads = [threading.Thread(target=ask) for _ in range(20)]
            for thread in threads:
                thread.start()
            try:
                assert client.models.list(timeout=20).data
            finally:
                release.set()
            for thread in threads:
                thread.join(60)
