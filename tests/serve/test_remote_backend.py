"""The same routes before another server."""

import json

from hclx.infer import RemoteEngine
from hclx.serve.backend import Backend
from hclx.serve.caller import Caller, OpenKeys
from hclx.serve.server import build_app
from tests.helpers.model_server import TEXT, model_server
from tests.helpers.serving import TextTokenizer, client_of


def test_texts_and_streams_pass_through():
    tokenizer = TextTokenizer(256)
    with model_server() as server, RemoteEngine(server.url, tokenizer=tokenizer) as engine:
        app = build_app(Backend(engine, tokenizer, {"ours": None}, 50))
        body = {"model": "ours", "prompt": "abc", "max_tokens": 4, "temperature": 0.5, "seed": 7}
        with client_of(app) as client:
            answer = client.post("/v1/completions", json=body).json()
            assert answer["choices"][0]["text"] == "".join(TEXT)
            streamed = client.post("/v1/completions", json={**body, "stream": True}).text
        events = [e.removeprefix("data: ") for e in streamed.split("\n\n") if "choices" in e]
        texts = [json.loads(event)["choices"][0]["text"] for event in events]
        assert "".join(texts) == "".join(TEXT)
        sent = server.bodies[0]
        assert sent["prompt"] == [1, *b"abc"] and sent["model"] == "m"
        assert (sent["max_tokens"], sent["temperature"], sent["seed"]) == (4, 0.5, 7)


def test_failures_of_the_other_server_are_told():
    from hclx.infer import RemoteConfig
    from tests.helpers.model_server import status

    tokenizer, settings = TextTokenizer(256), RemoteConfig(retries=0)
    with (
        model_server() as server,
        RemoteEngine(server.url, tokenizer=tokenizer, settings=settings) as engine,
        client_of(build_app(Backend(engine, tokenizer, {"ours": None}, 50))) as client,
    ):
        server.answers.append(status(503))
        body = {"model": "ours", "prompt": "abc", "max_tokens": 4}
        response = client.post("/v1/completions", json=body)
        assert response.status_code == 502 and response.headers["retry-after"]
        assert client.post("/v1/completions", json=body).status_code == 200


def test_tenants_are_not_named_to_a_server_that_knows_none():
    class Keys(OpenKeys):
        def authenticate(self, secret):
            return Caller("first", tenant="ours")

    tokenizer, body = TextTokenizer(256), {"model": "ours", "prompts": [{"prompt": "abc"}]}
    with (
        model_server("llama.cpp") as server,
        RemoteEngine(server.url, tokenizer=tokenizer) as engine,
    ):
        for keeps, status in ((False, 200), (True, 400)):
            backend = Backend(engine, tokenizer, {"ours": None}, 50, keeps_tenants=keeps)
            with client_of(build_app(backend, Keys())) as client:
                assert client.post("/hclx/v1/generate", json=body).status_code == status


def test_own_routes_pass_through_and_refuse_before_anything_is_sent():
    tokenizer = TextTokenizer(256)
    with model_server() as server, RemoteEngine(server.url, tokenizer=tokenizer) as engine:
        app = build_app(Backend(engine, tokenizer, {"ours": None}, 50))
        prompts = [{"prompt": "abc", "max_tokens": 4}, {"prompt": "d", "grammar": {"lark": "x"}}]
        with client_of(app) as client:

            def post(route, **body):
                return client.post(f"/hclx/v1/{route}", json={"model": "ours", **body})

            refused = post("generate", prompts=prompts)
            assert refused.status_code == 400 and "prompts[1]" in refused.json()["error"]["message"]
            assert not server.bodies
            results = post("generate", prompts=prompts[:1]).json()["results"]
            assert results[0]["texts"][0]["text"] == "".join(TEXT)
            items = [{"context": "ab", "continuation": "c"}]
            (score,) = post("score", items=items).json()["scores"]
            assert score["total"] == -3.0  # the server gives -1, -2, ... to each token
            answer = post("choose", context="ab", choices=["cd", "c"]).json()
            assert answer["choice"] == "c" and answer["choices"][0]["total"] == -7.0
