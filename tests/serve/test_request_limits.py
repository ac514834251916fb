"""Limits of requests that depend on the model: lengths with artefacts, answers without a length,
tokens that nobody knows, texts of clients that have left.
"""

import asyncio
import time

import numpy as np
import pytest

from hclx.infer import UNKNOWN_TOKEN, TokenLogprob
from hclx.infer.adapters import Adapter, Prefix
from hclx.serve.backend import Backend
from hclx.serve.openai.openai_logprobs import CompletionLogprobs, chat_logprobs
from hclx.serve.serve_config import ServeConfig
from hclx.serve.server import build_app
from tests.helpers.scripted_chat import scripted_backend
from tests.helpers.serving import TINY, TextTokenizer, client_of, tiny_engine


@pytest.fixture(scope="module")
def adapted():
    slots = np.ones((5, TINY.d_model), np.float32)
    shape = (TINY.n_layers, 3, TINY.n_kv_heads or TINY.n_heads, TINY.d_model // TINY.n_heads)
    prefix = Prefix(np.zeros(shape, np.float32), np.zeros(shape, np.float32))
    with tiny_engine() as engine:
        engine.add_adapter("soft", Adapter(slots_pd=slots))
        engine.add_adapter("prefix", Adapter(prefix=prefix))
        models = {"tiny": None, "soft": "soft", "prefix": "prefix"}
        yield Backend(engine, TextTokenizer(256), models, 64)


@pytest.mark.parametrize("name, n_before", [("tiny", 0), ("soft", 5), ("prefix", 3)])
def test_what_stands_before_a_prompt_counts(adapted, name, n_before):
    asked = {"model": name, "prompt": [65] * 40, "temperature": 0, "ignore_eos": True}
    with client_of(build_app(adapted)) as client:
        post = lambda n: client.post("/v1/completions", json={**asked, "max_tokens": n})
        answer = post(24 - n_before).json()
        assert answer["usage"]["completion_tokens"] == 24 - n_before
        assert answer["choices"][0]["finish_reason"] == "length"
        refused = post(25 - n_before)
    assert refused.status_code == 400
    assert refused.json()["error"]["code"] == "context_length_exceeded"
    assert (f"this model has {n_before}" in refused.text) == (n_before > 0)


@pytest.mark.parametrize("asked, expected", [({}, 7), ({"max_tokens": 9}, 9)])
def test_an_answer_has_a_length_even_if_the_request_names_none(asked, expected):
    backend = scripted_backend("네")
    body = {"model": "chat", "messages": [{"role": "user", "content": "?"}], **asked}
    with client_of(build_app(backend, config=ServeConfig(answer_tokens=7))) as client:
        assert client.post("/v1/chat/completions", json=body).status_code == 200
    (request,) = backend.engine.requests
    assert request.sampling.max_tokens == expected


@pytest.mark.parametrize(
    "path, body",
    [
        ("/v1/completions", {"model": "tiny", "prompt": "a", "stop": ["a" * 10**6]}),
        ("/v1/completions/tiny", {"text": "a", "stopBefore": ["a" * 10**6]}),
    ],
)
def test_a_stop_text_has_a_length(client, path, body):
    begin = time.monotonic()
    response = client.post(path, json=body)
    assert response.status_code == 400 and "stop" in response.text
    assert time.monotonic() - begin < 1


def test_a_token_that_a_server_does_not_tell_has_a_name():
    tokenizer, entry = TextTokenizer(256), TokenLogprob(UNKNOWN_TOKEN, -0.5)
    written = CompletionLogprobs(tokenizer).written([65, UNKNOWN_TOKEN], [entry, entry])
    assert written["tokens"] == ["A", "token_id:-1"] and written["text_offset"] == [0, 1]
    (described,) = chat_logprobs(tokenizer, [entry])["content"]
    assert (described["token"], described["bytes"]) == ("token_id:-1", [])


def test_texts_of_a_client_that_has_left_are_not_embedded_any_more():
    class SlowEngine:
        n_texts = 0

        def embed(self, texts, artefact):
            self.n_texts += len(texts)
            time.sleep(0.2)
            return [[0.0]] * len(texts)

    engine = SlowEngine()
    backend = Backend(engine, TextTokenizer(256), {"tiny": None}, 64)

    async def leave():
        asking = asyncio.create_task(backend.embed(["a"] * 100, None))
        await asyncio.sleep(0.1)
        asking.cancel()
        await asyncio.sleep(0.5)

    asyncio.run(leave())
    assert engine.n_texts == 16
