"""Batches in both stores: claimed once, answered once."""

import threading

import pytest

from hclx.serve.store.database import open_database
from hclx.studio.store import batch_records as records
from hclx.studio.store.batch_row_records import keep_row, list_rows, next_rows
from hclx.studio.store.studio_errors import ConflictError, NotThereError
from tests.studio.contents import SMALL

NOW, SILENCE = 1_000_000.0, 30.0
ROWS = [["맛있어요"], ["=1+1"], ["\0 null"]]


def add(database, owner, name="후기", rows=ROWS, now=NOW):
    return records.add_batch(database, owner, name, SMALL, ["text"], rows, now)


def claim(database, runner, now=NOW, most=10):
    return [b.id for b in records.claim_batches(database, runner, now, SILENCE, most)]


def answer_all(database, batch_id, runner):
    for row in next_rows(database, batch_id, 0, 100):
        assert keep_row(database, batch_id, runner, row.number, {"answer": str(row.number)})


def test_a_batch_is_seen_by_its_owner_and_by_administrators(database, hana, duri):
    batch = add(database, hana)
    assert records.find_batch(database, batch.id, hana) == batch
    assert records.find_batch(database, batch.id) == batch
    for function in (records.find_batch, records.pause_batch, records.remove_batch):
        with pytest.raises(NotThereError):
            function(database, batch.id, duri)
    other = add(database, duri, now=NOW + 1)
    assert [b.id for b in records.list_batches(database, None)] == [other.id, batch.id]
    assert [b.id for b in records.list_batches(database, hana)] == [batch.id]
    assert [row.fields for row in list_rows(database, batch.id, 0, 9)] == [*map(tuple, ROWS)]


def test_a_person_has_a_bounded_number_of_batches(database, hana, duri, monkeypatch):
    monkeypatch.setattr(records, "MOST_BATCHES", 2)
    for _ in range(2):
        add(database, hana)
    with pytest.raises(ConflictError, match="2 of your own"):
        add(database, hana)
    add(database, duri)


def test_servers_claim_batches_once_and_those_of_servers_that_are_gone(database, hana):
    first, second = add(database, hana), add(database, hana, now=NOW + 1)
    assert claim(database, "a", most=1) == [first.id]
    assert claim(database, "b") == [second.id]
    assert claim(database, "a", NOW + 40) == [second.id]  # and not its own ones
    assert records.beat_batches(database, "b", NOW + 50) == {}
    assert records.beat_batches(database, "a", NOW + 50) == dict.fromkeys(
        [first.id, second.id], "running"
    )
    assert claim(database, "b", NOW + 70) == []


def test_a_row_is_answered_once_and_by_the_server_that_has_the_batch(database, hana):
    batch = add(database, hana)
    assert not keep_row(database, batch.id, "a", 0, {"answer": "아무의 것도 아님"})
    claim(database, "a")
    assert keep_row(database, batch.id, "a", 0, {"answer": "하나"})
    assert not keep_row(database, batch.id, "a", 0, {"answer": "둘"})
    claim(database, "b", NOW + 31)
    assert not keep_row(database, batch.id, "a", 1, {"answer": "늦음"})
    assert keep_row(database, batch.id, "b", 1, error={"code": "x", "message": "왜"})
    rows = list_rows(database, batch.id, 0, 9)
    assert [row.answer for row in rows] == [{"answer": "하나"}, None, None]
    assert rows[1].error == {"code": "x", "message": "왜"}
    assert [row.number for row in next_rows(database, batch.id, 0, 9)] == [2]
    known = records.find_batch(database, batch.id)
    assert (known.done, known.failed, known.state) == (2, 1, "running")


def test_a_batch_ends_when_its_rows_have_and_else_waits_again(database, hana):
    batch = add(database, hana)
    claim(database, "a")
    records.end_batch(database, batch.id, "a", NOW)
    assert records.find_batch(database, batch.id).state == "waiting"
    claim(database, "b")
    answer_all(database, batch.id, "b")
    records.end_batch(database, batch.id, "a", NOW)  # which has it no more
    assert records.find_batch(database, batch.id).state == "running"
    records.end_batch(database, batch.id, "b", NOW + 5)
    ended = records.find_batch(database, batch.id)
    assert (ended.state, ended.ended, ended.runner, ended.done) == ("done", NOW + 5, None, 3)
    for function in (records.pause_batch, records.resume_batch):
        with pytest.raises(ConflictError, match="done"):
            function(database, batch.id, hana)


def test_a_batch_that_is_paused_is_given_back_and_goes_on(database, hana):
    batch = add(database, hana)
    claim(database, "a")
    assert records.pause_batch(database, batch.id, hana).state == "paused"
    assert records.beat_batches(database, "a", NOW) == {batch.id: "paused"}
    assert keep_row(database, batch.id, "a", 0, {"answer": "운이 좋음"})  # it was on its way
    records.end_batch(database, batch.id, "a", NOW)
    assert claim(database, "a") == []
    assert records.resume_batch(database, batch.id, hana).state == "waiting"
    with pytest.raises(ConflictError, match="waiting"):
        records.resume_batch(database, batch.id, hana)
    assert claim(database, "a") == [batch.id]
    records.pause_batch(database, batch.id, hana)
    assert records.resume_batch(database, batch.id, hana).state == "running"  # a still has it
    assert claim(database, "b") == []


def test_rows_that_failed_run_again_when_the_batch_is_resumed(database, hana):
    batch = add(database, hana)
    claim(database, "a")
    keep_row(database, batch.id, "a", 1, error={"code": "x", "message": "왜"})
    answer_all(database, batch.id, "a")
    records.end_batch(database, batch.id, "a", NOW)
    resumed = records.resume_batch(database, batch.id, hana)
    assert (resumed.state, resumed.done, resumed.failed, resumed.ended) == ("waiting", 2, 0, None)
    assert [row.number for row in next_rows(database, batch.id, 0, 9)] == [1]


def test_a_batch_that_cannot_go_on_says_why(database, hana):
    batch = add(database, hana)
    claim(database, "a")
    reason = {"code": "rate_limit_exceeded", "message": "오늘 몫을 다 썼다"}
    records.explain_batch(database, batch.id, "b", reason)
    assert records.find_batch(database, batch.id).reason is None
    records.explain_batch(database, batch.id, "a", reason)
    assert records.find_batch(database, batch.id).reason == reason
    records.fail_batch(database, batch.id, "a", NOW, reason)
    assert records.find_batch(database, batch.id).state == "failed"
    assert records.resume_batch(database, batch.id, hana).reason is None


def test_a_batch_is_removed_while_it_runs(database, hana):
    batch = add(database, hana)
    claim(database, "a")
    records.remove_batch(database, batch.id, hana)
    assert not keep_row(database, batch.id, "a", 0, {"answer": "늦음"})
    assert records.beat_batches(database, "a", NOW) == {}
    assert list_rows(database, batch.id, 0, 9) == []


def test_many_servers_at_once_claim_each_batch_once(url, database, hana):
    ids = {add(database, hana, name=str(i)).id for i in range(12)}
    claimed, start = [], threading.Barrier(6)

    def serve(name):
        with open_database(url) as own:
            start.wait()
            for _ in range(6):
                claimed.extend(claim(own, name, most=1))

    threads = [threading.Thread(target=serve, args=(str(i),)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(claimed) == sorted(ids)
