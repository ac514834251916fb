"""What bodies of requests are refused with: the field, and what may stand there."""

import json

import pytest

from hclx.serve.api_error import ApiError
from hclx.serve.json_body import decode_body
from hclx.serve.openai.openai_chat import ChatRequest
from hclx.serve.openai.openai_completions import CompletionRequest
from hclx.serve.openai.openai_response_body import ResponseRequest

TEXT = {"model": "m", "prompt": "a"}
CHAT = {"model": "m", "messages": [{"role": "user", "content": "a"}]}
RESPONSE = {"model": "m", "input": "a"}
CALLED = {"type": "web_search", "function": {"name": "f"}}
IMAGE = [{"role": "user", "content": [{"type": "image_url", "text": "a"}]}]
ROLES = '"assistant", "developer", "system", "tool", "user"'


def refused(kind, body):
    """The error with which bytes, or a body, are refused."""
    with pytest.raises(ApiError) as caught:
        decode_body(body if isinstance(body, bytes) else json.dumps(body).encode(), kind)
    return caught.value


@pytest.mark.parametrize(
    ("kind", "body", "param", "message"),
    [
        (CompletionRequest, {"suffix": "x"}, "suffix", "'x' is not supported; leave it out"),
        (CompletionRequest, {"suffix": 1}, "suffix", "that is not supported; leave it out"),
        (CompletionRequest, {"store": True}, "store", "true is not supported; leave it out"),
        (
            CompletionRequest,
            {"stream_options": {"continuous_usage_stats": True}},
            "stream_options.continuous_usage_stats",
            "true is not supported; leave it out",
        ),
        (
            ChatRequest,
            {"tools": [CALLED]},
            "tools[0].type",
            "'web_search' is not supported: give \"function\"",
        ),
        (
            ChatRequest,
            {"messages": IMAGE},
            "messages[0].content[0].type",
            "'image_url' is not supported: give \"text\"",
        ),
        (
            ChatRequest,
            {"messages": [{"role": "x" * 5000, "content": ""}]},
            "messages[0].role",
            f"'{'x' * 199}... is not supported: give {ROLES}",
        ),
        (
            ChatRequest,
            {"tool_choice": "x"},
            "tool_choice",
            '\'x\' is not supported: give "auto", "none", "required"',
        ),
        (ResponseRequest, {"truncation": "auto"}, "truncation", None),
        (ResponseRequest, {"reasoning": {}}, "reasoning", "that is not supported; leave it out"),
        (CompletionRequest, {"logit_bias": {"5": "a"}}, "logit_bias", None),
        (CompletionRequest, {"logit_bias": {"a": 1}}, "logit_bias", None),
        (CompletionRequest, {"metadata": 1}, "metadata", "Expected `object | null`, got `int`"),
        (ChatRequest, {"stream_options": 1}, "stream_options", None),
        (CompletionRequest, {"n": "1"}, "n", "Expected `int | null`, got `str`"),
        (CompletionRequest, {"seed": 2**63}, "seed", "Expected `int` <= 9223372036854775807"),
    ],
)
def test_a_field_that_has_another_value(kind, body, param, message):
    base = {CompletionRequest: TEXT, ChatRequest: CHAT, ResponseRequest: RESPONSE}[kind]
    error = refused(kind, {**base, **body})
    assert error.status == 400 and error.param == param
    assert error.message.startswith(f"{param}: ")
    assert message is None or error.message == f"{param}: {message}"


def test_fields_that_are_unknown_or_missing():
    error = refused(CompletionRequest, {**TEXT, "x" * 3000: 1})
    assert error.param.startswith("xxx") and len(error.message) < 300
    error = refused(CompletionRequest, {"model": "m"})
    assert error.param == "prompt" and "missing" in error.message


def test_a_seed_may_have_64_bits():
    body = json.dumps({**TEXT, "seed": 2**63 - 1}).encode()
    assert decode_body(body, CompletionRequest).seed == 2**63 - 1


@pytest.mark.parametrize("half", [rb"\ud800", rb"\uDBFFabcdefgh", rb"\udc00", rb"\ud800\u0041"])
def test_half_of_a_character_is_named(half):
    error = refused(CompletionRequest, b'{"model": "m", "prompt": "' + half + b'"}')
    assert "half of a character" in error.message


@pytest.mark.parametrize("whole", [rb"\ud83e\udd89", rb"\uD83E\uDD89"])
def test_both_halves_of_a_character_are_one(whole):
    body = b'{"model": "m", "prompt": "' + whole + b'"'
    assert decode_body(body + b"}", CompletionRequest).prompt == "\U0001f989"
    assert "half" not in refused(CompletionRequest, body).message


def test_compressed_bodies_are_refused(client):
    headers = {"Content-Encoding": "gzip"}
    response = client.post("/v1/completions", content=b"\x1f\x8b", headers=headers)
    assert response.status_code == 415 and "Content-Encoding" in response.json()["error"]["message"]
