"""Lines that news sites put below an article go; sentences about the same things stay."""

import gzip
import itertools
import json
import re

import pytest

from hclx.corpus.explain import explain_text
from hclx.corpus.readers import read_documents
from hclx.corpus.settings import parse_settings
from hclx.corpus.trailing_lines import remove_trailing_lines
from hclx.text.documents import Reading
from tests.helpers.timing import cpu_seconds

ARTICLE = "마을 다리가 다시 열렸다.\n아이들은 그 위를 몇 번이고 건너 다녔다."
BELOW = """▶ 네이버에서 아무개일보 구독하기
▶ 네이버에서 … 구독하기
▶네이버 채널에서 '아무개뉴스' 구독하기
▶ 카카오톡 채널 추가하기
▷ 페이스북에서 팔로우하기
'아무개 뉴스' 구독하기
[ⓒ 아무개일보, 무단전재 및 재배포 금지]
<저작권자 ⓒ 아무개뉴스, 무단 전재 및 재배포 금지>
무단전재 및 재배포 금지
무단 전재·재배포 금지
저작권자(c) 아무개통신, 무단 전재-재배포 금지
Copyright ⓒ 2021 아무개. All rights reserved.
홍길동 기자 gildong@news.example.kr
홍길동 기자 (gildong@news.example.kr)
[홍길동 기자 gildong@news.example.kr]
/홍길동 인턴기자 gildong@news.example.kr
아무개뉴스 홍길동 기자 gildong@news.example.kr
서울=홍길동 기자 gildong@news.example.kr
기자 gildong@news.example.kr
홍길동 기자
gildong@news.example.kr
제보는 카카오톡 아무개제보
▶ 제보하기
[기사제보 및 보도자료 gildong@news.example.kr]
출처 : 아무개일보
출처: https://news.example.kr/article/1
[출처] 다리가 다시 열렸다|작성자 길동이
[출처: 들녘군청 누리집]
※ 자료 출처 : 나루터 연구소, 들녘대학교
지금까지 나루터에서 아무방송 홍길동이었습니다.
지금까지 홍길동 기자였습니다.
지금까지 다리 앞에서 전해드렸습니다.
XYZ 뉴스 홍길동입니다.
나루터에서 XYZ뉴스 홍길동입니다.
보도에 홍길동 기자입니다.
홍길동 기자가 보도합니다.
다시 열린 다리를 홍길동 기자가 전해 드립니다.""".split("\n")
# How imagined newspapers, agencies and broadcasters end their articles: one block each.
ENDINGS = """◎빠른소식 아무통신 gildong@news.example.kr

hong@agency.example.kr
▶제보는 카톡 amujebo
<저작권자(c) 아무개통신, 무단 전재-재배포, AI 학습 및 활용 금지>
2031/05/06 07:08 송고

2031.05.06 07:08 기사 입력

(나루=아무개통신) 홍길동 기자 = gildong@agency.example.kr
(끝)
송고시간 2031-05-06 07:08

hong@agency.example.kr, lim@agency.example.kr (끝)

※ '당신의 제보가 방송이 됩니다'
[카카오톡] 아무방송 검색해 채널 추가
[전화] 02-000-0000
[메일] tips@tv.example.kr

▷ 카카오톡: '나루제보' 검색, 채널 추가
▷ 전화: 02-000-0001
▷ 이메일: jebo@naru.example.kr

나루방송은 24시간 여러분의 제보를 기다립니다.
▷ 전화 02-000-0002 ▷ 이메일 jebo@naru.example.kr ▷ 카카오톡 @나루제보

■ 제보하기
▷ 카카오톡 : '들녘제보' 검색, 채널 추가
▷ 전화 : 02-000-0003, 0004
▷ 유튜브, 네이버, 카카오에서도 들녘뉴스를 구독해주세요!

촬영기자:홍길동/영상편집:임꺽정/그래픽:성춘향

영상취재 홍길동 / 영상편집 임꺽정
▶ 들녘뉴스 앱 다운로드

※ 바람소리는 여러분의 제보로 함께 마을을 바꿉니다. 억울한 일과 고마운 일을 알려주세요.
이메일 :jebo@wind.example.kr
카카오톡 :@바람소리
사이트 :https://wind.example.kr/tip

☞ 아침들 페이스북 바로가기
카카오톡 : @아침들 검색, 채널 추가

글·사진=홍길동 선임기자 gildong@field.example.kr

온라인뉴스팀 gildong@field.example.kr
(사진=아무개그림은행)

홍길동 들녘닷컴 기자 gildong@field.example.kr
☞ 네이버 메인에서 들녘뉴스를 만나보세요

홍길동 앵커 gildong@field.example.kr
[사진 제공=들녘극단]

[관련기사]
☞ 다리 앞 빵집, 새벽 네 시의 불빛
"우리 마을에 오세요"… 이장의 편지

홍길동·임꺽정 기자

홍길동기자 gildong@field.example.kr

홍길동기자

많이 본 뉴스
1. 첫눈 내린 나루터
2. 겨울 감자 값 올라
ⓒ 나루일보 & naru.example.kr, 무단전재 및 재배포 금지

인턴기자 홍길동
기사입력 2031.05.06 07:08 | 수정 2031.05.06 09:10

/아무개통신 = 홍길동 기자
[기사제보 및 광고 문의]
기사제보 : gildong@news.example.kr

[나루=뉴시스]

/연합뉴스

연합뉴스 자료사진

<저작권자(c) 아무개통신>

Copyright 2031 Naru Media. All Rights Reserved.

2031.05.06 송고

(취재 : 홍길동, 영상편집 : 임꺽정, 디자인 : 성춘향)

카카오톡에서 '아침들' 검색 후 친구 추가

늘 곁에 있겠습니다. 아침들 구독신청 하기

■ 제보 문의
[카카오톡] 나루소식 검색

▶ 카카오톡 : '나루제보' 검색

들녘TV 기사문의 및 제보 : 카톡 deul23

제보 02-000-0005

☞ 아침들 구독하기""".split("\n\n")
# They look like those, and are text, or the end of something else than an article.
TEXTS = """그는 기자가 되었다.
제보를 받은 경찰은 수사에 나섰다.
경찰은 시민들의 제보를 기다린다고 했다.
목격자 여러분의 제보를 기다립니다.
온라인뉴스팀이 생긴 것은 그해 봄이었다.
그는 구독하기를 눌렀다.
사진을 찍던 손이 멈췄다.
그날 송고된 기사는 두 줄이었다.
이 책의 무단전재를 금지한다는 문구가 문제가 되었다.
2031년 5월 6일 개정
그리고 바람만 남았다
끝
부칙 <법률 제00000호, 2031. 5. 6.>
제1조(시행일) 이 법은 공포한 날부터 시행한다.
《나루터의 기자》 (2031)
제보 전화가 빗발쳤다
제보는 전화 한 통이었다
나루터 관련 기사
나루터 관련 기사 찾아 줘
ⓒⓞⓞⓛ
메신저 앱에서 나에게 글을 보낸 사람을 친구 추가해주세요
연락처에 주소를 추가해줘 gildong@news.example.kr
신문 기자
아무개일보 기자
차라리 모두 뛰어넘기자
주요 기사 : 9월호
나루 페이스북 가기
헌 책 구합니다 gildong@news.example.kr
전화: 02-000-0000
이메일: gildong@news.example.kr
자세한 내용은 메일 gildong@news.example.kr
행사 문의 gildong@news.example.kr
연합뉴스
[전화] 02-000-0000
영상편집 동아리
관련 기사를 읽은 사람은 없었다.
나는 관련 기사 한 줄을 오려 두었다.
출처가 어디냐고 그가 물었다
지금까지 발견된 것은 모두 세 개였습니다.
지금까지 그를 만난 사람은 모두 기자였습니다.
지금까지 나루에서 으뜸이었습니다.
오늘의 주인공은 홍길동입니다.
그 사람은 기자입니다.
오늘의 뉴스 주인공입니다.
ost 예술입니다
이 일을 처음 알린 사람은 홍길동 기자입니다.
그 소식을 홍길동 기자가 보도했습니다.""".split("\n")
SENTENCES = """홍길동 기자는 그날 다리 위에 있었다.
그를 만난 사람은 홍길동 기자였다.
사진의 무단 전재를 금지하는 법이 생겼다.
저작권자는 이 법에 따른 권리를 가진다.
(c) 이 조에 따른 허가는 조건을 붙일 수 있다.
문의는 gildong@news.example.kr로 보내면 된다.
네이버에서 신문을 구독하는 사람이 늘었다.
제보를 받은 경찰은 현장에 나갔다.
그는 채널을 추가하지 않았다고 말했다.
좋아요를 누른 사람은 열 명뿐이었다.
독자는 기자""".split("\n")


