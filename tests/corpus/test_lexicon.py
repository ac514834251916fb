"""Word lists: counts equal a search of every eojeol for every phrase; ordinary Korean does not
match."""

import gzip
import random
from collections import Counter

import pytest

from hclx.corpus import lexicon
from hclx.corpus.lexicon import LISTS, Lexicon, Lexicons
from hclx.corpus.text_batch import TextBatch
from hclx.errors import ConfigError
from tests.conftest import ROOT
from tests.helpers.tagger_oracles import STRANGE, batched, count_phrases, phrases, random_texts

SHIPPED = {
    name: (ROOT / "hclx" / "corpus" / "lexicons" / f"{name}.txt").read_text(encoding="utf-8")
    for name in LISTS
}
ORDINARY = """
그 사건은 혁명의 시발점이 되었다.
이 열차의 시발역은 서울역이다.
국산 자동차의 처음은 시발택시였다.
도시바는 일본의 전자 회사다.
시바견과 시바이누는 같은 개를 가리킨다.
결과는 내일 다시 발표한다고 한다.
결과를 다시발표하기로 했다.
두 사건이 동시발생했다.
재발급은 즉시발급이 원칙이다.
도시발전 계획을 세웠다.
제1차 경제개발 5개년 계획을 시행했다.
국가재정운용 5개년계획이 나왔다.
병신년 새해가 밝았다.
1896년 병신년에 단발령이 내렸다.
두 법인의 합병신고를 마쳤다.
새끼손가락을 걸고 약속했다.
새끼발가락을 다쳤다.
짚으로 새끼줄을 꼬았다.
새끼고양이가 운다.
전염병과 감염병을 예방하자.
화염병은 위험하다.
에밀졸라는 프랑스의 작가다.
아이가 사 달라고 졸라서 샀다.
검색기능과 검색기록을 지웠다.
프랑스의 삼색기를 걸었다.
녹색기술을 개발한다.
번개같은 속도로 달렸다.
무지개같이 고운 빛이다.
애니미즘은 오래된 믿음이다.
등신대 조각상을 세웠다.
모델은 팔등신이었다.
껌을 씹는 소리가 들린다.
꼭꼭 씹어 먹어라.
섹스피어의 희곡을 읽었다.
해리 왕자는 서섹스 공작이다.
뉴욕 5번 애비뉴에 있다.
손님이 갑자기 들이닥쳐 놀랐다.
정신을 고쳐먹고 다시 시작했다.
오후장에서 주가가 올랐다.
행복하게 살아가리라.
서로의 차이를 존중하자.
십팔 년 동안 학교에서 일했다.
시 발전 기금을 모았다.
그는 개와 고양이를 기른다.
보자기에 싸서 보관하자.
끝까지 보지를 못하겠네요.
밤새 자지를 않았다.
새끼 고양이가 어미를 찾는다.
엄마를 졸라 사탕을 샀다.
그해 마을에 염병이 돌았다.
재즈를 좋아하신다면 음악이 정말 좋아요.
공감이 가는 글을 쓰는 기자가 되고 싶다.
오븐에 쿠키를 구웠다.
시장에서 짝퉁 시계를 팔다가 잡혔다.
불법 촬영물과 야동은 법에 어긋난다.
바카라족은 수단에 산다.
위기가 닥치고 불이 꺼져 어두웠다.
다이어트로 살 안 찐다고 논다니까 그러네.
운동의 시발은 그 마을이었다.
""".strip().splitlines()
RUDE = """
시발 뭐라는 거야
야 이 씨발놈아
시@발
시.발 진짜
ㅅㅂ 짜증나
이 병신아
ㅂㅅ같은
개새끼야
저새끼 뭐야
안하는색기들
미친놈 아니야?
지랄하고 있네
존나 웃겨
닥쳐 좀
좆같다
FUCK you
What the Fuck
개같은 영화
찌질한 기레기
등신 같은 놈
""".strip().splitlines()


