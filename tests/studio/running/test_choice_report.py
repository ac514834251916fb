"""Biases and calibration of prompts in the Studio, beside evaluation and closed formulas."""

import numpy as np
import pytest

from hclx.evaluate.item_prompts import Reader
from hclx.evaluate.items import Item
from hclx.evaluate.measure_bias import measure_bias
from hclx.evaluate.run_spec import RunSpec
from hclx.infer import ScoreRequest
from hclx.prompts import render
from tests.helpers.serving import TalkingTokenizer
from tests.helpers.studio import API
from tests.studio.run_contents import (
    CHOOSES,
    ITEMS,
    MAX_LENGTH,
    WRITES,
    content,
    document_of,
)

WORDS = "맛 값 자리 빛 소리 손 말 길 물 불".split()
EXAMPLES = [
    {"말": f"{word}이 {end}", "느낌": key}
    for word in WORDS[:5]
    for key, end in (("좋음", "좋다"), ("나쁨", "별로"))
]
MANY = {**CHOOSES, "examples": EXAMPLES}
TOKENIZER = TalkingTokenizer(256)
READER = Reader(TOKENIZER, MAX_LENGTH, tuple(TOKENIZER.begin_ids))


def refusal(client, route, raw, **fields):
    answer = client.post(f"{API}/{route}", json={"content": raw, **fields})
    assert answer.status_code == 400, answer.text
    return answer.json()["error"]


def test_biases_are_those_of_evaluation(studio_client, engine):
    answer = studio_client.post(f"{API}/bias", json={"content": content(MANY), "rounds": 6})
    assert answer.status_code == 200, answer.text
    items = [
        Item(str(n), {"말": example["말"]}, example["느낌"]) for n, example in enumerate(EXAMPLES)
    ]
    # Five examples of each choice: two are inputs, and three stand before them.
    inputs = tuple(items[8:10] + items[6:8])
    settings = {"items": inputs, "pool": tuple(items), "shots": 1, "bias_rounds": 6}
    document = document_of(content(MANY))
    expected = measure_bias(engine, RunSpec("s", "p", document, **settings), READER)["bias"]
    report = answer.json()
    assert report["labels"] == expected["labels"] and report["rounds"] == 6
    assert report["prior"] == pytest.approx(expected["prior"])
    for side in ("before", "after"):
        effects = {name: effect["effect"] for name, effect in report[side].items()}
        oracle = {name: effect["effect"] for name, effect in expected[side].items()}
        assert effects == pytest.approx(oracle, abs=1e-6)


def test_what_is_missing_for_a_report_is_told(studio_client):
    error = refusal(studio_client, "bias", content(CHOOSES))
    assert error["param"] == "content.document.examples"
    assert "needs 4 examples of each choice: 좋음 has 2, 나쁨 has 2" in error["message"]
    assert "no choices" in refusal(studio_client, "bias", content(WRITES))["message"]
    same = {**MANY, "examples": [{**example, "말": "같다"} for example in EXAMPLES]}
    assert "different ones" in refusal(studio_client, "bias", content(same))["message"]
    own = {**MANY, "choices": {"좋음": "{말}", "나쁨": "불만임"}}
    assert "have slots" in refusal(studio_client, "bias", content(own))["message"]
    small = {**MANY, "budget": {"tokens": 90}}
    assert "have no room" in refusal(studio_client, "bias", content(small))["message"]


def log_p(engine, fields):
    """The log-probabilities of both answers behind the prompt of an item, of the engine."""
    text = render(document_of(content(CHOOSES)), fields).text
    ids = (*TOKENIZER.begin_ids, *TOKENIZER.encode(text))
    answers = [tuple(TOKENIZER.encode(answer)) for answer in (" 칭찬", " 불만임")]
    return [score.total for score in engine.score([ScoreRequest(ids, a) for a in answers])]


def shares(log_p_nl):
    weights = np.exp(np.array(log_p_nl) - np.max(log_p_nl, -1, keepdims=True))
    return weights / weights.sum(-1, keepdims=True)


def calibrated(client, **fields):
    body = {"content": content(CHOOSES), **fields}
    answer = client.post(f"{API}/calibrate", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def columns(rows):
    return np.array([[row["choices"]["좋음"], row["choices"]["나쁨"]] for row in rows])


def test_contextual_calibration_divides_by_what_says_nothing(studio_client, engine):
    answer = calibrated(studio_client, items=ITEMS)
    before = shares([log_p(engine, item) for item in ITEMS])
    empty = np.exp([log_p(engine, {"말": text}) for text in ("N/A", "", "[MASK]")]).mean(0)
    prior = empty / empty.sum()
    assert [answer["priors"][key] for key in ("좋음", "나쁨")] == pytest.approx(prior, rel=1e-4)
    assert columns(answer["before"]) == pytest.approx(before, rel=1e-4)
    prior = np.maximum(prior, 1e-12)  # below which no prior counts
    after = before / prior / (before / prior).sum(-1, keepdims=True)
    assert columns(answer["after"]) == pytest.approx(after, rel=1e-4)
    chosen = [("좋음", "나쁨")[row.argmax()] for row in after]
    assert [row["answer"] for row in answer["after"]] == chosen
    alone = calibrated(studio_client)
    assert alone["priors"] == pytest.approx(answer["priors"]) and alone["after"] == []


def test_batch_calibration_divides_by_the_mean_of_the_items(studio_client, engine):
    answer = calibrated(studio_client, items=ITEMS, method="batch")
    before = shares([log_p(engine, item) for item in ITEMS])
    prior = before.mean(0)
    assert [answer["priors"][key] for key in ("좋음", "나쁨")] == pytest.approx(prior, rel=1e-4)
    after = before / prior / (before / prior).sum(-1, keepdims=True)
    assert columns(answer["after"]) == pytest.approx(after, rel=1e-4)


def test_words_of_the_task_need_items(studio_client):
    answer = calibrated(studio_client, items=ITEMS, method="domain")
    assert sum(answer["priors"].values()) == pytest.approx(1) and len(answer["after"]) == 3
    error = refusal(studio_client, "calibrate", content(CHOOSES), method="domain")
    assert error["param"] == "items" and "give some" in error["message"]
    long = [{"말": "길다 " * 200}]
    error = refusal(studio_client, "calibrate", content(CHOOSES), items=long)
    assert error["code"] == "context_length_exceeded"
