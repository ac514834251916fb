"""POST /v1 and /v3/chat-completions/{model} of CLOVA Studio, and its tools."""

import asyncio
import dataclasses
import json

import jsonschema
import numpy as np
import pytest

from hclx.infer import GenerateRequest, SamplingConfig
from hclx.serve.api_error import ApiError
from hclx.serve.backend import Backend, TextStreams
from hclx.serve.server import build_app
from hclx.text.chat_template import ChatTemplate
from tests.helpers.engines import engine_of
from tests.helpers.numpy_decoder import noisy_params
from tests.helpers.serving import TINY, TextTokenizer, client_of, served
from tests.serve.test_malformed_requests import VALUES

V1, V3 = "/testapp/v1/chat-completions/chat", "/v3/chat-completions/chat"
TOKENIZE = "/v1/api-tools/chat-tokenize/chat"
SLIDING = "/v1/api-tools/sliding/chat-messages/chat"
LENGTH = 128
MESSAGES = [{"role": "system", "content": "짧게"}, {"role": "user", "content": "뭐 해?"}]
WRITTEN = (1, *"짧게\n\n뭐 해?\n\n>".encode())


class ChatTokenizer(TextTokenizer):
    """A tokenizer of bytes with a template of chats, whose answers end at a newline too."""

    chat_template = (
        "<|endoftext|>{% for m in messages %}{{ m['content'] }}\n\n"
        "{% if m['content'] == 'no' %}{{ raise_exception('no is no message') }}{% endif %}"
        "{% endfor %}{% if add_generation_prompt %}>{% endif %}"
    )
    generation_config = {"eos_token_id": [1, 10]}

    def special_names(self):
        """Returns no names."""
        return {}

    def encode_special(self, text):
        """Returns the ids of a text that begins a document."""
        head, symbol, rest = text.rpartition("<|endoftext|>")
        return [*self.encode(head), *([1] if symbol else []), *self.encode(rest)]


@pytest.fixture(scope="module")
def served_chat():
    config, tokenizer = dataclasses.replace(TINY, max_length=LENGTH), ChatTokenizer(256)
    with engine_of(noisy_params(config), config, tokenizer, rows=4) as engine:
        template = ChatTemplate(tokenizer)
        yield engine, Backend(engine, tokenizer, {"chat": None}, LENGTH, "", template)


@pytest.fixture(scope="module")
def chat_app(served_chat):
    return build_app(served_chat[1])


@pytest.fixture(scope="module")
def chat(chat_app):
    with client_of(chat_app) as chat:
        yield chat


def post(client, path=V1, headers=None, **fields):
    return client.post(path, json={"messages": MESSAGES, **fields}, headers=headers)


def result_of(client, path=V1, **fields):
    response = post(client, path, **fields)
    assert response.status_code == 200, response.text
    assert response.json()["status"] == {"code": "20000", "message": "OK"}
    return response.json()["result"]


def refused(response, code):
    """The message of a request that was refused with a code."""
    assert response.json()["status"]["code"] == code, response.text
    assert response.status_code == int(code[:3])
    return response.json()["status"]["message"]


async def fail(self, index):
    """In place of `TextStreams.result`."""
    raise ApiError(503, "engine_failed", "lost", retry_after=5)


def expected(served_chat, **fields):
    values = {"temperature": 0.5, "top_p": 0.8, "repetition_penalty": 1.1, "stop_ids": (1, 10)}
    request = GenerateRequest(WRITTEN, SamplingConfig(**{**values, **fields}))
    ((output,),) = served_chat[0].generate([request])
    return output


def test_an_answer_of_v1(chat, served_chat):
    output = expected(served_chat, max_tokens=10, seed=5)
    result = result_of(chat, maxTokens=10, seed=5)
    assert result == {
        "message": {"role": "assistant", "content": output.text},
        "stopReason": {"length": "length", "end": "end_token"}[output.stop_reason],
        "inputLength": len(WRITTEN),
        "outputLength": len(output.tokens),
        "seed": 5,
        "aiFilter": [],
    }
    assert "aiFilter" not in result_of(chat, maxTokens=1, includeAiFilters=False)


