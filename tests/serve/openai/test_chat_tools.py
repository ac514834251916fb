"""Chats whose answers call functions, by the client of OpenAI and as CLOVA Studio has them."""

import json

import jsonschema
import pytest

from hclx.serve.server import build_app
from tests.helpers.openai_client import openai_client
from tests.helpers.scripted_chat import HERMES, HYPERCLOVA, scripted_backend
from tests.helpers.serving import client_of

WEATHER = {
    "type": "object",
    "properties": {"도시": {"enum": ["서울", "부산"]}, "일": {"enum": [1, 22]}},
    "required": ["도시", "일"],
    "additionalProperties": False,
}
TOOLS = [
    {"type": "function", "function": {"name": "날씨", "parameters": WEATHER}},
    {"type": "function", "function": {"name": "news", "description": "<오늘> 뉴스"}},
]
MESSAGES = [{"role": "user", "content": "서울 날씨?"}]
CALL = '<tool_call>\n{"name": "날씨", "arguments": {"도시": "서울", "일": 1}}\n</tool_call>'
NEWS = '<tool_call>\n{"name": "news", "arguments": {}}\n</tool_call>'
CHAT, V3 = "/v1/chat/completions", "/v3/chat-completions/chat"


def ask(backend, **fields):
    """The answer to a chat with tools."""
    body = {"model": "chat", "messages": MESSAGES, "tools": TOOLS, "max_tokens": 200, **fields}
    with client_of(build_app(backend)) as client:
        return client.post(CHAT, json=body)


def events(response):
    """The choices of a stream."""
    lines = response.text.split("\n\n")
    assert lines.pop() == "" and lines.pop() == "data: [DONE]"
    return [json.loads(line.removeprefix("data: "))["choices"][0] for line in lines]


def test_a_call_and_its_result_go_through_the_client():
    pytest.importorskip("openai")
    backend = scripted_backend(f"찾을게요.\n{CALL}\n{NEWS}", "맑아요.")
    with openai_client(build_app(backend)) as client:
        settings = {"model": "chat", "tools": TOOLS, "max_tokens": 200}
        (choice,) = client.chat.completions.create(messages=MESSAGES, **settings).choices
        assert choice.finish_reason == "tool_calls" and choice.message.content == "찾을게요."
        first, second = choice.message.tool_calls
        assert (first.function.name, second.function.name) == ("날씨", "news")
        assert json.loads(first.function.arguments) == {"도시": "서울", "일": 1}
        assert first.id != second.id
        result = {"role": "tool", "tool_call_id": first.id, "content": "맑음"}
        messages = [*MESSAGES, choice.message, result]
        (choice,) = client.chat.completions.create(messages=messages, **settings).choices
        assert choice.finish_reason == "stop" and choice.message.content == "맑아요."
        assert choice.message.tool_calls is None
    told, later = backend.engine.prompts
    assert (
        '"description": "<오늘> 뉴스"' in told and json.dumps(WEATHER, ensure_ascii=False) in told
    )
    assert later.startswith(told.removesuffix("assistant: "))
    assert later.endswith(f"assistant: 찾을게요.{CALL}{NEWS}\ntool: 맑음\nassistant: ")


def test_a_stream_has_what_is_said_and_what_is_called():
    text = f"찾을게요. {CALL}{NEWS}"
    stream = ask(scripted_backend(text), stream=True, logprobs=True)
    choices = events(stream)
    said = [c["delta"]["content"] for c in choices if c["delta"].get("content")]
    assert said == ["찾", "을", "게", "요", "."]
    calls = [call for c in choices for call in c["delta"].get("tool_calls", [])]
    assert [call["index"] for call in calls] == [0, 1]
    assert calls[0]["function"] == {"name": "날씨", "arguments": '{"도시": "서울", "일": 1}'}
    assert choices[-1]["finish_reason"] == "tool_calls"
    entries = [entry for c in choices if c["logprobs"] for entry in c["logprobs"]["content"]]
    assert bytes(byte for entry in entries for byte in entry["bytes"]).decode() == text


def test_one_call_alone_if_the_client_asks_for_that():
    answer = ask(scripted_backend(CALL + NEWS), parallel_tool_calls=False).json()["choices"][0]
    assert [c["function"]["name"] for c in answer["message"]["tool_calls"]] == ["날씨"]
    stream = events(ask(scripted_backend(CALL + NEWS), parallel_tool_calls=False, stream=True))
    assert sum(len(c["delta"].get("tool_calls", [])) for c in stream) == 1


def test_a_model_that_may_not_call_is_told_of_no_functions():
    backend = scripted_backend(CALL)
    answer = ask(backend, tool_choice="none").json()["choices"][0]
    assert answer["message"]["content"] == CALL and answer["finish_reason"] == "stop"
    assert "함수" not in backend.engine.prompts[0]


@pytest.mark.parametrize("choice", ["required", "날씨"])
def test_a_forced_call_is_valid_whatever_the_model_would_say(random_chat, choice):
    named = {"type": "function", "function": {"name": choice}}
    asked = "required" if choice == "required" else named
    settings = {"tool_choice": asked, "temperature": 2.0, "seed": 3, "n": 2}
    whole = ask(random_chat, **settings).json()["choices"]
    stream = events(ask(random_chat, **settings, stream=True))
    for answer in whole:
        (call,) = answer["message"]["tool_calls"]
        name, arguments = call["function"]["name"], json.loads(call["function"]["arguments"])
        assert answer["message"]["content"] is None and answer["finish_reason"] == "tool_calls"
        assert choice in ("required", name)
        jsonschema.validate(arguments, WEATHER if name == "날씨" else {"maxProperties": 0})
        own = [c for c in stream if c["index"] == answer["index"]]
        ((again,),) = [c["delta"]["tool_calls"] for c in own if "tool_calls" in c["delta"]]
        assert again["function"] == call["function"]


