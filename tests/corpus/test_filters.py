"""Rules judge the documents that they name: a share of few lines or words removes nothing."""

import gzip
import json
import re
from pathlib import Path

import numpy as np
import pytest

from hclx.corpus.explain import explain_text
from hclx.corpus.filters import breaks, check_rules
from hclx.corpus.layout import SETTINGS, read_settings, write_settings
from hclx.corpus.normalize import normalize_text
from hclx.corpus.settings import Rule, parse_settings
from hclx.corpus.store import Store
from hclx.corpus.taggers import TAGGERS
from hclx.corpus.text_batch import TextBatch
from hclx.errors import ConfigError

BODY = (
    "생명을 다스리는 권력은 어디에서 오는가. 책은 이 물음을 붙들고 백 년을 거슬러 올라간다. 앞의 두"
    " 장은 읽기가 쉽지 않지만, 뒤로 갈수록 이야기는 우리 곁으로 온다. 병원과 학교와 공장이 어떻게"
    " 사람의 몸을 헤아리기 시작했는지를 따라가다 보면 어느새 마지막 장이다."
)
KEPT = {
    "a title that is also the subtitle": f"생명정치란 무엇인가\n생명정치란 무엇인가\n{BODY}",
    "a comment that trails off": "지루하다고 본다...",
    "a paragraph that ends in an address": BODY.rstrip(".") + " https://example.com/review/1",
    "a recipe": "- 쌀을 씻어 삼십 분 불린다.\n- 물을 붓고 끓인다.\n- 불을 줄이고 뜸을 들인다."
    "\n- 김이 빠지면 뚜껑을 연다.\n- 밥을 고루 섞는다.\n- 그릇에 담는다.",
    "one paragraph behind a square": f"■ {BODY}",
    "a poem without full stops": "물소리 들리는 밤에는\n나도 강으로 가고 싶다\n달이 뜨면\n달을 따라"
    "\n젖은 신을 벗어 들고\n말없이 걷고 싶다\n그 길 끝에 네가 있어도",
    "a date in the title and in the text": "2019년 3월 2일 소식\n2019년 3월 2일, 사람들이"
    " 다리를 새로 놓았다. 아이들은 그 위를 몇 번이고 건너 다녔다.",
    "a tilde between words": "비는 ~ 오고 ? 꽃은 ~ 피고 ! 새는 ~ 울고 ?",
    "an address of the shop": "공감이 가는 글이라 좋아요. 고객센터에 물었더니 친절했다.",
    "a kitten": "새끼 고양이를 데려왔는데 밤새 자지를 않았다.",
    "laughter": "개그가 웃기긴 했다 ㅋㅋㅋㅋㅋㅋㅋㅋ",
    "a figure of speech": "기다리기 때문에 피는 꽃, 기다리기 때문에 안 지는 그 꽃",
    "a swear word in a comment without spaces": "어제본영화는존나재미있었고음악도끝까지좋았어요~",
    "one control character": "보이지 않는 글자가 하나 있을 뿐인데\x01 글을 버릴 까닭은 없다고"
    " 모두가 말했다.",
    "a word with marks": "꺼져!!!!",
    "a word with a control character": "좋았다\x01!",
    "a Latin word before one of Hangul": "BEST 굿",
    "an abbreviation before a word": "ㄹㅇㅂㅂ 굿",
    "a word with more marks": "대박~~~~!!!!!",
    "a word with laughter": "웃기네 ㅋㅋㅋㅋㅋㅋㅋㅋ",
    "a sentence before many marks": "우리 동네 빵집이 다시 열었다" + "!" * 60,
    "a sentence before much laughter": "비가 와서 소풍을 못 간대" + "ㅠ" * 60,
    "a date twice": "2011.03.05 다섯 점: 지루하다 /// 2014.01.30 여덟 점: 다시 보니 새롭다.",
    "a link": "이 소식을 읽어 보세요 https://news.example.com/article/003/000123456789?from=home",
    "a text that says its paragraphs twice": f"처음.\n{BODY}\n둘째.\n끝.\n" * 2,
    "a short word with many marks": "할말이없다" + "." * 20,
    "a swear word in a short comment without spaces": "존나희한한영화네",
    "a song whose title is in its refrain": "나룻배\n노를 저어 가자\n나룻배\n강 건너로\n나룻배\n"
    "달을 싣고 가자\n물새도 잠든 밤에\n우리 둘이 가자\n별이 뜬 강으로",
    "a word that is said three times": "최고다최고다최고다 그래도 다시 보고 싶다",
    "sentences between the markup of formulas": "아황산은 물에 잘 녹아 약한 산성을 띤다.\n여기에서"
    " <chem>SO2</chem>와 <chem>H2O</chem>와 <chem>H2SO3</chem>의 관계를 하나씩 차례로 살펴본다.",
    "a quarrel": "마을에서는 아무도 그 일을 입에 올리지 않았다.\n\n\n정말이다.",
}
REMOVED = {
    "dup_lines": "\n".join(["오늘의 추천 소식을 모두 모아 보았습니다."] * 8),
    "line_end": "처음 화면\n추천 상품 보기\n들어온 소식\n자주 묻는 질문\n회사 소개\n이용 안내",
    "ellipsis": "\n".join(
        f"{word} 이야기는 여기에서 줄였으니 이어 보기를…" for word in "봄비눈별달해산"
    ),
    "top_short": "최고급 상품 최고급 상품 최고급 상품 최고급 상품 최고급 상품 최고급 상품",
    "boilerplate": "로그인 회원가입 장바구니 고객센터 이용약관 본문바로가기",
    "spam": "온라인카지노 먹튀검증 꽁머니 지급 바카라사이트 추천",
    "profanity": "씨발 이런 병신 같은 일이 다 있나",
    "runs": "아" * 20,
    "dup_in_words": "재미있다재미있다재미있다재미있다",
    "laughter": "하하" + "ㅋ" * 20,
    "not_korean": "https://news.example.com/article/003/000123456789?from=home",
    "no_letters": "★★★★★★★★★★★★ 최고 !!!!!!!!!!!!",
    "html_page": "<!DOCTYPE html>\n<html><head><title>마을</title></head>\n<body><p>"
    + BODY
    + "</p>",
    "html": "<div><a href='/a'>처음</a><a href='/b'>끝</a></div> 남은 글이다.",
}


