"""One reader for all commands: every format, compression and encoding, told by content."""

import bz2
import codecs
import dataclasses
import gzip
import json
import lzma
import random
import re
import unicodedata

import pyarrow
import pyarrow.parquet
import pytest

from hclx.errors import ConfigError, DataError
from hclx.text.documents import TRAINING, expand_globs, read_documents
from hclx.text.formats import read_records
from hclx.text.records import Document, Reading, Unreadable

SAID = ["가나다 문서 하나.", "둘째 문서\n두 줄이다."]
ZSTD = lambda data: pyarrow.compress(data, "zstd", asbytes=True)
COMPRESS = {"": bytes, ".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}


def zstd(data: bytes) -> bytes:
    with pyarrow.BufferOutputStream() as sink:
        with pyarrow.CompressedOutputStream(sink, "zstd") as stream:
            stream.write(data)
        return sink.getvalue().to_pybytes()


COMPRESS[".zst"] = zstd


def json_lines(texts=SAID) -> bytes:
    return "".join(json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in texts).encode()


def read(path, **reading) -> list[Document | Unreadable]:
    reading["fields"] = tuple(reading.get("fields", {}).items())
    with open(path, "rb") as file:
        return list(read_records(file, str(path), Reading(**reading)))


def texts(records) -> list[str]:
    return [record.text for record in records]


@pytest.mark.parametrize("ending", COMPRESS)
@pytest.mark.parametrize(
    "name", ["a.jsonl", "A.JSONL", "a.json", "b.txt", "c.parquet", "c.Parquet"]
)
def test_each_format_in_each_compression(tmp_path, name, ending):
    path = tmp_path / f"{name}{ending.upper() if name.isupper() else ending}"
    data, expected = json_lines(), SAID
    if "txt" in name:
        data, expected = f"{SAID[0]}\r\n".encode(), SAID[:1]
    if "arquet" in name:
        pyarrow.parquet.write_table(pyarrow.table({"text": SAID}), tmp_path / "plain")
        data = (tmp_path / "plain").read_bytes()
    path.write_bytes(COMPRESS[ending](data))
    assert texts(read(path)) == expected
    assert texts(read_documents(expand_globs(str(path)))) == expected


@pytest.mark.parametrize("kind", COMPRESS)
def test_compression_is_told_by_content_whatever_the_name_is(tmp_path, kind):
    for name in ("a.jsonl", "a.jsonl.gz", "a.jsonl.bz2"):
        (tmp_path / name).write_bytes(COMPRESS[kind](json_lines()))
        assert texts(read(tmp_path / name)) == SAID


@pytest.mark.parametrize("ending", [".gz", ".bz2", ".xz", ".zst"])
def test_files_that_were_joined_or_truncated(tmp_path, ending):
    path, draw = tmp_path / f"a.jsonl{ending}", random.Random(1)
    said = ["".join(chr(draw.randint(0xAC00, 0xD7A3)) for _ in range(40)) for _ in range(20_000)]
    parts = [json_lines(said[:10_000]), codecs.BOM_UTF8 + json_lines(said[10_000:])]
    data = b"".join(map(COMPRESS[ending], parts))
    path.write_bytes(data)
    assert texts(read(path)) == said
    path.write_bytes(data[: len(data) * 2 // 3])
    *documents, last = read(path)
    assert texts(documents) == said[: len(documents)] and len(documents) > 5000
    assert last.reason.startswith("damaged or truncated here") and last.line == len(documents) + 1


def test_marks_at_the_beginning_of_joined_parts_are_no_text(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(
        codecs.BOM_UTF8 + json_lines(SAID[:1]) + codecs.BOM_UTF8 + json_lines(SAID[1:])
    )
    assert texts(read(path)) == SAID
    (tmp_path / "a.txt").write_bytes(codecs.BOM_UTF8 + SAID[0].encode())
    assert texts(read(tmp_path / "a.txt")) == SAID[:1]


@pytest.mark.parametrize(
    "encoding", ["cp949", "euc-kr", "utf-16", "utf-16-le", "utf-16-be", "johab"]
)
@pytest.mark.parametrize("split", ["file", "line"])
def test_encodings(tmp_path, encoding, split):
    said = [f"{i}번째 줄, 똠방각하가 아니다".replace("똠", "도") for i in range(3000)]
    (tmp_path / "a.txt").write_bytes("\r\n".join(said).encode(encoding))
    expected = said if split == "line" else ["\r\n".join(said)]
    records = read(tmp_path / "a.txt", encoding=encoding, split=split)
    assert [text.rstrip("\r") for text in texts(records)] == expected
    data = "".join(json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in said)
    (tmp_path / "a.jsonl").write_bytes(data.encode(encoding))
    assert texts(read(tmp_path / "a.jsonl", encoding=encoding)) == said


def test_utf_16_with_a_mark_needs_no_setting(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(json_lines().decode().encode("utf-16"))
    assert texts(read(tmp_path / "a.jsonl")) == SAID


@pytest.mark.parametrize(
    "name, encoding, shown",
    [
        ("a.txt", "cp949", "CP949: write `encoding: cp949`"),
        ("a.jsonl", "cp949", "CP949: write `encoding: cp949`"),
        ("a.jsonl", "utf-16-le", "UTF-16: write `encoding: utf-16-le`"),
        ("a.txt", "utf-16-be", "UTF-16: write `encoding: utf-16-be`"),
    ],
)
def test_a_reason_says_which_encoding_it_seems_to_be(tmp_path, name, encoding, shown):
    text = json_lines().decode() if name == "a.jsonl" else "\n".join(SAID)
    (tmp_path / name).write_bytes(text.encode(encoding))
    first = read(tmp_path / name)[0]
    assert f"it reads as {shown}" in first.reason and first.is_of_file
    name_of, codec = shown.split(": write `encoding: ")
    codec = codec.rstrip("`")
    for prefix, advice in (
        ("--gin.DataConfig.", f"give --gin.DataConfig.encoding={codec}$"),
        ("--", f"give --encoding={codec}$"),
        ("", f"convert it with `iconv -f {codec.upper()} -t UTF-8 FILE`"),  # a registered mixture
    ):
        reading = dataclasses.replace(TRAINING, flags=prefix)
        with pytest.raises(DataError, match=f"{name}:1: .*it reads as {name_of}: {advice}"):
            list(read_documents([str(tmp_path / name)], reading=reading))


def test_bytes_that_are_not_of_the_named_encoding(tmp_path):
    (tmp_path / "a.txt").write_bytes(
        "가나다".encode("cp949") + b"\xff\xff\n" + "라".encode("cp949")
    )
    first, second = read(tmp_path / "a.txt", encoding="cp949", split="line")
    assert first.reason == "invalid cp949 at byte 6" and second.text == "라"
    (tmp_path / "b.txt").write_text("가나다", encoding="utf-8")
    (first,) = read(tmp_path / "b.txt", encoding="cp949")
    advice = "it reads as UTF-8: write `encoding: utf-8`, and convert files of cp949 with `iconv"
    assert advice in first.reason
    apart = unicodedata.normalize("NFD", "가나다 옛글")  # as files of macOS have it
    (tmp_path / "b.txt").write_text(apart, encoding="utf-8")
    (first,) = read(tmp_path / "b.txt", encoding="cp949")
    assert advice in first.reason and "-f cp949 -t utf-8 FILE`" in first.reason
    (tmp_path / "c.txt").write_bytes("가나다".encode()[:-1])
    (first,) = read(tmp_path / "c.txt")
    assert first.reason == "invalid UTF-8 at byte 6"  # damage, and no other encoding
    with pytest.raises(ConfigError, match="encoding 'cp9490' is unknown; the Korean ones are"):
        read(tmp_path / "a.txt", encoding="cp9490")


PRETTY = json.dumps([{"text": text} for text in SAID], ensure_ascii=False, indent=1)


@pytest.mark.parametrize(
    "content, guess",
    [
        (
            PRETTY,
            "the file looks like a JSON array; write one object a line, as `jq -c",
        ),
        (json.dumps([{"text": "가"}]), "the file looks like a JSON array"),
        ('{\n "text": "가"\n}\n', "looks like one JSON document over many lines; .*`jq -c . FILE`"),
        ('{"text": "가"},\n{"text": "나"},\n', "a comma follows the object; remove it from each"),
    ],
)
def test_a_reason_says_what_the_file_seems_to_be(tmp_path, content, guess):
    (tmp_path / "a.json").write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match=guess):
        list(read_documents([str(tmp_path / "a.json")]))


def test_a_record_without_text_names_its_fields_and_the_setting(tmp_path):
    record = {"title": "제목", "content": "긴 본문이다", "n": 3}
    (tmp_path / "a.jsonl").write_text(json.dumps(record, ensure_ascii=False), encoding="utf-8")
    (first,) = read(tmp_path / "a.jsonl")
    fields = "the record has fields title, content, n; write `fields: {text: content}`"
    assert first.reason == f"no string field `text` ({fields})"
    (first,) = read(tmp_path / "a.jsonl", fields={"text": "n"})
    assert first.reason == "no string field `n` (it is of type int)"
    table = pyarrow.table({"title": ["제목"], "content": ["본문"]})
    pyarrow.parquet.write_table(table, tmp_path / "a.parquet")
    (first,) = read(tmp_path / "a.parquet")
    assert "the record has fields title, content; write `fields: {text: content}`" in first.reason
    for name, advice in {  # training has no setting for the names of fields
        "a.jsonl": "n; rename it with `jq -c '{text: .[\"content\"]}' FILE`)",
        "a.parquet": "content; rename the column content to text)",
    }.items():
        with pytest.raises(DataError, match=re.escape(advice)):
            list(read_documents([str(tmp_path / name)]))


NAMED = {"key": "k", "본문": "글이다", "note": "긴 설명이 여기에 있다"}
UNNAMED = {"key": "기사-1", "tag": "a", "said": "긴 글이 여기에 있다"}


@pytest.mark.parametrize(("record", "field"), [(NAMED, "본문"), (UNNAMED, "said")])
@pytest.mark.parametrize("kind", ["string", "large_binary", "dictionary"])
def test_the_advice_names_the_field_that_holds_the_text(record, field, kind, tmp_path):
    (tmp_path / "a.jsonl").write_text(json.dumps(record, ensure_ascii=False), encoding="utf-8")
    columns = {"image": pyarrow.array([b"\xff" * 200] * 3)}  # bytes that are no text
    for name, value in record.items():
        values = pyarrow.array(["a" * 20 if name == "key" else "", value, value * 3])
        is_dictionary = kind == "dictionary"
        columns[name] = values.dictionary_encode() if is_dictionary else values.cast(kind)
    pyarrow.parquet.write_table(pyarrow.table(columns), tmp_path / "a.parquet")
    for name in ("a.jsonl", "a.parquet"):
        assert f"; write `fields: {{text: {field}}}`)" in read(tmp_path / name)[0].reason
    with pytest.raises(DataError) as error:
        list(read_documents([str(tmp_path / "a.parquet")]))
    assert str(error.value).endswith(f"; rename the column {field} to text)")  # and no word of JSON


@pytest.mark.parametrize("kind", ["string", "binary", "large_binary", "dictionary"])
def test_columns_of_text_of_every_type(tmp_path, kind):
    column = pyarrow.array(SAID)
    column = column.dictionary_encode() if kind == "dictionary" else column.cast(kind)
    pyarrow.parquet.write_table(pyarrow.table({"text": column}), tmp_path / "a.parquet")
    assert texts(read(tmp_path / "a.parquet")) == SAID


def test_errors_of_the_disk_are_no_damage(tmp_path):
    class Failing:
        def peek(self, n):
            return b'{"text": '

        def readline(self, n=-1):
            raise OSError(5, "Input/output error")

    with pytest.raises(OSError, match="Input/output"):
        list(read_records(Failing(), "a.jsonl"))


def test_blank_lines_of_blogs_divide_documents(tmp_path):
    (tmp_path / "a.txt").write_text("가\n나\n\u200b\n다\n \u3164 \n라\n", encoding="utf-8")
    assert texts(read(tmp_path / "a.txt", split="blank_line")) == ["가\n나", "다", "라"]


@pytest.mark.parametrize("encoding", ["utf-8", "cp949"])
@pytest.mark.parametrize("name", ["a.txt", "a.jsonl"])
def test_a_mark_of_utf_16_names_the_encoding_whatever_is_set(encoding, name, tmp_path):
    content = "첫 줄이다.\n둘째줄이다.\n"
    content = json.dumps({"text": content}) if name == "a.jsonl" else content
    (tmp_path / name).write_bytes(content.encode("utf-16"))
    first = read(tmp_path / name, encoding=encoding)[0]
    assert ", it reads as UTF-16: write `encoding: utf-16`" in first.reason
    assert texts(read(tmp_path / name, encoding="utf-16"))[0].startswith("첫 줄이다.\n둘째")


@pytest.mark.parametrize("byte_order", ["utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_utf_16_is_read_with_a_mark_and_without(byte_order, mark, tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(f"{mark}첫 줄이다.\n둘째 줄이다.\n".encode(byte_order))
    reading = Reading(encoding="utf-16")
    with path.open("rb") as file:
        (document,) = read_records(file, str(path), reading)
    assert document.text == "첫 줄이다.\n둘째 줄이다."
