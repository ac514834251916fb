"""Batches as a server runs them, with answers by a script."""

import asyncio
import collections
import time

import pytest

from hclx.errors import StorageError
from hclx.serve.api_error import ApiError
from hclx.studio.batches import batch_runner, batch_work
from hclx.studio.batches.batch_runner import BatchConfig, BatchRunner
from hclx.studio.store import batch_records as records
from hclx.studio.store.batch_row_records import list_rows
from hclx.studio.store.people_records import create_person, remove_person
from hclx.studio.studio import Studio
from tests.studio.contents import SMALL

QUICK = BatchConfig(poll_seconds=0.01)


class Script:
    """Answers rows; `behave` is a function of the text of a row, which may raise or wait.

    Attributes:
      seconds: that an answer takes.
      asked: the texts so far; n_running: those on their way; most: of them at once.
    """

    def __init__(self, behave=lambda text: None, seconds=0.001):
        self.asked, self.seeds, self.callers, self.n_running, self.most = [], [], [], 0, 0
        self.behave, self.seconds = behave, seconds

    async def __call__(self, studio, caller, content, items, seed, route):
        (item,) = items
        self.asked.append(item["text"])
        self.seeds.append(seed)
        self.callers.append(caller)
        self.n_running += 1
        self.most = max(self.most, self.n_running)
        try:
            result = self.behave(item["text"])
            if asyncio.iscoroutine(result):
                result = await result
            await asyncio.sleep(self.seconds)
        finally:
            self.n_running -= 1
        names = ("answer", "text", "choices", "usage", "ms")
        return [{**dict.fromkeys(names), "answer": item["text"].upper(), "error": result}]


@pytest.fixture
def studio(app, database):
    return Studio(app.state.service, database, time.time)


@pytest.fixture
def hana(database):
    return create_person(database, "하나", "user", 9)


def add(studio, person, texts, content=SMALL, now=1_000.0):
    rows = [[text, "덤"] for text in texts]
    columns = ["text", "more"]
    return records.add_batch(studio.database, person.id, "후기", content, columns, rows, now).id


def run(studio, script, is_over, config=QUICK, seconds=20):
    """Runs a server's batches until a function of nothing is true, and ends it."""

    async def work():
        task = asyncio.create_task(BatchRunner(studio, config, script).run())
        end = time.monotonic() + seconds
        while not is_over():
            assert time.monotonic() < end, script.asked
            await asyncio.sleep(0.005)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(work())


def has(studio, batch_id, *states):
    return lambda: records.find_batch(studio.database, batch_id).state in states


def answers(studio, batch_id):
    rows = list_rows(studio.database, batch_id, 0, 1000)
    return [row.answer and row.answer["answer"] for row in rows]


def test_rows_are_answered_as_their_owner_a_few_at_once(studio, hana):
    texts, script = [f"a{i}" for i in range(150)], Script(seconds=0.02)
    batch_id = add(studio, hana, texts)
    run(studio, script, has(studio, batch_id, "done"))
    assert answers(studio, batch_id) == [text.upper() for text in texts]
    assert sorted(script.asked) == sorted(texts) and len(set(script.seeds)) == len(texts)
    assert script.most == QUICK.rows_of_batch
    assert {(c.key_id, c.scopes) for c in script.callers} == {
        (hana.key_id, frozenset({"inference"}))
    }


def test_batches_take_turns(studio, hana):
    script = Script(seconds=0.01)
    few = BatchConfig(rows=2, rows_of_batch=2, poll_seconds=0.01)
    ids = [add(studio, hana, [f"{name}{i}" for i in range(60)]) for name in "abc"]
    run(studio, script, lambda: all(has(studio, i, "done")() for i in ids), few)
    assert script.most == 2
    counts = collections.Counter(text[0] for text in script.asked[:90])
    assert min(counts.values()) >= 24, counts


def test_a_row_that_fails_leaves_the_others(studio, hana):
    facts = {"code": "context_length_exceeded", "message": "길다", "param": "items"}
    facts |= {"status": 400, "retry_after": None}

    def behave(text):
        if text == "b":
            raise ZeroDivisionError
        return facts if text == "c" else None

    batch_id = add(studio, hana, "abcd")
    run(studio, Script(behave), has(studio, batch_id, "done"))
    assert answers(studio, batch_id) == ["A", None, None, "D"]
    rows = list_rows(studio.database, batch_id, 0, 9)
    assert [row.error and row.error["code"] for row in rows] == [
        *(None, "internal_error", "context_length_exceeded", None)
    ]
    assert records.find_batch(studio.database, batch_id).failed == 2


def test_a_quota_that_is_used_up_lets_the_batch_wait(studio, hana):
    asked, seen = [], []

    def behave(text):
        asked.append(text)
        if len(asked) <= 6:  # the rows that are asked at once, and some of them again
            raise ApiError(429, "rate_limit_exceeded", "오늘 몫", retry_after=0.5)

    def is_over():
        batch = records.find_batch(studio.database, batch_id)
        seen.append((batch.state, batch.reason and batch.reason["code"]))
        return batch.state == "done"

    script, batch_id = Script(behave), add(studio, hana, [str(i) for i in range(10)])
    run(studio, script, is_over)
    assert ("running", "rate_limit_exceeded") in seen
    assert answers(studio, batch_id) == [str(i) for i in range(10)]
    # each of the four rows on their way asked again after the time that it was told, not before
    assert len(script.asked) <= 10 + 3 * 4
    assert records.find_batch(studio.database, batch_id).reason is None


