"""A prompt from a sentence: what rules see in it, and what good and poor models add."""

import asyncio
import dataclasses
import json
import re
import unicodedata

import pytest
import sqlalchemy as sa

from hclx.infer.grammar import from_definition
from hclx.prompts import lint, render
from hclx.serve.api_error import ApiError
from hclx.serve.backend import Backend
from hclx.serve.caller import Caller
from hclx.serve.store.tables import usage
from hclx.studio.content import content_from_json
from hclx.studio.gallery.describe_prompt import DESCRIBE_ROUTE, describe
from hclx.studio.gallery.description_rules import named_labels, outline_of
from hclx.studio.gallery.gallery_files import FOLDER
from hclx.studio.running.run_prompt import answer_items, error_facts
from hclx.studio.store.people_records import create_person
from hclx.studio.studio import Studio
from tests.helpers.engines import engine_of
from tests.helpers.numpy_decoder import noisy_params
from tests.helpers.serving import TINY, TextTokenizer
from tests.helpers.studio import API, studio_app

GOOD = """제목: 카페 후기의 감정
입력: 후기
지시: 카페 후기를 읽고 긍정과 부정 가운데 하나를 고른다.
예시 1: 커피가 고소하고 자리도 편했어요. => 긍정
예시 2: 주문을 두 번이나 틀렸어요. => 부정
예시 3: 음악이 너무 커서 이야기를 못 했어요. => 부정
예시 4: 창밖 풍경이 아름다웠어요. => 긍정
"""


def scripted(text, seen=None):
    async def answer(studio, caller, content, items, seed=None, route=""):
        if seen is not None:
            seen.append((content, items))
        return [{"text": text, "error": None}]

    return answer


@pytest.fixture
def studio(app, database, clock):
    return Studio(app.state.service, database, clock)


def made(studio, text, answer, model=""):
    proposal = asyncio.run(describe(studio, Caller("k"), text, model, answer))
    document = content_from_json(proposal.content, needs_document=True).document
    fields = {name: "아무 글" for name in document.input_fields}
    render(document, fields)
    traps = {finding.code for finding in lint(document)}
    assert traps <= {"unbalanced-examples", "sorted-examples"}, traps
    return proposal, document


@pytest.mark.parametrize(
    ("sentence", "labels"),
    [
        ("영화 후기를 긍정과 부정으로 나눠 줘", ("긍정", "부정")),
        ("기사 제목을 경제, 정치, 과학 중에서 골라 줘", ("경제", "정치", "과학")),
        ("문의가 배송/환불/교환 가운데 무엇인지 분류해줘", ("배송", "환불", "교환")),
        ("감정을 기쁨, 슬픔, 화남 중 하나로 골라줘", ("기쁨", "슬픔", "화남")),
        ("메일이 스팸인지 아닌지 알려 줘", ("스팸", "스팸 아님")),
        ("댓글이 긍정인지 부정인지 중립인지 판단해 줘", ("긍정", "부정", "중립")),
        ("민원을 도로와 공원, 교통으로 나눠 줘", ("도로", "공원", "교통")),
        ("글을 '사실'과 '의견'으로 구분해 줘", ("사실", "의견")),
        ("사과와 배를 비교해 줘", ()),
        ("우리말을 영어로 옮겨 줘", ()),
        ("기사를 주제별로 분류해 줘", ()),
        ("긍정으로 나눠 줘", ()),
        ("결과를 나눠 줘", ()),
        ("", ()),
    ],
)
def test_classes_that_are_named(sentence, labels):
    assert named_labels(sentence) == labels
    assert outline_of(sentence).labels == labels


@pytest.mark.parametrize(
    ("sentence", "field", "answer"),
    [
        ("회의 기록을 짧게 요약해 줘", "기록", "요약"),
        ("우리말 문장을 영어로 번역해 줘", "문장", "번역"),
        ("손님 후기에 사장님처럼 답글을 달아 줘", "받은 글", "답글"),
        ("핵심어로 이벤트 제목을 지어 줘", "핵심어", "제목"),
        ("반말을 존댓말로 바꿔 줘", "반말", "바꾼 문장"),
        ("아무 말", "입력", "결과"),
        ("메일이 스팸인지 아닌지 알려 줘", "메일", "갈래"),
    ],
)
def test_what_is_read_and_what_is_written(sentence, field, answer):
    outline = outline_of(sentence)
    assert (outline.field, outline.answer) == (field, answer)


