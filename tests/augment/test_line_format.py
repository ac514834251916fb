"""Prompts as the papers write them, and lines that are read, by hand."""

import json
import re

import pytest

from hclx.augment.line_format import LabelBefore, LabelBehind, Parsed, ParseError, types_of
from hclx.augment.marked_spans import MarkError, SlotSpan, read_marks
from hclx.augment.seeds import Seed
from hclx.augment.words import built_in_prompt, filled
from hclx.errors import ConfigError, DataError
from hclx.prompts import load_prompt, parse_template, prompt_from_json, prompt_to_json, render
from tests.conftest import ROOT
from tests.helpers.labelled_texts import COMMANDS, LABELS

# The template of Yoo et al. 2021, with its words.
GPT3MIX = """\
Each item in the following list contains a movie review and the respective sentiment. Sentiment is \
one of 'negative' or 'positive'.

Movie review: I loved it (Sentiment: Positive)
Movie review: a waste of time (Sentiment: Negative)
Movie review: """


def mix(template="hypermix", labels=LABELS, words=("영화 평", "감정")):
    return LabelBehind(built_in_prompt(template, *words, labels), labels)


def before(slot_types=None, template="transfer"):
    labels = {"날씨": "날씨", "알람": "알람"}
    return LabelBefore(built_in_prompt(template, "문장", "의도", labels), labels, slot_types)


def test_the_template_of_the_paper():
    form = mix("gpt3mix", {"n": "negative", "p": "positive"}, ("movie review", "sentiment"))
    examples = [Seed("1", "I loved it", "p"), Seed("2", "a waste of time", "n")]
    assert form.prompt(examples, "") == GPT3MIX
    line = form.parse(" so (so) good (Sentiment: Positive)", "", True)
    assert line == Parsed("so (so) good", "p")


def test_three_labels_in_english():
    labels = {"a": "world", "b": "sports", "c": "business"}
    document = built_in_prompt("gpt3mix", "news headline", "classification", labels)
    assert "one of 'world', 'sports' or 'business'.\n" in document.directive.source


def test_the_korean_prompt_takes_its_particles_from_the_words():
    assert mix().prompt([Seed("1", "좋다", "1")], "") == (
        "다음은 영화 평과 그 감정을 한 줄에 하나씩 적은 목록이다. "
        "감정은 '부정', '긍정' 가운데 하나다.\n\n"
        "영화 평: 좋다 (감정: 긍정)\n영화 평: "
    )
    document = built_in_prompt("hypermix", "댓글", "주제", LABELS)
    assert document.directive.source.startswith("다음은 댓글과 그 주제를")


def test_words_with_braces_and_slots_that_stay():
    source = filled(parse_template("{{a}} {b:은/는} {text}"), {"b": "집{1}"})
    assert parse_template(source).text({"text": "T"}) == "{a} 집{1}은 T"


def test_the_document_is_a_prompt_of_evaluation_too():
    document = built_in_prompt("hypermix", "영화 평", "감정", LABELS)
    assert prompt_from_json(prompt_to_json(document)) == document
    assert render(document, {"text": "좋다"}).text.endswith("영화 평: 좋다")


@pytest.mark.parametrize(
    "template, prompt, raw",
    [
        ("hyperclova", "좋다 (긍정)\n", "그저 그렇다 (부정)"),
        ("polyglot", "좋다 (긍정)\n\n", "그저 그렇다 (부정)"),
        ("hclx", "리뷰: 좋다\n평가: 최고\n\n리뷰: ", "그저 그렇다\n평가: 최악\n\n리뷰: 다음"),
    ],
)
def test_prompts_of_evaluation_write_texts(template, prompt, raw):
    document = load_prompt(ROOT / "tasks" / "prompts" / "nsmc" / f"{template}.json")
    form = LabelBehind(document, {key: key for key in document.choices})
    assert form.prompt([Seed("1", "좋다", "1")], "") == prompt
    assert form.parse(raw, "", False) == Parsed("그저 그렇다", "0")


@pytest.mark.parametrize(
    "raw, line",
    [
        (" 좋다 (감정: 긍정)", Parsed("좋다", "1")),
        ("  두   칸  띄운 평 (감정: 부정) 뒤", Parsed("두 칸 띄운 평", "0")),
        (" 좋다(감정: 긍정)", Parsed("좋다", "1")),
        (" 좋다", ParseError),
        (" 좋다 (감정: 중립)", ParseError),
        (" (감정: 긍정)", ParseError),
        (" 좋다\n영화 평: 싫다 (감정: 부정)", ParseError),
        (" 좋다 (감정: 긍정) 싫다 (감정: 부정)", ParseError),
        (" 좋다 (감정: 긍정", ParseError),
        ("", ParseError),
    ],
)
def test_lines_with_a_label(raw, line):
    if line is ParseError:
        with pytest.raises(ParseError):
            mix().parse(raw, "", True)
    else:
        assert mix().parse(raw, "", True) == line