def count(listed: str, *texts: str) -> list[int]:
    return Lexicons([Lexicon.parse("list", listed)]).count(TextBatch.of(texts))["list"].tolist()


@pytest.mark.parametrize("seed", range(8))
def test_counts_are_those_of_searching_every_eojeol_for_every_phrase(seed):
    draw = random.Random(seed)
    word = lambda letters, longest: "".join(
        draw.choice(letters) for _ in range(draw.randint(1, longest))
    )
    # Few letters and short phrases: nearly everything overlaps, is within something else, or is
    # hidden by an exception.
    lists = {
        name: "\n".join(draw.choice(["", "", "^", "!"]) + word("가나ㅋaB1", 5) for _ in range(12))
        for name in "xyz"
    }
    lists |= {"none": "# nothing\n", "hides": "!가\n!나나\n", "starts": "^가\n^나a\n"}
    texts = [
        "".join(
            draw.choice(["가", "나", "ㅋ", "a", "A", "b", "1", "@", ".", "ー", " ", "\n"])
            for _ in range(60)
        )
        for _ in range(60)
    ]
    counter = Lexicons([Lexicon.parse(name, text) for name, text in lists.items()])
    for batch in [*batched([*STRANGE, *texts], seed), []]:
        counts = counter.count(TextBatch.of(batch))
        for name, text in lists.items():
            assert counts[name].tolist() == [
                count_phrases(phrases(text), document) for document in batch
            ], name


def test_the_shipped_lists_count_as_a_search_for_every_phrase(sample_texts):
    draw = random.Random(4)
    listed = {name: phrases(text) for name, text in SHIPPED.items()}
    words = [phrase for entries in listed.values() for _, phrase in entries]
    made = [
        "".join(draw.choice(words) + draw.choice(["", " ", "은 ", "@", "가"]) for _ in range(12))
        for _ in range(150)
    ]
    texts = [*STRANGE, *sample_texts, *made, *random_texts(50, seed=2), *ORDINARY, *RUDE]
    for batch in batched(texts):
        counts = lexicon.shipped().count(TextBatch.of(batch))
        for name, entries in listed.items():
            assert counts[name].tolist() == [count_phrases(entries, text) for text in batch], name


def test_a_phrase_is_found_anywhere_in_an_eojeol_but_not_across_two():
    assert count("나다", "가나다라", "나다", "나 다", "나\n다", "나다나다", "나", "") == [
        1,
        1,
        0,
        0,
        2,
        0,
        0,
    ]


def test_documents_are_searched_each_for_itself():
    assert count("나다\n^다", "가나", "다라", "", "나다") == [0, 1, 0, 1]


def test_a_caret_asks_for_the_beginning_of_an_eojeol():
    assert count("^나다", "나다라 가나다", "(나다)", "가 나다", "가\u3000나다") == [1, 1, 1, 1]


def test_an_exception_hides_what_lies_within_it():
    assert count("나다\n!가나다", "가나다", "나다", "가나다나다", "가나 다", "가@나다") == [
        0,
        1,
        1,
        0,
        0,
    ]
    assert count("나다\n!가나\n!다라", "가나다라") == [1]  # within both together, and in neither
    assert count("나다\n!나다라마", "나다라", "나다라마") == [1, 0]
    assert count("^나다\n!나다라", "나다 나다라") == [1]


def test_an_exception_hides_for_its_own_list_only():
    lists = [Lexicon.parse("a", "나다\n!가나다"), Lexicon.parse("b", "나다")]
    counts = Lexicons(lists).count(TextBatch.of(["가나다 나다"]))
    assert (counts["a"].tolist(), counts["b"].tolist()) == ([1], [2])


def test_phrases_that_overlap_count_once():
    assert count("가나\n나\n가나다", "가나다", "가나나다", "나나", "가나 나") == [1, 2, 2, 2]
    assert count("가나\n나다\n다라", "가나다라", "가나다다라") == [1, 2]
    assert count("^이새끼\n새끼야", "니가 이새끼야?") == [1]


