"""POST /v1/completions against the engine that it serves."""

import json
import math

import pytest

from hclx.infer import GenerateRequest, SamplingConfig, ScoreRequest

PROMPT = [72, 101, 108, 108, 111]


def complete(client, **fields):
    response = client.post("/v1/completions", json={"model": "tiny", "prompt": PROMPT, **fields})
    assert response.status_code == 200, response.text
    return response.json()


def events_of(client, **fields):
    body = {"model": "tiny", "prompt": PROMPT, "stream": True, **fields}
    with client.stream("POST", "/v1/completions", json=body) as response:
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/event-stream")
        text = "".join(response.iter_text())
    events = text.split("\n\n")
    assert events.pop() == "" and all(event.startswith("data: ") for event in events)
    data = [event.removeprefix("data: ") for event in events]
    assert data.pop() == "[DONE]"
    return [json.loads(event) for event in data]


def test_a_text_is_that_of_the_engine(client, engine):
    answer = complete(client, max_tokens=12, temperature=0.7, top_p=0.9, seed=5, n=2)
    sampling = SamplingConfig(max_tokens=12, temperature=0.7, top_p=0.9, seed=5)
    (expected,) = engine.generate([GenerateRequest(tuple(PROMPT), sampling, n=2)])
    assert [choice["text"] for choice in answer["choices"]] == [e.text for e in expected]
    assert [choice["index"] for choice in answer["choices"]] == [0, 1]
    n_tokens = sum(len(e.tokens) for e in expected)
    usage = answer["usage"]
    assert (usage["prompt_tokens"], usage["completion_tokens"]) == (5, n_tokens)
    assert usage["total_tokens"] == 5 + n_tokens


def test_a_text_prompt_begins_as_documents_do(client, engine):
    answer = complete(client, prompt="Hello", max_tokens=8, temperature=0)
    sampling = SamplingConfig(max_tokens=8, temperature=0)
    ((expected,),) = engine.generate([GenerateRequest("Hello", sampling)])
    assert answer["choices"][0]["text"] == expected.text
    assert answer["usage"]["prompt_tokens"] == expected.n_prompt == 6


@pytest.mark.parametrize("n", [1, 3])
def test_a_stream_has_the_same_text(client, n):
    settings = {"max_tokens": 12, "seed": 3, "n": n, "prompt": [PROMPT, [5, 6, 7]]}
    whole = complete(client, **settings)
    events = events_of(client, **settings, stream_options={"include_usage": True})
    texts, reasons = {}, {}
    for event in events[:-1]:
        ((choice,),) = [event["choices"]]
        index = choice["index"]
        texts[index] = texts.get(index, "") + choice["text"]
        assert index not in reasons
        if choice["finish_reason"]:
            reasons[index] = choice["finish_reason"]
        assert event["usage"] is None
    assert texts == {c["index"]: c["text"] for c in whole["choices"]}
    assert reasons == {c["index"]: c["finish_reason"] for c in whole["choices"]}
    assert events[-1]["choices"] == []
    counts = ("prompt_tokens", "completion_tokens", "total_tokens")
    for name in counts:
        assert events[-1]["usage"][name] == whole["usage"][name]


def test_a_stream_tells_no_usage_unless_it_is_asked_for(client):
    assert all("usage" not in event for event in events_of(client, max_tokens=3))


@pytest.mark.parametrize("max_tokens", [0, 1])
def test_echoed_log_probabilities_are_as_evaluation_clients_read_them(client, engine, max_tokens):
    prompts = [PROMPT, [200, 9, 8], [7]]
    answer = complete(
        client, prompt=prompts, echo=True, logprobs=1, max_tokens=max_tokens, temperature=0, seed=1
    )
    assert [choice["index"] for choice in answer["choices"]] == [0, 1, 2]
    for prompt, choice in zip(prompts, answer["choices"]):
        values, tops = choice["logprobs"]["token_logprobs"], choice["logprobs"]["top_logprobs"]
        names = choice["logprobs"]["tokens"]
        assert len(values) == len(tops) == len(names) == len(prompt) + max_tokens
        assert values[0] is None and tops[0] is None
        for name, value, top in zip(names[1:], values[1:], tops[1:]):
            assert top[name] == value  # the same float
            assert 1 <= len(top) <= 2
        if len(prompt) > 1:
            expected = engine.score([ScoreRequest(tuple(prompt), top=1)])[0]
            assert values[1 : len(prompt)] == pytest.approx([t.logprob for t in expected.tokens])
            is_greedy = all(
                value == max(top.values())
                for value, top in zip(values[1 : len(prompt)], tops[1 : len(prompt)])
            )
            assert is_greedy == expected.is_greedy


