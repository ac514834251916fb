"""Quotas: an oracle that keeps all requests in a list, borders of windows, expiry, many threads
and processes, and processes that are killed.
"""

import dataclasses
import math
import random
import signal
import subprocess
import sys
import threading

import pytest
import sqlalchemy as sa

from hclx.serve.api_error import ApiError
from hclx.serve.caller import Ended, Usage
from hclx.serve.store.database import open_database
from hclx.serve.store.key_records import Limits, create_key, list_keys, revoke_key
from hclx.serve.store.key_store import KeyStore
from hclx.serve.store.quotas import lock_key
from hclx.serve.store.tables import quota_windows, reservations, usage
from hclx.serve.store.usage_store import usage_by_day
from tests.helpers.commands import environment

DAY = 86_400
MIDNIGHT = 20_000 * DAY  # of a day
LONG_AGO = -(10**9)


class Clock:
    """Tells the time that it is set to."""

    def __init__(self, now):
        self.now = now

    def __call__(self):
        return self.now


def store_of(database, now=MIDNIGHT, seconds=600, **limits):
    clock = Clock(now)
    store = KeyStore(database, seconds, clock)
    secret, _ = create_key(database, "a key", now - 10, limits=Limits(**limits))
    return store, store.authenticate(secret), clock


def refusal(store, caller, tokens):
    with pytest.raises(ApiError) as error:
        store.admit(caller, tokens)
    return error.value


def test_requests_of_a_minute_are_free_again_at_its_end(database):
    store, caller, clock = store_of(database, MIDNIGHT + 59.5, requests_per_minute=2)
    store.admit(caller, 5)
    store.admit(caller, 5)
    refused = refusal(store, caller, 5)
    assert (refused.status, refused.code, refused.retry_after) == (429, "rate_limit_exceeded", 1)
    assert "all 2 requests of this minute" in refused.message
    clock.now = MIDNIGHT + 59.999
    assert refusal(store, caller, 5).retry_after == 1
    clock.now = MIDNIGHT + 60
    store.admit(caller, 5)
    store.admit(caller, 5)
    assert refusal(store, caller, 5).retry_after == 60


def test_a_day_ends_at_midnight_in_utc_and_the_longer_wait_is_told(database):
    store, caller, clock = store_of(
        database, MIDNIGHT - 90.25, requests_per_day=1, requests_per_minute=1
    )
    store.admit(caller, 0)
    refused = refusal(store, caller, 0)
    assert refused.retry_after == 91 and "of this day" in refused.message
    clock.now = MIDNIGHT - 0.001
    assert refusal(store, caller, 0).retry_after == 1
    clock.now = MIDNIGHT
    store.admit(caller, 0)


def test_tokens_are_reserved_by_cost_and_settled_by_use(database):
    store, caller, _ = store_of(database, tokens_per_minute=100)
    first = store.admit(caller, 70)
    assert "70 of the 100 tokens of this minute, and the request may take 31" in (
        refusal(store, caller, 31).message
    )
    store.record(caller, Ended(Usage(12, 8)), first)
    store.admit(caller, 80)
    assert refusal(store, caller, 1).status == 429


def test_a_request_larger_than_its_quota_is_not_to_be_tried_again(database):
    store, caller, _ = store_of(database, tokens_per_day=100)
    refused = refusal(store, caller, 101)
    assert (refused.status, refused.retry_after) == (400, None)
    assert "101 tokens, and the key has 100 a day" in refused.message
    store.admit(caller, 100)


def test_a_request_settles_in_the_day_in_which_it_was_admitted(database):
    store, caller, clock = store_of(database, MIDNIGHT - 5, tokens_per_day=100)
    late = store.admit(caller, 60)
    clock.now = MIDNIGHT + 5
    store.admit(caller, 90)
    store.record(caller, Ended(Usage(0, 50)), late)
    assert refusal(store, caller, 11).status == 429
    store.admit(caller, 10)


def test_a_lost_request_gives_its_tokens_back_when_it_expires_and_takes_them_if_it_ends_yet(
    database,
):
    store, caller, clock = store_of(database, MIDNIGHT, seconds=600, tokens_per_day=100)
    lost = store.admit(caller, 90)
    clock.now = MIDNIGHT + 599
    assert refusal(store, caller, 20).status == 429
    clock.now = MIDNIGHT + 600
    store.admit(caller, 20)
    store.record(caller, Ended(Usage(30, 20)), lost)
    assert refusal(store, caller, 31).status == 429
    store.admit(caller, 30)


def test_a_second_record_of_a_request_counts_nothing(database):
    store, caller, _ = store_of(database, tokens_per_day=100)
    admitted = store.admit(caller, 90)
    store.record(caller, Ended(Usage(10, 5), "hclx", "/v1/completions"), admitted)
    store.record(caller, Ended(Usage(10, 5), "hclx", "/v1/completions"), admitted)
    (day,) = usage_by_day(database, LONG_AGO)
    assert (day.requests, day.prompt_tokens, day.completion_tokens) == (1, 10, 5)
    assert refusal(store, caller, 86).status == 429
    store.admit(caller, 85)


