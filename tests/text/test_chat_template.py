"""Templates of chats with functions, against transformers."""

import json

import pytest

from hclx.errors import ConfigError
from hclx.text import load_tokenizer
from hclx.text.chat_template import ChatTemplate
from tests.helpers.foreign_tokenizers import save_tokenizer
from tests.helpers.scripted_chat import HERMES, HYPERCLOVA

TOOL = {
    "type": "function",
    "function": {
        "name": "날씨",
        "description": "<오늘> & '내일'",
        "parameters": {"type": "object", "properties": {"도시": {"type": "string"}}},
    },
}
CALL = {"id": "a", "type": "function", "function": {"name": "날씨", "arguments": {"도시": "서울"}}}
MESSAGES = [
    {"role": "user", "content": "서울은?"},
    {"role": "assistant", "content": "", "tool_calls": [CALL]},
    {"role": "tool", "content": "맑음", "tool_call_id": "a", "name": "날씨"},
]
INDENTED = "{{ tools | tojson(indent=4) }}{% for m in messages %}{{ m | tojson }}{% endfor %}"
PLAIN = "{% for m in messages %}{{ m.content }}{% endfor %}"


@pytest.fixture
def template_of(tmp_path):
    def make(source):
        save_tokenizer("Qwen", tmp_path, eos_token="<|im_end|>", chat_template=source)
        return ChatTemplate(load_tokenizer(tmp_path)), tmp_path

    return make


@pytest.mark.parametrize("tools", [[], [TOOL]], ids=["without", "with"])
@pytest.mark.parametrize("source", [HERMES, HYPERCLOVA, INDENTED])
def test_functions_and_calls_are_written_as_by_transformers(template_of, source, tools):
    transformers = pytest.importorskip("transformers")
    if source is INDENTED and not tools:
        pytest.skip("it needs some")
    template, folder = template_of(source)
    theirs = transformers.PreTrainedTokenizerFast.from_pretrained(folder)
    settings = {"tokenize": False, "add_generation_prompt": True}
    expected = theirs.apply_chat_template(MESSAGES, tools=tools or None, **settings)
    assert template.render(MESSAGES, True, tools) == expected
    assert not tools or json.dumps(TOOL["function"]["description"], ensure_ascii=False) in expected


def test_whether_a_template_takes_functions_is_known(template_of):
    assert template_of(HERMES)[0].takes_tools and template_of(HYPERCLOVA)[0].takes_tools
    assert not template_of(PLAIN)[0].takes_tools


def test_a_tokenizer_without_a_template_is_refused(tokenizers):
    with pytest.raises(ConfigError, match="no template"):
        ChatTemplate(tokenizers["train"])
