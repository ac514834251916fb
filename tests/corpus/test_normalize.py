"""Normalising what is read: nothing unseen stays, nothing that is seen is lost, and all stages see
the same characters.
"""

import json
import unicodedata

import ftfy.bad_codecs  # registers sloppy-windows-1252
import pytest

from hclx.corpus.explain import explain_text
from hclx.corpus.normalize import (
    count_html,
    count_mojibake,
    is_html_page,
    normalize_text,
    page_title,
)
from hclx.corpus.readers import read_documents
from hclx.corpus.settings import parse_settings
from hclx.text.decoding import is_blank
from hclx.text.documents import Reading
from tests.helpers.timing import cpu_seconds

assert ftfy.bad_codecs
SENTENCES = (
    "아침에 일찍 일어나 마당을 쓸었다.",
    "담장 너머로 이웃집 개가 짖었다.",
    "우체부가 편지 두 통을 놓고 갔다.",
    "점심에는 국수를 삶아 먹었다.",
    "오후에 비가 잠깐 내렸다.",
    "저녁이 되자 바람이 서늘해졌다.",
    "동생은 숙제를 마치고 잠들었다.",
    "나는 책을 조금 더 읽었다.",
)


@pytest.mark.parametrize("end", ["\r\n", "\r", "\x0b", "\x0c", "\x85", "\u2028", "\u2029"])
def test_every_line_end_is_a_newline(end):
    assert normalize_text(f"가{end}{end}나{end}") == "가\n\n나\n"


@pytest.mark.parametrize(
    "char", [*"\xad\u061c\u180e\u200b\u200e\u200f\u202a\u202e\u2060\u2066\u2069\ufeff", "\u200d"]
)
def test_what_is_not_seen_is_dropped(char):
    assert normalize_text(f"{char}010-{char}3894{char}") == "010-3894"
    assert normalize_text(f"ᄒ{char}ᅡᆫ글") == "한글"  # what stands apart then is composed


@pytest.mark.parametrize(
    "text",
    [
        "힘들었다 🤷‍♀️ 그래도",  # a woman
        "가족 👨‍👩‍👧‍👦 국기 🏴󠁧󠁢󠁥󠁮󠁧󠁿 하트 ❤️‍🔥",
        "می‌خواهم",  # Persian
        "क्‍ष",
        "SÃO PAULO, XÃ HỘI, João Ã",
        "“그는 ‘Café’에 갔다.”",
        "ᄒᆞᆫ글 ㅋㅋ  두 칸\t탭 끝 ",
        "빈 줄\n\n 은 남는다",
    ],
)
def test_what_is_seen_stays(text):
    text = unicodedata.normalize("NFC", text)
    assert normalize_text(text) == text and count_mojibake(text) == 0


def test_a_joiner_that_joins_nothing_is_dropped():
    assert normalize_text("가\u200d나 👩\u200d 가\u200c나 \u200d👩") == "가나 👩 가나 👩"


@pytest.mark.parametrize("blank", ["\u3164", "\u2800", " \u3164\t\u3164", "\u200b", " \ufeff "])
def test_a_line_of_blank_letters_is_a_blank_line(blank):
    lines = normalize_text(f"가\n{blank}\n{blank}\n나 \u3164 다\n{blank}").split("\n")
    assert [line.strip() for line in lines] == ["가", "", "", "나 \u3164 다", ""]
    assert is_blank(f"{blank}\r\n".encode()) and not is_blank(f"{blank}가".encode())


def test_decomposed_text_is_composed():
    text = "한글 café"
    assert normalize_text(unicodedata.normalize("NFD", text)) == text


@pytest.mark.parametrize("read", ["latin-1", "sloppy-windows-1252"])
@pytest.mark.parametrize("spaces", ["\xa0", " "])
def test_utf8_that_was_read_otherwise_is_mended(read, spaces):
    text = "가지고 있는 것은 좋다.\n“한국어” 문장이 모두 이렇게 되었다…"
    garbled = text.encode().decode(read).replace("\xa0", spaces)
    assert count_mojibake(garbled) > 20
    assert normalize_text(garbled) == text
    assert normalize_text(f"앞은 성하다.\n{garbled}") == f"앞은 성하다.\n{text}"


