"""Parsers of generated answers."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hclx.errors import ConfigError
from hclx.evaluate.answers import parse_answer
from hclx.prompts.document_fields import PARSERS

LABELS = ("긍정", "부정")


def parsed(kind, text, labels=(), **fields):
    return parse_answer({"kind": kind, **fields}, text, labels)


@pytest.mark.parametrize(
    ("kind", "text", "answer"),
    [
        ("text", "  서울 \n 부산\n", "서울 \n 부산"),
        ("first_line", "\n \r\n 서울 \r\n부산", "서울"),
        ("first_line", " \n\t", ""),
        ("number", "정답은 3번입니다. 4번이 아닙니다.", "3"),
        ("number", "1,234,500원", "1234500"),
        ("number", "1,234, 5", "1234"),
        ("number", "12,34", "12"),
        ("number", "1,2345", "1"),
        ("number", "약 -3.50도", "-3.5"),
        ("number", "+007", "7"),
        ("number", "3-4", "3"),
        ("number", "정답-2", "2"),
        ("number", "０.７５점", "0.75"),
        ("number", ".5", "0.5"),
        ("number", "3.", "3"),
        ("number", "-0.0", "0"),
        ("number", "1.2.3", "1.2"),
        ("number", "셋", ""),
        ("number", "", ""),
    ],
)
def test_text_lines_and_numbers(kind, text, answer):
    assert parsed(kind, text) == answer


@given(st.integers(-(10**15), 10**15))
def test_numbers_with_separators_are_read(number):
    assert parsed("number", f"합계는 {number:,}원") == str(number)


@pytest.mark.parametrize(
    ("text", "labels", "answer"),
    [
        (" 긍정", LABELS, "긍정"),
        ("긍정입니다. 부정은 아닙니다.", LABELS, "긍정"),
        ("이 평은 부정적이다", LABELS, "부정"),
        ("부정, 정말 부정", LABELS, "부정"),
        ("답은 긍정 또는 부정", LABELS, ""),
        ("모르겠다", LABELS, ""),
        ("", LABELS, ""),
        ("매우 긍정", ("긍정", "매우 긍정"), "매우 긍정"),
        ("긍정적이다", ("긍정", "긍정적"), "긍정적"),
        ("Answer: B", ("A", "B"), "B"),
        ("A는 아니고 B", ("A", "B"), "A"),
        ("정답은 12번", ("1", "2", "12"), "12"),
        ("정답은 12번", ("1", "2"), ""),
        ("(C)", ("(A)", "(C)"), "(C)"),
        ("a.b", ("a.b", "axb"), "a.b"),
        ("axb", ("a.b", "b"), ""),
    ],
)
def test_choices(text, labels, answer):
    assert parsed("choice", text, labels) == answer


def test_a_choice_needs_labels():
    with pytest.raises(ConfigError, match="declares none"):
        parsed("choice", "긍정")


@pytest.mark.parametrize(
    ("pattern", "text", "answer"),
    [
        (r"정답\s*[:은]\s*(\d)", "풀이... 정답: 4", "4"),
        (r"(가)|(나)", "나", ""),
        (r"답: (.*)", "답:  서울 ", "서울"),
        (r"답: (.*)", "모름", ""),
    ],
)
def test_the_first_group_of_a_pattern(pattern, text, answer):
    assert parsed("regex", text, pattern=pattern) == answer


@pytest.mark.parametrize(("pattern", "reason"), [("(", "not valid"), ("답", "no group")])
def test_wrong_patterns_are_refused(pattern, reason):
    with pytest.raises(ConfigError, match=reason):
        parsed("regex", "답", pattern=pattern)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ('{"answer": " 서울 "}', "서울"),
        ('답은 {"answer": 3.5, "x": {"answer": 1}} 입니다', "3.5"),
        ('{"answer": ["가", 1]}', '["가", 1]'),
        ('{"answer": true}', "true"),
        ('{"answer": null}', ""),
        ('{"other": 1}', ""),
        ('{열린 괄호 {"answer": "가"}', "가"),
        ('{"answer": "끝이 없', ""),
        ("[1]", ""),
        ("{" * 5000, ""),
        ('{"a":' * 100_000, ""),
    ],
    ids=range(11),
)
def test_fields_of_json(text, answer):
    assert parsed("json", text, field="answer") == answer


@given(st.text(max_size=50))
def test_json_answers_are_what_was_written(answer):
    text = "앞 {" + json.dumps({"답": answer})
    assert parsed("json", text, field="답") == answer.strip()


@pytest.mark.parametrize("kind", PARSERS)
@given(text=st.text(max_size=30))
def test_every_parser_of_a_document_reads_any_text(kind, text):
    fields = {"regex": {"pattern": "(.*)"}, "json": {"field": "a"}}.get(kind, {})
    answer = parsed(kind, text, LABELS, **fields)
    assert isinstance(answer, str) and answer == answer.strip()
