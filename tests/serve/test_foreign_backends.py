"""The server before engines that others wrote: the texts and log-probabilities that they give
directly, with the keys and quotas of this server.

They run where the variables of tests/helpers/foreign_servers.py name them.
"""

import time

import pytest

pytest.importorskip("sqlalchemy")

from hclx.infer import GenerateRequest, RemoteEngine, SamplingConfig, ScoreRequest
from hclx.serve.backend import Backend
from hclx.serve.server import build_app
from hclx.serve.store.database import open_database
from hclx.serve.store.key_records import Limits, create_key
from hclx.serve.store.key_store import KeyStore
from hclx.text import load_tokenizer
from tests.helpers.foreign_servers import export_small_run, llama_cpp, vllm
from tests.helpers.serving import client_of

pytestmark = pytest.mark.long

PROMPTS = ("대한민국의 수도는", "오늘 아침에는", "한국어")
MOST = 10  # requests of the key in a day, more than one test sends


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a small run, exported as hf."""
    place = tmp_path_factory.mktemp("served")
    export_small_run(place)
    return place


@pytest.fixture(scope="module", params=["vllm", "llama_cpp"])
def engine(request, place):
    start = {"vllm": vllm, "llama_cpp": llama_cpp}[request.param]
    tokenizer = load_tokenizer(place / "run/tokenizer")
    with start(place / "hf", place / f"{request.param}.log") as address:
        with RemoteEngine(address, tokenizer=tokenizer) as engine:
            yield engine


@pytest.fixture
def client(engine, place, tmp_path):
    """A client with a key that has a quota."""
    tokenizer = load_tokenizer(place / "run/tokenizer")
    with open_database(f"sqlite:///{tmp_path}/keys.db") as database:
        limits = Limits(requests_per_day=MOST)
        secret, _ = create_key(database, "studio", time.time(), limits=limits)
        keeps = engine.keeps_tenants
        backend = Backend(engine, tokenizer, {"ours": None}, 128, keeps_tenants=keeps)
        app = build_app(backend, KeyStore(database))
        with client_of(app, headers={"Authorization": f"Bearer {secret}"}) as client:
            yield client


def complete(client, **body):
    answer = client.post("/v1/completions", json={"model": "ours", **body})
    assert answer.status_code == 200, answer.text
    return answer.json()["choices"][0]


def test_texts_are_those_that_it_gives_directly(client, engine, place):
    tokenizer = load_tokenizer(place / "run/tokenizer")
    for prompt in PROMPTS:
        ids = (*tokenizer.begin_ids, *tokenizer.encode(prompt))
        sampling = SamplingConfig(max_tokens=24, temperature=0)
        ((direct,),) = engine.generate([GenerateRequest(ids, sampling)])
        got = complete(client, prompt=prompt, max_tokens=24, temperature=0)
        assert got["text"] == direct.text
        clova = {"text": prompt, "maxTokens": 24, "topK": 1, "temperature": 1, "repeatPenalty": 0}
        path = "/testapp/v1/completions/ours"
        answer = client.post(path, json=clova)
        assert answer.json()["result"]["outputText"] == direct.text


def test_scores_of_an_evaluation_are_those_that_it_gives_directly(client, engine):
    """Of continuations, since llama.cpp tells no log-probability of the first token of a text."""
    items = [{"context": prompt, "continuation": " 그리고 바다"} for prompt in PROMPTS]
    answer = client.post("/hclx/v1/score", json={"model": "ours", "items": items})
    assert answer.status_code == 200, answer.text
    direct = engine.score([ScoreRequest(**item) for item in items])
    for result, expected in zip(answer.json()["scores"], direct, strict=True):
        assert result["total"] == pytest.approx(expected.total, abs=1e-6)


def test_a_quota_ends_what_a_key_may_ask(client):
    body = {"model": "ours", "prompt": PROMPTS[0], "max_tokens": 1}
    statuses = [client.post("/v1/completions", json=body).status_code for _ in range(MOST + 1)]
    assert statuses == [200] * MOST + [429]
