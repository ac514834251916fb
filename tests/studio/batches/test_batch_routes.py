"""Routes of batches, over a server that runs them."""

import csv
import io
import json
import time
import unicodedata

import pytest

from hclx.serve.store.key_records import change_limits
from hclx.studio import large_body
from hclx.studio.batches import batch_files, batch_routes
from hclx.studio.store.batch_records import BatchRecord
from hclx.studio.store.batch_row_records import BatchRow
from tests.helpers.studio import API
from tests.studio.contents import SMALL

CHOICES = {
    "schema": "hclx.studio/1",
    "document": {
        "schema": "hclx.prompt/1",
        "name": "감정",
        "input": "{말}:",
        "answer": "{answer}",
        "choices": ["+", "-"],
    },
}
ROWS = [["가"], ["=1+1"], ["나" * 40], ["다"]]  # the third is longer than the model reads


def create(client, rows=ROWS, content=CHOICES, columns=("말",), name="칠월 후기"):
    body = {"name": name, "content": content, "columns": list(columns), "rows": rows}
    return client.post(f"{API}/batches", json=body)


def ended(client, batch_id, seconds=30):
    end = time.monotonic() + seconds
    while (batch := client.get(f"{API}/batches/{batch_id}").json())["state"] != "done":
        assert time.monotonic() < end, batch
        time.sleep(0.05)
    return batch


def test_a_batch_from_rows_to_files(login_as):
    maker = login_as("maker")
    made = create(maker)
    assert made.status_code == 201, made.text
    assert made.json()["state"] == "waiting" and made.json()["total"] == 4
    batch = ended(maker, made.json()["id"])
    assert (batch["done"], batch["failed"], batch["columns"]) == (4, 1, ["말"])
    assert batch["content"] == CHOICES and batch["ended"] and "runner" not in batch
    assert [b["id"] for b in maker.get(f"{API}/batches").json()["data"]] == [batch["id"]]

    path = f"{API}/batches/{batch['id']}"
    page = maker.get(f"{path}/rows?from=1&count=2").json()
    assert [row["number"] for row in page["data"]] == [1, 2] and page["total"] == 4
    assert page["data"][0]["fields"] == {"말": "=1+1"}
    assert page["data"][0]["answer"] in ("+", "-") and page["data"][0]["usage"]["prompt_tokens"]
    assert page["data"][1]["error"]["code"] == "context_length_exceeded"

    lines = maker.get(f"{path}/result?format=jsonl").text.split("\n")
    rows = [json.loads(line) for line in lines[:-1]]
    assert rows[1:3] == page["data"] and [row["fields"]["말"] for row in rows] == [
        row[0] for row in ROWS
    ]
    answer = maker.get(f"{path}/result")
    assert answer.content.startswith(b"\xef\xbb\xbf")
    assert "attachment; filename*=UTF-8''%EC%B9%A0" in answer.headers["content-disposition"]
    head, *table = csv.reader(io.StringIO(answer.content.decode("utf-8-sig")))
    assert head == ["말", "answer", "text", "probability", "error"]
    assert table[1][0] == "'=1+1" and table[1][1] == "'" + rows[1]["answer"]
    assert float(table[0][3]) == pytest.approx(max(rows[0]["choices"].values()), abs=1e-4)
    assert table[2][1] == "" and "tokens" in table[2][4]

    assert maker.post(f"{path}/pause").status_code == 409
    assert maker.post(f"{path}/resume").json()["state"] == "waiting"  # the row that failed
    assert ended(maker, batch["id"])["failed"] == 1
    assert maker.delete(path).json()["deleted"] and maker.get(path).status_code == 404


def test_a_batch_waits_for_the_quota_of_its_owner(login_as, database):
    user = login_as("user")
    change_limits(database, user.person.key_id, {"requests_per_day": 2})
    batch_id = create(user, [[text] for text in "가나다라"]).json()["id"]
    end = time.monotonic() + 30
    while (batch := user.get(f"{API}/batches/{batch_id}").json())["done"] < 2 or not batch[
        "reason"
    ]:
        assert time.monotonic() < end
        time.sleep(0.05)
    assert batch["state"] == "running" and batch["done"] == 2
    assert batch["reason"]["code"] == "rate_limit_exceeded"
    change_limits(database, user.person.key_id, {"requests_per_day": 0})
    assert user.post(f"{API}/batches/{batch_id}/pause").json()["reason"] is None
    while user.post(f"{API}/batches/{batch_id}/resume").json()["state"] != "waiting":
        user.post(f"{API}/batches/{batch_id}/pause")  # its server has it still
        time.sleep(0.2)
    assert ended(user, batch_id)["failed"] == 0