def test_html_is_stripped_where_it_is_asked_for():
    text = '&nbsp;&lt;b&gt;굵게&lt;/b&gt;<br><p class="x">단락</p>'
    assert normalize_text(text) == text
    assert normalize_text(text, html="strip") == "<b>굵게</b>\n\n단락"
    assert count_html(text) == (5, 5, 4 + 13 + 4 + 6 + len("&lt;b&gt;&lt;/b&gt;"))
    page = "<SCRIPT>a<b>c</script >가<!-- <p> -->나<table><tr><td>다</td><td>라</td></tr></table>"
    assert normalize_text(page, html="strip").split() == ["가나", "다", "라"]
    assert normalize_text("&#8203;&amp;lt; R&D &copy", html="strip") == "&lt; R&D &copy"


PAGE = """<?xml version="1.0"?>
<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Strict//EN" "http://www.w3.org/TR/xhtml1.dtd">
<html lang="ko"><head><title>우리 마을</title>
<style type="text/css">
body > p { color: red }
</style><!-- 머리 --><!--[if lt IE 9]><script src="x.js"></script><![endif]--></head>
<body><!--[if !IE]><!--><p data-x="<b>1</b> > 2">첫 문장이다.</p><!--<![endif]-->
<![if !IE]>둘째이다.<![endif]>
<SCRIPT>if (a < b && c > d) document.write("<p>x</p>");</SCRIPT>
<svg><path d="M0 0"/></svg><my-element>셋째이다.</my-element><o:p></o:p>
<p>&nbsp;</p>

</body></html>"""


def test_nothing_of_the_markup_of_a_page_stays():
    assert normalize_text(PAGE, html="strip").split("\n") == [
        *("첫 문장이다.", "", "둘째이다.", "", "셋째이다.")
    ]
    assert page_title(PAGE) == "우리 마을" and page_title("<title>가</title>나") == ""
    hidden = "<!doctype html><style>p { }</style><!-- 나 --><script>a<b</script>"
    assert count_html(f"가{hidden}") == (6, 0, len(hidden))


@pytest.mark.parametrize(
    "markup, text",
    [
        ("<!doctype html>가", "가"),
        ("<!-->가<!--->나<!-- > -->", "가나"),
        ("<?php echo $a->b; ?>가", "가"),
        ("<item><name>홍</name></item> <T>", "홍 <T>"),  # a name that is closed is an element's
        ("<![CDATA[가 <b>나</b>]]> ]]", "가 나 ]]"),
        ("<style>p { color: red }", "p { color: red }"),
        ("<a title='a > b' rel=x>가</a>", "가"),
        ('<p class="x>그는 "안녕" 했다.', '그는 "안녕" 했다.'),
    ],
)
def test_each_kind_of_markup_is_stripped(markup, text):
    assert normalize_text(markup, html="strip").strip("\n") == text


@pytest.mark.parametrize(
    "text",
    [
        "<html> 태그로 시작한다.",
        "<!DOCTYPE html>은 선언이다.",
        "<html> <head> <body> 순서",
        "<b>가</b>",
    ],
)
def test_a_text_about_html_is_no_page(text):
    assert is_html_page(PAGE) and is_html_page("<html>가</html>\n") and not is_html_page(text)


@pytest.mark.parametrize(
    "text", ["a < b > c", "<제목>", "List<T> x", "1<2", "R&D &", "<!- 가 ->", "<https://a.kr>"]
)
def test_what_is_no_html_is_neither_stripped_nor_counted(text):
    assert normalize_text(text, html="strip") == text
    assert count_html(text) == (0, 0, 0)


@pytest.mark.parametrize(
    "markup, text",
    [
        ("<div>\n  <p>가&nbsp;</p>\n  <p>&nbsp;</p>\n나 </div>\n", "가\n\n나"),
        ("<pre>if a:\n    b </pre>\n", "if a:\n    b"),
        ("가&nbsp;\n\n\n  나&nbsp;\n", "가\n\n\n  나"),  # the lines of a text without markup
        ("<item><title>가</title>나</item>", "가\n나"),  # not that of a page
        ("<html><head><title>가</head><body>나</body></html>", "가나"),  # it is not closed
    ],
)
def test_lines_and_ends_of_stripped_text_are_trimmed(markup, text):
    assert normalize_text(markup, html="strip") == text