def test_an_answer_of_v3(chat, served_chat):
    asked = {"topK": 9, "topP": 0.7, "temperature": 1, "repetitionPenalty": 1.3, "seed": 5}
    fields = {"top_k": 9, "top_p": 0.7, "temperature": 1.0, "repetition_penalty": 1.3, "seed": 5}
    output = expected(served_chat, max_tokens=10, **fields)
    for name in ("maxTokens", "maxCompletionTokens"):
        result = result_of(chat, V3, **asked, **{name: 10})
        assert result["message"] == {"role": "assistant", "content": output.text}
        assert result["finishReason"] == {"length": "length", "end": "stop"}[output.stop_reason]
        n_read, n_new = len(WRITTEN), len(output.tokens)
        usage = {"promptTokens": n_read, "completionTokens": n_new, "totalTokens": n_read + n_new}
        assert result["usage"] == usage and result["seed"] == 5 and result["created"] > 0


@pytest.mark.parametrize(("path", "name"), [(V1, "stopBefore"), (V3, "stop")])
def test_a_stop_text_is_not_part_of_the_answer(chat, path, name):
    whole = result_of(chat, path, seed=5, maxTokens=10)["message"]["content"]
    result = result_of(chat, path, seed=5, maxTokens=10, **{name: [whole[2:4]]})
    assert result["message"]["content"] == whole[: whole.index(whole[2:4])]
    assert result.get("stopReason", "stop_before") == "stop_before"
    assert result.get("finishReason", "stop") == "stop"


def test_answers_end_where_the_makers_of_the_model_say(chat, served_chat):
    outputs = [expected(served_chat, max_tokens=60, temperature=1.0, seed=s) for s in range(1, 40)]
    ends = [i for i, output in enumerate(outputs, 1) if output.stop_reason == "end"]
    assert ends, "no seed ends an answer: the test needs another model"
    result = result_of(chat, maxTokens=60, temperature=1, seed=ends[0])
    assert result["stopReason"] == "end_token" and "\n" not in result["message"]["content"]


def events_of(client, path, **fields):
    text = post(client, path, headers={"Accept": "text/event-stream"}, **fields).text
    events = text.split("\n\n")
    assert events.pop() == ""
    pairs = (event.removeprefix("event: ").split("\ndata: ") for event in events)
    return [(name, json.loads(data)) for name, data in pairs]


@pytest.mark.parametrize("path", [V1, V3])
def test_a_stream_has_the_same_answer(chat, path):
    *parts, (name, result), signal = events_of(chat, path, maxTokens=12, seed=7)
    assert signal == ("signal", {"data": "[DONE]"}) and name == "result"
    assert parts and {name for name, _ in parts} == {"token"}
    text = "".join(data["message"]["content"] for _, data in parts)
    whole = result_of(chat, path, maxTokens=12, seed=7)
    assert text == whole["message"]["content"]
    whole.pop("created", None), result.pop("created", None)
    assert result == whole


def test_an_error_in_a_stream_is_an_event(chat, monkeypatch):
    monkeypatch.setattr(TextStreams, "result", fail)
    *parts, (name, data) = events_of(chat, V1, maxTokens=3)
    assert (
        {name for name, _ in parts} <= {"token"}
        and name == "error"
        and data["status"] == {"code": "50300", "message": "lost"}
    )


