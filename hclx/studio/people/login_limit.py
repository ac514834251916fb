"""A limit of wrong log-ins: tokens cannot be guessed, and who tries need not fill the log."""

import time
from collections.abc import Callable

from hclx.serve.api_error import ApiError

_SECONDS = 60
_MOST = 10


class LoginLimit:
    """Counts the wrong log-ins of each address in each minute, on one event loop."""

    def __init__(self, clock: Callable[[], float] = time.monotonic):
        """Starts without any; `clock` returns seconds."""
        self._clock, self._minute, self._counts = clock, 0.0, {}

    def take(self, address: str) -> None:
        """Counts a log-in as a wrong one before it is looked at, so that many at once count, too.

        Raises:
          ApiError: 429, the address has had its wrong ones of this minute.
        """
        now = self._clock()
        if now >= self._minute + _SECONDS:
            self._minute, self._counts = now, {}
        count = self._counts.get(address, 0)
        if count >= _MOST:
            wait = self._minute + _SECONDS - now
            text = f"{_MOST} log-ins were wrong within a minute; wait {max(1, round(wait))} seconds"
            raise ApiError(429, "rate_limit_exceeded", text, retry_after=wait)
        self._counts[address] = count + 1

    def give_back(self, address: str) -> None:
        """Takes back the count of a log-in that was right."""
        if address in self._counts:
            self._counts[address] -= 1
