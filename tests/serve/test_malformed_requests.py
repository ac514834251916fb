"""Requests of all dialects, made wrong at random: none fails the server, none keeps a place in it,
and its memory stays as it is.
"""

import copy
import gc
import json
import random
import time
from collections import Counter
from pathlib import Path

import pytest

from hclx.serve.server import build_app
from tests.helpers.serving import client_of, described_backend

CHAT = [{"role": "system", "content": "b"}, {"role": "user", "content": "a"}]
CLOVA = {"maxTokens": 2, "topK": 5, "topP": 0.9, "temperature": 0.5, "seed": 3}
V1 = {**CLOVA, "repeatPenalty": 5.0, "stopBefore": ["x"], "includeAiFilters": False}
OPENAI = {
    "/v1/completions": {
        "model": "tiny",
        "prompt": [72, 101],
        "max_tokens": 2,
        "n": 1,
        "echo": True,
        "logprobs": 2,
        "temperature": 1.0,
        "top_p": 0.9,
        "top_k": 5,
        "min_p": 0.1,
        "seed": 3,
        "stop": ["x"],
        "stop_token_ids": [9],
        "logit_bias": {"65": 1},
        "stream": False,
        "structured_outputs": {"regex": "[a-z]{1,3}"},
    },
    "/v1/chat/completions": {"model": "tiny", "messages": CHAT, "max_tokens": 2},
    "/v1/embeddings": {"model": "tiny", "input": ["a", "b"], "encoding_format": "float"},
    "/tokenize": {"prompt": "a", "add_special_tokens": True},
    "/detokenize": {"tokens": [72, 101]},
}
STUDIO = {
    "/testapp/v1/completions/tiny": {"text": "a", "start": "b", "restart": "c", **V1},
    "/v1/chat-completions/tiny": {"messages": CHAT, **V1},
    "/v3/chat-completions/tiny": {
        **{"messages": CHAT, **CLOVA, "repetitionPenalty": 1.1, "stop": ["x"]},
        "responseFormat": {"type": "json", "schema": {"type": "boolean"}},
    },
    "/v1/api-tools/chat-tokenize/tiny": {"messages": CHAT},
    "/v1/api-tools/sliding/chat-messages/tiny": {"messages": CHAT, "maxTokens": 9},
    "/v1/api-tools/embedding/v2": {"text": "a"},
}
OWN = {
    "/hclx/v1/score": {
        **{"model": "tiny", "top": 2},
        "items": [{"context": "ab", "continuation": "c"}, {"context": [72, 101]}],
    },
    "/hclx/v1/choose": {
        **{"model": "tiny", "context": "a", "choices": ["b", [99]], "score": "per_byte"},
        "calibration": {"method": "contextual", "contexts": ["N/A"]},
    },
    "/hclx/v1/generate": {
        "model": "tiny",
        "prompts": [
            {"prompt": "a", "max_tokens": 2, "n": 1, "seed": 3, "temperature": 1.0, "top_k": 5},
            {"prompt": [72], "max_tokens": 2, "grammar": {"regex": "[a-z]"}, "logprobs": 1},
        ],
    },
    "/hclx/v1/gradient": {"model": "tiny", "context": "ab", "continuation": "c", "vectors": True},
}
BODIES = {**OPENAI, **STUDIO, **OWN}
NAMES = ["x", "tools", "best_of", "user", "prompt_logprobs", "slots", "thinking", "stream", "n"]
VALUES = [None, True, False, 0, -1, 1, 2, 1e308, -1e308, 2**31, 2**63, 10**30, 0.5, "", "a", "가"]
VALUES += ["x" * 5000, "\u0000", "🦉", [], [[]], [[1]], ["a"], [None], [1, "a"], [[1], "a"], {}]
VALUES += [{"a": 1}, {"65": 1e9}, [1] * 5000, {"regex": "("}, {"json": {"$ref": "#"}}, [1e999, 1]]


def malformed(rng):
    """A path and the bytes of a body."""
    path = rng.choice(list(BODIES))
    body = copy.deepcopy(BODIES[path])
    for _ in range(rng.randint(1, 3)):
        change(rng, rng.choice(list(objects(body))))
    data = json.dumps(body, ensure_ascii=rng.random() < 0.5).encode()
    if rng.random() < 0.15:
        at = rng.randrange(len(data))
        data = data[:at] + rng.randbytes(rng.randint(0, 3)) + data[at + rng.randint(0, 3) :]
    return path, data


def objects(value):
    """Yields the objects and lists in a value."""
    if isinstance(value, dict | list):
        yield value
        for part in value.values() if isinstance(value, dict) else value:
            yield from objects(part)


def change(rng, place):
    """Replaces, removes or adds something in an object or a list."""
    value = copy.deepcopy(rng.choice(VALUES))
    names = list(place) if isinstance(place, dict) else list(range(len(place)))
    kind = rng.random()
    if kind < 0.75 and names:
        place[rng.choice(names)] = value
    elif kind < 0.9 and names:
        del place[rng.choice(names)]
    elif isinstance(place, dict):
        place[rng.choice(NAMES)] = value
    else:
        place.append(value)


def resident_bytes():
    """The memory of this process that is in use."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


@pytest.fixture(scope="module")
def described(engine):
    with client_of(build_app(described_backend(engine))) as client:
        yield client


def send(client, rng, n):
    """Sends requests, and returns how often each status came."""
    statuses = Counter()
    for number in range(n):
        path, data = malformed(rng)
        response = client.post(path, content=data)
        assert response.status_code < 500, (number, path, data, response.text)
        statuses[response.status_code] += 1
    return statuses


def check_places(client, engine):
    """Checks that nothing is left of all requests, and that a right one is served."""
    admission = client.app.state.service.admission
    assert admission.n_running == admission.n_waiting == admission._running_tokens == 0
    end = time.monotonic() + 10
    while any(engine._rows) or engine._waiting:
        assert time.monotonic() < end, "a row of the engine is lost"
        time.sleep(0.01)
    for path, body in BODIES.items():
        assert client.post(path, json=body).status_code == 200, path


def test_malformed_requests_are_answered(described, engine):
    statuses = send(described, random.Random(0), 400)
    check_places(described, engine)
    assert statuses[400] > 400 / 3 and statuses[200] > 0


@pytest.mark.long
def test_ten_thousand_malformed_requests_leave_the_memory_as_it_is(described, engine):
    if not Path("/proc/self/statm").exists():
        pytest.skip("the memory of a process is read in /proc")
    rng = random.Random(1)
    statuses = send(described, rng, 2500)  # programs are compiled, caches filled
    before = resident_bytes()
    statuses += send(described, rng, 7500)
    after = resident_bytes()
    check_places(described, engine)
    print(f"{dict(statuses)}; {before / 2**20:.0f} MB, then {after / 2**20:.0f} MB")
    assert statuses.total() == 10_000 and statuses[400] > 3000 and statuses[200] > 400
    assert abs(after - before) < 0.05 * before
