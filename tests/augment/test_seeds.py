"""Labelled texts of one's own: formats, encodings, and lines that cannot be read."""

import csv
import gzip
import unicodedata

import pytest

from hclx.augment.seeds import Seed, read_rows, read_seeds
from hclx.errors import ConfigError, DataError

ROWS = [("배우가, 좋다", "1"), ('그는 "최고"라고 했다', "1"), ("두 줄로\n쓴 평", "0")]


def write(path, text, encoding="utf-8"):
    path.write_bytes(text.encode(encoding))
    return path


def test_a_csv_file_with_quotes_commas_and_newlines(tmp_path):
    path = tmp_path / "seeds.csv"
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("text", "label"), *ROWS])
    assert read_seeds(path) == (
        Seed("1", "배우가, 좋다", "1"),
        Seed("2", '그는 "최고"라고 했다', "1"),
        Seed("3", "두 줄로 쓴 평", "0"),  # a line is what a model writes
    )


def test_a_tsv_file_has_no_quotes(tmp_path):
    path = tmp_path / "ratings.tsv.gz"
    path.write_bytes(gzip.compress('id\tdocument\tlabel\n77\t"최고\t1\n'.encode()))
    assert read_seeds(path, "document") == (Seed("77", '"최고', "1"),)


def test_json_lines_with_labels_as_numbers(tmp_path):
    text = (
        '{"text": "좋다", "label": 1, "more": {"a": 2}}\n\n{"id": 5, "text": "싫다", "label": "0"}'
    )
    path = write(tmp_path / "s.jsonl", text)
    assert read_seeds(path) == (Seed("1", "좋다", "1"), Seed("5", "싫다", "0"))


def test_texts_are_in_nfc_and_without_a_mark(tmp_path):
    text = "\ufefftext,label\n" + unicodedata.normalize("NFD", "한국 영화") + ",1\n"
    assert read_seeds(write(tmp_path / "s.csv", text))[0].text == "한국 영화"


def test_cp949_is_named_and_not_guessed(tmp_path):
    path = write(tmp_path / "s.csv", "text,label\n영화가 재미있다,1\n", "cp949")
    with pytest.raises(DataError, match=r"s\.csv:2: .*reads as CP949: give --encoding=cp949"):
        read_seeds(path)
    assert read_seeds(path, encoding="cp949") == (Seed("1", "영화가 재미있다", "1"),)
    with pytest.raises(ConfigError, match="encoding 'cp-949x' is unknown"):
        read_seeds(path, encoding="cp-949x")


@pytest.mark.parametrize(
    "name, text, message",
    [
        ("s.csv", "text,label\n좋다,1\n좋다\n", r"s\.csv:3 has 1 columns, and the head has 2"),
        ("s.csv", 'text,label\n"좋다,1\n', r"s\.csv:2 cannot be read: .*mend its quotes"),
        ("s.csv", "text,label\n좋다,1\n  ,0\n", r"s\.csv:3: text='  ' is no text"),
        ("s.csv", "text,label\n좋다,\n", r"s\.csv:2: label='' is no text"),
        ("s.csv", "말,label\n좋다,1\n", r"s\.csv:2: no column 'text'; the file has 말, label"),
        ("s.csv", "id,text,label\na,좋다,1\na,싫다,0\n", r"s\.csv:3: the id 'a' is that of .*:2"),
        ("s.csv", "text,label\n", r"s\.csv has no rows"),
        ("s.jsonl", '{"text": "좋다", "label": "1"}\n{"text"\n', r"s\.jsonl:2 is no JSON"),
        ("s.jsonl", "[1]\n", r"s\.jsonl:1 is no JSON object"),
        ("s.jsonl", '{"text": 3, "label": "1"}\n', r"s\.jsonl:1: text=3 is no text"),
        ("s.jsonl", '{"text": "좋다", "label": true}\n', r"s\.jsonl:1: label=True is no text"),
    ],
)
def test_a_line_that_cannot_be_read_is_named(tmp_path, name, text, message):
    with pytest.raises(DataError, match=message):
        read_seeds(write(tmp_path / name, text))


def test_a_file_that_is_none(tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        read_seeds(tmp_path / "none.csv")
    with pytest.raises(ConfigError, match="of no known format"):
        list(read_rows(tmp_path / "seeds.xlsx"))
