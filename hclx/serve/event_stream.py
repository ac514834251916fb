"""Answers that come in parts, as server-sent events."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable

from starlette.responses import Response

_LOG = logging.getLogger(__name__)
SEND_SECONDS = 60  # after which a client that reads nothing has left
_HEADERS = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-cache",
    "X-Accel-Buffering": "no",  # nginx passes each event on at once
}


def event(data: str, name: str | None = None) -> str:
    """Returns an event of one line of data, such as JSON. Some clients split at empty lines of \\n
    alone.
    """
    return f"event: {name}\ndata: {data}\n\n" if name else f"data: {data}\n\n"


class EventStream(Response):
    """Sends events as they come."""

    def __init__(self, events: AsyncIterator[str], resources: contextlib.AsyncExitStack):
        """Takes the events, as `event` makes them, and what is closed behind the last one or when
        the client has left: an admitted request, texts of the engine.
        """
        super().__init__(headers=_HEADERS)
        del self.headers["content-length"]
        self._events, self._resources = events, resources

    async def __call__(self, scope, receive, send) -> None:
        """Sends the answer, as ASGI asks for it."""
        async with self._resources, contextlib.aclosing(self._events):
            try:
                start = {"type": "http.response.start", "status": self.status_code}
                await _in_time(send({**start, "headers": self.raw_headers}))
                async for text in self._events:
                    data = text.encode()
                    part = {"type": "http.response.body", "body": data, "more_body": True}
                    await _in_time(send(part))
                await _in_time(send({"type": "http.response.body", "body": b""}))
            except TimeoutError:
                _LOG.warning(
                    "a client has read nothing for %d seconds: its stream ends", SEND_SECONDS
                )


async def _in_time(sending: Awaitable[None]) -> None:
    async with asyncio.timeout(SEND_SECONDS):
        await sending
