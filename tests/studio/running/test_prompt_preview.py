"""A preview of a prompt, beside what a run reads."""

import pytest

from hclx.prompts import lint, prompt_from_json, render
from tests.helpers.serving import TalkingTokenizer
from tests.helpers.studio import API
from tests.studio.run_contents import (
    CHOOSES,
    EXAMPLES,
    FREE,
    ITEMS,
    MAX_LENGTH,
    WRITES,
    content,
    document_of,
    results,
    small_backend,
    small_engine,
)


@pytest.fixture(scope="module")
def backend():
    with small_engine() as engine:
        yield small_backend(engine)


@pytest.fixture
def preview(studio_client):
    """A function of a content and an item."""

    def preview(raw, **item):
        answer = studio_client.post(f"{API}/preview", json={"content": raw, "item": item})
        assert answer.status_code == 200, answer.text
        return answer.json()

    return preview


@pytest.mark.parametrize("document", [WRITES, CHOOSES, FREE], ids=["writes", "chooses", "free"])
def test_a_preview_is_what_a_run_reads(preview, studio_client, document):
    fields = {"말": "맛있어요", "글": "어제"}
    shown = preview(content(document), **fields)
    (answer,) = results(studio_client, content(document), items=[fields])
    assert (shown["text"], shown["tokens"]) == (
        answer["prompt"]["text"],
        answer["prompt"]["tokens"],
    )
    assert shown["room"] == MAX_LENGTH - shown["tokens"] and shown["error"] is None
    expected = render(prompt_from_json(document), fields)
    assert [tuple(span.values()) for span in shown["spans"]] == [
        (s.start, s.end, s.part, s.example, s.field) for s in expected.spans
    ]
    findings = lint(prompt_from_json(document), TalkingTokenizer(256), fields)
    assert [warning["code"] for warning in shown["warnings"]] == [f.code for f in findings]


def test_a_field_without_a_value_holds_its_name(preview):
    assert preview(content())["text"].endswith("말: 말\n느낌:")


def test_dropped_examples_are_told_and_the_others_keep_their_numbers(preview):
    limited = {**WRITES, "budget": {"tokens": 150}}
    shown = preview(content(limited), **ITEMS[0])
    numbers = {span["example"] for span in shown["spans"]} - {None}
    assert numbers == set(range(len(EXAMPLES) - len(numbers), len(EXAMPLES))) and len(numbers) < 4
    first = shown["warnings"][0]
    assert first["code"] == "dropped-examples"
    assert first["message"].startswith(f"{len(EXAMPLES) - len(numbers)} of {len(EXAMPLES)}")
    assert shown["room"] == 150 - shown["tokens"] >= 12


def test_a_prompt_that_is_too_long_is_shown_with_its_tokens(preview):
    shown = preview(content(), 말="길다 " * 200)
    text = render(document_of(content()), {"말": "길다 " * 200}, ()).text
    assert shown["text"] == text and shown["tokens"] == 1 + len(text.encode())
    assert shown["room"] == MAX_LENGTH - shown["tokens"] < 0
    assert "shorten" in shown["error"]["message"]


@pytest.mark.parametrize(
    "change, field, text",
    [
        ({"input": "{말"}, "document.input", "has no partner"),
        ({"sampling": {"top_p": 7}}, "document.sampling.top_p", "top_p=7"),
        ({"grammar": {"regex": "("}}, "document.grammar", "regex"),
        ({"name": ""}, "document.name", "name is empty"),
        ({"sampling": {"max_tokens": 600}}, "", "600"),
        ({"stop": ["끝"] * 70}, "document.stop", "70 texts"),
    ],
)
def test_a_draft_that_is_wrong_has_an_error_with_its_place(preview, change, field, text):
    shown = preview(content({**WRITES, **change}))
    assert shown["error"]["field"] == field and text in shown["error"]["message"]
    assert shown["text"] == "" and shown["room"] == MAX_LENGTH


def test_other_settings_that_are_wrong(preview):
    assert preview(content(model="old"))["error"]["field"] == "model"
    assert preview(content(n=0))["error"]["field"] == "n"
    assert preview({})["error"]["field"] == "schema"


def test_a_chat_is_shown_as_its_template_writes_it(preview):
    chat = {"system": "짧게", "turns": []}
    shown = preview(content(view="chat", chat=chat), message="뭐해")
    assert shown["text"] == "짧게\n뭐해\n>" and shown["spans"] == []
    assert shown["tokens"] == len(shown["text"].encode())


def test_tokens_are_counted(studio_client):
    answer = studio_client.post(f"{API}/tokens", json={"texts": ["가나", "", "ab"]})
    assert answer.json() == {"counts": [6, 0, 2]}
    long = studio_client.post(f"{API}/tokens", json={"texts": ["", "a" * 4000]})
    assert long.status_code == 400 and long.json()["error"]["param"] == "texts[1]"
