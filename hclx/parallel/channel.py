"""Messages from process 0 to the other processes of a run, which all receive them in one order.

They go over connections of their own and not over the devices: a collective of the devices would
wait for everything that was dispatched before it, and fail when nothing is sent for a while. The
end of a connection tells at once that a process is gone.
"""

import contextlib
import hmac
import json
import secrets
import socket
import struct
import threading
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection, wait

import jax
import numpy as np

from hclx.errors import ConfigError, StuckError
from hclx.parallel.distributed import (
    as_error_of_process_0,
    coordinator_host,
    describe_error,
    is_loopback,
    text_of_process_0,
)

_HELLO_SECONDS, _HELLO_BYTES = 10, 65_536
_END = "end"


def encode(name: str, arrays: Sequence[np.ndarray]) -> bytes:
    """Returns a message: a length, a header with the name and the dtypes and shapes, the arrays."""
    arrays = [np.asarray(array) for array in arrays]
    header = json.dumps([name, [[array.dtype.str, array.shape] for array in arrays]]).encode()
    return b"".join(
        [struct.pack("<I", len(header)), header, *(array.tobytes() for array in arrays)]
    )


def decode(message: bytes) -> tuple[str, list[np.ndarray]]:
    """Inverts `encode`; the arrays can be read alone."""
    at = 4 + struct.unpack_from("<I", message)[0]
    name, kinds = json.loads(message[4:at])
    arrays = []
    for dtype, shape in kinds:
        dtype, count = np.dtype(dtype), int(np.prod(shape))
        arrays.append(np.frombuffer(message, dtype, count, at).reshape(shape))
        at += count * dtype.itemsize
    return name, arrays


class Sender:
    """The end in process 0. One thread sends; another notices that a process is gone."""

    def __init__(
        self, name: str, what: str, on_loss: Callable[[StuckError], None], seconds: float = 300
    ):
        """Waits until all other processes are connected.

        Args:
          name: of the connections, once in a run.
          what: has to be the same in all processes: what they are about to compute.
          on_loss: is called from another thread when a process is gone or has failed.
          seconds: how long to wait.
        Raises:
          StuckError: a process does not connect in time.
          ConfigError: `what` differs.
        """
        self._connections: dict[int, Connection] = {}
        self._on_loss, self._is_ended = on_loss, False
        self._loss: StuckError | None = None
        self._is_lost, self._replies = threading.Event(), threading.Semaphore(0)
        try:
            self._connect(name, what, time.monotonic() + seconds)
        except BaseException as error:
            self.end(error)
            raise
        threading.Thread(target=self._watch, name="hclx-followers", daemon=True).start()

    def _connect(self, name: str, what: str, deadline: float) -> None:
        host, token = coordinator_host(), secrets.token_hex(32)
        family = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)[0][0]
        others = range(1, jax.process_count())
        with socket.create_server((host if is_loopback(host) else "", 0), family=family) as server:
            address = [host, server.getsockname()[1], token]
            text_of_process_0(name, json.dumps(address))
            while missing := set(others) - set(self._connections):
                server.settimeout(max(0.001, deadline - time.monotonic()))
                try:
                    connection = _wrap(server.accept()[0])
                except TimeoutError:
                    raise StuckError(
                        f"process {min(missing)} did not come to follow process 0; check that each"
                        " process calls hclx.infer.follow, then start all of them again"
                    ) from None
                self._welcome(connection, token, what)

    def _welcome(self, connection: Connection, token: str, what: str) -> None:
        """Takes a connection if it is that of a process of this run."""
        try:
            if not connection.poll(_HELLO_SECONDS):
                raise ValueError
            process, its_token, its_what = json.loads(connection.recv_bytes(_HELLO_BYTES))
            if not hmac.compare_digest(its_token, token):
                raise ValueError
        except (OSError, EOFError, ValueError, TypeError):  # anything may connect to a port
            connection.close()
            return
        self._connections[process] = connection
        if its_what != what:
            raise ConfigError(
                f"process {process} has {its_what}, and process 0 {what}; start all processes with"
                " the same command"
            )

    def send(self, name: str, arrays: Sequence[np.ndarray] = ()) -> None:
        """Sends a message to all. Raises StuckError if one of them is gone."""
        message = encode(name, arrays)
        for process, connection in self._connections.items():
            try:
                connection.send_bytes(message)
            except OSError:
                self._mark_lost(f"process {process} is gone")
        self.check()

    def check(self, seconds: float = 0) -> None:
        """Raises StuckError if a process is gone, or goes within some seconds."""
        if self._is_lost.wait(seconds) if seconds else self._is_lost.is_set():
            raise self._loss

    def wait_for_replies(self, seconds: float) -> None:
        """Waits for one reply of each process. Raises StuckError if one does not come in time."""
        deadline = time.monotonic() + seconds
        for _ in self._connections:
            while not self._replies.acquire(timeout=0.1):
                self.check()
                if time.monotonic() > deadline:
                    self._mark_lost(f"a process did not answer within {seconds:.0f} seconds")
        self.check()

    def end(self, error: BaseException | None) -> None:
        """Tells the others that nothing more comes, or the error that ended this process."""
        self._is_ended = True
        text = np.frombuffer(json.dumps(error and describe_error(error)).encode(), np.uint8)
        for connection in self._connections.values():
            with contextlib.suppress(OSError):
                connection.send_bytes(encode(_END, [text]))

    def _watch(self) -> None:
        processes = {connection: process for process, connection in self._connections.items()}
        while not self._is_ended and not self._is_lost.is_set():
            for connection in wait(list(processes)):
                try:
                    problem = json.loads(connection.recv_bytes(_HELLO_BYTES))
                except (OSError, EOFError):
                    problem = "is gone"
                if problem and not self._is_ended:
                    self._mark_lost(f"process {processes[connection]} {problem}")
                    self._on_loss(self._loss)
                    return
                self._replies.release()

    def _mark_lost(self, problem: str) -> None:
        if not self._is_lost.is_set():
            self._loss = StuckError(f"{problem}; start all processes again")
            self._is_lost.set()


