"""Tables, and files of tables, over HTTP."""

import csv
import io
import json

import pytest

from tests.helpers.studio import API
from tests.helpers.threads import at_once

TABLES, READ = f"{API}/tables", f"{API}/read_file"
COLUMNS = ["text", "감정"]
ROWS = [['국물이, "진해요"\n최고', "긍정"], ["=1+1 <b>", "부정\t\u0000"]]


@pytest.fixture
def maker(login_as):
    return login_as("maker")


def made(client, rows=ROWS, columns=COLUMNS, name="후기"):
    return client.post(TABLES, json={"name": name, "columns": columns, "rows": rows})


def read(client, content, name="a.csv", encoding=""):
    return client.post(READ, params={"name": name, "encoding": encoding}, content=content)


def csv_of(rows):
    file = io.StringIO(newline="")
    csv.writer(file).writerows(rows)
    return file.getvalue()


def test_a_table_is_kept_changed_and_removed(maker):
    head = made(maker).json()
    path = f"{TABLES}/{head['id']}"
    table = maker.get(path).json()
    assert (table["columns"], table["rows"], table["revision"]) == (COLUMNS, ROWS, 1)
    assert {**head, "rows": ROWS} == table and maker.get(TABLES).json() == {"data": [head]}
    body = {"name": "새 이름", "columns": ["a"], "rows": [], "revision": 1}
    assert maker.put(path, json=body).json() == {"revision": 2}
    refused = maker.put(path, json=body)
    assert refused.status_code == 409 and refused.json()["error"]["code"] == "conflict"
    assert refused.json()["current"] == maker.get(path).json()
    assert (refused.json()["current"]["name"], refused.json()["current"]["rows"]) == ("새 이름", [])
    assert maker.delete(path).json()["deleted"]
    assert maker.get(path).status_code == 404 == maker.delete(path).status_code


def test_of_two_tabs_at_once_one_writes(maker):
    table = made(maker).json()
    body = {"columns": COLUMNS, "rows": ROWS, "revision": 1}
    put = lambda name: maker.put(f"{TABLES}/{table['id']}", json={**body, "name": name})
    answers = at_once([lambda n=name: put(n) for name in "abc"])
    assert sorted(answer.status_code for answer in answers) == [200, 409, 409]


def test_others_see_nothing_and_administrators_all(maker, login_as, studio_client, nobody):
    table = made(maker).json()
    body = {"name": "x", "columns": COLUMNS, "rows": ROWS, "revision": 1}
    other = login_as("maker")
    for method, own in (("GET", None), ("PUT", body), ("DELETE", None)):
        path = f"{TABLES}/{table['id']}"
        assert other.request(method, path, json=own).status_code == 404
        assert nobody.request(method, path, json=own).status_code == 401
    assert other.get(TABLES).json() == {"data": []}
    assert nobody.get(TABLES).status_code == 401 == read(nobody, b"a\n1").status_code
    assert studio_client.get(f"{TABLES}/{table['id']}").json()["rows"] == ROWS


def test_what_is_no_table_is_refused(maker):
    for columns, rows, field in (
        ([], [], "columns"),
        (["a", "a"], [], "columns"),
        (["a" * 201], [], "columns"),
        (["a"] * 201, [], "columns"),
        (["a"], [["1", "2"]], "rows"),
        (["a"], [["1"], []], "rows"),
        (["a"], [[1]], "rows"),
        (["a"], [["1"]] * 20_001, "rows"),
    ):
        answer = made(maker, rows, columns)
        assert answer.status_code == 400, answer.text[:200]
        assert answer.json()["error"]["param"].partition("[")[0] == field
    assert made(maker, name="a\u0000").json()["error"]["param"] == "name"
    half = b'{"name": "x", "columns": ["a"], "rows": [["\\ud800"]]}'
    assert maker.post(TABLES, content=half).status_code == 400
    assert maker.get(TABLES).json() == {"data": []}