def test_labels_that_begin_alike_are_told_apart_by_what_closes_them():
    raw = {
        **{"schema": "hclx.prompt/1", "name": "x", "input": "{text}\n=", "answer": " {label}"},
        **{"answer_field": "label", "choices": {"a": "긍정", "b": "긍정적"}},
    }
    form = LabelBehind(prompt_from_json(raw), {})
    assert form.parse("좋다\n= 긍정적\n", "", False) == Parsed("좋다", "b")
    assert form.parse("좋다\n= 긍정\n\n", "", False) == Parsed("좋다", "a")
    with pytest.raises(ParseError):  # it may have been about to write the other
        form.parse("좋다\n= 긍정", "", False)
    answers = form.judged(Parsed("좋다", "a"), [])
    assert answers == {"a": ("좋다\n=", " 긍정\n"), "b": ("좋다\n=", " 긍정적\n")}


@pytest.mark.parametrize(
    "change, message",
    [
        ({"choices": {}, "answer": " {label}"}, "needs a prompt whose choices"),
        ({"choices": {"a": "{text}", "b": "다"}}, "whose choices are the same"),
        ({"input": "{text} {other}:"}, "the input needs one slot without a particle"),
        ({"input": "{text:은/는} 어떤가:"}, "the input needs one slot without a particle"),
        ({"answer": " {label}{label}"}, "the answer one without a particle"),
        ({"directive": "{text}"}, "the directive none"),
        ({"input": "{text}", "answer": "{label}"}, "nothing stands between a text and its label"),
        ({"choices": {"a": "가", "b": "가"}}, "two choices have the same text"),
    ],
)
def test_a_prompt_that_writes_no_lines_is_refused(change, message):
    raw = {
        **{"schema": "hclx.prompt/1", "name": "x", "input": "{text}:", "answer": " {label}"},
        **{"answer_field": "label", "choices": {"a": "가", "b": "나"}},
    }
    document = prompt_from_json({**raw, **change})
    with pytest.raises(ConfigError, match=message):
        LabelBehind(document, {})


class TestBefore:
    def test_the_name_of_a_class_stands_before_the_text(self):
        prompt = before().prompt([Seed("1", "일곱 시에 깨워 줘", "알람")], "날씨")
        assert prompt == (
            "의도의 이름을 읽고, 그 의도에 꼭 맞는 문장을 하나 적는다.\n\n"
            "의도: 알람\n문장: 일곱 시에 깨워 줘\n\n의도: 날씨\n문장: "
        )

    def test_a_line_ends_with_its_line(self):
        form = before()
        assert form.parse(" 비 와?\n\n의도: 알람", "날씨", False) == Parsed("비 와?", "날씨")
        assert form.parse(" 비 와?", "날씨", True) == Parsed("비 와?", "날씨")
        for raw, is_whole in ((" 비 와", False), ("\n비 와?", True), ("", True)):
            with pytest.raises(ParseError):
                form.parse(raw, "날씨", is_whole)

    def test_marked_values(self):
        form = before(types_of(COMMANDS, {"날씨": "날씨", "알람": "알람"}), "slots")
        line = form.parse(" [오늘](날짜)  [부산](장소)은 더워?\n", "날씨", True)
        assert (
            line.text == "오늘 부산은 더워?" and line.marked == "[오늘](날짜) [부산](장소)은 더워?"
        )
        assert [line.text[span.start : span.end] for span in line.spans] == ["오늘", "부산"]
        for raw in (
            " [여섯 시](시간) 비 와?\n",
            " [오늘] 비 와?\n",
            " [ 오늘](날짜)\n",
            " 비) 와\n",
        ):
            with pytest.raises(ParseError):
                form.parse(raw, "날씨", True)

    def test_the_text_is_judged_behind_each_name(self):
        answers = before().judged(Parsed("비 와?", "날씨"), [])
        assert {key: prompt[-9:] for key, (prompt, _) in answers.items()} == {
            "날씨": "도: 날씨\n문장:",
            "알람": "도: 알람\n문장:",
        }
        assert {answer for _, answer in answers.values()} == {" 비 와?"}


def test_types_are_those_that_the_seeds_of_a_class_mark():
    labels = {"날씨": "", "알람": "", "음악": ""}
    assert types_of(COMMANDS, labels) == {
        "날씨": ("날짜", "장소"),
        "알람": ("시간", "날짜"),
        "음악": ("날짜", "장소", "시간"),
    }
    with pytest.raises(DataError, match=r"9: '\[오늘\] 비': a bracket"):
        types_of([Seed("9", "[오늘] 비", "날씨")], labels)


def test_marks_are_read_as_a_plain_expression_reads_them():
    marked = "[가 나](갑)다[라](을) 마[바](갑)"
    text, spans = read_marks(marked)
    assert text == re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", marked) == "가 나다라 마바"
    assert spans == (SlotSpan("갑", 0, 3), SlotSpan("을", 4, 5), SlotSpan("갑", 7, 8))
    assert read_marks("없음") == ("없음", ())
    for wrong in ("[가](나", "가](나)", "[](나)", "[가]()", "[[가]](나)", "(가)"):
        with pytest.raises(MarkError):
            read_marks(wrong)


def test_the_prompts_that_ship_are_json_in_nfc():
    for path in (ROOT / "hclx" / "augment" / "prompts").glob("*.json"):
        assert prompt_from_json(json.loads(path.read_text())).name == f"augment/{path.stem}"