LIST = {"type": "array"}
WRONG = {"type": 1}
NO_TOOLS = "{% for m in messages %}{{ m.content }}{% endfor %}"
XML = HERMES + "{# <function=name> #}"


@pytest.mark.parametrize(
    "fields, param, template",
    [
        ({}, "tools", NO_TOOLS),
        ({}, "tools", XML),
        ({"tool_choice": {"type": "function", "function": {"name": "x"}}}, "tool_choice", HERMES),
        ({"tool_choice": "any"}, "tool_choice", HERMES),
        ({"tools": TOOLS[:1] * 2}, "tools", HERMES),
        ({"tools": [{"type": "function", "function": {"name": "a b"}}]}, "tools", HERMES),
        ({"tools": None, "tool_choice": "required"}, "tool_choice", HERMES),
        (
            {"tools": [{"type": "function", "function": {"name": "f", "parameters": LIST}}]},
            "tools",
            HERMES,
        ),
        ({"tools": [{"type": "web_search"}]}, "tools[0].type", HERMES),
        ({"response_format": {"type": "json_object"}}, "response_format", HERMES),
        ({"structured_outputs": {"regex": "a"}}, "structured_outputs", HERMES),
        (
            {
                "tools": [{"type": "function", "function": {"name": "f", "parameters": WRONG}}],
                "tool_choice": "required",
            },
            "tools",
            HERMES,
        ),
        (
            {
                "messages": [
                    {
                        "role": "assistant",
                        "tool_calls": [{"id": "a", "function": {"name": "f", "arguments": "[1]"}}],
                    }
                ]
            },
            "messages[0].tool_calls[0].function.arguments",
            HERMES,
        ),
        ({"messages": [{"role": "assistant"}]}, "messages[0]", HERMES),
    ],
)  # fmt: skip
def test_what_cannot_be_called_is_refused_with_its_field(fields, param, template):
    response = ask(scripted_backend("", template=template), **fields)
    assert response.status_code == 400, response.text
    assert response.json()["error"]["param"] == param, response.text


def test_calls_before_a_model_that_knows_none_are_refused():
    call = {"id": "a", "function": {"name": "f", "arguments": ""}}
    messages = [*MESSAGES, {"role": "assistant", "tool_calls": [call]}]
    backend = scripted_backend("", template=NO_TOOLS)
    response = ask(backend, messages=messages, tools=None)
    assert response.status_code == 400 and response.json()["error"]["param"] == "messages"


def clova(backend, **fields):
    """The answer of v3 to a chat with tools."""
    body = {"messages": MESSAGES, "tools": TOOLS, "maxTokens": 1024, **fields}
    with client_of(build_app(backend)) as client:
        headers = {"Accept": "text/event-stream"} if fields.pop("stream", None) else {}
        return client.post(V3, json=body, headers=headers)


def test_calls_of_clova_studio_and_their_results():
    call = ' -> tool/function_call\n[{"name": "날씨", "arguments": {"도시": "부산", "일": 22}}]'
    backend = scripted_backend(call, "맑아요.", template=HYPERCLOVA)
    result = clova(backend).json()["result"]
    assert result["finishReason"] == "tool_calls" and result["message"]["content"] == ""
    (made,) = result["message"]["toolCalls"]
    assert made["function"] == {"name": "날씨", "arguments": {"도시": "부산", "일": 22}}
    answer = {"role": "tool", "toolCallId": made["id"], "content": "맑음"}
    result = clova(backend, messages=[*MESSAGES, result["message"], answer]).json()["result"]
    assert result["message"] == {"role": "assistant", "content": "맑아요."}
    assert result["finishReason"] == "stop"
    assert f"<assistant{call}\n<tool>맑음\n<assistant" in backend.engine.prompts[1]


def test_a_stream_of_clova_studio_has_calls_in_its_result():
    response = clova(scripted_backend(f"네. {CALL}"), stream=True)
    lines = [block.split("\n") for block in response.text.strip().split("\n\n")]
    data = [(name[7:], json.loads(line[6:])) for name, line in lines]
    said = [entry["message"]["content"] for name, entry in data if name == "token"]
    assert said == ["네", "."]
    ((result,),) = [[entry] for name, entry in data if name == "result"]
    assert result["message"]["toolCalls"][0]["function"]["name"] == "날씨"


def test_a_call_of_clova_studio_is_forced_by_its_name(random_chat):
    choice = {"type": "function", "function": {"name": "날씨"}}
    result = clova(random_chat, toolChoice=choice, maxTokens=200).json()["result"]
    (call,) = result["message"]["toolCalls"]
    jsonschema.validate(call["function"]["arguments"], WEATHER)


@pytest.mark.parametrize(
    "fields, name, template",
    [
        ({}, "tools", NO_TOOLS),
        ({"toolChoice": "required"}, "toolChoice", HERMES),
        ({"toolChoice": {"type": "function", "function": {"name": "x"}}}, "toolChoice", HERMES),
        ({"responseFormat": {"type": "json", "schema": {}}}, "responseFormat", HERMES),
        ({"messages": [{"role": "user"}, *MESSAGES]}, "messages[0].content", HERMES),
        ({"messages": [*MESSAGES, {"role": "user"}]}, "messages[1].content", HERMES),
    ],
)
def test_what_clova_studio_cannot_call_is_refused_with_its_field(fields, name, template):
    response = clova(scripted_backend("", template=template), **fields)
    assert response.status_code == 400
    assert response.json()["status"]["message"].startswith(name)
