"""Reading raw files of every format: each record becomes one document or one thing set aside, and
the rest goes on.
"""

import datetime
import gzip
import json
import random
import zlib

import pyarrow
import pyarrow.parquet
import pytest

from hclx.corpus.readers import format_of, read_documents
from hclx.errors import ConfigError
from hclx.text.documents import Document, Reading, Unreadable


def read(path, **reading) -> list[Document | Unreadable]:
    reading["fields"] = tuple(reading.get("fields", {}).items())
    with open(path, "rb") as file:
        records = list(read_documents(file, str(path), Reading(**reading)))
    assert all(entry.path == str(path) for entry in records if isinstance(entry, Document))
    return records


def document(path, doc_id, text, line, url="", title="", date="", licence=""):
    return Document(text, str(path), line, doc_id, url, title, date, licence)


def written(path, *lines: bytes):
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    return path


def record(**fields) -> bytes:
    return json.dumps(fields, ensure_ascii=False).encode()


def short(records) -> list[tuple]:
    """(line, text) of documents and (line, what the reason begins with) of the rest."""
    return [
        (entry.line, entry.text if isinstance(entry, Document) else entry.reason.split(" (")[0])
        for entry in records
    ]


def texts(records) -> list[str]:
    return [entry.text for entry in records if isinstance(entry, Document)]


def test_formats_are_told_from_names():
    names = {
        "a.jsonl": "jsonl",
        "b/a.jsonl.gz": "jsonl",
        "a.json": "jsonl",
        "a.b.txt.gz": "text",
        "a.md": "text",
        "a.parquet": "parquet",
        "x.json/AA/wiki_00": "wikiextractor",
        "AB/wiki_107.gz": "wikiextractor",
    }
    assert {name: format_of(name, Reading()) for name in names} == names
    assert format_of("a.txt", Reading(format="jsonl")) == "jsonl"
    for name in ("a.csv", "a", "a.gz", "wiki_", "x.jsonl/a", "wiki_0a"):
        with pytest.raises(ConfigError, match="cannot be told from its name"):
            format_of(name, Reading())


def test_an_unknown_format_is_a_configuration_error(tmp_path):
    with pytest.raises(ConfigError, match="format='csv' is not one of jsonl"):
        read(written(tmp_path / "a.jsonl", record(text="가")), format="csv")


def test_a_record_with_all_its_fields(tmp_path):
    full = record(id=7, text="글", url="http://a", title="제목", date="2020", licence="CC0")
    path = written(tmp_path / "a.jsonl", full, record(text=" 둘\n"))
    assert read(path, licence="CC BY") == [
        document(path, "7", "글", 1, "http://a", "제목", "2020", "CC0"),
        document(path, "a.jsonl:2", " 둘\n", 2, licence="CC BY"),
    ]


def test_fields_that_are_called_otherwise(tmp_path):
    lines = [
        record(content="글", link="u", text="아님", key="k"),
        record(content=None, text="아님"),
        record(content="", key=""),
    ]
    path = written(tmp_path / "a.jsonl", *lines)
    records = read(
        path,
        fields={"text": "content", "url": "link", "id": "key"},
    )
    assert records[0] == document(path, "k", "글", 1, url="u")
    assert short(records[1:]) == [(2, "no string field `text`"), (3, "no text")]


BAD_LINES = {
    b'{"text": "\xff"}': "invalid UTF-8 at byte 10",
    b'{"text": "': "not JSON",
    b"[" * 100_000: "not JSON",
    b'{"text": "a", "n": ' + b"1" * 5000 + b"}": "not JSON",
    b"[1]": "not a JSON object",
    b'"text"': "not a JSON object",
    b"{}": "no string field `text`",
    b'{"text": 3}': "no string field `text`",
    b'{"text": ["a"]}': "no string field `text`",
    b'{"text": null}': "no string field `text`",
    b'{"text": ""}': "no text",
    b'{"text": " \\n\\u3000"}': "no text",
    b'{"text": "a\\u0000b"}': "NUL in the text",
    b'{"text": "a\\ud800"}': "a lone surrogate in the text",
    "{'text': '글'}".encode(): "not JSON",
}