@pytest.mark.parametrize(
    ("path", "field", "good", "bad"),
    [
        (V1, "maxTokens", [1, 60], [0, 4097, "5", True]),
        (V3, "maxTokens", [1, 60], [0, 4097, "5", True]),
        (V3, "maxCompletionTokens", [1, 60], [0, 32769, "5", True]),
        (V1, "temperature", [1e-5, 1], [0, 1.01, True]),
        (V3, "temperature", [0, 1], [-0.01, 1.01, 1e-6, True]),
        (V1, "repeatPenalty", [0, 10], [-0.01, 10.01]),
        (V3, "repetitionPenalty", [0.001, 2], [0, 2.01, True]),
        (V1, "topP", [0.01, 1], [0, 1.01]),
        (V3, "topP", [0.01, 1], [0, 1.01]),
        (V1, "topK", [0, 128], [-1, 129]),
        (V3, "topK", [0, 128], [-1, 129]),
        (V3, "seed", [0, 2**32 - 1], [-1, 2**32]),
        (V1, "stopBefore", [[], ["a"] * 64], [["a"] * 65, [""], "a"]),
        (V3, "stop", [[], ["a"] * 64], [["a"] * 65, [""], "a"]),
        (V1, "messages", [[{"role": "assistant", "content": "가"}]], [[], [{"role": "tool"}], "a"]),
        (V3, "messages", [MESSAGES], [[{"role": "user"}], [{"role": "user", "content": 1}]]),
        (V3, "responseFormat", [], [{"type": "xml"}, {"type": "json"}, "json"]),
        (V3, "thinking", [{"effort": "none"}], [{"effort": "most"}, True]),
    ],
)
def test_fields_at_the_borders_of_their_ranges(chat, path, field, good, bad):
    least = {} if field.startswith("max") else {"maxTokens": 2}
    for value in good:
        result_of(chat, path, **{**least, field: value})
    for value in bad:
        message = refused(post(chat, path, **{**least, field: value}), "40001")
        assert message.startswith(field), message


@pytest.mark.parametrize(
    ("path", "name"),
    [(V1, "repetitionPenalty"), (V1, "stop"), (V3, "repeatPenalty"), (V3, "stopBefore"), (V3, "x")],
)
def test_fields_of_the_other_version_are_refused_by_their_name(chat, path, name):
    assert refused(post(chat, path, **{name: 1}), "40001").startswith(name)


def test_what_there_is_not_is_refused(chat, client):
    tool = {"type": "function", "function": {"name": "f", "parameters": {}}}
    assert refused(post(chat, V3, tools=[tool]), "40009").startswith("tools")
    choice = {"type": "function", "function": {"name": "f"}}
    assert refused(post(chat, V3, toolChoice=choice), "40001").startswith("toolChoice")
    assert refused(post(chat, V3, thinking={"effort": "low"}), "40009").startswith("thinking")
    assert result_of(chat, V3, tools=[], toolChoice="none", maxTokens=1)
    message = refused(post(chat, V3, maxTokens=1, maxCompletionTokens=1), "40001")
    assert message.startswith("maxTokens")
    assert "base model" in refused(post(client, "/v1/chat-completions/tiny"), "40009")


def test_chats_that_are_too_long_or_empty_or_refused_by_the_template(chat):
    say = lambda text: [{"role": "user", "content": text}]
    assert refused(post(chat, messages=say("a" * LENGTH)), "40003")
    assert refused(post(chat, maxTokens=LENGTH), "40003")
    assert refused(post(chat, messages=say("")), "40004")
    assert "no is no message" in refused(post(chat, messages=say("no")), "40001")
    assert refused(post(chat, "/v3/chat-completions/none"), "40080")


def test_parts_of_a_message_are_one_text(chat):
    parts = [{"type": "text", "text": "뭐"}, {"type": "text", "text": " 해?"}]
    messages = [MESSAGES[0], {"role": "user", "content": parts}]
    asked = {"seed": 3, "maxTokens": 8}
    whole, split = result_of(chat, V3, **asked), result_of(chat, V3, **asked, messages=messages)
    assert whole["message"] == split["message"]
    image = [{"role": "user", "content": [{"type": "image_url", "imageUrl": {"url": "x"}}]}]
    assert refused(post(chat, V3, messages=image), "40001").startswith("messages")


