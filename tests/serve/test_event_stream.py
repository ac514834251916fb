"""Streams to clients that read slowly or not at all."""

import asyncio
import contextlib

import pytest

from hclx.serve import event_stream
from hclx.serve.event_stream import EventStream, event


def test_events_are_separated_by_an_empty_line():
    assert event("x") == "data: x\n\n"
    assert event("x", "token") == "event: token\ndata: x\n\n"


@pytest.mark.parametrize("n_read", [0, 1, 3])
def test_a_client_that_reads_nothing_gives_its_place_back(monkeypatch, n_read):
    monkeypatch.setattr(event_stream, "SEND_SECONDS", 0.05)
    closed, sent = [], []

    async def events():
        try:
            while True:
                yield event("x")
        finally:
            closed.append("events")

    async def send(message):
        if len(sent) > n_read:
            await asyncio.Event().wait()
        sent.append(message)

    async def run():
        stack = contextlib.AsyncExitStack()
        stack.callback(closed.append, "resources")
        await EventStream(events(), stack)({}, None, send)

    asyncio.run(asyncio.wait_for(run(), 10))
    assert closed[-1] == "resources" and (n_read == 0 or "events" in closed)
    assert len(sent) == n_read + 1