def test_twenty_thousand_rows_are_a_table_and_sixteen_megabytes_are_the_most(maker):
    rows = [[f"{number} " + "가" * 100] for number in range(20_000)]
    answer = made(maker, rows, ["text"])
    assert answer.status_code == 201, answer.text
    assert maker.get(f"{TABLES}/{answer.json()['id']}").json()["rows"] == rows
    assert made(maker, [["a" * 2**24]], ["text"]).status_code == 413
    assert read(maker, b"a\n" + b"1" * 2**24).status_code == 413


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp949", "euc-kr", "utf-16"])
def test_the_encoding_of_a_file_is_told_by_its_content(maker, encoding):
    rows = [["후기", "감정"], ['국물이, "진해요"\n최고', "긍정"], ["=SUM(A1)", "부정"]]
    answer = read(maker, csv_of(rows).encode(encoding)).json()
    assert [answer["columns"], *answer["rows"]] == rows
    told = {"utf-8-sig": "utf-8", "euc-kr": "cp949"}.get(encoding, encoding)
    assert answer["encoding"] == told


def test_a_file_whose_hangul_comes_late_is_told_too(maker):
    rows = [["id", "text"], *([str(number), "no hangul"] for number in range(5_000))]
    rows.append(["5001", "똠방각하는 마지막 줄에"])
    content = csv_of(rows).encode("cp949")
    assert b"no hangul" in content[:30_000] and content[:30_000].isascii()
    answer = read(maker, content).json()
    assert answer["encoding"] == "cp949" and answer["rows"][-1] == rows[-1]


def test_an_encoding_that_is_given_is_used(maker):
    content = csv_of([["가"], ["나다라"]]).encode("johab")
    assert read(maker, content, encoding="johab").json()["rows"] == [["나다라"]]
    refused = read(maker, content, encoding="rot13")
    assert refused.json()["error"]["param"] == "encoding" and "cp949" in refused.text
    wrong = read(maker, "가\n나".encode(), encoding="utf-16")
    assert wrong.status_code == 400


def test_files_with_tabs_and_of_json_lines_are_read(maker):
    answer = read(maker, "a\tb\n1\t2,3\n".encode(), "A.TSV").json()
    assert (answer["columns"], answer["rows"]) == (["a", "b"], [["1", "2,3"]])
    lines = [{"a": "가", "n": 1.5}, {"b": [1, "나"], "a": None}, {"a": True}]
    content = "\n".join(json.dumps(line, ensure_ascii=False) for line in lines)
    answer = read(maker, b"\xef\xbb\xbf" + content.encode(), "a.jsonl").json()
    assert answer["columns"] == ["a", "n", "b"]
    assert answer["rows"] == [["가", "1.5", ""], ["", "", '[1, "나"]'], ["true", "", ""]]


def test_names_of_columns_are_put_into_nfc(maker):
    assert read(maker, "\u1112\u116e\u1100\u1175\n1\n".encode()).json()["columns"] == ["후기"]


@pytest.mark.parametrize(
    "name, content, words",
    [
        ("a.txt", b"a\n1", "a.txt"),
        ("", b"a\n1", "name"),
        ("../a.csv", b"a\n1", "name"),
        ("a\n.csv", b"a\n1", "name"),
        ("a.csv", b"", "no rows"),
        ("a.csv", b"a,b\n", "no rows"),
        ("a.csv", b"a,b\n1,2\n3\n", "a.csv:3"),
        ("a.csv", b"a,a\n1,2\n", "two columns"),
        ("a.csv", b'a\n"1', "a.csv:2"),
        ("a.csv", b"a\n\xff\xff\xff\n", "a.csv:2"),
        ("a.csv", b"a\n" + b"1\n" * 20_001, "20,000"),
        ("a.jsonl", b'{"a": 1}\n[1]\n', "a.jsonl:2"),
        ("a.jsonl", b'{"a": "\\ud800"}\n', "rows[0]"),
        ("a.jsonl", b'{"\\ud800": 1}\n', "half of a character"),
        ("a.jsonl", b"[" * 100_000, "a.jsonl:1"),
        (
            "a.jsonl",
            b"\n".join(b'{"%d": 1}' % number for number in range(5_000)),
            "columns: there are 5,000",
        ),
    ],
)
def test_a_file_that_is_no_table_is_refused_with_its_place(maker, name, content, words):
    answer = read(maker, content, name)
    assert answer.status_code == 400, answer.text
    assert words in answer.json()["error"]["message"]


def test_a_compressed_body_is_refused(maker):
    headers = {"Content-Encoding": "gzip"}
    answer = maker.post(READ, params={"name": "a.csv"}, content=b"a\n1", headers=headers)
    assert answer.status_code == 415
