"""POST /v1/responses by the client of OpenAI, and against its types."""

import json

import pytest

from hclx.serve.server import build_app
from tests.helpers.openai_client import openai_client
from tests.helpers.scripted_chat import scripted_backend
from tests.helpers.serving import client_of
from tests.serve.openai.test_chat_tools import CALL, NO_TOOLS, WEATHER

pytest.importorskip("openai")
from openai.types import responses as types  # noqa: E402

FUNCTIONS = [{"type": "function", "name": "날씨", "parameters": WEATHER, "strict": True}]
SCHEMA = {"enum": ["맑음", "흐림"]}


def post(backend, **fields):
    """The answer to a request."""
    body = {"model": "chat", "input": "안녕?", "max_output_tokens": 200, **fields}
    with client_of(build_app(backend)) as client:
        return client.post("/v1/responses", json=body)


def test_a_text_is_that_of_the_chat():
    backend = scripted_backend("반가워요.")
    answer = post(backend, instructions="짧게", store=False, metadata={"a": "b"}).json()
    read = types.Response.model_validate(answer, strict=True)
    assert read.output_text == "반가워요." and read.status == "completed"
    assert read.usage.output_tokens == len("반가워요.".encode())
    assert read.usage.input_tokens == len(backend.engine.prompts[0].encode())
    assert read.usage.total_tokens == read.usage.input_tokens + read.usage.output_tokens
    assert (read.instructions, read.metadata, read.store) == ("짧게", {"a": "b"}, False)
    assert backend.engine.prompts == ["system: 짧게\nuser: 안녕?\nassistant: "]


def test_events_are_those_that_the_client_collects():
    text = f"찾을게요. {CALL}"
    with openai_client(build_app(scripted_backend(text, text))) as client:
        asked = {"model": "chat", "input": "날씨?", "tools": FUNCTIONS, "max_output_tokens": 200}
        whole = client.responses.create(**asked)
        with client.responses.stream(**asked) as stream:
            kinds = [(event.type, event.sequence_number) for event in stream]
            final = stream.get_final_response()
    assert [number for _, number in kinds] == list(range(len(kinds)))
    names = [kind.removeprefix("response.") for kind, _ in kinds]
    assert names == [
        *("created", "in_progress", "output_item.added", "content_part.added"),
        *["output_text.delta"] * 5,
        *("output_text.done", "content_part.done", "output_item.done"),
        *("output_item.added", "function_call_arguments.delta", "function_call_arguments.done"),
        *("output_item.done", "completed"),
    ]
    said, called = final.output
    assert said.content[0].text == final.output_text == "찾을게요." == whole.output_text
    assert called.parsed_arguments == {"도시": "서울", "일": 1}
    assert [item.type for item in whole.output] == ["message", "function_call"]
    assert whole.output[1].arguments == called.arguments
    assert final.usage == whole.usage and final.status == "completed"


def test_each_event_follows_the_types_of_the_client():
    from pydantic import TypeAdapter

    lines = post(scripted_backend(f"가 {CALL}"), tools=FUNCTIONS, stream=True).text
    adapter = TypeAdapter(types.ResponseStreamEvent)
    for block in lines.strip().split("\n\n"):
        name, data = block.split("\n")
        event = adapter.validate_python(json.loads(data.removeprefix("data: ")))
        assert name == f"event: {event.type}"


def test_what_the_client_sends_back_is_the_chat_so_far():
    backend = scripted_backend(CALL, "맑아요.")
    with openai_client(build_app(backend)) as client:
        asked = {"model": "chat", "tools": FUNCTIONS, "max_output_tokens": 200}
        history = [{"role": "user", "content": [{"type": "input_text", "text": "날씨?"}]}]
        answer = client.responses.create(input=history, **asked)
        (call,) = answer.output
        history += [item.model_dump(exclude_none=True) for item in answer.output]
        result = {"type": "function_call_output", "call_id": call.call_id, "output": "맑음"}
        later = client.responses.create(input=[*history, result], **asked)
    assert later.output_text == "맑아요."
    expected = f"user: 날씨?\nassistant: {CALL}\ntool: 맑음\nassistant: "
    assert backend.engine.prompts[1].endswith(expected)


def test_log_probabilities_come_with_the_text():
    include = ["message.output_text.logprobs"]
    with openai_client(build_app(scripted_backend("가a", "가a"))) as client:
        asked = {"model": "chat", "input": "?", "include": include, "max_output_tokens": 99}
        (item,) = client.responses.create(**asked).output
        events = list(client.responses.create(**asked, stream=True))
    entries = item.content[0].logprobs
    assert bytes(byte for entry in entries for byte in entry.bytes).decode() == "가a"
    deltas = [event for event in events if event.type == "response.output_text.delta"]
    assert [len(event.logprobs) for event in deltas] == [3, 1]


@pytest.mark.parametrize("is_stream", [False, True])
def test_a_schema_is_followed_and_a_short_answer_is_incomplete(random_chat, is_stream):
    form = {"type": "json_schema", "name": "a", "schema": SCHEMA, "strict": True}
    with openai_client(build_app(random_chat)) as client:

        def ask(**fields):
            asked = {"model": "chat", "input": "날씨?", "max_output_tokens": 99, **fields}
            if not is_stream:
                return client.responses.create(**asked)
            return list(client.responses.create(**asked, stream=True))[-1].response

        answer = ask(text={"format": form})
        assert json.loads(answer.output_text) in SCHEMA["enum"] and answer.status == "completed"
        assert answer.text.format.type == "json_schema"
        forced = ask(tools=FUNCTIONS, tool_choice={"type": "function", "name": "날씨"})
        assert json.loads(forced.output[0].arguments)["도시"] in ("서울", "부산")
        short = ask(max_output_tokens=2, text={"format": form})
        assert short.status == "incomplete"
        assert short.incomplete_details.reason == "max_output_tokens"


@pytest.mark.parametrize(
    "fields, param",
    [
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"store": True}, "store"),
        ({"conversation": "conv_1"}, "conversation"),
        ({"background": True}, "background"),
        ({"tools": [{"type": "web_search"}]}, "tools[0].type"),
        ({"tools": FUNCTIONS, "include": ["message.output_text.logprobs"]}, "include"),
        ({"input": []}, "input"),
        ({"input": [{"type": "message", "role": "user"}]}, "input[0].content"),
        ({"input": [{"type": "function_call_output", "output": "a"}]}, "input[0].call_id"),
        ({"input": [{"type": "function_call_output", "call_id": "a", "output": "b"}]}, "input"),
        ({"input": [{"role": "user", "content": [{"type": "input_image"}]}]}, None),
        ({"max_output_tokens": 0}, "max_output_tokens"),
        ({"text": {"format": {"type": "json_schema", "name": "a"}}}, "text.format.schema"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"reasoning": {"effort": "low"}}, "reasoning"),
        ({"model": "none"}, "model"),
    ],
)
def test_what_needs_a_memory_or_is_wrong_is_refused_with_its_field(fields, param):
    response = post(scripted_backend(""), **fields)
    error = response.json()["error"]
    assert response.status_code == (404 if "model" in fields else 400), response.text
    if param is not None:
        assert error["param"] == param and param in error["message"], error


def test_a_model_that_knows_no_calls_says_so():
    response = post(scripted_backend("", template=NO_TOOLS), tools=FUNCTIONS)
    assert response.status_code == 400 and response.json()["error"]["param"] == "tools"
