"""POST /v1/embeddings, /tokenize and /detokenize of a model of bytes."""

import base64

import numpy as np
import pytest


def embed(client, **fields):
    return client.post("/v1/embeddings", json={"model": "tiny", **fields})


def test_vectors_are_those_of_the_engine(client, engine):
    answer = embed(client, input=["abc", "de"]).json()
    expected = engine.embed(["abc", "de"])
    assert [item["index"] for item in answer["data"]] == [0, 1]
    for item, vector in zip(answer["data"], expected):
        assert item["embedding"] == pytest.approx(vector.tolist(), abs=1e-5)
    assert answer["usage"] == {"prompt_tokens": 7, "total_tokens": 7}  # each with its beginning


def test_base64_is_little_endian_float32(client):
    numbers = embed(client, input="abc").json()["data"][0]["embedding"]
    text = embed(client, input="abc", encoding_format="base64").json()["data"][0]["embedding"]
    decoded = np.frombuffer(base64.b64decode(text), "<f4")
    assert decoded.tolist() == pytest.approx(numbers, abs=1e-6)


def test_ids_are_embedded_as_they_are(client):
    numbers = embed(client, input=[[1, 97, 98]]).json()["data"][0]["embedding"]
    expected = embed(client, input="ab").json()["data"][0]["embedding"]
    assert numbers == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("value", ["", [], [[]], ["a", ""], [999], [[-1]], "a" * 100, ["a", [1]]])
def test_wrong_inputs_are_refused(client, value):
    response = embed(client, input=value)
    assert response.status_code == 400 and response.json()["error"]["param"] == "input"


def test_texts_and_tokens(client):
    answer = client.post("/tokenize", json={"prompt": "a<|endoftext|>b"}).json()
    assert answer["tokens"] == [1, 97, 1, 98]
    answer = client.post("/detokenize", json={"tokens": [97, 1, 98]}).json()
    assert answer == {"prompt": "a<|endoftext|>b"}
    response = client.post("/detokenize", json={"tokens": [256]})
    assert (
        response.status_code == 400 and "out of vocabulary" in response.json()["error"]["message"]
    )