def verdict(text: str) -> str:
    rules = {"too_short": {"min": 5}}
    settings = parse_settings({"sources": {"a": {"input": "*", "rules": rules}}})
    return re.search(r"\n  filter +(.*)", explain_text(text, settings, "a"))[1]


@pytest.mark.parametrize("what", KEPT)
def test_good_text_of_few_lines_or_words_is_kept(what):
    assert verdict(KEPT[what]) == "kept"


@pytest.mark.parametrize(
    "text, n",
    [
        ("재밌다!!!!!!!!", 3),
        ("ㅋㅋㅋ 대박 ㅠㅠㅠㅠㅠㅠ", 2),
        ("와아아아아아아", 3),
        ("007 영원하라~", 7),
        ("찜찜하다", 4),
        ("멋진 연기", 4),
    ],
)
def test_a_comment_is_too_short_by_what_is_read_and_not_by_its_marks(text, n):
    settings = parse_settings({"sources": {"a": {"input": "*", "split": "line"}}})
    told = re.search(r"\n  filter +(.*)", explain_text(text, settings, "a"))[1]
    removed = f"removed by too_short: length.alphanumerics is {n}, and must be ≥ 4"
    assert told == (removed if n < 4 else "kept")


@pytest.mark.parametrize("text", ["~♡♡♡♡♡", "!!!!!", "12345"])
def test_a_text_without_letters_is_removed_however_short(text):
    assert verdict(text).startswith("removed by no_letters: ")


@pytest.mark.parametrize("rule", REMOVED)
def test_what_the_rules_are_for_is_removed(rule):
    assert verdict(REMOVED[rule]).startswith(f"removed by {rule}: ")


def test_the_reason_names_the_documents_that_are_judged():
    text = "\n".join(["오늘의 추천 소식을 모두 모아 보았습니다."] * 8)
    assert "must be ≤ 0.3 where length.lines >= 6" in verdict(text)


def test_a_rule_judges_the_documents_that_it_names():
    columns = {"length.lines": np.array([5, 6, 7, 8]), "a.b": np.array([0.9, 0.9, 0.1, np.nan])}
    assert breaks(Rule("a.b", max=0.5), columns.get).tolist() == [True, True, False, False]
    rule = Rule("a.b", max=0.5, where="length.lines >= 6")
    assert breaks(rule, columns.get).tolist() == [False, True, False, False]