def test_a_server_that_fails_is_asked_a_few_times(studio, hana, monkeypatch):
    monkeypatch.setattr(batch_work, "_MOST_TRIES", 2)

    def behave(text):
        if text == "b":
            raise ApiError(502, "upstream_failed", "뒤의 서버", retry_after=0.01)

    script, batch_id = Script(behave), add(studio, hana, "abc")
    run(studio, script, has(studio, batch_id, "done"))
    assert answers(studio, batch_id) == ["A", None, "C"] and script.asked.count("b") == 2


@pytest.mark.parametrize("status", [403, 404])
def test_a_batch_that_no_row_can_pass_fails_at_once(studio, hana, status):
    def behave(text):
        raise ApiError(status, "forbidden", "안 됨")

    script, batch_id = Script(behave), add(studio, hana, [str(i) for i in range(100)])
    run(studio, script, has(studio, batch_id, "failed"))
    batch = records.find_batch(studio.database, batch_id)
    assert batch.reason == {"code": "forbidden", "message": "안 됨"} and len(script.asked) <= 4
    assert batch.done == 0
    script.behave = lambda text: None
    records.resume_batch(studio.database, batch_id, hana.id)
    run(studio, script, has(studio, batch_id, "done"))


def test_the_batch_of_a_person_who_was_removed_fails(studio, hana):
    batch_id, script = add(studio, hana, "abc"), Script()
    remove_person(studio.database, hana.id, 99)
    run(studio, script, has(studio, batch_id, "failed"))
    assert script.asked == []


def test_a_batch_is_paused_resumed_and_removed_while_it_runs(studio, hana):
    slowly = lambda text: asyncio.sleep(0.02)
    script, batch_id = Script(slowly), add(studio, hana, [str(i) for i in range(40)])
    store = studio.database

    async def work():
        task = asyncio.create_task(BatchRunner(studio, QUICK, script).run())
        while len(script.asked) < 5:
            await asyncio.sleep(0.005)
        records.pause_batch(store, batch_id, hana.id)
        while records.find_batch(store, batch_id).runner is not None:
            await asyncio.sleep(0.005)
        n_asked = len(script.asked)
        assert records.find_batch(store, batch_id).done == n_asked < 40  # none is lost
        await asyncio.sleep(0.1)
        assert len(script.asked) == n_asked
        records.resume_batch(store, batch_id, hana.id)
        while len(script.asked) < n_asked + 5:
            await asyncio.sleep(0.005)
        records.remove_batch(store, batch_id, hana.id)
        await asyncio.sleep(0.1)
        n_asked = len(script.asked)
        await asyncio.sleep(0.1)
        assert len(script.asked) == n_asked < 40
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(asyncio.wait_for(work(), 20))
    assert len(set(script.asked)) == len(script.asked)


def test_a_server_that_is_started_again_goes_on(studio, hana):
    texts, script = [str(i) for i in range(60)], Script()
    batch_id = add(studio, hana, texts)
    run(studio, script, lambda: len(script.asked) >= 20)
    batch = records.find_batch(studio.database, batch_id)
    assert (batch.state, batch.runner) == ("waiting", None) and 10 < batch.done < 60
    run(studio, script, has(studio, batch_id, "done"))
    assert answers(studio, batch_id) == texts
    assert len(script.asked) <= 60 + 4  # those on their way ran again


def test_a_server_that_ends_takes_no_more_rows(studio, hana):
    script, batch_id = Script(), add(studio, hana, [str(i) for i in range(60)])
    admission = studio.service.admission

    def is_over():
        admission.is_draining = admission.is_draining or len(script.asked) >= 8
        batch = records.find_batch(studio.database, batch_id)
        return batch.state == "waiting" and batch.runner is None and batch.done > 0

    run(studio, script, is_over)
    assert records.find_batch(studio.database, batch_id).done == len(script.asked) < 60


def test_an_answer_waits_for_a_store_that_is_away(studio, hana, monkeypatch):
    failures, keep = [1, 2], batch_work.keep_row

    def keep_later(*arguments):
        if failures:
            failures.pop()
            raise StorageError("the store is away")
        return keep(*arguments)

    monkeypatch.setattr(batch_work, "keep_row", keep_later)
    monkeypatch.setattr(batch_work, "_STORE_WAIT", 0.01)
    script, batch_id = Script(), add(studio, hana, "abc")
    run(studio, script, has(studio, batch_id, "done"))
    assert sorted(script.asked) == ["a", "b", "c"] and answers(studio, batch_id) == ["A", "B", "C"]


def test_two_servers_share_the_batches_of_a_store(studio, hana, monkeypatch):
    """As those of a PostgreSQL do: the second has only just begun, and leaves the first its own."""
    monkeypatch.setattr(batch_runner, "_ALL", QUICK.silent_seconds)
    script, few = Script(), BatchConfig(batches=1, poll_seconds=0.01)
    ids = [add(studio, hana, [f"{name}{i}" for i in range(20)]) for name in "abcd"]

    async def work():
        runners = [BatchRunner(studio, few, script) for _ in range(2)]
        tasks = [asyncio.create_task(runner.run()) for runner in runners]
        while not all(has(studio, i, "done")() for i in ids):
            await asyncio.sleep(0.005)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(asyncio.wait_for(work(), 20))
    assert sorted(script.asked) == sorted(f"{name}{i}" for name in "abcd" for i in range(20))
