"""A server that is asked to end: who runs, waits, comes and leaves, and what the log says of it."""

import asyncio
import contextlib
import json
import logging
import signal
import threading
import time

import httpx
import pytest

from hclx.infer import Generation
from hclx.infer.ticket import Ticket
from hclx.serve.http_server import Server
from hclx.serve.serve_config import ServeConfig
from hclx.serve.server import build_app
from tests.helpers.serving import served, tiny_backend

BODY = {"model": "tiny", "prompt": "hello", "max_tokens": 4}


class EndlessEngine:
    """Writes nothing, and ends a text when that is cancelled; a stubborn one does not even then."""

    def __init__(self, is_stubborn=False):
        self.is_stubborn, self.tickets, self.has_begun = is_stubborn, [], threading.Semaphore(0)

    def submit(self, request):
        def end(ticket):
            if not self.is_stubborn:
                ticket.finish(Generation("", (), "cancelled", len(request.prompt), 0))

        self.tickets.append(Ticket(end))
        self.has_begun.release()
        return self.tickets[-1]

    def finish(self):
        for ticket in self.tickets:
            ticket.finish(Generation("", (), "end", 6, 0))


@contextlib.contextmanager
def running_server(engine, **limits):
    server = Server(build_app(tiny_backend(engine), config=ServeConfig(**limits)))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)
    (listener,) = server.servers[0].sockets
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{listener.getsockname()[1]}") as client:
            client.ends = lambda: thread.join(30)
            client.signal = lambda: server.handle_exit(signal.SIGTERM, None)
            yield client
    finally:
        engine.finish()
        server.force_exit = True
        server.drain()
        thread.join(30)
        assert not thread.is_alive()


@contextlib.contextmanager
def asked(client, *bodies):
    """Sends requests, each in a thread; yields the answers that there are once these have ended."""
    answers = {}

    def ask(index, body):
        answers[index] = httpx.post(f"{client.base_url}/v1/completions", json=body, timeout=30)

    threads = [threading.Thread(target=ask, args=item) for item in enumerate(bodies)]
    for thread in threads:
        thread.start()
    yield answers
    for thread in threads:
        thread.join(30)
    assert len(answers) == len(bodies)


def check_refused(response):
    assert response.status_code == 503 and int(response.headers["retry-after"]) >= 1
    assert response.json()["error"]["code"] == "shutting_down"


def test_requests_that_run_end_as_they_would_while_new_ones_are_refused(caplog):
    engine = EndlessEngine()
    with caplog.at_level(logging.INFO, "hclx.serve"), running_server(engine) as client:
        with asked(client, BODY) as answers:
            assert engine.has_begun.acquire(timeout=30)
            client.signal()
            ready = client.get("/ready")
            assert ready.status_code == 503 and ready.json() == {"status": "draining"}
            assert ready.headers["connection"] == "close"
            check_refused(client.post("/v1/completions", json=BODY))
            time.sleep(0.3)
            assert client.get("/health").status_code == 200
            engine.finish()
        client.ends()
    assert answers[0].status_code == 200
    texts = [record.getMessage() for record in caplog.records if "server" in record.getMessage()]
    assert texts == [
        "the server was asked to end: 1 requests go on for at most 30 seconds",
        "the server has ended",
    ]


@pytest.mark.parametrize("is_stubborn", [False, True])
def test_a_second_signal_ends_requests_that_run_and_that_wait(caplog, is_stubborn):
    engine = EndlessEngine(is_stubborn)
    with caplog.at_level(logging.INFO), running_server(engine, running_texts=2) as client:
        with asked(client, BODY, {**BODY, "stream": not is_stubborn}) as answers:
            for _ in range(2):
                assert engine.has_begun.acquire(timeout=30)
            with asked(client, BODY, {**BODY, "stream": True}) as waited:
                while b"waiting 2.0" not in client.get("/metrics").content:
                    time.sleep(0.02)
                client.signal()
                client.signal()
                if is_stubborn:
                    time.sleep(2.5)
                    engine.finish()
        client.ends()
    for response in (answers[0], *waited.values()):
        check_refused(response)
    if is_stubborn:
        check_refused(answers[1])
    else:
        assert answers[1].status_code == 200
        event = json.loads(answers[1].text.strip().split("\n\n")[-1].removeprefix("data: "))
        assert event["error"]["code"] == "shutting_down"
    assert "Traceback" not in caplog.text


def test_the_end_of_the_time_ends_requests(caplog):
    engine = EndlessEngine()
    with running_server(engine, drain_seconds=1) as client, asked(client, BODY) as answers:
        assert engine.has_begun.acquire(timeout=30)
        client.signal()
    check_refused(answers[0])
    assert "ends 1 requests that still run" in caplog.text and "Traceback" not in caplog.text


def test_a_client_that_leaves_a_stream_is_logged_as_such(caplog):
    engine = EndlessEngine()
    with caplog.at_level(logging.INFO, "hclx.serve"), running_server(engine) as client:
        with client.stream("POST", "/v1/completions", json={**BODY, "stream": True}) as response:
            assert response.status_code == 200
        while engine.tickets and not engine.tickets[0].is_done:
            time.sleep(0.01)
    (line,) = [text for text in caplog.messages if "POST '/v1/completions'" in text]
    assert " 499 " in line


def test_workers_run_until_the_server_has_ended():
    events = []

    async def work():
        events.append("begins")
        try:
            await asyncio.Event().wait()
        finally:
            events.append("ends")

    app = build_app(tiny_backend(EndlessEngine()))
    app.state.service.workers.append(work)
    with served(app) as address:
        assert httpx.get(f"{address}/ready").status_code == 200 and events == ["begins"]
    assert events == ["begins", "ends"]
