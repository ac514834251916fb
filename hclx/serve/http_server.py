"""The process that listens: it serves an application, drains when it is asked to end, and ends."""

import logging
import socket
import time

import uvicorn
from starlette.applications import Starlette

from hclx.serve.http_connection import HttpConfig
from hclx.serve.service import Service

_LOG = logging.getLogger(__name__)
_ANSWER_SECONDS = 5  # within which requests that are ended tell their clients so


class Server(uvicorn.Server):
    """A server that drains: asked to end, it refuses what is new, as balancers see at /ready, and
    ends when its requests have.
    """

    def __init__(self, app: Starlette, host: str = "127.0.0.1", port: int = 0):
        """Takes an application, the address to listen at, and the port; 0: any that is free."""
        self._service: Service = app.state.service
        self._n_signals, self._is_draining, self._has_ended_requests = 0, False, False
        self._deadline: float | None = None
        config = self._service.config
        super().__init__(
            HttpConfig(
                app,
                config,
                host=host,
                port=port,
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=bool(config.trusted_proxies),
                forwarded_allow_ips=list(config.trusted_proxies),
                h11_max_incomplete_event_size=2 * config.header_bytes,
                timeout_graceful_shutdown=_ANSWER_SECONDS,
            )
        )

    def drain(self) -> None:
        """Ends the server once its requests have ended, or after `drain_seconds`."""
        self._service.admission.is_draining = self._is_draining = True

    def handle_exit(self, sig: int, frame: object) -> None:
        """Drains at the first signal, ends the requests at the second, and waits for none of them
        at the third. Uvicorn would raise the signal again behind the last request, before the
        engine is closed.
        """
        self._n_signals += 1
        self.force_exit = self._n_signals > 2
        self.drain()

    async def on_tick(self, counter: int) -> bool:
        """Returns whether the server ends now; uvicorn asks ten times a second."""
        await super().on_tick(counter)
        return self._is_draining and self._drained(len(self.server_state.tasks))

    def _drained(self, n_requests: int) -> bool:
        now, seconds = time.monotonic(), self._service.config.drain_seconds
        if self._deadline is None:
            self._deadline = now + seconds
            text = "the server was asked to end: %d requests go on for at most %d seconds"
            _LOG.info(text, n_requests, seconds)
        if not n_requests or self.force_exit:
            return True
        if self._n_signals > 1:
            self._deadline = min(self._deadline, now)
        if now >= self._deadline and not self._has_ended_requests:
            self._has_ended_requests = True
            _LOG.warning("the server ends %d requests that still run", n_requests)
            self._service.end()
        return now >= self._deadline + _ANSWER_SECONDS

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Serves until the server has ended, and has the workers run meanwhile. A lifespan of ASGI
        would do so too, but uvicorn logs its end as a fault where requests had to be ended.
        """
        async with self._service.working():
            await super().serve(sockets)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Closes all connections."""
        await super().shutdown(sockets)
        _LOG.info("the server has ended")


def serve(app: Starlette, host: str = "127.0.0.1", port: int = 8000) -> None:
    """Serves until SIGTERM or Ctrl-C, and drains.

    Args:
      app: as `build_app` returns it.
      host: the address to listen at; loopback alone, unless it is another.
      port: of it.
    Raises:
      OSError: the address is taken or not this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, port), family=family, backlog=1024) as listener:
        Server(app, host, port).run(sockets=[listener])
