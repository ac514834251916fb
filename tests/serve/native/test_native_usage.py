"""Requests of hclx's own routes are admitted, refused, counted and recorded as all others."""

import contextlib
import http.client
import json
import time

import pytest

from hclx.infer import Score
from hclx.infer.ticket import Ticket
from hclx.serve.api_error import ApiError
from hclx.serve.backend import Backend
from hclx.serve.caller import Caller
from hclx.serve.server import build_app
from tests.helpers.serving import TextTokenizer, client_of, served, tiny_backend

SCORE = {"items": [{"context": "It was", "continuation": " good"}, {"context": [72, 101]}]}
CHOOSE = {"context": "It was", "choices": [" good", " bad"], "score": "pmi"}
GENERATE = {"prompts": [{"prompt": "abc", "max_tokens": 5, "n": 3}, {"prompt": [72], "seed": 1}]}
GRADIENT = {"context": "ab", "continuation": "cd"}
# Body -> the tokens of the prompts, and the most that may be written.
ROUTES = {
    "score": (SCORE, 7 + 5 + 2, 0),
    "choose": (CHOOSE, 2 * 7 + 9 + 2 * 1 + 9, 0),
    "generate": (GENERATE, 4 + 1, 3 * 5 + 63),
    "gradient": (GRADIENT, 3 + 2, 0),
}


class Keys:
    """A store that remembers what it is asked, and refuses the key "poor"."""

    def __init__(self):
        self.costs, self.records = [], []

    def authenticate(self, secret):
        scopes = frozenset() if secret == "other" else frozenset({"inference"})
        return Caller(secret or "first", scopes=scopes)

    def admit(self, caller, cost_tokens):
        if caller.key_id == "poor":
            raise ApiError(429, "rate_limit_exceeded", "no tokens are left", retry_after=7)
        self.costs.append(cost_tokens)

    def record(self, caller, ended, reservation):
        self.records.append(ended)


def post(client, route, body, secret="first"):
    headers = {"Authorization": f"Bearer {secret}"}
    return client.post(f"/hclx/v1/{route}", json={"model": "tiny", **body}, headers=headers)


@pytest.mark.parametrize("route", ROUTES)
def test_cost_and_use_are_told_to_the_store(engine, route):
    body, n_prompt, most_new = ROUTES[route]
    keys = Keys()
    with client_of(build_app(tiny_backend(engine), keys)) as client:
        answer = post(client, route, body).json()
        poor = post(client, route, body, "poor")
        assert poor.status_code == 429 and poor.headers["retry-after"] == "7"
        assert poor.json()["error"]["code"] == "rate_limit_exceeded"
        assert post(client, route, body, "other").status_code == 403
    assert keys.costs == [n_prompt + most_new]
    (ended,) = keys.records
    assert (ended.model, ended.route, ended.reason) == ("tiny", f"/hclx/v1/{route}", "finished")
    assert ended.usage.prompt_tokens == answer["usage"]["prompt_tokens"] == n_prompt
    assert ended.usage.completion_tokens == answer["usage"]["completion_tokens"] <= most_new


class SlowEngine:
    """An engine that scores its first text, and then none."""

    def __init__(self):
        self.tickets, self.cancelled = [], []

    def submit(self, request):
        ticket = Ticket(self.cancelled.append)
        if not self.tickets:
            ticket.finish(Score(-1.0, False, (), 7, 0))
        self.tickets.append(ticket)
        return ticket


def test_who_leaves_cancels_the_texts_that_are_left_and_has_used_the_others():
    engine, keys = SlowEngine(), Keys()
    app = build_app(Backend(engine, TextTokenizer(256), {"tiny": None}, 64), keys)
    items = [{"context": "It was", "continuation": text} for text in (" good", " bad", " so")]
    with served(app) as address:
        leaving = http.client.HTTPConnection(address.removeprefix("http://"), timeout=1)
        with contextlib.closing(leaving), pytest.raises(TimeoutError):
            leaving.request("POST", "/hclx/v1/score", json.dumps({"model": "tiny", "items": items}))
            leaving.getresponse()
    end = time.monotonic() + 10
    while not keys.records and time.monotonic() < end:
        time.sleep(0.01)
    assert engine.cancelled == engine.tickets[1:] and len(engine.tickets) == 3
    (ended,) = keys.records
    assert ended.reason == "cancelled" and ended.usage.prompt_tokens == 7 + 5
    assert app.state.service.admission.n_running == 0
