"""POST /v1/completions/{model} of CLOVA Studio against the engine that it serves."""

import json
import math

import pytest

from hclx.infer import GenerateRequest, SamplingConfig, ScoreRequest
from hclx.serve.caller import Caller
from hclx.serve.clova.clova_fields import multiplicative_penalty
from hclx.serve.server import build_app
from tests.helpers.serving import client_of

PATH = "/testapp/v1/completions/tiny"
# That of the documentation: from Korean to English, with the first example in English letters, as
# the model here reads 64 bytes.
TEXT, START, STOP = "한: 사과\n영: Apple\n한: 귤", "\n영: ", "\n한: "


def post(client, path=PATH, headers=None, **fields):
    return client.post(path, json={"text": "Hello", **fields}, headers=headers)


def complete(client, path=PATH, **fields):
    response = post(client, path, **fields)
    assert response.status_code == 200, response.text
    answer = response.json()
    assert answer["status"] == {"code": "20000", "message": "OK"}
    return answer["result"]


def refused(response, code):
    """The message of a request that was refused with a code."""
    assert response.json()["status"]["code"] == code, response.text
    assert response.json()["result"] is None
    assert response.status_code == int(code[:3])
    return response.json()["status"]["message"]


def settings(**fields):
    """The settings of the engine that the documented defaults stand for."""
    values = {"temperature": 0.5, "top_p": 0.8, "repetition_penalty": 1.1, **fields}
    return SamplingConfig(**values)


def generated(engine, prompt, **fields):
    ((result,),) = engine.generate([GenerateRequest(prompt, settings(**fields))])
    return result


def test_the_sample_call_of_the_documentation(client, engine):
    asked = {"text": TEXT, "start": START, "maxTokens": 10, "seed": 3}
    whole = generated(engine, TEXT + START, max_tokens=10, seed=3)
    result = complete(client, **asked, stopBefore=[STOP], restart="\n한: ")
    assert result["outputText"] == whole.text and result["stopReason"] == "length"
    assert result["inputText"] == TEXT + START
    assert result["text"] == TEXT + START + whole.text + "\n한: "
    assert result["inputLength"] == len((TEXT + START).encode())
    assert result["outputLength"] == len(whole.tokens) == 10
    assert result["ok"] is True and result["aiFilter"] == [] and result["seed"] == 3


def test_a_stop_text_is_not_part_of_the_output(client, engine):
    whole = generated(engine, "Hello", max_tokens=12, seed=3).text
    stop = whole[4:6]
    result = complete(client, maxTokens=12, seed=3, stopBefore=["never", stop])
    assert result["outputText"] == whole[: whole.index(stop)]
    assert result["stopReason"] == "stop_before"


def test_the_end_of_a_document_is_a_reason(engine, client):
    seeds = range(1, 400)
    results = [generated(engine, "Hello", max_tokens=20, seed=seed) for seed in seeds[:60]]
    ends = [seed for seed, result in zip(seeds, results) if result.stop_reason == "end"]
    assert ends, "no seed ends a text: the test needs another model"
    assert complete(client, maxTokens=20, seed=ends[0])["stopReason"] == "end_token"


def test_settings_are_those_of_the_engine(client, engine):
    asked = {"temperature": 1, "topK": 5, "topP": 0.6, "repeatPenalty": 10}
    result = complete(client, **asked, maxTokens=12, seed=9)
    fields = {"temperature": 1.0, "top_k": 5, "top_p": 0.6, "repetition_penalty": 1.2}
    assert result["outputText"] == generated(engine, "Hello", **fields, max_tokens=12, seed=9).text


def test_the_default_length_is_100_tokens_or_what_there_is_room_for(client, backend):
    result = complete(client, seed=3)
    assert result["stopReason"] == "end_token" or result["outputLength"] == 64 - 6
    assert result["outputLength"] <= 64 - 6


def test_the_penalty_of_v1_as_a_factor():
    factors = [multiplicative_penalty(value) for value in (0, 5.0, 10)]
    assert factors == pytest.approx([1, 1.1, 1.2], abs=1e-12)


@pytest.mark.parametrize(
    ("field", "good", "bad"),
    [
        ("maxTokens", [1, 50], [0, 2049, -1, 1.5, True, "5", None]),
        ("temperature", [1e-5, 0.5, 1], [0, 1.01, -1, "0.5", True, 1e9]),
        ("topK", [0, 128], [-1, 129, 1.5, "0", True]),
        ("topP", [0.01, 1], [0, 1.01, -1, "1", True]),
        ("repeatPenalty", [0, 5, 10], [-0.01, 10.01, "5", True]),
        ("seed", [0, 1, 2**32 - 1], [-1, 2**32, 1.5, "1", True]),
        ("stopBefore", [[], ["a"] * 64], ["a", [""], ["a"] * 65, [1], None]),
        ("start", ["", "가"], [1, None, ["a"]]),
        ("restart", ["", "가"], [1, None, ["a"]]),
        ("includeTokens", [True, False], [1, "true", None]),
        ("includeProbs", [True, False], [0, "true", None]),
        ("includeAiFilters", [True, False], [1, "true", None]),
        ("text", ["a", "\x00", "가"], [1, None, ["a"]]),
    ],
)
def test_fields_at_the_borders_of_their_ranges(client, field, good, bad):
    for value in good:
        complete(client, **{"maxTokens": 2, field: value})
    for value in bad:
        message = refused(post(client, **{"maxTokens": 2, field: value}), "40001")
        assert message.startswith(field), message


