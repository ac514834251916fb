"""Requests that have ended other servers: each gets a clear 4xx, and the next one its text."""

import json

import pytest

OK = {"model": "tiny", "prompt": [72, 101], "max_tokens": 2, "temperature": 0}
LONG = 10**4

# Fields of a request -> a word of the message.
FIELDS = [
    ({"n": 1_000_000}, "n="),
    ({"n": 0}, "n="),
    ({"n": -1}, "n="),
    ({"best_of": 10**9}, "best_of"),
    ({"logprobs": -1}, "logprobs"),
    ({"logprobs": 154_880}, "logprobs"),
    ({"logprobs": True}, "logprobs"),
    ({"prompt": [999_999]}, "out of vocabulary"),
    ({"prompt": [-1]}, "out of vocabulary"),
    ({"prompt": [10**40]}, "JSON|prompt|number"),
    ({"prompt": []}, "prompt"),
    ({"prompt": [[]]}, "empty"),
    ({"prompt": [[72], []]}, "empty"),
    ({"prompt": ""}, "empty"),
    ({"prompt": ["a", [72]]}, "prompt"),
    ({"prompt": [True]}, "prompt"),
    ({"prompt": [1.5]}, "prompt"),
    ({"prompt": None}, "prompt"),
    ({"prompt": {"a": 1}}, "prompt"),
    ({"prompt": [[72]] * 257}, "at most 256"),
    ({"prompt": [72] * 64}, "64"),
    ({"prompt": "가" * LONG}, "64"),
    ({"max_tokens": 0}, "max_tokens"),
    ({"max_tokens": -5}, "max_tokens"),
    ({"max_tokens": 10**18}, "max_tokens"),
    ({"max_tokens": 63}, "max_tokens"),
    ({"max_tokens": True}, "max_tokens"),
    ({"max_tokens": "5"}, "max_tokens"),
    ({"temperature": 999_999}, "temperature"),
    ({"temperature": -0.1}, "temperature"),
    ({"temperature": True}, "temperature"),
    ({"top_p": -1}, "top_p"),
    ({"top_p": 0}, "top_p"),
    ({"top_k": -2}, "top_k"),
    ({"min_p": 2}, "min_p"),
    ({"repetition_penalty": 0}, "repetition_penalty"),
    ({"frequency_penalty": 1e9}, "frequency_penalty"),
    ({"logit_bias": {"999999": 1}}, "999999"),
    ({"logit_bias": {"-1": 1}}, "-1"),
    ({"logit_bias": {"65": 1e9}}, "logit_bias"),
    ({"logit_bias": {"word": 1}}, "logit_bias"),
    ({"allowed_token_ids": [999]}, "999"),
    ({"stop_token_ids": [-3]}, "-3"),
    ({"stop": ""}, "stop"),
    ({"stop": ["a", ""]}, "stop"),
    ({"stop": ["x"] * LONG}, "stop"),
    ({"stop": [1]}, "stop"),
    ({"ignore_eos": True, "stop": "x"}, "ignore_eos"),
    ({"stream_options": {"include_usage": True}}, "stream_options"),
    ({"seed": 2**63}, "seed|number"),
    ({"model": "none"}, "none"),
    ({"model": None}, "model"),
    ({"prompt_logprobs": -1}, "prompt_logprobs"),
    ({"prompt_embeds": "gASVIAAAAAAAAACM"}, "prompt_embeds"),
    ({"suffix": "x"}, "suffix"),
    ({"unheard_of": 1}, "unheard_of"),
    ({"structured_outputs": {}}, "structured_outputs"),
    ({"structured_outputs": {"regex": "(a{1000}){1000}"}}, "regex"),
    ({"structured_outputs": {"regex": "("}}, "regex"),
    ({"structured_outputs": {"choice": []}}, "choices"),
    ({"structured_outputs": {"choice": ["a"], "regex": "a"}}, "one of"),
    ({"structured_outputs": {"json": {"type": "nonsense", "pattern": "("}}}, "json_schema"),
    ({"structured_outputs": {"grammar": "start: nothing"}}, "lark"),
    ({"response_format": {"type": "json_schema"}}, "json_schema"),
]


