"""The content of a prompt in the Studio."""

import copy
import json

import pytest

from hclx.prompts import prompt_from_json
from hclx.studio.content import (
    MOST_BYTES,
    Chat,
    ContentError,
    Turn,
    content_from_json,
    content_to_text,
)
from tests.studio.contents import EVERY_KNOB, SMALL


def test_a_content_with_every_knob_is_kept_as_it_came():
    before = copy.deepcopy(EVERY_KNOB)
    content = content_from_json(EVERY_KNOB, needs_document=True)
    assert content.raw == before and json.loads(content_to_text(content.raw)) == before
    assert content.document == prompt_from_json(before["document"])
    assert (content.model, content.view, content.n, content.logprobs) == ("demo", "blocks", 3, 7)
    assert (content.block, content.table) == (1, "tb-1")
    assert content.item == {"shop": "<모퉁이>", "text": ""}
    turns = (Turn("배송 언제 와요?", "내일 도착해요."), Turn("고마워요"))
    assert content.chat == Chat("가게 주인처럼 답한다.", turns)


def test_all_but_schema_and_document_have_defaults():
    content = content_from_json(SMALL, needs_document=False)
    assert content.document is None and content.raw == SMALL
    assert (content.model, content.view, content.n, content.logprobs) == ("", "blocks", 1, 5)
    assert (content.block, content.table, content.chat) == (None, None, Chat())
    assert content.item == {}


def test_the_document_of_a_draft_need_not_be_one():
    draft = {**SMALL, "document": {"input": "{", "스타일": 1}}
    assert content_from_json(draft, needs_document=False).raw == draft
    with pytest.raises(ContentError):
        content_from_json(draft, needs_document=True)


@pytest.mark.parametrize(
    "change, field",
    [
        ({"schema": "hclx.studio/2"}, "schema"),
        ({"schema": None}, "schema"),
        ({"documents": {}}, "documents"),
        ({"document": []}, "document"),
        ({"document": None}, "document"),
        ({"model": 1}, "model"),
        ({"model": "m" * 201}, "model"),
        ({"view": "block"}, "view"),
        ({"view": {}}, "view"),
        ({"n": 0}, "n"),
        ({"n": 17}, "n"),
        ({"n": True}, "n"),
        ({"n": 1.5}, "n"),
        ({"n": None}, "n"),
        ({"logprobs": 21}, "logprobs"),
        ({"logprobs": -1}, "logprobs"),
        ({"block": 2}, "block"),
        ({"block": False}, "block"),
        ({"block": "0"}, "block"),
        ({"table": 3}, "table"),
        ({"item": []}, "item"),
        ({"item": {"text": 1}}, "item.text"),
        ({"chat": []}, "chat"),
        ({"chat": {"system": None}}, "chat.system"),
        ({"chat": {"turn": []}}, "chat"),
        ({"chat": {"turns": {}}}, "chat.turns"),
        ({"chat": {"turns": [{}, {"user": 3}]}}, "chat.turns[1].user"),
        ({"chat": {"turns": [{"role": "user"}]}}, "chat.turns[0]"),
    ],
)
def test_a_wrong_field_is_named_in_drafts_and_versions(change, field):
    for needs_document in (False, True):
        with pytest.raises(ContentError) as error:
            content_from_json({**SMALL, **change}, needs_document)
        assert error.value.field == field and field.split(".")[-1] in str(error.value)


@pytest.mark.parametrize("raw", [None, [], "content", 1])
def test_a_content_is_an_object(raw):
    with pytest.raises(ContentError, match="give an object") as error:
        content_from_json(raw, needs_document=False)
    assert error.value.field == ""


@pytest.mark.parametrize(
    "change, field",
    [
        ({"schema": "hclx.prompt/2"}, "document.schema"),
        ({"sampling": {"top_k": "x"}}, "document.sampling.top_k"),
        ({"sampling": {"warmth": 1}}, "document.sampling"),
        ({"stop": ["가", ""]}, "document.stop"),
        ({"stop": ["가", 1]}, "document.stop"),
        ({"input": "{text"}, "document.input"),
        ({"answer": "없음"}, "document.answer"),
        ({"parser": {"kind": "regex", "pattern": "("}}, "document.parser.pattern"),
        ({"examples": [{"text": "가"}]}, "document.examples[0]"),
        ({"examples": [{"text": "가", "answer": 1}]}, "document.examples[0].answer"),
        ({"choices": {"a": "가", "b": "{"}}, "document.choices.b"),
        ({"name": ""}, "document.name"),
        ({"budget": {"tokens": 0}}, "document.budget.tokens"),
        ({"colour": 1}, "document"),
    ],
)
def test_what_is_wrong_in_a_document_is_named(change, field):
    content = {**SMALL, "document": {**SMALL["document"], **change}}
    with pytest.raises(ContentError) as error:
        content_from_json(content, needs_document=True)
    assert error.value.field == field, str(error.value)
    content_from_json(content, needs_document=False)


def test_a_missing_field_of_a_document_is_named():
    document = {key: value for key, value in SMALL["document"].items() if key != "answer"}
    with pytest.raises(ContentError) as error:
        content_from_json({**SMALL, "document": document}, needs_document=True)
    assert error.value.field == "document.answer"


def test_a_content_has_a_megabyte_at_most():
    def sized(n_bytes):
        empty = {**SMALL, "document": {"name": ""}}
        rest = n_bytes - len(content_to_text(empty).encode())
        return {**empty, "document": {"name": "가" * (rest // 3) + "a" * (rest % 3)}}

    largest = sized(MOST_BYTES)
    assert len(content_to_text(largest).encode()) == MOST_BYTES
    content_from_json(largest, needs_document=False)
    with pytest.raises(ContentError, match="1,048,577 bytes"):
        content_from_json(sized(MOST_BYTES + 1), needs_document=False)


def test_what_is_no_json_text_is_refused():
    nested = {}
    for _ in range(100_000):
        nested = {"a": nested}
    for value in (nested, "\ud800", float("nan")):
        with pytest.raises(ContentError):
            content_from_json({**SMALL, "document": {"name": value}}, needs_document=False)
