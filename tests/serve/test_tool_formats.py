"""Calls of functions in answers, as models write them."""

import json
import random

import jsonschema
import pytest

from hclx.infer import grammar as grammars
from hclx.serve.chat_tools import Function, ToolUse
from hclx.serve.tool_formats import FORMATS, AnswerReader, ToolCall
from tests.helpers.serving import TextTokenizer

HERMES, HYPERCLOVA, LLAMA = FORMATS
NAMES = ("날씨", "stocks")
CALL = '{"name": "날씨", "arguments": {"도시": "서울", "n": [1, {"a": null}]}}'
OTHER = '{"name":"stocks","arguments":{}}'
SEOUL = ("날씨", {"도시": "서울", "n": [1, {"a": None}]})


def read(form, text, seed=None):
    """What is said and called in a text that comes in random bits; texts in a row are joined."""
    draw, reader, parts = random.Random(seed), AnswerReader(form, NAMES), []
    while text:
        end = draw.randint(1, 5) if seed is not None else len(text)
        parts += reader.feed(text[:end])
        text = text[end:]
    parts += reader.finish()
    joined = []
    for part in parts:
        if isinstance(part, ToolCall):
            joined.append((part.name, part.arguments))
        elif joined and isinstance(joined[-1], str):
            joined[-1] += part
        else:
            joined.append(part)
    return joined


@pytest.mark.parametrize("seed", [None, *range(5)])
@pytest.mark.parametrize(
    "form, text, expected",
    [
        (HERMES, f"<tool_call>\n{CALL}\n</tool_call>", [SEOUL]),
        (HERMES, f"찾아볼게요.\n<tool_call>{CALL}</tool_call>", ["찾아볼게요.", SEOUL]),
        (
            HERMES,
            f"<tool_call>\n{CALL}\n</tool_call>\n<tool_call>\n{OTHER}\n</tool_call>",
            [SEOUL, ("stocks", {})],
        ),
        (HERMES, f"<tool_call>\n{CALL}", [SEOUL]),
        (HERMES, "a <tool_cal b\n", ["a <tool_cal b\n"]),
        (HERMES, "a <tool_call>\n{wrong}\n</tool_call> b", None),
        (HERMES, "<tool_call>{}", ["<tool_call>{}"]),
        (HERMES, '<tool_call>{"name": "none", "arguments": {}}', None),
        (HERMES, '<tool_call>{"name": "stocks", "arguments": "a"}', None),
        (HERMES, '<tool_call>{"name": "stocks", "arguments": {"a": NaN}}', None),
        (HERMES, '<tool_call>{"name": "stocks", "arguments": {"a": "\\ud800"}}', None),
        (HERMES, '<tool_call>{"name": ["stocks"], "arguments": {}}', None),
        (HERMES, "<tool_call>" + "[" * 3000, None),
        (HERMES, CALL, [CALL]),
        (HYPERCLOVA, f" -> tool/function_call\n[{CALL}, {OTHER}]", [SEOUL, ("stocks", {})]),
        (HYPERCLOVA, "\n서울은 -> 맑음", ["\n서울은 -> 맑음"]),
        (LLAMA, CALL.replace("arguments", "parameters"), [SEOUL]),
        (LLAMA, f" 답은 {CALL}", [f" 답은 {CALL}"]),
        (LLAMA, '{"a": 1}', ['{"a": 1}']),
    ],
)  # fmt: skip
def test_what_is_said_and_what_is_called(form, text, expected, seed):
    assert read(form, text, seed) == ([text] if expected is None else expected)


def test_what_is_said_is_told_at_once():
    reader = AnswerReader(HERMES, NAMES)
    assert reader.feed("안녕") == ["안녕"]
    assert reader.feed(" <") == [] and reader.feed("b") == [" <b"]


CITY = {
    "type": "object",
    "properties": {"도시": {"$ref": "#/$defs/도시"}, "일": {"enum": [1, 22]}},
    "required": ["도시", "일"],
    "additionalProperties": False,
    "$defs": {"도시": {"enum": ["서울", "부산"]}},
}


@pytest.mark.parametrize("form", FORMATS)
def test_a_forced_call_is_read_as_that_call(form):
    functions = [Function("아무것"), Function("날씨", parameters=CITY)]
    use = ToolUse(form, functions, functions)
    grammar = use.grammar("tools")
    draw, seen = random.Random(0), set()
    for _ in range(20):
        matcher, data = grammar.matcher(TextTokenizer(256), 256), b""
        while not matcher.is_complete:
            mask = matcher.mask()
            tokens = [t for t in range(256) if mask[t // 32] >> t % 32 & 1]
            token = draw.choice(tokens)
            if token == 1:
                break
            matcher.take(token)
            data += bytes([token])
        reader = use.reader()
        (call,) = reader.feed(data.decode()) + reader.finish()
        seen.add(call.name)
        if call.name == "날씨":
            jsonschema.validate(call.arguments, CITY)
        else:
            assert call.arguments == {}
    assert seen == {"날씨", "아무것"}


def test_json_stands_between_two_texts():
    grammar = grammars.enclosed_json('a"\n', {"enum": [1]}, "")
    matcher = grammar.matcher(TextTokenizer(256), 256)
    for token in b'a"\n1':
        assert matcher.mask()[token // 32] >> token % 32 & 1
        matcher.take(token)
    assert matcher.is_complete and json.loads(grammar.written) == {"enum": [1]}
