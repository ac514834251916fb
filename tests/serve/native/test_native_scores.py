"""POST /hclx/v1/score and /choose against the engine in process and closed formulas."""

import math

import numpy as np
import pytest

from hclx.infer import ScoreRequest

CHOICES = [" good", " bad", " so so"]


def post(client, route, **body):
    return client.post(f"/hclx/v1/{route}", json={"model": "tiny", **body})


def totals(engine, context, choices=CHOICES):
    return [score.total for score in engine.score([ScoreRequest(context, c) for c in choices])]


def softmax(values):
    weights = np.exp(np.array(values) - max(values))
    return (weights / weights.sum()).tolist()


def test_scores_are_those_of_the_engine(client, engine):
    items = [
        {"context": "It was", "continuation": " good"},
        {"context": [72, 101], "continuation": [108, 108]},
        {"context": "hello"},
        {"context": [72, 101, 108]},
    ]
    answer = post(client, "score", items=items, top=3).json()
    requests = [
        ScoreRequest("It was", " good", top=3),
        ScoreRequest((72, 101), (108, 108), top=3),
        ScoreRequest("hello", top=3),
        ScoreRequest((72, 101, 108), top=3),
    ]
    for score, expected in zip(answer["scores"], engine.score(requests), strict=True):
        assert score["total"] == pytest.approx(expected.total, abs=1e-4)
        assert score["is_greedy"] == expected.is_greedy
        assert [t["token"] for t in score["tokens"]] == [t.token for t in expected.tokens]
        assert score["total"] == pytest.approx(sum(t["logprob"] for t in score["tokens"]), abs=1e-4)
        for token, of_engine in zip(score["tokens"], expected.tokens):
            assert [t["token"] for t in token["top"]] == [t for t, _ in of_engine.top]
    assert [t["text"] for t in answer["scores"][2]["tokens"]] == list("hello")
    assert answer["usage"]["prompt_tokens"] == (1 + 6 + 5) + 4 + 6 + 3
    assert answer["usage"]["completion_tokens"] == 0


def test_a_choice_is_that_of_the_engine(client, engine):
    answer = post(client, "choose", context="It was", choices=CHOICES).json()
    expected = engine.choose("It was", CHOICES)
    assert (answer["index"], answer["choice"]) == (expected.index, expected.label)
    shares = [choice["probability"] for choice in answer["choices"]]
    assert shares == pytest.approx(expected.probabilities, abs=1e-4)
    assert [choice["tokens"] for choice in answer["choices"]] == [5, 4, 6]
    assert [choice["choice"] for choice in answer["choices"]] == CHOICES


@pytest.mark.parametrize(
    "score, lengths",
    [("per_token", [9, 4, 3]), ("per_character", [3, 4, 3]), ("per_byte", [9, 4, 3])],
)
def test_lengths_divide_scores(client, engine, score, lengths):
    choices = ["좋아요", " bad", "abc"]
    expected = np.array(totals(engine, "It was", choices)) / lengths
    answer = post(client, "choose", context="It was", choices=choices, score=score).json()
    scores = [choice["score"] for choice in answer["choices"]]
    assert scores == pytest.approx(expected.tolist(), abs=1e-4)
    assert answer["index"] == int(np.argmax(expected))


@pytest.mark.parametrize("prior", [None, "Answer:", [65, 66]])
def test_mutual_information_takes_what_a_choice_has_without_the_context(client, engine, prior):
    before = (1,) if prior is None else tuple(prior) if isinstance(prior, list) else prior
    priors = totals(engine, before)
    own = {} if prior is None else {"prior_context": prior}
    answer = post(client, "choose", context="It was", choices=CHOICES, score="pmi", **own).json()
    gains = np.array(totals(engine, "It was")) - priors
    assert [c["score"] for c in answer["choices"]] == pytest.approx(gains.tolist(), abs=1e-4)
    assert [c["prior"] for c in answer["choices"]] == pytest.approx(priors, abs=1e-4)


