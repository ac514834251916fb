"""Reading raw documents: every format, and file and line of what cannot be read."""

import gzip
import json
import unicodedata
from collections import Counter

import pytest

from hclx.errors import ConfigError, DataError
from hclx.text.documents import (
    Document,
    Unreadable,
    composed,
    expand_globs,
    read_documents,
    read_file,
)


def lines(*records) -> bytes:
    return "".join(json.dumps(r, ensure_ascii=False) + "\n" for r in records).encode()


def test_every_format(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(lines({"text": "하나"}, {"text": "둘", "source": "x"}))
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(lines({"text": "셋"})))
    (tmp_path / "c.txt").write_text("넷\n다섯\n")
    (tmp_path / "d.txt.gz").write_bytes(gzip.compress("여섯".encode()))
    documents = list(
        read_documents(expand_globs(f"{tmp_path}/*.jsonl*,{tmp_path}/*.txt*,{tmp_path}/a.jsonl"))
    )
    assert [d.text for d in documents] == ["하나", "둘", "셋", "넷\n다섯", "여섯"]
    assert (documents[1].path, documents[1].line) == (str(tmp_path / "a.jsonl"), 2)


def test_text_is_composed_and_its_bytes_stay_where_it_is(tmp_path):
    text = "한글 é 〈문서〉\n둘째 줄 \u1100"
    apart = unicodedata.normalize("NFD", text)
    (tmp_path / "a.txt").write_text(apart)
    (tmp_path / "b.jsonl").write_bytes(lines({"text": apart}, {"text": text}))
    (tmp_path / "c.txt").write_text(text)
    read = [d.text for d in read_documents(expand_globs(str(tmp_path)))]
    assert apart != text and read == [text] * 4
    assert composed(text) is text and composed(apart) == text


def test_blank_lines_pass_and_empty_texts_are_counted(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(b"\n" + lines({"text": ""}, {"text": "글"}) + b"\n  \n")
    counts = Counter()
    assert [d.line for d in read_documents([str(tmp_path / "a.jsonl")], counts=counts)] == [3]
    size = (tmp_path / "a.jsonl").stat().st_size - len(b"\n  \n")  # up to the last document
    assert counts == {"documents": 1, "empty": 1, "file_bytes": size}


@pytest.mark.parametrize(
    "content, message",
    [
        (lines({"text": "가"}, {"body": "나"}), r"a\.jsonl:2: no string field `text`"),
        (lines({"text": "가"}) + b"[1]\n", r"a\.jsonl:2: not a JSON object; .*`text`"),
        (lines({"text": 3}), r"a\.jsonl:1: no string field"),
        (lines({"text": "가"}) + b'{"text": "\n', r"a\.jsonl:2: not JSON"),
        (
            lines({"text": "가"}) + b'{"text": "\xff"}\n',
            r"a\.jsonl:2: invalid UTF-8 at byte 10; mend the file$",
        ),
    ],
)
def test_file_and_line_of_what_cannot_be_read(tmp_path, content, message):
    (tmp_path / "a.jsonl").write_bytes(content)
    with pytest.raises(DataError, match=message):
        list(read_documents([str(tmp_path / "a.jsonl")]))


def test_a_policy_on_top_may_read_past_what_cannot_be_read(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(
        lines({"text": "가"}) + b"[1]\n\n" + lines({"text": "나"}) + b'{"text": "\xff"}'
    )
    with path.open("rb") as file:
        records = list(read_file(file, str(path)))
    assert records == [
        Document("가", str(path), 1, "a.jsonl:1"),
        Unreadable(2, "not a JSON object", "[1]\n"),
        Document("나", str(path), 4, "a.jsonl:4"),
        Unreadable(5, "invalid UTF-8 at byte 10", '{"text": "\ufffd"}'),
    ]
    assert all(record.advice for record in records if isinstance(record, Unreadable))
    with path.open("rb") as file:
        *_, last = read_file(file, str(path), "replace")
    assert last == Document("\ufffd", str(path), 5, "a.jsonl:5", replaced=True)


def test_invalid_utf8_is_replaced_and_counted_where_that_is_asked_for(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(b'{"text": "\xea\xb0 x"}\n' + lines({"text": "가"}))
    counts = Counter()
    assert [d.text for d in read_documents([str(tmp_path / "a.jsonl")], "replace", counts)] == [
        "\ufffd x",
        "가",
    ]
    size = (tmp_path / "a.jsonl").stat().st_size
    assert counts == {"documents": 2, "invalid_utf8": 1, "file_bytes": size}


def test_a_gzip_file_that_is_cut_off(tmp_path):
    data = gzip.compress(lines(*({"text": f"문서 {i}"} for i in range(5000))))
    (tmp_path / "a.jsonl.gz").write_bytes(data[: len(data) // 2])
    with pytest.raises(
        DataError, match=r"a\.jsonl\.gz:\d+: damaged or truncated here .*; get the file again"
    ):
        list(read_documents([str(tmp_path / "a.jsonl.gz")]))


def test_globs_that_match_nothing_or_files_of_another_kind(tmp_path):
    with pytest.raises(DataError, match="matches no file"):
        expand_globs(str(tmp_path / "*.jsonl"))
    with pytest.raises(ConfigError, match="no input"):
        expand_globs(" , ")
    (tmp_path / "a.csv").write_text("x")
    with pytest.raises(ConfigError, match="is none of"):
        expand_globs(str(tmp_path / "*"))