@pytest.mark.parametrize("line", BELOW)
def test_lines_below_an_article_are_removed_and_nowhere_else(line):
    assert remove_trailing_lines(f"{ARTICLE}\n{line}") == ARTICLE
    assert remove_trailing_lines(f"{ARTICLE}\n\n{line}\n \n▶ 제보하기\n") == ARTICLE
    for text in (f"{line}\n{ARTICLE}", f"{ARTICLE}\n{line}\n다리는 밤에도 연다.", line):
        assert remove_trailing_lines(text) == text


@pytest.mark.parametrize("ending", ENDINGS)
def test_the_endings_of_newspapers_are_removed_whole_and_nowhere_else(ending):
    assert remove_trailing_lines(f"{ARTICLE}\n{ending}") == ARTICLE
    assert remove_trailing_lines(f"{ARTICLE}\n\n{ending}\n\n▶ 제보하기\n") == ARTICLE
    for text in (f"{ARTICLE}\n{ending}\n다리는 밤에도 연다.", f"{ending}\n{ARTICLE}", ending):
        assert remove_trailing_lines(text) == text


@pytest.mark.parametrize("text", ["비가 왔다. 다리가 닫혔다.", "아, 이게 기사냐!", "첫눈\n나루터"])
def test_what_is_no_article_keeps_its_last_line(text):
    assert remove_trailing_lines(f"{text}\n홍길동 기자") == f"{text}\n홍길동 기자"


