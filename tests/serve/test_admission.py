"""The queue before the engine: bounded, fair between keys, and never losing a place."""

import asyncio
import contextlib
import dataclasses

import pytest

from hclx.serve.admission import Admission
from hclx.serve.api_error import ApiError
from hclx.serve.caller import Caller, OpenKeys
from hclx.serve.serve_config import ServeConfig

CONFIG = ServeConfig(running_tokens=10, waiting=6, waiting_of_key=4)
A, B = Caller("a"), Caller("b")


class Line:
    """Requests that note their turn and hold it until they are let go."""

    def __init__(self, admission):
        self.admission, self.order, self.tasks, self.go = admission, [], [], asyncio.Event()

    async def _hold(self, name, caller, cost, event, n_texts):
        async with self.admission.turn(caller, cost, n_texts):
            self.order.append(name)
            await event.wait()

    async def add(self, name, caller, cost, event=None, n_texts=1):
        task = asyncio.create_task(self._hold(name, caller, cost, event or self.go, n_texts))
        self.tasks.append(task)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return task


def run(test, config=CONFIG):
    async def within():
        line = Line(Admission(config))
        await test(line)
        line.go.set()
        await asyncio.gather(*line.tasks, return_exceptions=True)
        assert line.admission.n_running == line.admission.n_waiting == 0
        assert line.admission._running_tokens == line.admission._running_texts == 0
        assert not line.admission._texts_of

    asyncio.run(asyncio.wait_for(within(), 10))


def test_requests_run_while_their_tokens_fit():
    async def test(line):
        await line.add("1", A, 6)
        await line.add("2", A, 4)
        await line.add("3", A, 1)
        assert line.order == ["1", "2"]
        assert (line.admission.n_running, line.admission.n_waiting) == (2, 1)

    run(test)


def test_requests_run_while_the_engine_writes_their_texts():
    async def test(line):
        first = asyncio.Event()
        await line.add("1", A, 1, first, n_texts=2)
        await line.add("2", A, 1, n_texts=2)
        await line.add("3", A, 1)
        assert line.order == ["1"], "the second waits, and the third does not pass it"
        first.set()
        await asyncio.sleep(0.01)
        assert line.order == ["1", "2", "3"]

    run(test, ServeConfig(running_texts=3))


def test_more_texts_than_the_engine_writes_at_once_run_alone():
    async def test(line):
        await line.add("1", A, 1, n_texts=9)
        await line.add("2", A, 1)
        assert line.order == ["1"]

    run(test, ServeConfig(running_texts=3))


def test_a_key_leaves_the_last_places_to_others():
    async def test(line):
        first = asyncio.Event()
        await line.add("a1", A, 1, first)
        for name in ("a2", "a3", "a4"):
            await line.add(name, A, 1)
        assert line.order == ["a1", "a2"], "the third has to wait for a text of its own key"
        await line.add("b1", B, 1)
        assert line.order == ["a1", "a2", "b1"], "and lets others pass"
        first.set()
        await asyncio.sleep(0.01)
        assert line.order == ["a1", "a2", "b1", "a3"]

    run(test, ServeConfig(running_texts=3, texts_of_key=2))


def test_a_request_whose_turn_does_not_come_in_time_is_refused():
    async def test(line):
        first = asyncio.Event()
        await line.add("0", A, 10, first)
        late = await line.add("a1", A, 10)
        with pytest.raises(ApiError) as error:
            await late
        assert error.value.status == 503 and error.value.headers == {"Retry-After": "1"}
        assert line.admission.n_waiting == 0
        first.set()
        await asyncio.sleep(0.01)
        await line.add("a2", A, 10)
        assert line.order == ["0", "a2"]

    run(test, dataclasses.replace(CONFIG, queue_seconds=0.05))


def test_keys_take_turns_however_many_requests_each_has():
    async def test(line):
        first = asyncio.Event()
        await line.add("0", A, 10, first)
        for name in ("a1", "a2", "a3"):
            await line.add(name, A, 5)
        await line.add("b1", B, 5)
        first.set()
        line.go.set()
        await asyncio.gather(*line.tasks)
        assert line.order == ["0", "a1", "b1", "a2", "a3"]

    run(test)


def test_a_large_request_is_not_passed_for_ever_by_small_ones():
    async def test(line):
        first = asyncio.Event()
        await line.add("small", A, 5, first)
        await line.add("large", B, 10)
        await line.add("late", A, 5)
        assert line.order == ["small"]
        first.set()
        await asyncio.sleep(0.01)
        assert line.order == ["small", "large"]

    run(test)


def test_a_key_has_its_share_of_the_queue_and_the_queue_its_end():
    async def test(line):
        await line.add("0", A, 10)
        for number in range(4):
            await line.add(f"a{number}", A, 1)
        refused = await line.add("a5", A, 1)
        with pytest.raises(ApiError) as error:
            await refused
        assert error.value.status == 429 and error.value.headers == {"Retry-After": "1"}
        assert "the key a has 4 requests" in error.value.message
        for number in range(2):
            await line.add(f"b{number}", B, 1)
        refused = await line.add("c", Caller("c"), 1)
        with pytest.raises(ApiError) as error:
            await refused
        assert error.value.status == 503 and error.value.headers == {"Retry-After": "1"}

    run(test)


def test_whoever_leaves_the_queue_gives_their_place_back():
    async def test(line):
        await line.add("0", A, 10)
        left = await line.add("a1", A, 1)
        left.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await left
        assert line.admission.n_waiting == 0
        await line.add("a2", A, 1)
        line.go.set()
        await asyncio.sleep(0.01)
        assert line.order == ["0", "a2"]

    run(test)


def test_cancelling_in_the_moment_of_the_turn_loses_nothing():
    async def test(line):
        first = asyncio.Event()
        await line.add("0", A, 10, first)
        left = await line.add("a1", A, 10)
        first.set()
        await asyncio.sleep(0)  # the turn is given, and its task has not run
        left.cancel()
        await asyncio.sleep(0.01)
        await line.add("a2", B, 10)
        assert line.order[-1] == "a2"

    run(test)


def test_what_never_fits_and_what_comes_while_the_server_ends_is_refused():
    async def test(line):
        with pytest.raises(ApiError) as error:
            await (await line.add("x", A, 11))
        assert error.value.status == 400
        line.admission.is_draining = True
        with pytest.raises(ApiError) as error:
            await (await line.add("y", A, 1))
        assert error.value.status == 503 and error.value.code == "shutting_down"

    run(test)


def test_clients_without_keys_are_told_of_no_key():
    caller = OpenKeys().authenticate("")

    async def test(line):
        await line.add("0", caller, 10)
        for number in range(4):
            await line.add(f"a{number}", caller, 1)
        with pytest.raises(ApiError, match="clients without keys have 4 requests that wait"):
            await (await line.add("a5", caller, 1))

    run(test)


def test_who_leaves_while_the_server_ends_gives_back_nothing_twice():
    async def test(line):
        await line.add("0", A, 10)
        left = await line.add("a1", A, 10)
        line.admission.refuse_waiting()
        left.cancel()
        await asyncio.sleep(0.01)
        assert line.admission.n_running == 1 and line.admission.n_waiting == 0

    run(test)