def check(client, response, words, statuses=(400,)):
    assert response.status_code in statuses, (response.status_code, response.text)
    message = response.json()["error"]["message"]
    assert any(word in message for word in words.split("|")), message
    assert len(message) < 1000
    answer = client.post("/v1/completions", json=OK)
    assert answer.status_code == 200 and answer.json()["usage"]["completion_tokens"] <= 2


@pytest.mark.parametrize("fields, word", FIELDS, ids=lambda value: repr(value)[:60])
@pytest.mark.parametrize("stream", [False, True])
def test_wrong_fields_are_refused(client, fields, word, stream):
    body = {**OK, **fields, **({"stream": True} if stream else {})}
    if stream and "stream_options" in fields:
        pytest.skip("it belongs to streams")
    statuses = (404,) if fields.get("model") else (400,)
    check(client, client.post("/v1/completions", json=body), word, statuses)


@pytest.mark.parametrize(
    "data, word",
    [
        (b"", "JSON"),
        (b"[]", "object"),
        (b"null", "object"),
        (b'"text"', "object"),
        (b"{", "JSON"),
        (b"\xff\xfe{}", "JSON"),
        (b'{"model": "tiny", "prompt": "\xff"}', "JSON"),
        (b'{"model": "tiny", "prompt": "a", "temperature": NaN}', "JSON"),
        (b'{"model": "tiny", "prompt": "a", "temperature": Infinity}', "JSON"),
        (b'{"model": "tiny", "prompt": "a", "temperature": 1e999}', "JSON|temperature"),
        (b'{"model": "tiny", "prompt": "\\ud800"}', "JSON|prompt"),
        (b"[" * 100_000, "JSON|nests|object"),
        (b'{"model": "tiny", "prompt": ' + b"[" * 100_000, "JSON|nests|prompt"),
        (b'{"model": "tiny", "prompt": "a", "metadata": ' + b'{"a":' * 50_000, "JSON|nests"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_wrong_bodies_are_refused(client, data, word):
    check(client, client.post("/v1/completions", content=data), word)


def test_large_bodies_are_refused_before_they_are_read(client):
    data = json.dumps({**OK, "prompt": "x" * 2**22}).encode()
    check(client, client.post("/v1/completions", content=data), "bytes", (413,))
    chunks = (b" " * 2**16 for _ in range(100))
    check(client, client.post("/v1/completions", content=chunks), "bytes", (413,))


def test_large_headers_are_refused(client):
    response = client.post("/v1/completions", json=OK, headers={"x-large": "x" * 20_000})
    check(client, response, "bytes", (431,))


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "127.0.0.1.nip.io", ""])
def test_other_hosts_are_refused(client, host):
    response = client.post("/v1/completions", json=OK, headers={"host": host})
    check(client, response, "Host", (421,))


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://localhost:1", "x"])
def test_other_origins_are_refused(client, origin):
    response = client.post("/v1/completions", json=OK, headers={"origin": origin})
    check(client, response, "Origin", (403,))
    response = client.options("/v1/completions", headers={"origin": origin})
    check(client, response, "Origin", (403,))


def test_books_are_refused_without_being_encoded(client, monkeypatch):
    def encode(self, text):
        assert len(text) < 1000
        return list(text.encode())

    monkeypatch.setattr("tests.helpers.serving.TextTokenizer.encode", encode)
    text = "x" * 2_000_000
    for path, field in (("/v1/completions", "prompt"), ("/v1/embeddings", "input")):
        response = client.post(path, json={"model": "tiny", field: text})
        check(client, response, "characters")
        assert response.json()["error"]["code"] == "context_length_exceeded"