def test_a_text_may_be_all_in_start(client):
    whole = complete(client, text="가", maxTokens=2, seed=1, topK=1)
    assert complete(client, text="", start="가", maxTokens=2, seed=1, topK=1) == whole
    assert "start" in refused(post(client, text=""), "40004")


def test_the_greatest_length_is_refused_for_its_room_alone(client):
    assert "2048" in refused(post(client, maxTokens=2048), "40003")
    message = refused(post(client, maxTokens=59), "40003")
    assert "maxTokens=59" in message and "64" in message
    assert complete(client, maxTokens=58)["outputLength"] <= 58


@pytest.mark.parametrize("name", ["max_tokens", "stop", "repetitionPenalty", "stream", "가"])
def test_unknown_fields_are_refused_by_their_name(client, name):
    assert refused(post(client, **{name: 1}), "40001").startswith(name)


def test_what_is_no_body_is_refused(client):
    for data in (b"", b"[]", b"1", b"{", b"null", b'{"text": NaN}', b"\xff", b'{"text": "\xff"}'):
        assert refused(client.post(PATH, content=data), "40000")
    assert refused(client.post(PATH, json={}), "40001").startswith("text: ")


def test_texts_that_are_empty_or_too_long(client):
    assert "text" in refused(post(client, text=""), "40004")
    for text in ("a" * 64, "가" * 30_000):
        assert refused(post(client, text=text), "40003")


def test_unknown_models_paths_and_methods(client):
    assert "'none'" in refused(post(client, "/v1/completions/none"), "40080")
    assert refused(post(client, "/v1/completions/"), "40080")
    assert refused(post(client, "/testapp/v1/nothing"), "40400")
    assert refused(client.get(PATH), "40500")


@pytest.mark.parametrize(
    "path",
    [
        *("/v1/completions/tiny", "/serviceapp/v1/completions/tiny"),
        *("/v1/tasks/tiny/completions", "/testapp/v1/tasks/tiny/completions"),
    ],
)
def test_other_paths_of_the_same(client, path):
    assert complete(client, path, maxTokens=4, seed=2) == complete(client, maxTokens=4, seed=2)


def test_tokens_and_their_probabilities(client, engine):
    result = complete(client, maxTokens=5, seed=4, includeTokens=True, includeProbs=True)
    expected = generated(engine, "Hello", max_tokens=5, seed=4)
    assert result["inputTokens"] == list("Hello") and result["inputLength"] == 5
    assert len(result["outputTokens"]) == len(result["outputProbs"]) == len(expected.tokens)
    scored = engine.score([ScoreRequest((1, *b"Hello"), expected.tokens)])[0]
    probabilities = [math.exp(token.logprob) for token in scored.tokens]
    assert result["outputProbs"] == pytest.approx(probabilities, rel=1e-4)
    plain = complete(client, maxTokens=5, seed=4, includeAiFilters=False)
    assert not {"inputTokens", "outputTokens", "outputProbs", "aiFilter"} & set(plain)


def test_a_seed_of_0_is_another_one_each_time_which_is_told(client):
    results = [complete(client, maxTokens=12, seed=0) for _ in range(4)]
    seeds = {result["seed"] for result in results}
    assert len(seeds) == 4 and 0 not in seeds
    again = complete(client, maxTokens=12, seed=results[0]["seed"])
    assert again["outputText"] == results[0]["outputText"]


def test_a_stream_has_the_same_text(client):
    headers = {"Accept": "text/event-stream"}
    asked = {"text": TEXT, "maxTokens": 12, "seed": 6}
    events = post(client, headers=headers, **asked).text.split("\n\n")
    assert events.pop() == "" and events.pop() == 'event: signal\ndata: {"data": "[DONE]"}'
    names, data = zip(*(event.removeprefix("event: ").split("\ndata: ") for event in events))
    assert names == ("token",) * (len(names) - 1) + ("result",)
    *parts, result = map(json.loads, data)
    assert [part["index"] for part in parts] == list(range(len(parts)))
    assert "".join(part["text"] for part in parts) == result["outputText"]
    assert result == complete(client, **asked)


class TwoKeys:
    """Keys as CLOVA Studio has them: one for tests, one for services."""

    def authenticate(self, secret):
        """Returns who has a key."""
        if secret in ("test", "service"):
            return Caller(secret, kind=secret)
        return Caller(secret, scopes=frozenset()) if secret == "nothing" else None

    def __init__(self):
        self.ended = []

    def admit(self, caller, cost_tokens):
        """Admits everything."""

    def record(self, caller, ended, reservation):
        """Keeps what has ended."""
        self.ended.append(ended)


def test_keys_for_tests_are_not_for_services(backend):
    keys = TwoKeys()
    with client_of(build_app(backend, keys)) as client:
        ask = lambda path, **headers: post(client, path, headers, maxTokens=1)
        old = {"X-NCP-CLOVASTUDIO-API-KEY": "test", "X-NCP-APIGW-API-KEY": "x"}
        service = "/serviceapp/v1/completions/tiny"
        assert ask(PATH, **old).status_code == 200
        assert ask("/v1/completions/tiny", Authorization="Bearer test").status_code == 200
        assert refused(ask(service, **old), "40300")
        assert ask(service, Authorization="Bearer service").status_code == 200
        assert refused(ask(PATH, Authorization="Bearer wrong"), "40104")
        assert refused(ask(PATH), "40104")
        assert refused(ask(PATH, Authorization="Bearer nothing"), "40300")
    paths = [(ended.model, ended.route) for ended in keys.ended]
    assert paths == [("tiny", PATH), ("tiny", "/v1/completions/tiny"), ("tiny", service)]
