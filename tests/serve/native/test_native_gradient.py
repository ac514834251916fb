"""POST /hclx/v1/gradient against the function in process, difference quotients, and other engines.
The function is compared with PyTorch in tests/tune/test_continuation_gradient.py.
"""

import base64

import numpy as np
import pytest

from hclx.infer import RemoteEngine, ScoreRequest
from hclx.serve.backend import Backend
from hclx.serve.server import build_app
from hclx.tune.continuation_gradient import ContinuationGradients
from tests.helpers.model_server import model_server
from tests.helpers.serving import TINY, TextTokenizer, client_of

SIZE = TINY.d_model


def post(client, **body):
    body = {"model": "tiny", "context": "It was", "continuation": " good", **body}
    return client.post("/hclx/v1/gradient", json=body)


def numbers(answer, name):
    return np.frombuffer(base64.b64decode(answer[name]), "<f4").reshape(answer["shape"])


def written(slots):
    return base64.b64encode(np.asarray(slots, "<f4").tobytes()).decode()


def test_it_is_the_gradient_of_the_score(client, engine):
    answer = post(client, vectors=True).json()
    ids = [1, *b"It was"]
    expected = ContinuationGradients(engine.loaded_model)(ids, list(b" good"), np.zeros((0, SIZE)))
    np.testing.assert_allclose(numbers(answer, "gradient"), expected.gradient_nd, rtol=1e-5)
    np.testing.assert_allclose(numbers(answer, "input_vectors"), expected.vectors_nd, rtol=1e-6)
    norms = np.linalg.norm(expected.gradient_nd, axis=1)
    assert [token["norm"] for token in answer["tokens"]] == pytest.approx(norms.tolist(), rel=1e-5)
    assert [token["token"] for token in answer["tokens"]] == ids
    assert answer["tokens"][1]["text"] == "I"
    (score,) = engine.score([ScoreRequest("It was", " good")])
    assert answer["logprob"] == pytest.approx(score.total, rel=1e-4)
    assert answer["usage"]["prompt_tokens"] == 7 + 5


def test_numbers_come_if_they_are_asked_for(client):
    answer = post(client, context=[72, 101], continuation=[108]).json()
    assert answer["gradient"] is answer["input_vectors"] is None
    assert (
        answer["first_slot"] == 256 and answer["shape"] == [2, SIZE] and len(answer["tokens"]) == 2
    )


def test_a_client_climbs_with_vectors_of_its_own(client):
    """By the difference quotient along the gradient of a slot that it has sent."""
    slot = np.random.default_rng(0).normal(size=(1, SIZE)).astype(np.float32)
    ask = lambda slots: post(
        client, context=[1, 256, 97], continuation="b", slots=written(slots), vectors=True
    ).json()
    answer = ask(slot)
    assert answer["tokens"][1]["text"] == "token_id:256"
    np.testing.assert_array_equal(numbers(answer, "input_vectors")[1], slot[0])
    gradient = numbers(answer, "gradient")[1]
    step = 1e-2 * gradient / np.linalg.norm(gradient)
    ahead, behind = ask(slot + step)["logprob"], ask(slot - step)["logprob"]
    assert (ahead - behind) / 2e-2 == pytest.approx(float(np.linalg.norm(gradient)), rel=0.02)
    assert ahead > answer["logprob"]


@pytest.mark.parametrize(
    "fields, param",
    [
        ({"context": []}, "context"),
        ({"context": [256]}, "context"),
        ({"context": [-1]}, "context"),
        ({"context": [257], "slots": written(np.zeros((1, SIZE)))}, "context"),
        ({"context": [10**15]}, "context"),
        ({"context": "x" * 64}, "continuation"),
        ({"continuation": ""}, "continuation"),
        ({"continuation": [256]}, "continuation"),
        ({"slots": "???"}, "slots"),
        ({"slots": "가"}, "slots"),
        ({"slots": written([1.0])}, "slots"),
        ({"slots": written(np.full((1, SIZE), np.inf))}, "slots"),
        ({"context": [1, 256], "slots": written(np.full((1, SIZE), 3e38))}, "slots"),
        ({"vectors": 1}, "vectors"),
    ],
)
def test_wrong_requests_are_refused(client, app, fields, param):
    response = post(client, **fields)
    assert response.status_code == 400, response.text
    assert response.json()["error"]["param"] == param
    assert app.state.service.admission.n_running == 0


def test_ids_of_slots_that_there_are_not_are_explained(client):
    message = post(client, context=[1, 260]).json()["error"]["message"]
    assert "260" in message and "no slots, whose ids are from 256 on" in message
    slots = written(np.zeros((4, SIZE)))
    message = post(client, context=[1, 260], slots=slots).json()["error"]["message"]
    assert "4 slots, whose ids are 256 to 259" in message


def test_artefacts_and_other_servers_have_none(engine):
    tokenizer = TextTokenizer(256)
    backend = Backend(engine, tokenizer, {"tiny": None, "tuned": "tuned"}, 64)
    with client_of(build_app(backend)) as client:
        error = post(client, model="tuned").json()["error"]
        assert error["param"] == "model" and "'tiny'" in error["message"]
    with model_server() as server, RemoteEngine(server.url, tokenizer=tokenizer) as remote:
        with client_of(build_app(Backend(remote, tokenizer, {"tiny": None}, 50))) as client:
            response = post(client)
            assert response.status_code == 501
            assert response.json()["error"]["code"] == "unsupported"
            assert response.headers["x-should-retry"] == "false"