def test_what_a_good_model_writes_is_taken(studio):
    seen = []
    sentence = "카페 후기를 긍정과 부정으로 나눠 줘"
    proposal, document = made(studio, sentence, scripted(GOOD, seen), "tiny")
    assert (
        proposal.title == document.name == "카페 후기의 감정" and document.description == sentence
    )
    assert document.directive.source == "카페 후기를 읽고 긍정과 부정 가운데 하나를 고른다.\n\n"
    assert list(document.choices) == ["긍정", "부정"]
    assert [example["갈래"] for example in document.examples] == ["긍정", "부정", "부정", "긍정"]
    assert document.examples[1]["후기"] == "주문을 두 번이나 틀렸어요."
    assert proposal.is_generated and proposal.n_generated == 4 and not proposal.warnings
    assert proposal.raw == GOOD and proposal.content["model"] == "tiny"
    ((content, items),) = seen
    assert items == [{"설명": sentence}] and content.model == "tiny"
    pattern = content.document.grammar["regex"]
    from_definition(content.document.grammar)
    assert re.fullmatch(pattern, GOOD)
    for right, wrong in (
        ("=> 긍정", "=> 중립"),
        ("입력: 후기", "입력: 글"),
        ("\n예시 4", "\n\n예시 4"),
    ):
        assert not re.fullmatch(pattern, GOOD.replace(right, wrong))


def test_a_task_that_writes(studio):
    raw = "제목: 회의 요약\n입력: 기록\n지시: 회의 기록을 한 문장으로 요약한다.\n"
    raw += "예시 1: 예산은 그대로 두고 일정만 미뤘다. => 일정만 미루기로 했다.\n"
    raw += "예시 2: 새 직원 두 명을 뽑기로 했다. => 두 명을 채용한다.\n"
    raw += "예시 3: 다음 회의는 없애고 메일로 알린다. => 회의 대신 메일로 알린다.\n"
    proposal, document = made(studio, "회의 기록을 짧게 요약해 줘", scripted(raw))
    assert not document.choices and document.stop == ("\n",) and len(document.examples) == 3
    assert document.examples[0] == {
        "기록": "예산은 그대로 두고 일정만 미뤘다.",
        "요약": "일정만 미루기로 했다.",
    }
    assert document.sampling["max_tokens"] <= studio.service.backend.max_length
    assert "model" not in proposal.content


def test_classes_that_the_model_names(studio):
    raw = "제목: 기사의 주제\n입력: 기사\n지시: 기사를 읽고 주제를 고른다.\n"
    raw += "예시 1: 금리가 올랐다. => 경제\n예시 2: 팀이 이겼다. => 운동\n"
    raw += "예시 3: 집값이 내렸다. => 경제\n"
    proposal, document = made(studio, "기사를 주제별로 분류해 줘", scripted(raw))
    assert list(document.choices) == ["경제", "운동"] and proposal.n_generated == 3
    assert not proposal.warnings


@pytest.mark.parametrize(
    "raw",
    [
        "",
        '제목: "예시"\n입력: 후기\n지시: * * *\n예시 1: "T: "T: "T: => 긍정\n예시 2: ** => 부정\n',
        "제목: 요하지 않습니다.\n입력: 후기\n지시: 세조하지 않습니다.\n예시 1: ㅋㅋㅋㅋㅋ => 긍정",
        "{} {{ } => = => \n\n제목: \n지시: \n예시 1:  => \n",
        "\0\ufffd" * 50,
    ],
)
@pytest.mark.parametrize(
    "sentence",
    [
        "후기를 긍정과 부정으로 나눠 줘",
        "기사를 주제별로 분류해 줘",
        "글을 짧게 요약해 줘",
        "메일이 스팸인지 아닌지 알려 줘",
        "{중괄호}를 {{써}} 줘",
    ],
)
def test_what_cannot_be_used_is_left_to_rules(studio, sentence, raw):
    proposal, document = made(studio, sentence, scripted(raw))
    assert not proposal.is_generated and proposal.n_generated == 0 and proposal.raw == raw
    assert "few_examples" in [warning["code"] for warning in proposal.warnings]
    assert document.name == sentence
    assert document.choices or sentence in document.directive.text({})  # braces are no slots