def test_a_likely_continuation_counts_as_greedy(client, engine):
    sampling = SamplingConfig(max_tokens=4, temperature=0)
    ((greedy,),) = engine.generate([GenerateRequest(tuple(PROMPT), sampling)])
    prompt = [*PROMPT, *greedy.tokens]
    answer = complete(client, prompt=[prompt], echo=True, logprobs=1, max_tokens=1, temperature=0)
    logprobs = answer["choices"][0]["logprobs"]
    pairs = list(zip(logprobs["token_logprobs"], logprobs["top_logprobs"]))[len(PROMPT) : -1]
    assert len(pairs) == len(greedy.tokens)
    assert all(value == max(top.values()) for value, top in pairs)


def test_the_end_of_a_document_is_an_entry_too(client):
    """Clients leave the last entry out: without that of the end, a token of theirs is lost."""
    answer = complete(client, echo=True, logprobs=2, max_tokens=1, logit_bias={"1": 100})
    (choice,) = answer["choices"]
    assert choice["finish_reason"] == "stop"
    assert len(choice["logprobs"]["token_logprobs"]) == len(PROMPT) + 1
    assert choice["logprobs"]["tokens"][-1] == "token_id:1"
    assert choice["logprobs"]["token_logprobs"][-1] < 0


def test_echoed_text_prompts_have_entries_for_their_own_tokens(client, engine):
    answer = complete(client, prompt="abc", echo=True, logprobs=0, max_tokens=0)
    (choice,) = answer["choices"]
    assert choice["text"] == "abc" and choice["logprobs"]["tokens"] == ["a", "b", "c"]
    expected = engine.score([ScoreRequest((1, *b"abc"))])[0]
    assert choice["logprobs"]["token_logprobs"][1:] == pytest.approx(
        [token.logprob for token in expected.tokens[1:]]
    )
    assert choice["logprobs"]["text_offset"] == [0, 1, 2]


def test_tokens_that_are_no_text_have_names_of_their_own(client):
    answer = complete(client, prompt=[200, 201, 202, 1], echo=True, logprobs=20, max_tokens=0)
    logprobs = answer["choices"][0]["logprobs"]
    assert logprobs["tokens"] == [r"bytes:\xc8", r"bytes:\xc9", r"bytes:\xca", "token_id:1"]
    assert all(len(top) in (20, 21) for top in logprobs["top_logprobs"][1:])
    answer = complete(client, echo=True, logprobs=1, max_tokens=0, return_tokens_as_token_ids=True)
    assert answer["choices"][0]["logprobs"]["tokens"] == [f"token_id:{t}" for t in PROMPT]


def test_a_stream_has_the_log_probabilities_of_the_whole(client):
    settings = {"max_tokens": 6, "temperature": 0, "logprobs": 2, "echo": True}
    whole = complete(client, **settings)["choices"][0]
    choices = [event["choices"][0] for event in events_of(client, **settings)]
    assert "".join(choice["text"] for choice in choices) == whole["text"]
    parts = [choice["logprobs"] for choice in choices if choice["logprobs"]]
    joined = {name: [v for part in parts for v in part[name]] for name in whole["logprobs"]}
    for name in ("tokens", "text_offset"):
        assert joined[name] == whole["logprobs"][name]
    assert joined["token_logprobs"][0] is None
    assert joined["token_logprobs"][1:] == pytest.approx(
        whole["logprobs"]["token_logprobs"][1:], abs=1e-4
    )


def test_each_event_of_a_stream_has_its_own_token(client):
    settings = {"max_tokens": 12, "seed": 1, "logprobs": 1, "n": 2}
    settings["allowed_token_ids"] = list(range(ord("a"), ord("z")))
    choices = [event["choices"][0] for event in events_of(client, **settings, min_tokens=12)]
    for index in range(2):
        *parts, last = [choice for choice in choices if choice["index"] == index]
        assert len(parts) == 12 and last["logprobs"] is None
        assert [part["logprobs"]["tokens"] for part in parts] == [[p["text"]] for p in parts]
        assert [part["logprobs"]["text_offset"] for part in parts] == [[i] for i in range(12)]