def test_an_answer_follows_a_schema(chat):
    schema = {
        "type": "object",
        "properties": {"평": {"enum": ["좋음", "나쁨"]}, "수": {"type": "integer", "maximum": 99}},
        "required": ["평", "수"],
        "additionalProperties": False,
    }
    form = {"type": "json", "schema": schema}
    asked = {"responseFormat": form, "maxTokens": 60, "temperature": 1}
    for seed in range(1, 4):
        result = result_of(chat, V3, **asked, seed=seed)
        assert result["finishReason"] == "stop"
        jsonschema.validate(json.loads(result["message"]["content"]), schema)


def test_a_schema_that_cannot_be_followed_is_refused(chat):
    ask = lambda schema: post(chat, V3, responseFormat={"type": "json", "schema": schema})
    assert "responseFormat.schema" in refused(ask({"type": "nothing"}), "40055")
    assert "not" in refused(ask({"not": {"type": "string"}}), "40055")
    assert refused(ask(False), "40055")
    assert refused(ask({"enum": ["가" * 10] * 20_000}), "40055")  # too large
    levels = '{"responseFormat": ' + '{"schema":' * 10_000 + "1" + "}" * 10_001
    assert "levels" in refused(chat.post(V3, content=levels), "40000")


def test_tokens_are_counted(chat):
    answer = chat.post(TOKENIZE, json={"text": "가나 a"}).json()
    assert answer["result"] == {"numTokens": 8}
    messages = [{"role": "user", "content": "가"}, {"role": "assistant", "content": "ab"}]
    answer = chat.post(TOKENIZE, json={"messages": messages}).json()
    counts = [{**message, "count": n} for message, n in zip(messages, (3, 2))]
    assert answer["result"] == {"messages": counts}
    assert chat.post(TOKENIZE, json={"text": "가" * 5000}).json()["result"]["numTokens"] == 15_000
    for body in ({}, {"text": "a", "messages": messages}, {"text": 1}):
        assert refused(chat.post(TOKENIZE, json=body), "40001").startswith(("text", "give text"))
    assert refused(chat.post(TOKENIZE.replace("/chat", "/none"), json={"text": "a"}), "40400")
    assert refused(chat.post(TOKENIZE[:-4] + "none", json={"text": "a"}), "40080")


def test_the_window_slides_over_the_oldest_turns(chat):
    system = {"role": "system", "content": "s" * 8}
    turns = [
        [{"role": "user", "content": f"{i}" * 8}, {"role": "assistant", "content": "a" * 8}]
        for i in range(5)
    ]
    turns.append([{"role": "user", "content": "?" * 8}])
    messages = [system, *(message for turn in turns for message in turn)]
    for max_tokens in range(1, 110):
        answer = chat.post(SLIDING, json={"messages": messages, "maxTokens": max_tokens})
        # A message has 10 bytes, and a chat 2 more. Turns go from the first on; brute force:
        lengths = [2 + 10 * (1 + sum(map(len, turns[first:]))) for first in range(6)]
        fits = [first for first, n in enumerate(lengths) if n + max_tokens <= LENGTH]
        if not fits:
            assert "last turn" in refused(answer, "40003")
            continue
        kept = [system, *(message for turn in turns[fits[0] :] for message in turn)]
        assert answer.json()["result"] == {"messages": kept}
        asked = {"messages": kept, "maxTokens": max_tokens}
        assert max_tokens % 40 or result_of(chat, **asked)


def test_the_window_of_short_chats_and_wrong_ones(chat):
    for messages in (MESSAGES, MESSAGES[:1], MESSAGES[1:]):
        answer = chat.post(SLIDING, json={"messages": messages, "maxTokens": 5})
        assert answer.json()["result"] == {"messages": messages}
    many = [MESSAGES[0], *([{"role": "user", "content": "뭐"}] * 2000)]  # beyond what is encoded
    answer = chat.post(SLIDING, json={"messages": many, "maxTokens": 5})
    n_kept = (LENGTH - 5 - 2 - 8) // 5  # of 5 bytes each
    assert answer.json()["result"] == {"messages": many[: 1 + n_kept]}
    for value in (0, 4097, "5", True):
        body = {"messages": MESSAGES, "maxTokens": value}
        assert refused(chat.post(SLIDING, json=body), "40001").startswith("maxTokens")
    body = {"messages": MESSAGES}
    assert refused(chat.post(SLIDING, json=body), "40001").startswith("maxTokens")


