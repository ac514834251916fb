"""Rendered prompts, letter by letter, and their spans."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hclx.errors import ConfigError
from hclx.prompts import answer_texts, render
from tests.prompts.documents import generation, prompt

GOOD, BAD = {"문장": "또 보고 싶다", "감정": "1"}, {"문장": "졸다 나왔다", "감정": "0"}


def covered(rendering):
    """Checks that spans cover the text in order, and returns (part, example, field, text)."""
    end = 0
    for span in rendering.spans:
        assert span.start == end < span.end
        end = span.end
    assert end == len(rendering.text)
    return [
        (span.part, span.example, span.field, rendering.text[span.start : span.end])
        for span in rendering.spans
    ]


def test_a_scored_prompt():
    document = prompt(examples=[GOOD, BAD])
    rendering = render(document, {"문장": "음악이 좋았다"})
    assert rendering.text == "또 보고 싶다 (긍정)\n졸다 나왔다 (부정)\n음악이 좋았다 ("
    assert covered(rendering) == [
        ("example", 0, "문장", "또 보고 싶다"),
        ("example", 0, "", " ("),
        ("answer", 0, "감정", "긍정"),
        ("answer", 0, "", ")"),
        ("separator", 0, "", "\n"),
        ("example", 1, "문장", "졸다 나왔다"),
        ("example", 1, "", " ("),
        ("answer", 1, "감정", "부정"),
        ("answer", 1, "", ")"),
        ("separator", 1, "", "\n"),
        ("input", None, "문장", "음악이 좋았다"),
        ("input", None, "", " ("),
    ]
    assert answer_texts(document, {"문장": ""}) == {"0": "부정)", "1": "긍정)"}


def test_examples_that_are_given_take_the_place_of_those_of_the_document():
    document = prompt(examples=[GOOD])
    assert render(document, {"문장": "새벽"}, ()).text == "새벽 ("
    assert render(document, {"문장": "새벽"}, [BAD]).text == "졸다 나왔다 (부정)\n새벽 ("


def test_a_generated_prompt():
    document = generation(
        directive="나라의 수도를 씁니다.\n\n",
        examples=[{"나라": "칠레", "answer": "산티아고"}],
        separator="\n##\n",
    )
    text = "나라의 수도를 씁니다.\n\n나라: 칠레\n수도: 산티아고\n##\n나라: 가나\n수도:"
    rendering = render(document, {"나라": "가나"})
    assert rendering.text == text and answer_texts(document, {}) == {}
    assert covered(rendering)[0] == ("directive", None, "", "나라의 수도를 씁니다.\n\n")


def test_a_directive_is_filled_from_the_item():
    """A passage that stands once on top, with the questions below it."""
    document = generation(
        directive="{지문}\n\n",
        input="질문: {질문}\n답:",
        examples=[{"질문": "누가 왔나?", "answer": "이웃"}],
    )
    rendering = render(document, {"지문": "이웃이 저녁에 왔다.", "질문": "언제 왔나?"})
    assert rendering.text == (
        "이웃이 저녁에 왔다.\n\n질문: 누가 왔나?\n답: 이웃\n\n질문: 언제 왔나?\n답:"
    )
    assert covered(rendering)[0] == ("directive", None, "지문", "이웃이 저녁에 왔다.")
    assert document.input_fields == ("지문", "질문")


def test_choices_of_an_item():
    document = prompt(
        input="{상황} 그래서",
        answer=" {답}",
        answer_field="답",
        choices={"0": "{첫째}", "1": "{둘째}"},
    )
    shot = {"상황": "비가 왔다.", "첫째": "우산을 폈다.", "둘째": "해가 떴다.", "답": "0"}
    item = {"상황": "밤이 됐다.", "첫째": "아침을 먹었다.", "둘째": "불을 켰다."}
    rendering = render(document, item, [shot])
    assert rendering.text == "비가 왔다. 그래서 우산을 폈다.\n밤이 됐다. 그래서"
    assert covered(rendering)[3] == ("answer", 0, "답", "우산을 폈다.")
    assert answer_texts(document, item) == {"0": " 아침을 먹었다.", "1": " 불을 켰다."}
    assert document.input_fields == ("상황", "첫째", "둘째")


def test_an_answer_may_repeat_fields_of_the_item():
    document = prompt(input="{문장}:", answer=" {문장:은/는} {감정}")
    assert answer_texts(document, {"문장": "영화"}) == {"0": " 영화는 부정", "1": " 영화는 긍정"}
    assert render(document, {"문장": "책"}, [BAD]).text.startswith(
        "졸다 나왔다: 졸다 나왔다는 부정"
    )


def test_fields_of_a_generated_answer_are_those_of_examples_alone():
    document = generation(answer=" {풀이} 답: {answer}", input="{문제}\n풀이:")
    assert document.input_fields == ("문제",)
    shot = {"문제": "1+1", "풀이": "하나에 하나를 더한다.", "answer": "2"}
    expected = "1+1\n풀이: 하나에 하나를 더한다. 답: 2\n\n2+2\n풀이:"
    assert render(document, {"문제": "2+2"}, [shot]).text == expected


def test_particles_belong_to_the_stretch_of_their_field():
    document = generation(input="{나라:은/는} 크다. {나라:이/가} 넓다.", answer=" {answer}")
    rendering = render(document, {"나라": "몽골"})
    assert rendering.text == "몽골은 크다. 몽골이 넓다."
    assert [(field, text) for *_, field, text in covered(rendering)] == [
        ("나라", "몽골은"),
        ("", " 크다. "),
        ("나라", "몽골이"),
        ("", " 넓다."),
    ]


def test_values_stay_as_they_are():
    values = ["{문장}", "{{", "}", "{감정:은/는}", "%s $1 \\1 \\n", "\ud55c\r\n글\t", "\ud800"]
    for value in values:
        assert render(prompt(), {"문장": value}, ()).text == f"{value} ("


def test_parts_without_text_have_no_span():
    document = generation(input="{나라}", separator="", directive="")
    shot = {"나라": "", "answer": ""}
    assert covered(render(document, {"나라": ""}, [shot])) == [("answer", 0, "", " ")]
    assert render(document, {"나라": ""}, ()).spans == ()


def test_what_cannot_be_rendered_is_refused():
    with pytest.raises(ConfigError, match="no field '문장'"):
        render(prompt(), {"글": "가"})
    with pytest.raises(ConfigError, match="'긍정' of an example is no key of choices: 0, 1"):
        render(prompt(), {"문장": "가"}, [{"문장": "가", "감정": "긍정"}])
    with pytest.raises(ConfigError, match="None of an example is no key"):
        render(prompt(), {"문장": "가"}, [{"문장": "가"}])
    with pytest.raises(ConfigError, match="no field '첫째'"):
        answer_texts(prompt(choices={"0": "{첫째}", "1": "나"}), {"문장": "가"})
    with pytest.raises(ConfigError, match="no field 'answer'"):
        render(generation(), {"나라": "가"}, [{"나라": "나"}])


FIELD = st.text(max_size=6)
SHOT = st.fixed_dictionaries({"문장": FIELD, "감정": st.sampled_from("01")})


@settings(deadline=None)
@given(FIELD, st.lists(SHOT, max_size=4), st.text(max_size=3), FIELD)
def test_any_prompt_is_its_parts_put_together(value, shots, separator, directive):
    template = directive.replace("{", "{{").replace("}", "}}")
    try:
        document = prompt(separator=separator, directive=template)
    except ConfigError:  # half of a surrogate pair
        return
    names = {"0": "부정", "1": "긍정"}
    body = "".join(f"{shot['문장']} ({names[shot['감정']]}){document.separator}" for shot in shots)
    rendering = render(document, {"문장": value}, shots)
    assert rendering.text == f"{document.directive.text({})}{body}{value} ("
    covered(rendering)