def test_capitals_and_what_is_no_letter_make_no_difference():
    assert count("sEx", "SEX", "s.e-x", "s e x", "se\u200bx", "Sex!") == [1, 1, 0, 1, 1]
    assert count("시발", "시@발", "시1발", "시-\n발") == [1, 0, 0]


def test_reading_a_list():
    parsed = Lexicon.parse("list", "# comment\n\n 하나 # 둘\n^셋\n!넷ABC\r\n하나\n1인샵")
    assert (parsed.anywhere, parsed.at_start, parsed.exceptions) == (
        {"하나", "1인샵"},
        {"셋"},
        {"넷abc"},
    )


@pytest.mark.parametrize(
    "line", ["두 낱말", "^", "!", "시@발", "^!가", "!^가", "가.", "가\t나", "^ 가"]
)
def test_a_bad_line_is_named(line):
    with pytest.raises(
        ConfigError, match=r"lexicon swear, line 3: .* must be one word of letters and digits"
    ):
        Lexicon.parse("swear", f"# list\n하나\n{line}\n둘")


@pytest.mark.parametrize("name", LISTS)
def test_shipped_lists_can_be_read_and_name_no_phrase_twice(name):
    parsed = Lexicon.parse(name, SHIPPED[name])
    listed = phrases(SHIPPED[name])
    assert [phrase for (_, phrase), n in Counter(listed).items() if n > 1] == []
    assert len(parsed.anywhere) + len(parsed.at_start) + len(parsed.exceptions) == len(listed) > 20
    assert not parsed.anywhere & parsed.at_start


@pytest.mark.parametrize("name", LISTS)
def test_every_exception_of_a_shipped_list_hides_something(name):
    parsed = Lexicon.parse(name, SHIPPED[name])
    useful = lambda exception: (
        any(phrase in exception for phrase in parsed.anywhere)
        or exception.startswith(tuple(parsed.at_start))
    )
    assert [exception for exception in parsed.exceptions if not useful(exception)] == []


@pytest.mark.parametrize("sentence", ORDINARY)
def test_ordinary_korean_is_in_no_list(sentence):
    counts = lexicon.shipped().count(TextBatch.of([sentence]))
    assert {name: count.item() for name, count in counts.items()} == dict.fromkeys(LISTS, 0)


def test_sentences_of_books_and_news_are_in_no_list(data_dir):
    sentences = [
        line.removeprefix("# text = ").strip()
        for path in sorted((data_dir / "tasks").glob("ud_korean_*/*.conllu.gz"))
        for line in gzip.open(path, "rt", encoding="utf-8")
        if line.startswith("# text = ")
    ]
    news = data_dir / "tasks" / "korean_english_news" / "korean-english-park.dev.ko"
    sentences += news.read_text(encoding="utf-8").splitlines()
    counts = lexicon.shipped().count(TextBatch.of(sentences))
    assert len(sentences) > 8_000
    # Two buttons and an offer that are spoken of, and the beginning of a movement.
    assert sum((count > 0).sum() for count in counts.values()) <= 10
    assert all((count >= 2).sum() == 0 for count in counts.values())


@pytest.mark.parametrize("sentence", RUDE)
def test_rude_korean_is_found(sentence):
    assert lexicon.shipped().count(TextBatch.of([sentence]))["profanity"] >= 1


def test_advertising_is_found():
    texts = [
        "온라인카지노 먹튀검증 꽁머니 지급",
        "강남 출장안마 24시",
        "무직자대출 당일대출 카톡상담",
        "무단전재 및 재배포 금지 저작권자",
    ]
    counts = lexicon.shipped().count(TextBatch.of(texts))
    for i, name in enumerate(("gambling", "adult", "advertising", "boilerplate")):
        assert counts[name][i] >= 1
    assert not counts["profanity"].any()
