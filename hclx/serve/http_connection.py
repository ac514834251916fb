"""A connection: how many there may be, how long one may take for its headers, and what is told to
clients that speak no HTTP.
"""

import asyncio
import json
import logging
import resource
import time
from http import HTTPStatus

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from hclx.serve.api_error import ApiError
from hclx.serve.openai.openai_errors import error_object
from hclx.serve.serve_config import ServeConfig

_LOG = logging.getLogger(__name__)
_OWN_FILES = 64  # of the process: the model, the store, files of requests
_LOG_SECONDS = 10  # at most one line in these for all clients that are refused


class HttpConfig(uvicorn.Config):
    """The settings of uvicorn, and of connections.

    Attributes:
      header_seconds: how long a connection may take for the headers of a request.
      connections: the most that there may be at once.
      last_warned: when the log last told of too many, in seconds of `time.monotonic`.
    """

    def __init__(self, app, limits: ServeConfig, **settings):
        """Takes an application, the limits of the server, and settings of uvicorn."""
        super().__init__(app, http=Connection, **settings)
        self.header_seconds, self.last_warned = limits.header_seconds, -float("inf")
        self.connections = most_connections(limits.connections)


def most_connections(asked: int) -> int:
    """Returns how many connections of those that are asked for the process may have open: each is a
    file (`ulimit -n`), and without one that is free nobody is told anything.
    """
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if files == resource.RLIM_INFINITY or asked <= files - _OWN_FILES:
        return asked
    most = max(1, files - _OWN_FILES)
    _LOG.warning("`ulimit -n` is %d: there are at most %d connections at once", files, most)
    return most


class Connection(H11Protocol):
    """A connection of a client."""

    _header_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Takes a connection, or refuses it (503) if there are too many."""
        super().connection_made(transport)
        self._wait_for_headers()
        most = self.config.connections
        if len(self.connections) > most:
            if time.monotonic() - self.config.last_warned > _LOG_SECONDS:
                self.config.last_warned = time.monotonic()
                _LOG.warning("all %d connections are open: others are refused", most)
            text = "the server has too many connections; try later"
            self._refuse(ApiError(503, "overloaded", text, retry_after=1))

    def connection_lost(self, exc: Exception | None) -> None:
        """Forgets the connection."""
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Takes bytes of a request, whose headers have to be whole in time."""
        if self.transport.is_closing():
            return
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._stop_timer()
        elif self._header_timer is None and not self.transport.is_closing():
            self._wait_for_headers()

    def send_400_response(self, msg: str) -> None:
        """Refuses what is no HTTP, or what breaks off."""
        text = "this is no valid request of HTTP/1.1: see its first line, Host and lengths"
        self._refuse(ApiError(400, "invalid_request", text))

    def _wait_for_headers(self) -> None:
        self._header_timer = self.loop.call_later(self.config.header_seconds, self._time_out)

    def _stop_timer(self) -> None:
        if self._header_timer is not None:
            self._header_timer.cancel()
            self._header_timer = None

    def _time_out(self) -> None:
        text = f"no whole headers in {self.config.header_seconds:g} seconds"
        self._refuse(ApiError(408, "timeout", text))

    def _refuse(self, error: ApiError) -> None:
        """Answers without a request, and closes the connection."""
        self._stop_timer()
        if self.transport.is_closing():
            return
        body = json.dumps(error_object(error)).encode()
        headers = {"Content-Type": "application/json", "Content-Length": str(len(body))}
        headers |= {**error.headers, "Connection": "close"}
        lines = [f"HTTP/1.1 {error.status} {HTTPStatus(error.status).phrase}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        self.transport.write("\r\n".join([*lines, "", ""]).encode() + body)
        self.transport.close()