def test_the_rules_of_a_corpus_of_before_judge_every_document(tmp_path):
    store = Store(str(tmp_path))
    write_settings(store, parse_settings({"sources": {"a": {"input": "*"}}}))
    recorded = store.read_json(SETTINGS)
    for rule in recorded["sources"]["a"]["rules"].values():
        del rule["where"]
    store.write_text(SETTINGS, json.dumps(recorded))
    rules = read_settings(store).sources["a"].rules
    assert {rule.where for rule in rules.values()} == {""}


RULES = ["sources", "a", "rules"]


@pytest.mark.parametrize(
    "where, message",
    [
        ("length.lines", "sources.a.rules.mine.where: .*is no comparison"),
        (
            "length.linse > 3",
            "sources.a.rules.mine.where: no attribute 'length.linse'; is it length.lines.; length:",
        ),
        ("length.lines >", "sources.a.rules.mine.where: .*is no expression"),
        ("script.language > 3", "sources.a.rules.mine.where: .*compares a number with a string"),
        ("lenght.lines > 3", "no attribute 'lenght.lines'; is it length.; taggers: "),
    ],
)
def test_a_wrong_condition_is_refused_by_its_place(where, message):
    with pytest.raises(ConfigError, match=message):
        check_rules({"mine": Rule("length.chars", min=3, where=where)}, {}, RULES)


def test_a_rule_on_a_string_is_refused():
    with pytest.raises(ConfigError, match="script.language is a string, and a rule bounds numbers"):
        check_rules({"mine": Rule("script.language", min=3)}, {}, RULES)


def labelled(data_dir) -> dict[tuple[str, str], tuple[str, str]]:
    """(source, id) -> (label, text) of the documents of rule_sample.tsv."""
    rows = (Path(__file__).parent / "rule_sample.tsv").read_text(encoding="utf-8").splitlines()
    labels = {
        (source, doc_id): label for source, doc_id, label in (row.split("\t") for row in rows)
    }
    found = {}
    for source in sorted({source for source, _ in labels}):
        for path in sorted((data_dir / "corpus" / source).glob("*.jsonl.gz")):
            for line in gzip.open(path, "rt", encoding="utf-8"):
                # Most lines need not be parsed: the id comes first.
                doc_id = re.match(r'\{"id": "?((?:[^"\\,]|\\.)*)', line)[1]
                if (source, json.loads(f'"{doc_id}"')) in labels:
                    record = json.loads(line)
                    key = source, str(record["id"])
                    found[key] = labels[key], record["text"], record.get("title", "")
    assert found.keys() == labels.keys()
    return found


def test_what_readers_found_good_is_kept_and_what_they_found_bad_is_removed(data_dir):
    """A sample of documents that the rules, or an earlier draft of them, removed or kept, drawn by
    seed. Good is what a reader would keep for a language model: sentences in Korean, however short
    or badly spaced, comments of four letters, and texts that say a paragraph twice. Bad is markup,
    code, other languages, lists and templates, a word of three letters whatever marks follow,
    and slurs.
    """
    sample = labelled(data_dir)
    short = {"split": "line"}
    sources = {source: {"input": "*"} for source in ("kowiki", "law")}
    sources |= {source: {"input": "*", **short} for source in ("reviews", "comments")}
    settings = parse_settings({"sources": sources})
    wrong = []
    for source in sources:
        own = {doc_id: entry for (name, doc_id), entry in sample.items() if name == source}
        texts = [normalize_text(text) for _, text, _ in own.values()]
        batch = TextBatch.of(texts, [title for _, _, title in own.values()])
        values = {name: tagger(batch) for name, tagger in TAGGERS.items() if name != "pii"}
        column = lambda name: values[name.split(".")[0]][name.split(".")[1]]
        rules = [rule for rule in settings.sources[source].rules.values() if rule]
        removed = np.any([breaks(rule, column) for rule in rules], 0)
        wrong += [
            (source, doc_id, label)
            for (doc_id, (label, _, _)), gone in zip(own.items(), removed)
            if gone != (label == "bad")
        ]
    assert wrong == [] and len(sample) > 200
