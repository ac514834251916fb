"""Admission: requests wait in a bounded queue until the engine has room for their tokens, and keys
take turns, so that a greedy key delays itself alone.
"""

import asyncio
import contextlib
from collections import OrderedDict, deque
from collections.abc import AsyncIterator

from hclx.serve.api_error import ApiError
from hclx.serve.caller import Caller
from hclx.serve.serve_config import ServeConfig


class Admission:
    """Lets requests through, on one event loop.

    Attributes:
      n_running, n_waiting: requests that were let through and have not ended, and that wait.
      is_draining: whether the server ends: who waits goes on, and who comes is refused.
    """

    def __init__(self, config: ServeConfig):
        """Starts empty."""
        self._config, self._running_tokens = config, 0
        # key -> the cost of each of its requests and what wakes it; the next key is the first.
        self._queues: OrderedDict[str, deque[tuple[int, asyncio.Future]]] = OrderedDict()
        self.n_running, self.is_draining = 0, False

    @property
    def n_waiting(self) -> int:
        """The number of requests that wait."""
        return sum(map(len, self._queues.values()))

    @contextlib.asynccontextmanager
    async def turn(self, caller: Caller, cost: int) -> AsyncIterator[None]:
        """Waits for the turn of a request, which lasts as long as the context.

        Args:
          caller: whose turns these are.
          cost: the tokens of its prompts, and the most that may be written behind them.
        Raises:
          ApiError: 429 if the key has too many requests that wait, 503 if the server is full or
            ends; both say when to try again. 400 if the request would never fit.
        """
        self.check(caller, cost)
        turn = asyncio.get_running_loop().create_future()
        self._queues.setdefault(caller.key_id, deque()).append((cost, turn))
        self._let_through()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # it was let through at the same moment
                self._end(cost)
            else:
                self._remove(caller.key_id, turn)
            raise
        try:
            yield
        finally:
            self._end(cost)

    def check(self, caller: Caller, cost: int) -> None:
        """Raises ApiError, as `turn` does, for a request that would not even wait."""
        config, wait = self._config, self._config.retry_seconds
        if self.is_draining:
            raise ApiError(503, "shutting_down", "the server ends; try another", retry_after=wait)
        if cost > config.running_tokens:
            raise ApiError(
                400,
                "request_too_large",
                f"the request has {cost:,} tokens with those it asks for, and the server takes"
                f" {config.running_tokens:,}; ask for fewer texts at once",
            )
        if len(self._queues.get(caller.key_id, ())) >= config.waiting_of_key:
            raise ApiError(
                429,
                "rate_limit_exceeded",
                f"the key {caller.key_id} has {config.waiting_of_key} requests that wait; send"
                " fewer at once",
                retry_after=wait,
            )
        if self.n_waiting >= config.waiting:
            raise ApiError(503, "overloaded", "the server is full; try later", retry_after=wait)

    def _let_through(self) -> None:
        """Lets requests through in turns of their keys, as long as the next one fits: none that is
        large waits for ever because small ones pass it.
        """
        while self._queues:
            key_id, queue = next(iter(self._queues.items()))
            cost, turn = queue[0]
            if self._running_tokens + cost > self._config.running_tokens:
                return
            queue.popleft()
            self._queues.move_to_end(key_id)
            if not queue:
                del self._queues[key_id]
            if not turn.cancelled():
                self._running_tokens += cost
                self.n_running += 1
                turn.set_result(None)

    def _end(self, cost: int) -> None:
        self._running_tokens -= cost
        self.n_running -= 1
        self._let_through()

    def _remove(self, key_id: str, turn: asyncio.Future) -> None:
        queue = self._queues.get(key_id, deque())
        left = deque((cost, other) for cost, other in queue if other is not turn)
        if left:
            self._queues[key_id] = left
        else:
            self._queues.pop(key_id, None)
        self._let_through()
