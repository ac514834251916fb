"""Connections that are slow, too many, or no HTTP."""

import json
import socket
import time

import pytest

from hclx.serve import http_connection
from hclx.serve.serve_config import ServeConfig
from hclx.serve.server import build_app
from tests.helpers.serving import served, tiny_backend

GET = b"GET /health HTTP/1.1\r\nHost: localhost\r\n"


@pytest.fixture(scope="module")
def address():
    config = ServeConfig(header_seconds=0.5, connections=3)
    with served(build_app(tiny_backend(None), config=config)) as url:
        host, port = url.removeprefix("http://").split(":")
        yield host, int(port)


def connect(address):
    connection = socket.create_connection(address, timeout=20)
    connection.settimeout(20)
    return connection


def answer(connection):
    """Reads to the end of the connection; returns the status, the headers and the body."""
    data = b""
    while part := connection.recv(2**16):
        data += part
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    return int(first.split()[1]), dict(line.lower().split(": ", 1) for line in lines), body


@pytest.mark.parametrize("sent", [b"", GET + b"X-Slow: "])
def test_headers_have_to_be_whole_in_time(address, sent):
    begin = time.monotonic()
    with connect(address) as connection:
        connection.sendall(sent)
        status, headers, body = answer(connection)
    assert status == 408 and headers["content-type"] == "application/json"
    assert json.loads(body)["error"]["code"] == "timeout"
    assert 0.4 < time.monotonic() - begin < 10


def test_dripping_headers_do_not_keep_a_connection(address):
    begin = time.monotonic()
    with connect(address) as connection:
        connection.sendall(GET)
        with pytest.raises(OSError):
            while time.monotonic() - begin < 10:
                connection.sendall(b"X-Slow: 1\r\n")
                time.sleep(0.05)
    assert time.monotonic() - begin < 5


def test_the_next_request_of_a_connection_has_its_own_time(address):
    with connect(address) as connection:
        for _ in range(3):
            time.sleep(0.3)
            connection.sendall(GET + b"\r\n")
            assert b" 200 " in connection.recv(2**16)
        connection.sendall(GET)
        assert answer(connection)[0] == 408


def test_connections_past_the_most_are_told_and_logged_once(address, caplog):
    idle = [connect(address) for _ in range(3)]
    try:
        for _ in range(2):
            with connect(address) as connection:
                status, headers, body = answer(connection)
                assert status == 503 and headers["retry-after"] == "1"
                assert json.loads(body)["error"]["code"] == "overloaded"
        assert caplog.text.count("all 3 connections are open") == 1
    finally:
        for connection in idle:
            connection.close()
    time.sleep(0.2)
    with connect(address) as connection:
        connection.sendall(GET + b"Connection: close\r\n\r\n")
        assert answer(connection)[0] == 200


@pytest.mark.parametrize(
    "sent",
    [
        b"nonsense\r\n\r\n",
        b"GET /health HTTP/1.1\r\n\r\n",
        "GET /v1/한국 HTTP/1.1\r\nHost: localhost\r\n\r\n".encode(),
        b"POST /tokenize HTTP/1.1\r\nHost: localhost\r\nContent-Length: x\r\n\r\n",
        b"POST /tokenize HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ],
)
def test_what_is_no_http_is_refused_in_json(address, sent):
    with connect(address) as connection:
        connection.sendall(sent)
        status, headers, body = answer(connection)
    assert status == 400 and headers["connection"] == "close"
    assert json.loads(body)["error"]["code"] == "invalid_request"


@pytest.mark.parametrize("files, most", [(300, 236), (65, 1), (10, 1), (4096, 1024), (-1, 1024)])
def test_there_are_files_for_all_connections(monkeypatch, files, most):
    monkeypatch.setattr(http_connection.resource, "getrlimit", lambda kind: (files, files))
    assert http_connection.most_connections(1024) == most
