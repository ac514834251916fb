"""Chats as examples: the tokens of transformers, of which the assistant's are learnt."""

import pytest

from hclx.errors import ConfigError, DataError
from hclx.text import load_tokenizer
from hclx.tune.chats import chat_encoder
from hclx.tune.row_files import Row
from tests.helpers.byte_tokenizer import ByteTokenizer
from tests.helpers.foreign_tokenizers import save_tokenizer

END = "<|im_end|>"
# A newline behind a block is no part of the text, as in transformers.
TEMPLATE = (
    "{% for m in messages %}{{ m['role'] }}\n{{ m['content'] }}"
    "{% if m['role'] == 'assistant' %}{{ eos_token }}{% endif %}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant\n{% endif %}"
)
CHAT = [
    {"role": "user", "content": "안녕"},
    {"role": "assistant", "content": "반가워요"},
    {"role": "user", "content": "이름은?"},
    {"role": "assistant", "content": "하늘"},
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("chats")
    save_tokenizer("Qwen", folder, eos_token=END, chat_template=TEMPLATE)
    return folder


def test_the_tokens_are_those_of_transformers(folder):
    transformers = pytest.importorskip("transformers")
    tokenizer = load_tokenizer(folder)
    example = chat_encoder(tokenizer)(Row("1", {"messages": CHAT}))
    oracle = transformers.AutoTokenizer.from_pretrained(folder)
    text = oracle.apply_chat_template(CHAT, tokenize=False)
    assert example.tokens.tolist() == oracle(text, add_special_tokens=False).input_ids
    assert example.tokens.tolist().count(tokenizer.eod_id) == 2
    learnt = [int(token) for token, w in zip(example.tokens, example.weights) if w]
    assert oracle.decode(learnt) == f"반가워요{END}하늘{END}"
    size = tokenizer.vocab_size
    behind = chat_encoder(tokenizer, [size, size + 1])(Row("1", {"messages": CHAT}))
    assert behind.tokens.tolist() == [size, size + 1, *example.tokens.tolist()]
    assert behind.weights.tolist() == [0, 0, *example.weights.tolist()]


@pytest.mark.parametrize(
    "messages, message",
    [
        ([], "has no message of the assistant"),
        (CHAT[:1], "has no message of the assistant"),
        ("안녕", "give a list of"),
        ([{"role": "assistant", "content": None}], "give a list of"),
        ([{"role": "robot", "content": "안녕"}], "whose roles are system, user"),
    ],
)
def test_chats_that_are_none_are_named(messages, message, folder):
    with pytest.raises(DataError, match=f"rows:1.*{message}"):
        chat_encoder(load_tokenizer(folder))(Row("rows:1", {"messages": messages}))


def test_a_template_is_needed():
    with pytest.raises(ConfigError, match="has no template of chats"):
        chat_encoder(ByteTokenizer(300))