@pytest.mark.parametrize("method", ["contextual", "contextual_identity", "domain_context"])
def test_calibration_takes_the_preference_of_a_prompt_out(client, engine, method):
    """Zhao et al. (2021) and Fei et al. (2023), written out."""
    contexts = ["N/A was", "[MASK] was"]
    calibration = {"method": method, "contexts": contexts}
    answer = post(
        client, "choose", context="It was", choices=CHOICES, calibration=calibration
    ).json()
    own = np.array(softmax(totals(engine, "It was")))
    empty = [totals(engine, context) for context in contexts]
    if method == "domain_context":
        prior = np.mean([softmax(values) for values in empty], axis=0)
    else:
        prior = np.exp(empty).mean(0)
    prior = prior / prior.sum()
    raw = np.exp(own - prior) if method == "contextual_identity" else own / prior
    shares = [choice["probability"] for choice in answer["choices"]]
    assert shares == pytest.approx((raw / raw.sum()).tolist(), abs=1e-4)
    assert math.exp(answer["choices"][0]["score"]) == pytest.approx(shares[0], abs=1e-6)


LONG = "x" * 64


@pytest.mark.parametrize(
    "route, fields, param",
    [
        ("score", {"items": []}, "items"),
        ("score", {"items": [{"context": "a", "continuation": "b"}] * 257}, "items"),
        ("score", {"items": [{"context": [5]}]}, "items[0]"),
        ("score", {"items": [{"context": "ab"}, {"context": [5, 256]}]}, "items[1].context"),
        ("score", {"items": [{"context": []}]}, "items[0].context"),
        ("score", {"items": [{"context": "a", "continuation": ""}]}, "items[0].continuation"),
        ("score", {"items": [{"context": LONG, "continuation": "ab"}]}, "items[0].continuation"),
        ("score", {"items": [{"context": "a" * 90_000}]}, "items[0].context"),
        ("score", {"items": [{"context": "ab", "x": 1}]}, "items[0].x"),
        ("score", {"items": [{"context": "ab"}], "top": 21}, "top"),
        ("score", {"items": [{"context": "ab"}], "top": True}, "top"),
        ("choose", {"context": "a", "choices": []}, "choices"),
        ("choose", {"context": "a", "choices": ["b", ""]}, "choices[1]"),
        ("choose", {"context": [], "choices": ["b"]}, "context"),
        ("choose", {"context": "a", "choices": ["b"], "score": "best"}, "score"),
        ("choose", {"context": "a", "choices": ["b"], "prior_context": "x"}, "prior_context"),
        (
            "choose",
            {"context": "a", "choices": ["b"], "calibration": {"method": "batch", "contexts": []}},
            "calibration.method",
        ),
        (
            "choose",
            {
                **{"context": "a", "choices": ["b"], "score": "pmi"},
                "calibration": {"method": "contextual", "contexts": ["N/A"]},
            },
            "score",
        ),
        ("choose", {"context": "a", "choices": ["b"] * 257}, "choices, behind all contexts"),
    ],
)
def test_wrong_requests_are_refused_with_their_field(client, app, route, fields, param):
    response = post(client, route, **fields)
    assert response.status_code == 400, response.text
    assert set(response.json()) == {"error"}
    error = response.json()["error"]
    assert set(error) == {"code", "message", "param"} and error["param"] == param, error
    assert app.state.service.admission.n_running == 0


def test_other_models_and_routes_are_told_in_the_form_of_the_dialect(client):
    response = post(client, "score", model="none", items=[{"context": "ab"}])
    assert response.status_code == 404 and response.json()["error"]["param"] == "model"
    response = client.post("/hclx/v1/nothing", json={})
    assert response.status_code == 404
    assert response.json()["error"] == {
        **{"code": "not_found", "param": None},
        "message": "/hclx/v1/nothing is no route of this server",
    }