@pytest.mark.parametrize("name", ["v2", "chat"])
def test_vectors_of_texts(chat, served_chat, name):
    path = f"/v1/api-tools/embedding/{name}"
    result = chat.post(path, json={"text": "가나"}).json()["result"]
    (vector,) = served_chat[0].embed(["가나"])
    np.testing.assert_allclose(result["embedding"], vector, rtol=1e-4)
    assert result["inputTokens"] == 6
    assert refused(chat.post(path, json={"text": ""}), "40004")
    assert chat.post(path, json={"text": "a" * (LENGTH - 1)}).status_code == 200
    assert refused(chat.post(path, json={"text": "a" * LENGTH}), "40003")
    assert refused(chat.post(path, json={"input": "a"}), "40001").startswith("input")
    assert refused(chat.post("/v1/api-tools/embedding/none", json={"text": "a"}), "40080")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (V1, {"messages": MESSAGES, "stopBefore": ["x"], "repeatPenalty": 5, "stream": False}),
        (V3, {"messages": MESSAGES, "stop": [], "responseFormat": {}, "tools": [], "thinking": {}}),
        ("/v1/completions/chat", {"text": "a", "start": "", "includeProbs": True, "topK": 1}),
        (TOKENIZE, {"text": "a", "messages": MESSAGES}),
        (SLIDING, {"messages": MESSAGES}),
        ("/v1/api-tools/embedding/v2", {"text": "a"}),
    ],
)
def test_wrong_values_of_each_field_are_answered(chat, chat_app, path, body):
    least = {} if path.startswith("/v1/api-tools/") and path != SLIDING else {"maxTokens": 1}
    for name in (*body, *least, "x"):
        for value in VALUES:
            data = json.dumps({**body, **least, name: value}).encode()
            assert chat.post(path, content=data).status_code in (200, 400), (name, value)
    admission = chat_app.state.service.admission
    assert admission.n_running == admission.n_waiting == 0


def test_a_client_of_langchain(chat_app, served_chat, monkeypatch):
    pytest.importorskip("langchain_community.chat_models.naver")
    from langchain_community.chat_models import ChatClovaX
    from langchain_core.messages import HumanMessage, SystemMessage

    output = expected(served_chat, max_tokens=10, seed=5)
    messages = [SystemMessage("짧게"), HumanMessage("뭐 해?")]
    with served(chat_app) as url:
        make = lambda **fields: ChatClovaX(base_url=url, seed=5, max_tokens=10, **fields)
        for key in ({"api_key": "nv-x"}, {"api_key": "x", "apigw_api_key": "y"}):
            answer = make(model="chat", **key).invoke(messages)
            assert answer.content == output.text
            n_read, n_new = len(WRITTEN), len(output.tokens)
            assert answer.usage_metadata["input_tokens"] == n_read
            assert answer.usage_metadata["output_tokens"] == n_new
        clova = make(model="chat", api_key="nv-x")
        chunks = list(clova.stream(messages))
        assert "".join(chunk.content for chunk in chunks) == output.text
        metadata = [c.response_metadata for c in chunks if "stop_reason" in c.response_metadata]
        assert [m["output_length"] for m in metadata] == [len(output.tokens)]
        assert asyncio.run(clova.ainvoke(messages)).content == output.text
        task = make(task_id="chat", service_app=True, api_key="nv-x")
        assert task.invoke(messages).content == output.text
        with pytest.raises(Exception, match="40080"):
            make(model="none", api_key="nv-x").invoke(messages)
        monkeypatch.setattr(TextStreams, "result", fail)
        with pytest.raises(Exception, match="50300.*lost"):
            list(clova.stream(messages))
