"""Messages from process 0 to the others, between two threads of one process."""

import contextlib
import json
import queue
import socket
import threading
import time
import types

import numpy as np
import pytest

from hclx.errors import ConfigError, DataError, HclxError, StuckError
from hclx.parallel import channel
from hclx.parallel.channel import Receiver, Sender, decode, encode


@pytest.fixture(autouse=True)
def addresses(monkeypatch):
    """What process 0 has told of itself."""
    told = queue.Queue()

    def text_of_process_0(name, text=""):
        if text:
            told.put(text)
            return text
        text = told.get(timeout=10)
        told.put(text)
        return text

    processes = types.SimpleNamespace(process_count=lambda: 2, process_index=lambda: 1)
    monkeypatch.setattr(channel, "jax", processes)
    monkeypatch.setattr(channel, "text_of_process_0", text_of_process_0)
    monkeypatch.setattr(channel, "coordinator_host", lambda: "127.0.0.1")
    return told


@contextlib.contextmanager
def connected(what="a model", its_what="a model", seconds=10):
    """Both ends, and a queue of the losses that the sender has noticed."""
    losses, ends = queue.Queue(), queue.Queue()

    def receive():
        with contextlib.suppress(HclxError):
            ends.put(Receiver("engine", its_what))

    thread = threading.Thread(target=receive)
    thread.start()
    sender = Sender("engine", what, losses.put, seconds)
    thread.join()
    receiver = ends.get(timeout=10)
    yield sender, receiver, losses
    receiver.close()


def test_arrays_of_all_kinds_come_as_they_were():
    arrays = [np.zeros((0, 3)), np.eye(2)[:, ::-1], np.array(True), np.arange(4, dtype=np.uint32)]
    name, received = decode(encode("call", arrays))
    assert name == "call" and len(received) == len(arrays)
    for array, expected in zip(received, arrays):
        assert array.dtype == expected.dtype and array.shape == expected.shape
        np.testing.assert_array_equal(array, expected)


def test_messages_come_in_order_and_end():
    with connected() as (sender, receiver, losses):
        for i in range(50):
            sender.send("call", [np.int32(i), np.zeros(1000 * (i % 3))])
        assert [int(receiver.receive()[1][0]) for _ in range(50)] == [*range(50)]
        receiver.reply()
        sender.wait_for_replies(10)
        sender.end(None)
        assert receiver.receive() is None
        receiver.close()
    time.sleep(0.1)
    assert losses.empty()


@pytest.mark.parametrize(
    "error, kind, message",
    [
        (DataError("line 3 is wrong"), DataError, "^line 3 is wrong$"),
        (KeyboardInterrupt(), HclxError, "^process 0 ended with KeyboardInterrupt; its own"),
        (ValueError("no"), HclxError, "^process 0 ended with ValueError: no; its own output"),
    ],
)
def test_an_error_of_process_0_is_raised_in_the_others(error, kind, message):
    with connected() as (sender, receiver, _):
        sender.end(error)
        with pytest.raises(kind, match=message):
            receiver.receive()


def test_a_process_that_is_gone_is_noticed_while_nothing_is_sent():
    with connected() as (sender, receiver, losses):
        receiver.close()
        assert "process 1 is gone; start all processes again" in str(losses.get(timeout=10))
        for act in (sender.check, lambda: sender.send("call"), lambda: sender.wait_for_replies(9)):
            with pytest.raises(StuckError, match="process 1 is gone"):
                act()


def test_a_process_that_fails_says_why():
    with connected() as (_, receiver, losses):
        receiver.reply("failed: no memory")
        assert str(losses.get(timeout=10)).startswith("process 1 failed: no memory")


def test_process_0_that_is_gone_is_noticed():
    with connected() as (sender, receiver, _):
        for connection in sender._connections.values():
            socket.socket(fileno=connection.fileno()).shutdown(socket.SHUT_RDWR)
            connection._handle = None
        with pytest.raises(StuckError, match="process 0 is gone"):
            receiver.receive()


def test_waiting_has_an_end():
    with connected() as (sender, receiver, _):
        with pytest.raises(StuckError, match="did not answer in time"):
            receiver.receive(0.05)
        with pytest.raises(StuckError, match="did not answer within 0 seconds"):
            sender.wait_for_replies(0.05)
    with pytest.raises(StuckError, match="process 1 did not come to follow"):
        Sender("engine", "a model", lambda loss: None, 0.1)


def test_what_differs_is_refused_on_both_sides(addresses):
    with pytest.raises(ConfigError, match="process 1 has another, and process 0 a model; start"):
        with connected(its_what="another"):
            pass


def test_strangers_are_not_served(addresses, monkeypatch):
    monkeypatch.setattr(channel, "_HELLO_SECONDS", 0.2)
    made = []
    thread = threading.Thread(
        target=lambda: made.append(Sender("engine", "a model", lambda loss: None, 20))
    )
    thread.start()
    host, port, token = json.loads(channel.text_of_process_0("engine"))
    silent = socket.create_connection((host, port))
    web = socket.create_connection((host, port))
    web.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    liar = channel._wrap(socket.create_connection((host, port)))
    liar.send_bytes(b'[1, "guess", "a model"]')
    receiver = Receiver("engine", "a model")
    thread.join(10)
    made[0].send("call")
    assert receiver.receive() == ("call", []) and len(made[0]._connections) == 1
    for connection in (silent, web, liar, receiver):
        connection.close()