def test_a_key_that_was_revoked_or_has_expired_is_not_admitted(database):
    store, caller, clock = store_of(database)
    admitted = store.admit(caller, 5)
    revoke_key(database, caller.key_id, clock.now)
    refused = refusal(store, caller, 5)
    assert (refused.status, refused.code) == (401, "invalid_api_key")
    store.record(caller, Ended(Usage(3, 2)), admitted)
    assert usage_by_day(database, LONG_AGO)[0].prompt_tokens == 3
    secret, key = create_key(database, "brief", clock.now, expires_days=1)
    brief = store.authenticate(secret)
    clock.now += DAY
    assert refusal(store, brief, 5).status == 401 and store.authenticate(secret) is None


def test_keys_do_not_count_for_each_other_and_none_has_a_limit_unless_told(database):
    store, first, _ = store_of(database, requests_per_minute=1)
    second = store_of(database)[1]
    store.admit(first, 1)
    for _ in range(20):
        store.admit(second, 10**9)
    assert refusal(store, first, 1).status == 429


def test_old_windows_do_not_pile_up(database):
    store, caller, clock = store_of(database)
    for day in range(4):
        for minute in range(5):
            clock.now = MIDNIGHT + day * DAY + minute * 60
            store.record(caller, Ended(Usage(1, 1)), store.admit(caller, 2))
    with database.reading() as connection:
        rows = connection.execute(quota_windows.select()).all()
        assert connection.execute(reservations.select()).all() == []
    assert sorted((row.seconds, row.start - MIDNIGHT - 3 * DAY) for row in rows) == [
        *((60, 180), (60, 240)),
        *((DAY, -DAY), (DAY, 0)),
    ]


@dataclasses.dataclass
class Counted:
    """A request of the oracle, which counts `tokens`."""

    admitted: float
    tokens: int
    expires: float | None
    reservation: object = None


def wait_of(requests, limits, now, tokens):
    """Returns the seconds that a request must wait; 0: it is admitted."""
    waits = [0]
    for name, length in (("minute", 60), ("day", DAY)):
        start = math.floor(now / length) * length
        counted = [r for r in requests if start <= math.floor(r.admitted) < start + length]
        most = getattr(limits, f"requests_per_{name}"), getattr(limits, f"tokens_per_{name}")
        sums = len(counted) + 1, sum(r.tokens for r in counted) + tokens
        if any(limit and total > limit for limit, total in zip(most, sums)):
            waits.append(math.ceil(start + length - now))
    return max(waits)


@pytest.mark.parametrize(
    "limits", [(4, 0, 90, 0), (0, 20, 0, 300), (3, 15, 80, 400)], ids=("minute", "day", "both")
)
def test_an_oracle_with_a_list_of_all_requests_agrees(database, limits):
    dice, limits = random.Random(0), Limits(*limits)
    store, caller, clock = store_of(database, MIDNIGHT, 300, **vars(limits))
    requests, outcomes = [], set()
    for _ in range(150):
        clock.now += dice.choice([0, 0, 0.4, 3, 20, 61, 290, 4_000])
        for request in requests:
            if request.expires is not None and request.expires <= math.floor(clock.now):
                request.tokens, request.expires = 0, None
        running = [r for r in requests if r.reservation is not None]
        if running and dice.random() < 0.4:
            request = dice.choice(running)
            used = dice.choice([0, 10, 40])
            store.record(caller, Ended(Usage(used, 1)), request.reservation)
            request.tokens, request.reservation, request.expires = used + 1, None, None
            continue
        tokens = dice.randrange(0, 60)
        wait = wait_of(requests, limits, clock.now, tokens)
        outcomes.add(wait > 0)
        if wait:
            assert refusal(store, caller, tokens).retry_after == wait
        else:
            expires = math.ceil(clock.now + 300)
            reservation = store.admit(caller, tokens)
            requests.append(Counted(clock.now, tokens, expires, reservation))
    assert outcomes == {False, True}


def test_requests_of_one_key_are_counted_one_after_the_other(database):
    """Else two of them could each wait for a window that the other has."""
    store, caller, _ = store_of(database)
    ended = threading.Event()
    thread = threading.Thread(target=lambda: (store.admit(caller, 5), ended.set()))
    with database.writing() as connection:
        lock_key(connection, caller.key_id)
        thread.start()
        assert not ended.wait(0.5)
    thread.join(60)
    assert ended.is_set()


def check_sums(database, key_id):
    """Asserts that the day's window holds what ended requests took and what others reserve."""
    with database.reading() as connection:

        def total(*columns):
            where = columns[0].table.c.key_id == key_id
            return int(connection.scalar(sa.select(sa.func.sum(sum(columns))).where(where)) or 0)

        tokens = usage.c.prompt_tokens, usage.c.completion_tokens
        (day,) = connection.execute(
            quota_windows.select().where(
                quota_windows.c.seconds == DAY, quota_windows.c.key_id == key_id
            )
        ).all()
        assert day.tokens == total(*tokens) + total(reservations.c.tokens)
        ended, running = (
            connection.scalar(sa.select(sa.func.count()).where(table.c.key_id == key_id))
            for table in (usage, reservations)
        )
        assert day.requests == ended + running
        return ended, running