def test_an_element_that_is_not_closed_takes_nothing_with_it():
    assert normalize_text("가<!-- 나", html="strip") == "가 나"
    assert normalize_text("가<style>나", html="strip") == "가나"


@pytest.mark.parametrize(
    "text, expected",
    [
        ("히토마루마에 역()은", "히토마루마에 역은"),
        ("서울 (, )은 도시(  ) 이름（）", "서울은 도시 이름"),
        ("김구(金九)는 1876년 (음력) 태어났다", "김구(金九)는 1876년 (음력) 태어났다"),
        ("main()은 C (언어)의 함수", "main()은 C (언어)의 함수"),
    ],
)
def test_empty_brackets_are_removed_where_it_is_asked_for(text, expected):
    assert normalize_text(text, empty_brackets="remove") == expected
    assert normalize_text(text) == text


@pytest.mark.parametrize(
    "unit",
    [
        *(
            "<",
            "<!--",
            "<!-- -->",
            "<script>",
            "<a ",
            "<a x=\"<a y='",
            "</a ",
            "<!DOCTYPE ",
            "<?php",
        ),
        *("<![CDATA[", "<html><!-- ", "<html><title>", "\n", "&"),
        *("(", "( ", "ê°€", "\u200d", " \u3164", "\xb0\xa1"),
    ],
)
def test_time_is_linear_in_the_length(unit):
    def work(n: int) -> None:
        text = unit * n + "끝"
        normalize_text(text, "strip", "remove")
        count_html(text), count_mojibake(text), page_title(text)

    work(10)
    assert cpu_seconds(work, 32_000) < 1  # a square of it would be minutes


def written(path, *records: dict):
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


def read(path, **reading):
    with open(path, "rb") as file:
        return list(read_documents(file, str(path), Reading(**reading)))


def test_documents_are_normalised_as_they_are_read(tmp_path):
    path = written(
        tmp_path / "a.jsonl",
        {"text": "가\u200b\r\n나()", "title": unicodedata.normalize("NFD", "제\ufeff목")},
        {"text": " \u200b\u3164\n\ufeff"},
        {"text": "<b>가</b>&amp;"},
    )
    first, nothing, html = read(path)
    assert (first.text, first.title) == ("가\n나()", "제목")
    assert (nothing.line, nothing.reason) == (2, "no text")
    assert html.text == "<b>가</b>&amp;"
    first, _, html = read(path, html="strip", empty_brackets="remove")
    assert (first.text, html.text) == ("가\n나", "가&")
    path = written(path, {"text": PAGE}, {"text": PAGE, "title": "다른 제목"})
    assert [page.title for page in read(path, html="strip")] == ["우리 마을", "다른 제목"]
    assert [page.title for page in read(path)] == ["", "다른 제목"]


def test_the_reader_of_wikiextractor_removes_empty_brackets(tmp_path):
    path = tmp_path / "wiki_00"
    path.write_text('<doc id="1" url="" title="역">\n역\n\n역(, )은 곳이다.\n</doc>\n')
    assert [document.text for document in read(path)] == ["역은 곳이다."]


def test_lines_that_nobody_sees_divide_documents(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("가\n\u200b\n나\n \u3164\n\n다\n", encoding="utf-8")
    assert [document.text for document in read(path, split="blank_line")] == ["가", "나", "다"]
    assert [document.text for document in read(path, split="line")] == ["가", "나", "다"]


@pytest.mark.parametrize("blank", ["", "\u200b", "\ufeff", "\u3164", "\u2800", "\u200b \u200b"])
def test_a_blog_that_writes_blank_lines_as_zero_width_spaces_is_kept(blank):
    settings = parse_settings({"sources": {"blog": {"input": "*"}}})
    text = f"\n{blank}\n".join(SENTENCES)
    assert "kept" in explain_text(text, settings, "blog").split("verdict\n")[1].split("\n")[0]
    emoji = "오늘 진짜 너무 힘들었다 🤷\u200d♀️ 그래도 내일은 좋겠지. 모두 힘내자, 우리 모두 힘내자!"
    assert "kept" in explain_text(emoji, settings, "blog").split("verdict\n")[1].split("\n")[0]