def test_what_only_the_last_token_says_comes_with_the_last_event(client):
    settings = {"max_tokens": 9, "logprobs": 0, "temperature": 0, "logit_bias": {"1": -100}}
    settings["allowed_token_ids"] = [65, 66, 67]
    full = complete(client, **settings)["choices"][0]["text"]
    stop = full[3:5]
    *_, last = [e["choices"][0] for e in events_of(client, **settings, stop=[stop])]
    assert last["finish_reason"] == "stop" and "".join(last["logprobs"]["tokens"]) == stop


def test_a_stop_text_ends_the_text(client):
    full = complete(client, max_tokens=20, temperature=0)["choices"][0]["text"]
    stop = full[3:5]
    (choice,) = complete(client, max_tokens=20, temperature=0, stop=[stop])["choices"]
    assert choice["text"] == full[: full.index(stop)] and choice["finish_reason"] == "stop"


def test_logit_bias_and_ignored_ends_are_honoured(client):
    (choice,) = complete(client, max_tokens=5, logit_bias={"65": 100})["choices"]
    assert choice["text"] == "AAAAA" and choice["finish_reason"] == "length"
    settings = {"max_tokens": 5, "logit_bias": {"1": 100}}
    assert complete(client, **settings)["choices"][0]["text"] == ""
    answer = complete(client, **settings, ignore_eos=True)
    assert answer["usage"]["completion_tokens"] == 5


def test_without_a_seed_texts_differ(client):
    texts = {complete(client, max_tokens=20)["choices"][0]["text"] for _ in range(4)}
    assert len(texts) > 1


def test_structured_outputs(client):
    schema = {"type": "object", "properties": {"a": {"enum": [1, 22]}}, "required": ["a"]}
    schema["additionalProperties"] = False
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    text = lambda **fields: complete(client, max_tokens=30, **fields)["choices"][0]["text"]
    assert text(structured_outputs={"choice": ["가", "나"]}) in ("가", "나")
    assert text(structured_outputs={"regex": "[0-9]{3}"}).isdigit()
    assert json.loads(text(structured_outputs={"json": schema}))["a"] in (1, 22)
    assert json.loads(text(response_format=form))["a"] in (1, 22)
    assert text(structured_outputs={"grammar": 'start: "x" "y"'}) == "xy"


def test_models_are_listed(client):
    (model,) = client.get("/v1/models").json()["data"]
    assert model["id"] == model["root"] == "tiny" and model["max_model_len"] == 64
    assert client.get("/v1/models/tiny").json() == model
    response = client.get("/v1/models/none")
    assert response.status_code == 404 and response.json()["error"]["code"] == "model_not_found"


def test_log_probabilities_are_of_a_distribution(client):
    answer = complete(client, max_tokens=1, logprobs=20, temperature=0)
    (top,) = answer["choices"][0]["logprobs"]["top_logprobs"]
    assert 0 < sum(map(math.exp, top.values())) <= 1.0001


@pytest.mark.parametrize(
    ("fields", "param", "message"),
    [
        ({"prompt": [65] * 65}, "prompt", "the prompt has 65 tokens, and the model reads 64"),
        ({"stop_token_ids": [-1]}, "stop_token_ids", "stop_token_ids: the token id -1 is out of"),
        ({"logit_bias": {"300": 1}}, "logit_bias", "logit_bias: the token id 300 is out of"),
        ({"allowed_token_ids": [999]}, "allowed_token_ids", "allowed_token_ids: the token id 999"),
        ({"allowed_token_ids": []}, "allowed_token_ids", "allowed_token_ids is empty"),
        ({"stop": ""}, "stop", "stop has an empty text"),
        ({"n": 0}, "n", "n=0: give 1 or more"),
        ({"n": 200, "prompt": ["a", "b"]}, "n", "n=200 of each of 2 prompts: give at most 256"),
        (
            {"response_format": {"type": "json_schema"}},
            "response_format.json_schema",
            "response_format.json_schema is missing",
        ),
        (
            {"structured_outputs": {"grammar": "start: nothing"}},
            "structured_outputs",
            "the lark grammar cannot be followed",
        ),
        (
            {"structured_outputs": {"choice": ["a" * 200_000]}},
            "structured_outputs",
            "the list of choices has 200,0",
        ),
    ],
)
def test_refusals_name_the_field_of_the_request(client, fields, param, message):
    response = client.post("/v1/completions", json={"model": "tiny", "prompt": PROMPT, **fields})
    assert response.status_code == 400, response.text
    error = response.json()["error"]
    assert error["param"] == param and error["message"].startswith(message), error