def test_threads_are_granted_exactly_what_the_quota_has(database):
    store, caller, _ = store_of(database, requests_per_day=50, tokens_per_day=10_000)
    granted, start = [], threading.Barrier(8)

    def ask():
        start.wait()
        for _ in range(12):
            try:
                reservation = store.admit(caller, 100)
            except ApiError as error:
                assert error.status == 429
                continue
            granted.append(reservation)
            store.record(caller, Ended(Usage(100, 50)), reservation)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(granted) == 50
    assert check_sums(database, caller.key_id) == (50, 0)


_ASK = """
import sys
from hclx.serve.api_error import ApiError
from hclx.serve.caller import Caller, Ended, Usage
from hclx.serve.store.database import open_database
from hclx.serve.store.key_store import KeyStore
url, key_id, now, times = sys.argv[1:]
caller = Caller(key_id)
with open_database(url) as database:
    store = KeyStore(database, clock=lambda: float(now))
    print("ready", flush=True)
    sys.stdin.readline()
    for _ in range(int(times)):
        try:
            reservation = store.admit(caller, 30)
        except ApiError as error:
            assert error.status == 429
            continue
        print("admitted", reservation.id, flush=True)
        store.record(caller, Ended(Usage(10, 7), "hclx", "/v1/completions"), reservation)
        print("recorded", reservation.id, flush=True)
"""


def asking(url, key_id, times):
    arguments = (url, key_id, str(float(MIDNIGHT)), str(times))
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    return subprocess.Popen(
        [sys.executable, "-c", _ASK, *arguments], env=environment(), bufsize=1, **pipes
    )


def test_processes_are_granted_exactly_what_the_quota_has(database, url):
    _, caller, _ = store_of(database, requests_per_minute=70)
    processes = [asking(url, caller.key_id, 40) for _ in range(3)]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        print(file=process.stdin, flush=True)
    outputs = [process.communicate(timeout=120)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert sum(output.count("admitted") for output in outputs) == 70
    assert check_sums(database, caller.key_id) == (70, 0)


@pytest.mark.long
def test_what_was_recorded_survives_kills_at_random_moments(database, url):
    _, caller, _ = store_of(database)
    dice, recorded = random.Random(0), set()
    for _ in range(3):
        process = asking(url, caller.key_id, 10**6)
        assert process.stdout.readline() == "ready\n"
        print(file=process.stdin, flush=True)
        for _ in range(dice.randrange(2, 60)):
            word, _, record_id = process.stdout.readline().partition(" ")
            recorded |= {record_id.strip()} if word == "recorded" else set()
        process.send_signal(signal.SIGKILL)
        rest, _ = process.communicate(timeout=60)
        lines = [line for line in rest.splitlines(keepends=True) if line.endswith("\n")]
        recorded |= {line.split()[1] for line in lines if line.startswith("recorded")}
    with open_database(url) as opened:
        ended, running = check_sums(opened, caller.key_id)
        with opened.reading() as connection:
            assert recorded <= set(connection.scalars(sa.select(usage.c.id)))
            if opened.path is not None:
                assert connection.exec_driver_sql("PRAGMA integrity_check").all() == [("ok",)]
        assert len(recorded) <= ended and running <= 3
        assert [key.id for key in list_keys(opened)] == [caller.key_id]


def test_a_store_that_cannot_be_written_is_an_answer_for_later(tmp_path):
    with open_database(str(tmp_path / "keys.db")) as database:
        store, caller, _ = store_of(database)
        with database.writing() as connection:
            connection.exec_driver_sql("DROP TABLE usage")
            connection.exec_driver_sql("DROP TABLE reservations")
        assert refusal(store, caller, 5).status == 503
        assert refusal(store, caller, 5).retry_after == 5


def test_usage_is_summed_by_day_and_key(database):
    store, first, clock = store_of(database)
    second = store_of(database)[1]
    for caller, day, tokens in ((first, 0, 5), (first, 0, 6), (second, 0, 9), (first, 2, 1)):
        clock.now = MIDNIGHT + day * DAY + 7
        store.record(caller, Ended(Usage(tokens, 2 * tokens)), store.admit(caller, 100))
    days = [
        (day.start, day.key_id, day.requests, day.prompt_tokens, day.completion_tokens)
        for day in usage_by_day(database, MIDNIGHT)
    ]
    assert days == sorted(days)
    assert set(days) == {
        (MIDNIGHT, first.key_id, 2, 11, 22),
        (MIDNIGHT, second.key_id, 1, 9, 18),
        (MIDNIGHT + 2 * DAY, first.key_id, 1, 1, 2),
    }
    assert [day.start for day in usage_by_day(database, clock.now, first.key_id)] == [
        MIDNIGHT + 2 * DAY
    ]
    assert usage_by_day(database, clock.now, second.key_id) == []
    assert [key.last_used for key in list_keys(database) if key.id == second.key_id] == [
        MIDNIGHT + 7
    ]