def test_every_bad_line_is_set_aside_by_itself(tmp_path):
    lines = [line for bad in BAD_LINES for line in (bad, record(text="글"))]
    records = read(written(tmp_path / "a.jsonl", *lines))
    expected = [
        pair
        for i, reason in enumerate(BAD_LINES.values())
        for pair in ((2 * i + 1, reason), (2 * i + 2, "글"))
    ]
    assert short(records) == expected
    beginnings = [entry.beginning for entry in records[::2]]
    assert beginnings == [(bad + b"\n")[:100].decode("utf-8", "replace") for bad in BAD_LINES]


def test_blank_lines_are_no_records_but_count_as_lines(tmp_path):
    path = written(
        tmp_path / "a.jsonl", b"", record(text="가"), b" \t\r", b"", record(text="나") + b"\r"
    )
    assert short(read(path)) == [(2, "가"), (5, "나")]


def test_the_last_line_needs_no_end(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(record(text="가") + b"\n" + record(text="나"))
    assert short(read(path)) == [(1, "가"), (2, "나")]


@pytest.mark.parametrize("name", ["a.jsonl", "a.txt", "wiki_00", "a.txt.gz", "a.jsonl.gz"])
def test_an_empty_file_has_no_records(tmp_path, name):
    (tmp_path / name).write_bytes(b"")
    assert read(tmp_path / name) == []
    (tmp_path / name).write_bytes(gzip.compress(b"\n\n \n") if name.endswith(".gz") else b"\n\n \n")
    assert read(tmp_path / name) == []


@pytest.mark.parametrize("name", ["a.jsonl", "a.txt"])
def test_a_byte_order_mark_is_no_part_of_a_text(tmp_path, name):
    content = record(text="글") if name == "a.jsonl" else "글".encode()
    (tmp_path / name).write_bytes(b"\xef\xbb\xbf" + content)
    assert texts(read(tmp_path / name)) == ["글"]


def test_surrogates_in_other_fields_are_replaced(tmp_path):
    (parsed,) = read(
        written(
            tmp_path / "a.jsonl",
            b'{"text": "\\ud83d\\ude00", "id": "\\ud800", "title": "a\\udfff", "url": 3}',
        )
    )
    assert (parsed.text, parsed.id, parsed.title, parsed.url) == ("😀", "\ufffd", "a\ufffd", "3")


def test_a_line_of_more_than_max_bytes_is_set_aside(tmp_path):
    fits, too_long = record(text="가" * 20), record(text="가" * 20 + "a")
    limit = len(fits) + 1  # and the end of the line
    lines = [record(text="나"), too_long, fits, too_long * 100_000, record(text="다"), too_long]
    path = written(tmp_path / "a.jsonl", *lines)
    records = read(path, max_bytes=limit)
    reason = f"a line of more than {limit} bytes"
    assert short(records) == [
        (1, "나"),
        (2, reason),
        (3, "가" * 20),
        (4, reason),
        (5, "다"),
        (6, reason),
    ]
    assert all(
        records[i].beginning.startswith('{"text": "가가') and len(records[i].beginning) <= 100
        for i in (1, 3, 5)
    )


def packed_lines(n: int) -> tuple[list[str], bytes]:
    draw = random.Random(1)
    said = [
        f"문서 {i} " + "".join(chr(draw.randint(0xAC00, 0xD7A3)) for _ in range(20))
        for i in range(n)
    ]
    return said, gzip.compress(b"".join(record(text=text) + b"\n" for text in said), mtime=0)


@pytest.mark.parametrize("fraction", [0.02, 0.3, 0.77, 0.999])
def test_a_gzip_file_that_is_cut_off_gives_every_whole_line_before_the_cut(tmp_path, fraction):
    said, data = packed_lines(2000)
    data = data[: int(len(data) * fraction)]
    whole = zlib.decompressobj(wbits=31).decompress(data).count(b"\n")
    (tmp_path / "a.jsonl.gz").write_bytes(data)
    *records, last = read(tmp_path / "a.jsonl.gz")
    assert texts(records) == said[:whole] and len(records) == whole
    assert (
        last.line == whole + 1
        and last.reason.startswith("damaged or truncated here")
        and "nothing after this line" in last.reason
    )


@pytest.mark.parametrize("where", [0, 0.01, 0.5, 0.99999])
def test_a_damaged_gzip_file_gives_what_comes_before_the_damage(tmp_path, where):
    said, data = packed_lines(2000)
    data = bytearray(data)
    at = int(len(data) * where)
    data[at : at + 4] = b"\xff\xff\xff\xff"
    (tmp_path / "a.jsonl.gz").write_bytes(data)
    *records, last = read(tmp_path / "a.jsonl.gz")
    assert (
        last.reason.startswith("damaged or truncated here")
        and last.line == (records[-1].line if records else 0) + 1
    )
    # A few wrong lines may come out before the damage is noticed.
    right = sum(actual == text for actual, text in zip(texts(records), said))
    assert right >= len(records) - 50 and right >= 2000 * where - 250


def test_gzip_files_may_be_joined(tmp_path):
    (tmp_path / "a.jsonl.gz").write_bytes(
        gzip.compress(record(text="가") + b"\n") + gzip.compress(record(text="나"))
    )
    assert short(read(tmp_path / "a.jsonl.gz")) == [(1, "가"), (2, "나")]


TEXT = "\n하나\n 둘 \n\n \t\n\n셋\r\n\r\n넷\n".encode()


def test_a_text_file_is_one_document_or_one_a_line_or_one_a_paragraph(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(TEXT)
    assert read(path, licence="CC0") == [
        document(path, "a.txt", "하나\n 둘 \n\n \t\n\n셋\n\n넷", 1, licence="CC0")
    ]
    documents = read(path, split="line")
    assert [(entry.id, *pair) for entry, pair in zip(documents, short(documents))] == [
        ("a.txt:2", 2, "하나"),
        ("a.txt:3", 3, " 둘 "),
        ("a.txt:7", 7, "셋"),
        ("a.txt:9", 9, "넷"),
    ]
    documents = read(path, split="blank_line")
    assert [(entry.id, *pair) for entry, pair in zip(documents, short(documents))] == [
        ("a.txt:2", 2, "하나\n 둘 "),
        ("a.txt:7", 7, "셋"),
        ("a.txt:9", 9, "넷"),
    ]


BAD_TEXTS = {
    b"a\xffb": "invalid UTF-8 at byte 1",
    b"a\0": "NUL in the text",
}


@pytest.mark.parametrize("bad, reason", BAD_TEXTS.items())
def test_a_bad_text_is_set_aside_by_itself(tmp_path, bad, reason):
    path = written(tmp_path / "a.txt", "하나".encode(), b"", bad, b"", "둘".encode())
    for split in ("line", "blank_line"):
        assert short(read(path, split=split)) == [(1, "하나"), (3, reason), (5, "둘")]
    if reason != "no text":
        assert (
            [entry.line for entry in read(path) if isinstance(entry, Unreadable)]
            == [1]
            == [len(read(path))]
        )


def test_a_text_that_is_too_long_is_set_aside_as_a_whole(tmp_path):
    paragraphs = (
        b"12345\n12345",
        b"123456\n12345",
        b"123",
        b"1" * 30,
        b"1\n" + b"1" * 13 + b"\n2",
        b"9",
    )
    path = written(tmp_path / "a.txt", b"\n\n".join(paragraphs))
    assert short(read(path, split="blank_line", max_bytes=12)) == [
        (1, "12345\n12345"),
        (4, "a document of more than 12 bytes"),
        (7, "123"),
        (9, "a line of more than 12 bytes"),
        (12, "a line of more than 12 bytes"),  # in the document that begins in line 11
        (15, "9"),
    ]
    pairs = short(read(path, split="line", max_bytes=12))
    assert [pair for pair in pairs if pair[0] > 7] == [
        (9, "a line of more than 12 bytes"),
        (11, "1"),
        (12, "a line of more than 12 bytes"),
        (13, "2"),
        (15, "9"),
    ]
    assert short(read(path, max_bytes=50)) == [(1, "a document of more than 50 bytes")]
    assert [entry.line for entry in read(path, split="file", max_bytes=20)] == [9]


def test_a_text_file_that_is_cut_off(tmp_path):
    said = [str(random.Random(i).random()) for i in range(3000)]
    data = gzip.compress("\n\n".join(said).encode())
    path = tmp_path / "a.txt.gz"
    path.write_bytes(data[: len(data) // 2])
    for split in ("line", "blank_line"):
        *documents, last = read(path, split=split)
        assert (
            len(documents) > 1000
            and texts(documents) == said[: len(documents)]
            and last.reason.startswith("damaged or truncated here")
        )
    (last,) = read(path)  # half of a document is none
    assert last.reason.startswith("damaged or truncated here")


def article(id_, title: str, body: str) -> bytes:
    """As WikiExtractor writes it."""
    return (
        f'<doc id="{id_}" url="https://ko.wikipedia.org/wiki?curid={id_}"'
        f' title="{title}">\n{title}\n\n{body}\n\n</doc>\n'.encode()
    )


def test_articles_of_wikiextractor(tmp_path):
    path = tmp_path / "wiki_00"
    path.write_bytes(
        article(5, "지미 카터", "지미 카터는\n정치인이다.")
        + article(9, "AT&amp;T &quot;벨&quot;", "회사다.")
        + article(10, "빈 글", "")
    )
    articles = read(path, licence="CC BY-SA")
    metadata = {"url": "https://ko.wikipedia.org/wiki?curid=5", "licence": "CC BY-SA"}
    assert articles[0] == document(
        path, "5", "지미 카터는\n정치인이다.", 1, title="지미 카터", **metadata
    )
    assert (articles[1].id, articles[1].title, articles[1].text, articles[1].line) == (
        "9",
        'AT&T "벨"',
        "회사다.",
        8,
    )
    assert short(articles[2:]) == [(14, "no text")]


def test_an_article_that_begins_with_its_title_keeps_it(tmp_path):
    path = written(
        tmp_path / "wiki_00",
        b'<doc id="1" url="" title="\xea\xb0\x80">',
        "가는 글자다.".encode(),
        b"</doc>",
    )
    assert texts(read(path)) == ["가는 글자다."]


def test_wikiextractor_with_json(tmp_path):
    path = written(
        tmp_path / "wiki_00",
        record(id="5", revid="1", url="u", title="가", text="글\n둘"),
        b"{",
        b"",
        record(id="6", text="셋"),
    )
    articles = read(path)
    assert articles[0] == document(path, "5", "글\n둘", 1, url="u", title="가")
    assert short(articles[1:]) == [(2, "not JSON"), (4, "셋")]


ESCAPED = {
    "x &lt; y 이고 R&amp;D 는 &gt; 0": "x < y 이고 R&D 는 > 0",
    # once
    "줄바꿈은 &amp;lt;br&amp;gt; 로, &amp;amp;nbsp; 는 그대로": (
        "줄바꿈은 &lt;br&gt; 로, &amp;nbsp; 는 그대로"
    ),
    'AT&amp;T 의 "벨"': 'AT&T 의 "벨"',
    "R&D 를 뜻하는 &amp;": (
        "R&D 를 뜻하는 &amp;"
    ),  # these were not: they hold what is never left bare
    "&lt; 를 a < b 에": "&lt; 를 a < b 에",
    "&quot; 와 &#39; 와 &nbsp; 와 &lt;": "&quot; 와 &#39; 와 &nbsp; 와 &lt;",
    "&lt 와 &amp": "&lt 와 &amp",
    "여럿이다": "여럿이다",
}


def test_what_wikiextractor_escapes_is_unescaped_once(tmp_path):
    path = tmp_path / "wiki_00"
    path.write_bytes(b"".join(article(i, "제목", text) for i, text in enumerate(ESCAPED)))
    assert texts(read(path)) == list(ESCAPED.values())
    written(
        path,
        *(
            record(id=str(i), title="&quot;벨&quot; AT&amp;T", text=text)
            for i, text in enumerate(ESCAPED)
        ),
    )
    articles = read(path)
    assert texts(articles) == list(ESCAPED.values()) and {entry.title for entry in articles} == {
        '"벨" AT&T'
    }
    # nobody said that they are
    assert texts(
        read(written(tmp_path / "a.jsonl", *(record(text=text) for text in ESCAPED)))
    ) == list(ESCAPED)


HEADS = {
    b'<doc id="1" url="u" title="&quot;A&quot; &amp; B">': b"&quot;A&quot; &amp; B",  # 3.0 and 3.1
    b'<doc id="1" url="u" title=""A" & B">': b'"A" & B',  # after 3.1
    b'<doc id="1" url="u" title="&quot;A&quot; &amp; B">\r': b'"A" &amp; B',  # later
    # 2, with revisions
    b'<doc id="1" revid="7" url="u" title="&quot;A&quot; &amp; B">': b"&quot;A&quot; &amp; B",
    b'<doc id="1" url="u" title=""A" & B" language="ko" revision="7">': b'"A" & B',  # of Cirrus
}


@pytest.mark.parametrize("head, title", HEADS.items())
def test_heads_of_every_version_of_wikiextractor(tmp_path, head, title):
    path = written(tmp_path / "wiki_00", head, title, b"", b"a &lt; b", b"</doc>")
    assert read(path) == [document(path, "1", "a < b", 1, url="u", title='"A" & B')]


def test_articles_that_are_not_closed_or_damaged_do_not_reach_the_next_one(tmp_path):
    path = tmp_path / "wiki_00"
    unclosed = article(1, "가", "글").replace(b"</doc>\n", b"")
    nul, garbled = article(3, "다", "a\0"), article(4, "라", "글").replace("글".encode(), b"\xff")
    # An article is of six lines, one that is not closed of five.
    path.write_bytes(
        unclosed
        + article(2, "나", "둘")
        + "밖\n".encode()
        + nul
        + garbled
        + article(5, "마", "{다섯}")
        + unclosed
    )
    assert short(read(path)) == [
        (1, "a <doc> that is not closed"),
        (6, "둘"),
        (12, "text outside of <doc>"),
        (13, "NUL in the text"),
        (19, "invalid UTF-8 at byte 5"),
        (25, "{다섯}"),
        (31, "a <doc> that is not closed"),
    ]


def test_articles_that_are_too_long_are_set_aside_as_a_whole(tmp_path):
    path = tmp_path / "wiki_00"
    path.write_bytes(
        article(1, "a", "x" * 200) + article(2, "b", "x\n" * 60) + article(3, "c", "셋")
    )
    pairs = short(read(path, max_bytes=100))
    assert pairs == [
        (4, "a line of more than 100 bytes"),
        (7, "a document of more than 100 bytes"),
        (73, "셋"),
    ]
    inside = len("b\n\n") + 60 * len("x\n") + len("\n\n")
    assert [len(texts(read(path, max_bytes=limit))) for limit in (inside - 1, inside)] == [1, 2]


def test_an_article_that_is_cut_off(tmp_path):
    data = gzip.compress(
        b"".join(article(i, f"제목 {i}", str(random.Random(i).random())) for i in range(2000))
    )
    (tmp_path / "wiki_00.gz").write_bytes(data[: len(data) // 2])
    *articles, last = read(tmp_path / "wiki_00.gz")
    assert [entry.id for entry in articles] == [str(i) for i in range(len(articles))] and len(
        articles
    ) > 500
    assert last.reason.startswith("damaged or truncated here")


def parquet(path, columns: dict, **settings):
    pyarrow.parquet.write_table(pyarrow.table(columns), path, **settings)
    return path


def test_rows_of_parquet(tmp_path):
    said = ["글", "", None, "a\0", "가" * 33 + "a", "가" * 33 + "ab"]
    columns = {
        "text": said,
        "url": list("abcdef"),
        "date": [datetime.date(2020, 1, i + 1) for i in range(6)],
        "other": list(range(6)),
    }
    path = parquet(tmp_path / "a.parquet", columns)
    rows = read(path, licence="CC0", max_bytes=100)
    assert rows[0] == document(
        path, "a.parquet:1", "글", 1, url="a", date="2020-01-01", licence="CC0"
    )
    assert short(rows[1:]) == [
        (2, "no text"),
        (3, "no string field `text`"),
        (4, "NUL in the text"),
        (5, "가" * 33 + "a"),
        (6, "a document of more than 100 bytes"),
    ]


def test_columns_of_parquet_that_are_called_otherwise_or_missing(tmp_path):
    path = parquet(tmp_path / "a.parquet", {"content": ["글", "둘"], "link": ["u", None]})
    rows = read(path, fields={"text": "content", "id": "link", "url": "link"})
    assert rows == [document(path, "u", "글", 1, url="u"), document(path, "a.parquet:2", "둘", 2)]
    for fields in ({}, {"text": "link"}, {"text": "no"}):
        assert [row.line for row in read(path, fields=fields)] == [1, 2]
    assert short(read(path)) == [(1, "no string field `text`"), (2, "no string field `text`")]


def test_a_row_of_parquet_that_is_not_utf8_is_set_aside_by_itself(tmp_path):
    said = [f"글 {i}".encode() for i in range(600)]
    said[300] = b"a\xff"
    strings = pyarrow.array(said, pyarrow.binary())
    path = parquet(
        tmp_path / "a.parquet",
        {"text": pyarrow.StringArray.from_buffers(600, *strings.buffers()[1:])},
    )
    expected = [(i + 1, text.decode("utf-8", "replace")) for i, text in enumerate(said)]
    expected[300] = (301, "invalid UTF-8 at byte 1")
    assert short(read(path)) == expected


def test_a_parquet_file_that_is_cut_off_or_none(tmp_path):
    path = parquet(tmp_path / "a.parquet", {"text": [f"글 {i}" for i in range(1000)]})
    whole = path.read_bytes()
    for data in (whole[:-100], whole[: len(whole) // 2], whole[:3], b"", b"not Parquet"):
        path.write_bytes(data)
        (last,) = read(path)
        assert last.line == 1 and last.reason.startswith("damaged Parquet")


def test_a_parquet_file_with_a_damaged_part_gives_the_rows_before_it(tmp_path):
    path = parquet(
        tmp_path / "a.parquet",
        {"text": [f"글 {i}" for i in range(1000)]},
        row_group_size=256,
        compression="zstd",
    )
    place = pyarrow.parquet.ParquetFile(path).metadata.row_group(2).column(0)
    data = bytearray(path.read_bytes())
    start = place.dictionary_page_offset or place.data_page_offset
    data[start : start + place.total_compressed_size] = bytes(place.total_compressed_size)
    path.write_bytes(data)
    *rows, last = read(path)
    assert texts(rows) == [f"글 {i}" for i in range(512)]
    assert last.line == 513 and last.reason.startswith("damaged Parquet")