def test_headlines_need_a_line_that_says_what_they_are():
    for text in ("첫눈\n나루터\n그리고 너", "나는 관련 기사를 오려 두었다.\n첫눈\n그리고 너"):
        assert remove_trailing_lines(f"{ARTICLE}\n{text}") == f"{ARTICLE}\n{text}"
        assert remove_trailing_lines(f"{ARTICLE}\n▶ 관련기사\n{text[-7:]}") == ARTICLE


def test_more_lines_than_an_article_has_below_it_are_a_list():
    lines = ["홍길동 기자"] * 21
    assert remove_trailing_lines("\n".join([ARTICLE, *lines[:20]])) == ARTICLE
    assert remove_trailing_lines("\n".join([ARTICLE, *lines])) == "\n".join([ARTICLE, *lines])


@pytest.mark.parametrize("sentence", SENTENCES + TEXTS)
def test_a_sentence_about_the_same_things_stays(sentence):
    assert remove_trailing_lines(f"{ARTICLE}\n{sentence}") == f"{ARTICLE}\n{sentence}"


def test_documents_lose_them_as_they_are_read(tmp_path):
    text = "\n".join([ARTICLE, *BELOW[:20]])
    (tmp_path / "a.jsonl").write_text(json.dumps({"text": text}) + "\n")
    with open(tmp_path / "a.jsonl", "rb") as file:
        (document,) = read_documents(file, "a.jsonl", Reading())
    assert document.text == ARTICLE
    settings = parse_settings({"sources": {"news": {"input": "*"}}})
    assert "as it would be kept (" in (shown := explain_text(text, settings, "news"))
    assert "구독" not in shown.split("as it would be kept")[1]


LONG_UNITS = [
    "관련기사\n",
    "다리\n",
    "a@b.kr, ",
    "전화 02-",
    "검색 채널",
    "·홍길동",
    "▷ 카카오톡: ",
    "(",
]


@pytest.mark.parametrize(
    "unit", ["▶ 제보하기\n", "무단", "가 ", "기자 = ", "\n", "a@", "뉴스구독", *LONG_UNITS]
)
def test_time_is_linear_in_the_length(unit):
    assert cpu_seconds(remove_trailing_lines, f"끝.\n{unit * 20_000}\n홍길동 기자\n{unit}") < 1
    lines = f"{(unit * 99)[:199].strip()}\n" * 20  # as long and as many as are looked at
    assert cpu_seconds(remove_trailing_lines, f"{ARTICLE}\n{lines}▶ 관련기사\n홍길동 기자") < 0.1


@pytest.mark.parametrize("corpus", ["kowiki", "law", "reviews", "comments"])
def test_no_real_text_loses_its_end(data_dir, corpus):
    """Documents as they are, and each of the last lines of them below an article. The one line that
    names the owner of the rights, and those of a source, are none of the text.
    """
    removed = []
    for path in sorted((data_dir / "corpus" / corpus).glob("*.jsonl.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as file:
            for text in (json.loads(line)["text"] for line in itertools.islice(file, 5000)):
                removed += [text] if remove_trailing_lines(text) != text else []
                for line in [line for line in text.split("\n") if line.strip()][-5:]:
                    below = f"{ARTICLE}\n{line}"
                    removed += [line] if remove_trailing_lines(below) != below else []
    last = [text.rpartition("\n")[2] for text in removed]
    assert [line for line in last if not re.match(r'ⓒ|"?(?:자료 )?출처 ?:|\[출처\]', line)] == []
    assert len(last) < 40
