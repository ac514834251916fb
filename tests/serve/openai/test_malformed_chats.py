"""Chats with tools made wrong at random, at any depth: none fails the server."""

import copy
import json
import random

from hclx.serve.server import build_app
from tests.helpers.scripted_chat import scripted_backend
from tests.helpers.serving import client_of
from tests.serve.openai.test_chat_tools import CALL, MESSAGES, TOOLS, WEATHER
from tests.serve.test_malformed_requests import VALUES

N_REQUESTS = 200

CALLED = {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}
HISTORY = [*MESSAGES, {"role": "assistant", "content": None, "tool_calls": [CALLED]}]
HISTORY.append({"role": "tool", "tool_call_id": "a", "content": "b"})
NAMED = {"type": "function", "function": {"name": "날씨"}}
CALLED_V3 = {**CALLED, "function": {"name": "f", "arguments": {}}}
HISTORY_V3 = [*MESSAGES, {"role": "assistant", "content": "", "toolCalls": [CALLED_V3]}]
HISTORY_V3.append({"role": "tool", "toolCallId": "a", "content": "b"})
ITEMS = [{"type": "function_call", "call_id": "a", "name": "f", "arguments": "{}"}]
ITEMS += [{"type": "function_call_output", "call_id": "a", "output": "b"}]
TEXT = {"format": {"type": "json_schema", "name": "a", "schema": WEATHER}}
BODIES = {
    "/v1/chat/completions": {
        **{"model": "chat", "messages": HISTORY, "tools": TOOLS, "tool_choice": NAMED},
        **{"stream": True, "logprobs": True, "top_logprobs": 1, "stop": ["a"], "max_tokens": 99},
    },
    "/v1/responses": {
        **{"model": "chat", "input": [*MESSAGES, *ITEMS], "instructions": "a", "stream": True},
        **{"text": TEXT, "include": [], "tool_choice": "auto"},
        "tools": [{"type": "function", "name": "날씨", "parameters": WEATHER}],
    },
    "/v3/chat-completions/chat": {
        **{"messages": HISTORY_V3, "tools": TOOLS, "toolChoice": NAMED, "stop": ["a"]},
    },
}


def places(value, place=()):
    """Yields the way to every value in a body."""
    entries = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in list(entries):
        yield (*place, key)
        if isinstance(inner, dict | list):
            yield from places(inner, (*place, key))


def changed(body, rng):
    """A body with values that do not belong there, or without some."""
    body = copy.deepcopy(body)
    for _ in range(rng.randint(0, 2)):
        *way, key = rng.choice(list(places(body)))
        parent = body
        for step in way:
            parent = parent[step]
        if rng.random() < 0.2:
            del parent[key]
        else:
            parent[key] = copy.deepcopy(rng.choice(VALUES))
    return body


def test_malformed_chats_are_answered():
    rng, statuses = random.Random(1), {}
    backend = scripted_backend(*[CALL] * (N_REQUESTS + 1))
    app = build_app(backend)
    with client_of(app) as client:
        for number in range(N_REQUESTS):
            path = rng.choice(list(BODIES))
            body = changed(BODIES[path], rng)
            response = client.post(path, content=json.dumps(body).encode())
            assert response.status_code < 500, (number, path, body, response.text)
            statuses[response.status_code] = statuses.get(response.status_code, 0) + 1
    admission = app.state.service.admission
    assert admission.n_running == admission.n_waiting == admission._running_tokens == 0
    assert statuses[400] > N_REQUESTS / 4 and statuses.get(200, 0) > N_REQUESTS / 10
