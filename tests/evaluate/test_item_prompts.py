"""Prompts of items: what is dropped when the context is short."""

import pytest

from hclx.errors import ConfigError
from hclx.evaluate.item_prompts import Reader, content_free_prompt, item_prompt, item_prompts
from hclx.evaluate.items import Item
from hclx.evaluate.shots import draw_shots
from hclx.prompts import prompt_from_json
from tests.helpers.byte_tokenizer import ByteTokenizer
from tests.helpers.few_shot import GENERATION, byte_reader, reviews, spec


def bytes_of(text):
    return len(text.encode())


def test_a_prompt_is_its_shots_and_its_item():
    run = spec(shots=2)
    prompts, count = item_prompts(run, 0, byte_reader())
    assert count == 2
    words = {"0": "부정", "1": "긍정"}
    head = "".join(
        f"{example['document']} ({words[example['label']]})\n" for example in draw_shots(run, 0)[0]
    )
    for prompt, item in zip(prompts, run.items, strict=True):
        assert prompt.text == f"{head}{item.fields['document']} ("
        assert bytes(prompt.context[1:]).decode() == prompt.text and prompt.context[0] == 1
        assert {k: bytes(v).decode() for k, v in prompt.answer_ids.items()} == {
            "0": "부정)",
            "1": "긍정)",
        }
        assert prompt.choices == words and prompt.shots == 2 and not prompt.is_truncated


def test_a_whole_number_of_shots_is_dropped_for_all_items_alike():
    run = spec(shots=10)
    reader = byte_reader(max_length=400)
    prompts, count = item_prompts(run, 0, reader)
    assert 0 < count < 10
    assert {prompt.shots for prompt in prompts} == {count}
    longest = max(len(prompt.context) for prompt in prompts) + bytes_of("긍정)")
    examples = draw_shots(run, 0)[0]
    # The prompt drops its first examples first; another one would not have fit.
    kept = examples[len(examples) - count :]
    assert prompts[0].text.startswith(f"{kept[0]['document']} (")
    lost = examples[len(examples) - count - 1]
    assert longest <= 400 < longest + bytes_of(f"{lost['document']} (긍정)\n")


def test_an_item_without_room_is_truncated_and_does_not_take_the_shots_of_others():
    long = Item("long", {"document": "길다 " * 100 + "끝"}, "1")
    run = spec(items=(*reviews(3), long), shots=3)
    prompts, count = item_prompts(run, 0, byte_reader(max_length=400))
    assert count == 3 and [prompt.is_truncated for prompt in prompts] == [False] * 3 + [True]
    last = prompts[-1]
    assert len(last.context) + bytes_of("긍정)") == 400 and last.context[0] == 1
    assert bytes(last.context[1:]).endswith("끝 (".encode())


def test_generated_answers_leave_room_for_themselves():
    run = spec(GENERATION, shots=10)
    prompts, _ = item_prompts(run, 0, byte_reader(max_length=300))
    longest = max(len(prompt.context) for prompt in prompts)
    assert longest <= 300 - 8 and prompts[0].answer_ids == {}
    with pytest.raises(ConfigError, match="an answer has up to 8 tokens, and the model reads 8"):
        item_prompts(run, 0, byte_reader(max_length=8))


def test_the_budget_of_a_prompt_limits_it_too():
    limited = spec({**GENERATION, "budget": {"tokens": 200}}, shots=10)
    prompts, count = item_prompts(limited, 0, byte_reader())
    assert max(len(prompt.context) for prompt in prompts) <= 192 and 0 < count < 10


def test_no_token_begins_a_prompt_if_the_rule_says_so():
    prompts, _ = item_prompts(spec(), 0, byte_reader(begin=()))
    assert bytes(prompts[0].context).decode() == prompts[0].text


def test_a_content_free_input_stands_behind_the_shots():
    run = spec(shots=1)
    shots = draw_shots(run, 0)[0]
    prompt = content_free_prompt(run, {"document": "N/A"}, shots, byte_reader())
    assert prompt.text.endswith("\nN/A (") and prompt.text.startswith(shots[0]["document"])


class ArrowTokenizer(ByteTokenizer):
    """A tokenizer of bytes, but for =>, which is one token."""

    def encode(self, text):
        parts = map(super().encode, text.split("=>"))
        return [token for part in parts for token in (200, *part)][1:]


def test_a_prompt_and_what_is_written_behind_it_are_encoded_as_one_text():
    document = prompt_from_json({**GENERATION, "input": "{document} ="})
    reader, item = Reader(ArrowTokenizer(256), 100, (1,)), Item("", {"document": "ab"}, "")
    prompt = item_prompt(document, item, (), reader, "> c")
    assert prompt.text == "ab => c" and prompt.context == (1, *b"ab ", 200, *b" c")