def test_others_do_not_see_a_batch_and_administrators_do(login_as):
    maker, other, admin = login_as("maker"), login_as("user"), login_as("admin")
    path = f"{API}/batches/{create(maker).json()['id']}"
    for method, place in (
        *(("GET", path), ("DELETE", path), ("POST", f"{path}/pause"), ("POST", f"{path}/resume")),
        *(("GET", f"{path}/rows"), ("GET", f"{path}/result")),
    ):
        assert other.request(method, place).status_code == 404, (method, place)
    assert other.get(f"{API}/batches").json()["data"] == []
    assert (
        admin.get(path).status_code == 200 and len(admin.get(f"{API}/batches").json()["data"]) == 1
    )


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"rows": [["가", "나"]]}, "rows"),
        ({"rows": []}, "rows"),
        ({"rows": [[1]]}, "rows"),
        ({"columns": ["말", "말"], "rows": [["가", "나"]]}, "columns"),
        ({"columns": ["글"]}, "columns"),
        ({"name": "줄\n바꿈"}, "name"),
        ({"content": {"schema": "hclx.studio/1", "document": {}}}, "content.document"),
        ({"content": {**SMALL, "model": "없음"}, "columns": ["text"]}, "model"),
    ],
)
def test_what_cannot_run_is_refused(login_as, changes, param):
    answer = create(login_as("maker"), **changes)
    assert answer.status_code in (400, 404), answer.text
    assert answer.json()["error"]["param"].startswith(param), answer.text
    assert login_as("admin").get(f"{API}/batches").json()["data"] == []


def test_names_of_columns_are_compared_as_slots_are(login_as):
    answer = create(login_as("maker"), columns=[unicodedata.normalize("NFD", "말")])
    assert answer.status_code == 201 and answer.json()["columns"] == ["말"]


def test_rows_beyond_the_limit_of_other_bodies_are_taken(login_as, monkeypatch):
    maker = login_as("maker")
    rows = [["가" * 300]] * 6_000  # 5.6 MB
    assert create(maker, rows).status_code == 201
    monkeypatch.setattr(large_body, "MOST_BYTES", 10_000)
    assert create(maker, rows).status_code == 413
    monkeypatch.undo()
    assert create(maker, [["가"]] * (batch_routes.MOST_ROWS + 1)).status_code == 400


@pytest.mark.parametrize("query", ["from=-1", "count=0", "count=1001", "from=x", "from=²"])
def test_numbers_of_rows_are_checked(login_as, query):
    maker = login_as("maker")
    path = f"{API}/batches/{create(maker).json()['id']}"
    assert maker.get(f"{path}/rows?{query}").status_code == 400
    assert maker.get(f"{path}/result?format=exe").status_code == 400


@pytest.mark.parametrize("begin", ["=", "+", "-", "@", "\t", "\r", "＝"])
def test_no_cell_begins_a_formula(begin):
    columns = (f"{begin}이름", "answer")
    record = BatchRecord("ba-1", "pe-1", "이름", SMALL, columns, 1, 0)
    answer = {"answer": f"{begin}cmd", "text": f"{begin}text", "choices": None}
    rows = [
        BatchRow(0, (f"{begin}1", "-"), answer),
        BatchRow(1, ("", 'a"b,c\n=d'), error={"code": "x", "message": f"{begin}m"}),
        BatchRow(2, ("끝", "")),
    ]
    text = batch_files.csv_head(record) + batch_files.csv_of(record, rows)
    table = list(csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline="")))
    assert table[0] == [f"'{begin}이름", "answer", "answer_", "text", "probability", "error"]
    assert table[1] == [f"'{begin}1", "'-", f"'{begin}cmd", f"'{begin}text", "", ""]
    assert table[2] == ["", 'a"b,c\n=d', "", "", "", f"'{begin}m"] and table[3][0] == "끝"
    assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r")) for r in table for cell in r)
    facts = [json.loads(line) for line in batch_files.jsonl_of(record, rows).splitlines()]
    assert facts[0]["fields"] == {f"{begin}이름": f"{begin}1", "answer": "-"}  # exactly