class Receiver:
    """The end in another process."""

    def __init__(self, name: str, what: str):
        """Connects to process 0, as soon as that has a `Sender` of this name.

        Args:
          name, what: as in `Sender`.
        Raises:
          HclxError: process 0 ended before.
        """
        host, port, token = json.loads(text_of_process_0(name))
        try:
            self._connection = _wrap(socket.create_connection((host, port), timeout=60))
        except OSError as error:
            raise StuckError(
                f"process 0 cannot be reached at {host}:{port} ({error}); open that port range"
                " between the machines, then start all processes again"
            ) from error
        hello = [jax.process_index(), token, what]
        self._connection.send_bytes(json.dumps(hello).encode())

    def receive(self, seconds: float | None = None) -> tuple[str, list[np.ndarray]] | None:
        """Waits for the next message, and returns its name and arrays; None at the end.

        Args:
          seconds: how long to wait; None: for ever.
        Raises:
          StuckError: process 0 is gone, or sends nothing in time.
          HclxError: the error that ended process 0.
        """
        try:
            if seconds is not None and not self._connection.poll(max(0, seconds)):
                raise StuckError("process 0 did not answer in time; start all processes again")
            name, arrays = decode(self._connection.recv_bytes())
        except (OSError, EOFError):
            raise StuckError("process 0 is gone; start all processes again") from None
        if name != _END:
            return name, arrays
        if failure := json.loads(arrays[0].tobytes()):
            raise as_error_of_process_0(failure)
        return None

    def reply(self, problem: str = "") -> None:
        """Answers a message that asks for it, or tells why this process ends."""
        with contextlib.suppress(OSError):
            self._connection.send_bytes(json.dumps(problem).encode())

    def close(self) -> None:
        """Ends the connection."""
        self._connection.close()


def _wrap(connected: socket.socket) -> Connection:
    connected.settimeout(None)
    # Small messages would wait for the acknowledgement of those before them.
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    return Connection(connected.detach())
