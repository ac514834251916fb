"""POST /hclx/v1/generate against the engine in process."""

import re

import pytest

from hclx.infer import GenerateRequest, SamplingConfig
from hclx.infer.grammar import choices, regex


def post(client, prompts, **fields):
    return client.post("/hclx/v1/generate", json={"model": "tiny", "prompts": prompts, **fields})


def test_texts_are_those_of_the_engine_in_order(client, engine):
    prompts = [
        {"prompt": "abc", "max_tokens": 5, "temperature": 0},
        {"prompt": [72, 101], "max_tokens": 7, "seed": 3, "n": 2, "top_k": 40, "logprobs": 2},
        {"prompt": "x", "grammar": {"regex": "[0-9]{2}"}, "seed": 1},
        {"prompt": "x", "grammar": {"choices": ["yes", "no"]}, "stop": ["zzz"], "seed": 2**32 - 1},
        {"prompt": "q", "max_tokens": 4, "seed": 5, "logit_bias": {"65": 100}, "stop_ids": [66]},
    ]
    sampling = SamplingConfig
    expected = engine.generate(
        [
            GenerateRequest("abc", sampling(max_tokens=5, temperature=0)),
            GenerateRequest((72, 101), sampling(max_tokens=7, seed=3, top_k=40, logprobs=2), n=2),
            GenerateRequest("x", sampling(max_tokens=62, seed=1), grammar=regex("[0-9]{2}")),
            GenerateRequest(
                "x", sampling(max_tokens=62, seed=2**32 - 1), grammar=choices(["yes", "no"])
            ),
            GenerateRequest("q", sampling(max_tokens=4, seed=5, logit_bias={65: 100})),
        ]
    )
    response = post(client, prompts)
    assert response.status_code == 200, response.text
    answer = response.json()
    for result, texts in zip(answer["results"], expected, strict=True):
        assert [t["text"] for t in result["texts"]] == [text.text for text in texts]
        assert [t["stop_reason"] for t in result["texts"]] == [text.stop_reason for text in texts]
        assert [t["completion_tokens"] for t in result["texts"]] == [len(t.tokens) for t in texts]
        assert result["prompt_tokens"] == texts[0].n_prompt
    second = answer["results"][1]["texts"]
    assert [text["seed"] for text in second] == [3, 4]
    for text, of_engine in zip(second, expected[1]):
        assert [t["token"] for t in text["logprobs"]] == list(of_engine.tokens)
        for token, entry in zip(text["logprobs"], of_engine.logprobs):
            assert token["logprob"] == pytest.approx(entry.logprob, abs=1e-4)
            assert [t["token"] for t in token["top"]] == [t for t, _ in entry.top]
    assert answer["results"][0]["texts"][0]["logprobs"] is None
    assert re.fullmatch("[0-9]{2}", answer["results"][2]["texts"][0]["text"])
    usage = answer["usage"]
    assert usage["prompt_tokens"] == 4 + 2 + 2 + 2 + 2
    new = sum(t["completion_tokens"] for result in answer["results"] for t in result["texts"])
    assert usage["completion_tokens"] == new


def test_the_default_length_gives_way_and_seeds_are_told(client):
    prompts = [{"prompt": "a" * 60, "temperature": 1.0}] * 2
    first, second = (result["texts"][0] for result in post(client, prompts).json()["results"])
    assert first["completion_tokens"] <= 3 and first["seed"] != second["seed"]
    again = post(client, [{**prompts[0], "seed": first["seed"]}]).json()["results"][0]["texts"][0]
    assert again == first


@pytest.mark.parametrize(
    "wrong, param",
    [
        ({"prompt": ""}, None),
        ({"prompt": []}, "prompt"),
        ({"prompt": [256]}, "prompt"),
        ({"prompt": "a" * 64}, "prompt"),
        ({"prompt": "가" * 90_000}, "prompt"),
        ({"prompt": "a", "max_tokens": 63}, "max_tokens"),
        ({"prompt": "a", "max_tokens": 0}, "max_tokens"),
        ({"prompt": "a", "max_tokens": True}, "max_tokens"),
        ({"prompt": "a", "min_tokens": 9, "max_tokens": 8}, "min_tokens"),
        ({"prompt": "a", "temperature": -1}, "temperature"),
        ({"prompt": "a", "temperature": 1e-9}, "temperature"),
        ({"prompt": "a", "top_p": 0}, "top_p"),
        ({"prompt": "a", "logprobs": 21}, "logprobs"),
        ({"prompt": "a", "n": 0}, "n"),
        ({"prompt": "a", "stop": [""]}, "stop"),
        ({"prompt": "a", "stop": ["x"] * 65}, "stop"),
        ({"prompt": "a", "stop": ["x" * 1001]}, "stop"),
        ({"prompt": "a", "stop_ids": [999]}, "stop_ids"),
        ({"prompt": "a", "logit_bias": {"300": 1}}, "logit_bias"),
        ({"prompt": "a", "allowed_tokens": [0]}, "allowed_tokens"),
        ({"prompt": "a", "grammar": {"regex": "("}}, "grammar"),
        ({"prompt": "a", "grammar": {}}, "grammar"),
        ({"prompt": "a", "grammar": {"regex": "a", "lark": "b"}}, "grammar"),
        ({"prompt": "a", "grammar": {"choices": []}}, "grammar"),
    ],
)
def test_a_wrong_prompt_is_named_before_anything_runs(client, engine, monkeypatch, wrong, param):
    if param is None:
        assert post(client, [wrong]).status_code == 200  # the beginning of a document
        return
    monkeypatch.setattr(engine, "submit", lambda request: pytest.fail("something runs"))
    response = post(client, [{"prompt": "abc", "max_tokens": 2}, wrong, {"prompt": "d"}])
    assert response.status_code == 400, response.text
    error = response.json()["error"]
    assert error["param"].removeprefix("prompts[1]").removeprefix(".") == param, error
    assert "prompts[1]" in error["message"]


@pytest.mark.parametrize(
    "prompts, param",
    [
        ([], "prompts"),
        ([{"prompt": "a", "max_tokens": 1}] * 257, "prompts"),
        ([{"prompt": "a", "max_tokens": 1, "n": 200}] * 2, "n"),
        ({"prompt": "a"}, "prompts"),
        ([{"prompt": "a", "unheard_of": 1}], "prompts[0].unheard_of"),
        ([{"max_tokens": 1}], "prompts[0].prompt"),
    ],
)
def test_wrong_requests_are_refused(client, prompts, param):
    response = post(client, prompts)
    assert response.status_code == 400 and response.json()["error"]["param"] == param
