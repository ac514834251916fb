"""Texts that are flagged or masked before they leave, whole and in streams, in each dialect."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hclx.errors import ConfigError
from hclx.serve.backend import Backend
from hclx.serve.safety.output_rules import OutputGuard, OutputRules
from hclx.serve.server import build_app
from hclx.text.pii import masked
from tests.helpers.model_server import chunk, model_server, stream
from tests.helpers.serving import TextTokenizer, client_of
from tests.helpers.word_filter import WordFilter
from tests.helpers.writing_engine import WritingEngine

PHONE = "010-1234-5678"
TEXT = f"좋은 날이다. 번호는 {PHONE} 이다. 바보 같은 녀석. 그리고 끝."
KEPT = f"좋은 날이다. 번호는 {PHONE} 이다. "
SAFE = f"좋은 날이다. 번호는 {PHONE} 이다. 그리고 끝."


class Template:
    """A template of chats."""

    def render(self, messages, add_generation_prompt, tools=None):
        return "".join(message["content"] for message in messages)


def client(text=TEXT, judge=WordFilter(), **rules):
    engine = WritingEngine(text)
    tokenizer = TextTokenizer(256)
    made = OutputRules(judge, **rules)
    backend = Backend(engine, tokenizer, {"m": None}, 1000, "", Template(), rules=made)
    client = client_of(build_app(backend))
    client.engine = engine
    return client


def events(response):
    """(event, data) of each, but for the last of OpenAI."""
    result = []
    for text in response.text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in text.split("\n") if line)
        if fields and fields["data"] != "[DONE]":
            result.append((fields.get("event"), json.loads(fields["data"])))
    return result


CHAT = {"messages": [{"role": "user", "content": "안녕"}]}
BODIES = {
    "/v1/completions": {"model": "m", "prompt": "안녕", "max_tokens": 200},
    "/v1/chat/completions": {"model": "m", "max_tokens": 200, **CHAT},
    "/v1/completions/m": {"text": "안녕", "maxTokens": 200},
    "/v1/chat-completions/m": {"maxTokens": 200, **CHAT},
    "/v3/chat-completions/m": {"maxTokens": 200, **CHAT},
}


def whole(client, path, **fields):
    """The text of an answer, why it ended, and its choice or result."""
    response = client.post(path, json={**BODIES[path], **fields})
    assert response.status_code == 200, response.text
    answer = response.json()
    if "choices" in answer:
        (choice,) = answer["choices"]
        text = choice["text"] if "text" in choice else choice["message"]["content"]
        return text, choice["finish_reason"], choice
    result = answer["result"]
    text = result["outputText"] if "outputText" in result else result["message"]["content"]
    return text, result.get("stopReason", result.get("finishReason")), result


def streamed(client, path):
    """The parts of a stream, why it ended, and its last choice or its result."""
    is_openai = "model" in BODIES[path]
    body = BODIES[path] | ({"stream": True} if is_openai else {})
    accept = {} if is_openai else {"Accept": "text/event-stream"}
    parts, reason, result = [], None, None
    for name, data in events(client.post(path, json=body, headers=accept)):
        if is_openai:
            (result,) = data["choices"]
            reason = result["finish_reason"]
            parts.append(result["text"] if "text" in result else result["delta"].get("content", ""))
        elif name == "token":
            parts.append(data["text"] if "text" in data else data["message"]["content"])
        elif name == "result":
            reason, result = data.get("stopReason", data.get("finishReason")), data
    return parts, reason, result


@pytest.mark.parametrize("path", BODIES)
def test_a_flagged_sentence_and_what_follows_it_never_leave(path):
    with client(block=0) as blocking:
        text, reason, _ = whole(blocking, path)
        assert (text, reason) == (KEPT, "content_filter")
        parts, reason, _ = streamed(blocking, path)
        assert ("".join(parts), reason) == (KEPT, "content_filter")
    with client(SAFE, block=0) as blocking:
        assert whole(blocking, path)[0] == "".join(streamed(blocking, path)[0]) == SAFE


@pytest.mark.parametrize("path", BODIES)
def test_personal_data_is_masked(path):
    with client(judge=None, masks_pii=True) as masking:
        text, reason, _ = whole(masking, path)
        assert text == masked(TEXT) != TEXT and reason in ("stop", "end_token")
        parts, _, _ = streamed(masking, path)
        assert "".join(parts) == text and len(parts) >= 3


def test_responses_and_own_routes_follow_the_rules():
    asked = {"model": "m", "input": "안녕", "max_output_tokens": 200}
    with client(block=0, masks_pii=True) as both:
        answer = both.post("/v1/responses", json=asked).json()
        told = events(both.post("/v1/responses", json={**asked, "stream": True}))
        own = {"prompt": "안녕", "max_tokens": 200, "logprobs": 1}
        native = both.post("/hclx/v1/generate", json={"model": "m", "prompts": [own]}).json()
    assert answer["output"][0]["content"][0]["text"] == masked(KEPT)
    assert answer["status"] == "incomplete"
    assert answer["incomplete_details"] == {"reason": "content_filter"}
    deltas = [data["delta"] for name, data in told if name == "response.output_text.delta"]
    assert "".join(deltas) == masked(KEPT)
    assert told[-1][1]["response"]["incomplete_details"] == {"reason": "content_filter"}
    (text,) = native["results"][0]["texts"]
    assert (text["text"], text["stop_reason"]) == (masked(KEPT), "content_filter")
    assert text["logprobs"] is None


@pytest.mark.parametrize("path", ["/v1/completions", "/v1/completions/m"])
def test_the_prompt_tells_what_a_number_is(path):
    name = "text" if path.endswith("m") else "prompt"
    with client("1234-5678 이다", judge=None, masks_pii=True) as masking:
        text, _, _ = whole(masking, path, **{name: "내 전화는 010-"})
        assert text == "<전화번호> 이다"
        assert whole(masking, path, **{name: "내 점수는 "})[0] == "1234-5678 이다"


@pytest.mark.parametrize("path", [path for path in BODIES if "model" not in BODIES[path]])
def test_ai_filters_are_on_the_inverted_scale(path):
    expected = [
        {"groupName": "curse", "name": "insult", "score": "0", "result": "OK"},
        {"groupName": "unsafeContents", "name": "discrimination", "score": "1", "result": "OK"},
    ]
    with client() as judging:
        text, _, result = whole(judging, path)
        assert text == TEXT and result["aiFilter"] == expected
        assert streamed(judging, path)[2]["aiFilter"] == expected
        assert "aiFilter" not in whole(judging, path, includeAiFilters=False)[2]
    with client(block=0) as blocking:  # it tells why the text has ended
        assert streamed(blocking, path)[2]["aiFilter"][0]["score"] == "0"
    with client(judge=None) as plain:
        assert whole(plain, path)[2]["aiFilter"] == []


def test_a_text_that_was_changed_tells_no_tokens():
    asked = {"includeTokens": True, "includeProbs": True}
    for text, is_changed in ((TEXT, True), ("좋은 날이다.", False)):
        with client(text, judge=None, masks_pii=True) as masking:
            completion = whole(masking, "/v1/completions", logprobs=1)[2]
            chat = whole(masking, "/v1/chat/completions", logprobs=True)[2]
            result = whole(masking, "/v1/completions/m", **asked)[2]
        assert (completion["logprobs"] is None) == (chat["logprobs"] is None) == is_changed
        assert ("outputTokens" not in result) == ("outputProbs" not in result) == is_changed
        assert result["outputLength"] == len(text) and result["ok"] is True


def test_a_flagged_text_ends_in_the_engine_too():
    with client(TEXT + "더 " * 5000, block=0) as blocking:
        blocking.engine.pause = 0.001
        parts, reason, _ = streamed(blocking, "/v1/completions")
        assert ("".join(parts), reason) == (KEPT, "content_filter")
        assert whole(blocking, "/v1/completions")[:2] == (KEPT, "content_filter")
        assert blocking.engine.n_cancelled == 2


def test_levels_that_are_blocked():
    with client("그 녀석이다. 그래.", block=0) as blocking:
        assert whole(blocking, "/v1/completions")[1] == "stop"
    with client("그 녀석이다. 그래.", block=1) as blocking:
        assert whole(blocking, "/v1/completions")[:2] == ("", "content_filter")


def test_metrics_count_what_was_done():
    with client(block=0, masks_pii=True) as both:
        whole(both, "/v1/completions/m")
        numbers = both.get("/metrics").text
    assert 'hclx:judged_texts_total{category="insult",level="0"} 1.0' in numbers
    assert "hclx:masked_items_total 1.0" in numbers
    assert 'hclx:request_success_total{finished_reason="content_filter"} 1.0' in numbers


def test_moderations():
    with client() as judging:
        answer = judging.post("/v1/moderations", json={"input": [TEXT, "좋다"]}).json()
        first, second = answer["results"]
        assert answer["model"] == "words" and answer["id"].startswith("modr-")
        assert first["flagged"] and first["categories"] == {"insult": True, "discrimination": False}
        assert first["category_scores"] == {"insult": 0.9, "discrimination": 0.6}
        for name in ("words", "m"):
            assert judging.post("/v1/moderations", json={"input": "a", "model": name}).is_success
        assert not second["flagged"] and second["category_scores"]["insult"] == 0.1
        for body, status, param in (
            ({"input": []}, 400, "input"),
            ({"input": 3}, 400, "input"),
            ({"input": "a", "model": "other"}, 404, "model"),
        ):
            refusal = judging.post("/v1/moderations", json=body)
            assert refusal.status_code == status and refusal.json()["error"]["param"] == param
    with client(judge=None) as plain:
        refusal = plain.post("/v1/moderations", json={"input": "a"})
        assert refusal.status_code == 400 and "--filter" in refusal.json()["error"]["message"]


def test_the_client_of_openai_reads_moderations():
    openai = pytest.importorskip("openai")
    with client() as judging:
        made = openai.OpenAI(base_url="http://localhost/v1", api_key="k", http_client=judging)
        (result,) = made.moderations.create(input="바보다").results
        assert result.flagged and result.category_scores.insult == 0.9


def test_texts_of_another_server_are_masked():
    from hclx.infer import RemoteEngine

    tokenizer, rules = TextTokenizer(256), OutputRules(WordFilter(), masks_pii=True)
    texts = ("전화는 010-12", "34-5", "678 이다")
    chunks = [chunk(text, [10]) for text in texts] + [chunk("", [1], "stop")]
    with model_server() as server:
        server.answers += [stream(*chunks), stream(*chunks)]
        with RemoteEngine(server.url, tokenizer=tokenizer) as engine:
            backend = Backend(engine, tokenizer, {"m": None}, 50, rules=rules)
            with client_of(build_app(backend)) as remote:
                text, _, _ = whole(remote, "/v1/completions", max_tokens=5, prompt="가")
                body = {"model": "m", "prompt": "가", "max_tokens": 5, "stream": True}
                told = [data for _, data in events(remote.post("/v1/completions", json=body))]
    assert text == "".join(data["choices"][0]["text"] for data in told) == "전화는 <전화번호> 이다"


SENTENCES = ("좋은 날이다. ", "바보 같은 ", "녀석. ", f"{PHONE} ", "hong@naver.com ", "끝\n", "더 ")


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from(SENTENCES), max_size=20), st.integers(1, 12), st.booleans())
def test_a_stream_is_the_whole_text(sentences, size, masks):
    text, rules = "".join(sentences), OutputRules(WordFilter(), 0, masks)
    guard, at_once, parts = OutputGuard(rules), OutputGuard(rules), []
    for position in range(0, len(text), size):
        parts.append(guard.feed(text[position : position + size]))
    parts.append(guard.finish())
    assert "".join(parts) == at_once.feed(text) + at_once.finish() == guard.text
    assert guard.is_blocked == at_once.is_blocked == ("바보" in text)
    assert "바보" not in guard.text and not (masks and PHONE in guard.text)


def test_rules_that_contradict_each_other_are_refused():
    with pytest.raises(ConfigError, match="--block=0 needs --filter"):
        OutputRules(None, 0)
    with pytest.raises(ConfigError, match="--block=2 is out of range"):
        OutputRules(WordFilter(), 2)