def test_examples_of_the_gallery_stand_where_the_model_has_none(studio):
    _, document = made(studio, "후기를 부정과 긍정으로 나눠 줘", scripted(""))
    own = json.loads((FOLDER / "sentiment-choices.json").read_text(encoding="utf-8"))["content"]
    texts = [example["후기"] for example in own["document"]["examples"]]
    assert [example["후기"] for example in document.examples] == texts
    _, document = made(studio, "기록을 요약해 줘", scripted(""))
    assert len(document.examples) == 3 and set(document.examples[0]) == {"기록", "요약"}
    _, document = made(studio, "후기를 만족과 불만으로 나눠 줘", scripted(""))
    assert document.examples == ()


def test_a_model_that_cannot_write_it_leaves_it_to_rules(studio):
    too_long = ApiError(400, "context_length_exceeded", "길다", "items")

    async def of_item(*arguments, **named):
        return [{"text": None, "error": error_facts(too_long)}]

    async def of_all(*arguments, **named):
        raise too_long

    for answer in (of_item, of_all):
        proposal, document = made(studio, "후기를 긍정과 부정으로 나눠 줘", answer)
        assert not proposal.is_generated and document.choices
        assert [warning["code"] for warning in proposal.warnings] == ["not_written"]


@pytest.mark.parametrize("status", [403, 404, 429, 503])
def test_a_quota_is_no_reason_for_a_poor_prompt(studio, status):
    async def of_item(*arguments, **named):
        error = ApiError(status, "x", "지금은 안 됨", retry_after=7)
        return [{"text": None, "error": error_facts(error)}]

    with pytest.raises(ApiError) as raised:
        asyncio.run(describe(studio, Caller("k"), "글을 요약해 줘", "", of_item))
    assert raised.value.status == status and raised.value.retry_after == 7


def test_a_real_engine_writes_by_the_grammar(database, clock):
    """Random weights: they write noise, in lines of the form that was asked for."""
    config = dataclasses.replace(TINY, max_length=4096)
    with engine_of(noisy_params(config), config, TextTokenizer(256), rows=1) as engine:
        backend = Backend(engine, TextTokenizer(256), {"tiny": None}, config.max_length)
        studio = Studio(studio_app(backend, database, clock).state.service, database, clock)
        person = create_person(database, "하나", "user", 9)
        caller, texts = studio.caller_of(person.id), []

        async def answer(*arguments, **named):
            results = await answer_items(*arguments, **named)
            texts.append((arguments[2].document.grammar["regex"], results[0]["text"]))
            return results

        async def ask():
            return await describe(studio, caller, "후기를 긍정과 부정으로 나눠 줘", "", answer)

        proposal = asyncio.run(ask())
    ((pattern, text),) = texts
    assert unicodedata.normalize("NFC", text) == proposal.raw
    assert re.match("제목: .{2,30}\n입력: 후기\n지시: ", text)
    whole = [line for line in text.split("\n")[:-1] if line.startswith("예시")]
    assert [line.split(" => ")[1] for line in whole] == ["긍정", "부정", "부정", "긍정"][
        : len(whole)
    ]
    document = content_from_json(proposal.content, needs_document=True).document
    assert list(document.choices) == ["긍정", "부정"]
    with database.reading() as connection:
        assert connection.scalar(sa.select(usage.c.route)) == DESCRIBE_ROUTE


def test_the_route(studio_client):
    answer = studio_client.post(f"{API}/describe", json={"text": "후기를 긍정과 부정으로 나눠 줘"})
    assert answer.status_code == 200, answer.text
    proposal = answer.json()
    assert proposal["content"]["schema"] == "hclx.studio/1" and proposal["raw"] == ""
    assert proposal["warnings"][0]["code"] == "not_written"  # tiny reads 64 bytes
    assert studio_client.post(f"{API}/describe", json={"text": "  "}).status_code == 400
    assert studio_client.post(f"{API}/describe", json={"text": "가" * 1001}).status_code == 400
    missing = studio_client.post(f"{API}/describe", json={"text": "요약", "model": "없음"})
    assert missing.status_code == 404
