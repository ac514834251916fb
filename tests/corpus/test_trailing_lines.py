"""Lines that news sites put below an article go; sentences about the same things stay."""

import gzip
import itertools
import json

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
[기사제보 및 보도자료 gildong@news.example.kr]""".split("\n")
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


@pytest.mark.parametrize("sentence", SENTENCES)
def test_a_sentence_about_the_same_things_stays(sentence):
    assert remove_trailing_lines(f"{ARTICLE}\n{sentence}") == f"{ARTICLE}\n{sentence}"


def test_documents_lose_them_as_they_are_read(tmp_path):
    text = "\n".join([ARTICLE, *BELOW])
    (tmp_path / "a.jsonl").write_text(json.dumps({"text": text}) + "\n")
    with open(tmp_path / "a.jsonl", "rb") as file:
        (document,) = read_documents(file, "a.jsonl", Reading())
    assert document.text == ARTICLE
    settings = parse_settings({"sources": {"news": {"input": "*"}}})
    assert "as it would be kept (" in (shown := explain_text(text, settings, "news"))
    assert "구독" not in shown.split("as it would be kept")[1]


@pytest.mark.parametrize("unit", ["▶ 제보하기\n", "무단", "가 ", "기자 = ", "\n", "a@", "뉴스구독"])
def test_time_is_linear_in_the_length(unit):
    assert cpu_seconds(remove_trailing_lines, f"끝.\n{unit * 20_000}\n홍길동 기자\n{unit}") < 1


def test_no_line_of_real_texts_is_taken_for_one(data_dir):
    """10,000 lines of either corpus, each as the last of a text."""
    files = sorted((data_dir / "corpus").glob("kowiki/*.jsonl.gz"))[:1]
    files += sorted((data_dir / "corpus").glob("reviews/*.jsonl.gz"))
    removed = []
    for path in files:
        texts = (json.loads(line)["text"] for line in gzip.open(path, "rt", encoding="utf-8"))
        lines = (line for text in texts for line in text.split("\n") if line.strip())
        for line in itertools.islice(lines, 10_000):
            text = f"{ARTICLE}\n{line}"
            removed += [line] if remove_trailing_lines(text) != text else []
    assert removed == []
