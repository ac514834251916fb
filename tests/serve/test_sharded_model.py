"""A model that is sharded over eight devices is served with the answers of a single one."""

import json

import pytest

from hclx.config import MeshConfig
from hclx.serve.server import build_app
from tests.helpers.engines import engine_of
from tests.helpers.numpy_decoder import noisy_params
from tests.helpers.serving import TINY, TextTokenizer, client_of, tiny_backend

pytestmark = pytest.mark.long
MESH = MeshConfig(data=2, fsdp=2, model=2)
PROMPTS = ["오늘", "a", "글이 길다"]


@pytest.fixture(scope="module")
def sharded():
    tokenizer = TextTokenizer(256)
    with engine_of(noisy_params(TINY), TINY, tokenizer, MESH, rows=4) as engine:
        with client_of(build_app(tiny_backend(engine))) as client:
            yield client


def asked(client, path, **body):
    answer = client.post(path, json={"model": "tiny", **body})
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.mark.parametrize("settings", [{"temperature": 0}, {"seed": 5, "n": 2}], ids=str)
def test_completions(client, sharded, settings):
    body = {"prompt": PROMPTS, "max_tokens": 8, "echo": True, "logprobs": 3, **settings}
    expected, got = (asked(each, "/v1/completions", **body) for each in (client, sharded))
    assert expected["usage"] == got["usage"]
    for one_device, eight in zip(expected["choices"], got["choices"]):
        logprobs = [choice.pop("logprobs") for choice in (one_device, eight)]
        assert one_device == eight
        assert logprobs[0]["tokens"] == logprobs[1]["tokens"]
        expected_values, values = (each["token_logprobs"] for each in logprobs)
        assert values == pytest.approx(expected_values, abs=1e-4)


def test_streams_and_embeddings(client, sharded):
    body = {"prompt": PROMPTS[0], "max_tokens": 8, "temperature": 0, "stream": True}
    texts = []
    for each in (client, sharded):
        lines = each.post("/v1/completions", json={"model": "tiny", **body}).text.splitlines()
        events = [json.loads(line[6:]) for line in lines if line.startswith("data: {")]
        texts.append("".join(event["choices"][0]["text"] for event in events))
    assert texts[0] == texts[1] != ""
    expected, got = (asked(each, "/v1/embeddings", input=PROMPTS) for each in (client, sharded))
    for vector, other in zip(expected["data"], got["data"]):
        assert other["embedding"] == pytest.approx(vector["embedding"], abs=1e-4)
