"""Requests made wrong at random: none fails the server, and none keeps a place in it."""

import json
import os
import random

N_REQUESTS = int(os.environ.get("HCLX_MALFORMED_REQUESTS", "400"))
BODIES = {
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
    "/v1/chat/completions": {"model": "tiny", "messages": [{"role": "user", "content": "a"}]},
    "/v1/embeddings": {"model": "tiny", "input": ["a", "b"], "encoding_format": "float"},
    "/tokenize": {"prompt": "a", "add_special_tokens": True},
    "/detokenize": {"tokens": [72, 101]},
}
VALUES = [None, True, False, 0, -1, 1, 2, 1e308, -1e308, 2**31, 2**63, 10**30, 0.5, "", "a", "가"]
VALUES += ["x" * 5000, "\u0000", "🦉", [], [[]], [[1]], ["a"], [None], [1, "a"], [[1], "a"], {}]
VALUES += [{"a": 1}, {"65": 1e9}, [1] * 5000, {"regex": "("}, {"json": {"$ref": "#"}}, [1e999, 1]]


def malformed(rng):
    """A path and the bytes of a body."""
    path = rng.choice(list(BODIES))
    body = dict(BODIES[path])
    for _ in range(rng.randint(1, 3)):
        change, name = rng.random(), rng.choice(list(body) or ["model"])
        if change < 0.75:
            body[name] = rng.choice(VALUES)
        elif change < 0.9:
            body.pop(name, None)
        else:
            body[rng.choice(["x", "tools", "best_of", "user", "prompt_logprobs"])] = rng.choice(
                VALUES
            )
    data = json.dumps(body, ensure_ascii=rng.random() < 0.5).encode()
    if rng.random() < 0.15:
        at = rng.randrange(len(data))
        data = data[:at] + rng.randbytes(rng.randint(0, 3)) + data[at + rng.randint(0, 3) :]
    return path, data


def test_malformed_requests_are_answered(client, app):
    rng, statuses = random.Random(0), {}
    for number in range(N_REQUESTS):
        path, data = malformed(rng)
        response = client.post(path, content=data)
        assert response.status_code < 500, (number, path, data, response.text)
        statuses[response.status_code] = statuses.get(response.status_code, 0) + 1
    admission = app.state.service.admission
    assert admission.n_running == admission.n_waiting == admission._running_tokens == 0
    assert statuses[400] > N_REQUESTS / 3 and statuses.get(200, 0) > 0
