"""Admission: requests wait in a bounded queue until the engine has room for their texts and tokens,
and keys take turns, so that a greedy key delays itself alone.
"""

import asyncio
import contextlib
import dataclasses
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncIterator

from hclx.serve.api_error import ApiError, shutting_down
from hclx.serve.caller import NO_KEY, Caller
from hclx.serve.serve_config import ServeConfig


@dataclasses.dataclass(eq=False)
class _Turn:
    """A request that waits, or runs.

    Attributes:
      key_id: whose it is.
      cost, n_texts: its tokens, and the texts that the engine writes for it.
      is_given: set once it runs.
    """

    key_id: str
    cost: int
    n_texts: int
    is_given: asyncio.Future


class Admission:
    """Lets requests through, on one event loop.

    Attributes:
      n_running, n_waiting: requests that were let through and have not ended, and that wait.
      is_draining: whether the server ends: who waits goes on, and who comes is refused.
    """

    def __init__(self, config: ServeConfig):
        """Starts empty."""
        self._config, self._running_tokens, self._running_texts = config, 0, 0
        # key -> its requests that wait; the next key is the first.
        self._queues: OrderedDict[str, deque[_Turn]] = OrderedDict()
        self._texts_of: Counter[str] = Counter()  # key -> its texts that run
        self.n_running, self.is_draining = 0, False

    @property
    def n_waiting(self) -> int:
        """The number of requests that wait."""
        return sum(map(len, self._queues.values()))

    @contextlib.asynccontextmanager
    async def turn(self, caller: Caller, cost: int, n_texts: int = 1) -> AsyncIterator[None]:
        """Waits for the turn of a request, which lasts as long as the context.

        Args:
          caller: whose turns these are.
          cost: the tokens of its prompts, and the most that may be written behind them.
          n_texts: that the engine writes for it; more than it ever writes at once count as these.
        Raises:
          ApiError: 429 if the key has too many requests that wait, 503 if the server is full or
            ends, or its turn does not come in time; all say when to try again. 400 if the request
            would never fit.
        """
        self.check(caller, cost)
        n_texts = min(n_texts, self._config.running_texts)
        turn = _Turn(caller.key_id, cost, n_texts, asyncio.get_running_loop().create_future())
        self._queues.setdefault(caller.key_id, deque()).append(turn)
        self._let_through()
        try:
            async with asyncio.timeout(self._config.queue_seconds):
                await turn.is_given
        except (asyncio.CancelledError, TimeoutError) as error:
            future = turn.is_given
            if future.done() and not future.cancelled() and not future.exception():  # just now
                self._end(turn)
            else:
                self._remove(caller.key_id, turn)
            if isinstance(error, TimeoutError):
                raise self._overloaded() from error
            raise
        try:
            yield
        finally:
            self._end(turn)

    def check(self, caller: Caller, cost: int) -> None:
        """Raises ApiError, as `turn` does, for a request that would not even wait."""
        config, wait = self._config, self._config.retry_seconds
        if self.is_draining:
            raise shutting_down(wait)
        if cost > config.running_tokens:
            raise ApiError(
                400,
                "request_too_large",
                f"the request has {cost:,} tokens with those it asks for, and the server takes"
                f" {config.running_tokens:,}; ask for fewer texts at once",
            )
        if len(self._queues.get(caller.key_id, ())) >= config.waiting_of_key:
            has_key = caller.key_id != NO_KEY
            who = f"the key {caller.key_id} has" if has_key else "clients without keys have"
            text = f"{who} {config.waiting_of_key} requests that wait; send fewer at once"
            raise ApiError(429, "rate_limit_exceeded", text, retry_after=wait)
        if self.n_waiting >= config.waiting:
            raise self._overloaded()

    def refuse_waiting(self) -> None:
        """Refuses the requests that wait (503), because the server ends."""
        turns = [turn for queue in self._queues.values() for turn in queue]
        self._queues.clear()
        for turn in turns:
            if not turn.is_given.done():
                turn.is_given.set_exception(shutting_down(self._config.retry_seconds))

    def _overloaded(self) -> ApiError:
        wait = self._config.retry_seconds
        return ApiError(503, "overloaded", "the server is full; try later", retry_after=wait)

    def _let_through(self) -> None:
        """Lets requests through in turns of their keys, as long as the next one fits: none that is
        large waits for ever because small ones pass it.
        """
        while (turn := self._next()) is not None:
            queue = self._queues[turn.key_id]
            queue.popleft()
            self._queues.move_to_end(turn.key_id)
            if not queue:
                del self._queues[turn.key_id]
            if not turn.is_given.cancelled():
                self._running_tokens += turn.cost
                self._running_texts += turn.n_texts
                self._texts_of[turn.key_id] += turn.n_texts
                self.n_running += 1
                turn.is_given.set_result(None)

    def _next(self) -> _Turn | None:
        """The request whose turn it is: the first of the next key that may have more texts; None if
        there is none, or it has to wait for room.
        """
        config = self._config
        for key_id, queue in self._queues.items():
            turn, own = queue[0], self._texts_of[key_id]
            if own and own + turn.n_texts > config.texts_of_key:
                continue
            is_fit = (
                self._running_tokens + turn.cost <= config.running_tokens
                and self._running_texts + turn.n_texts <= config.running_texts
            )
            return turn if is_fit else None
        return None

    def _end(self, turn: _Turn) -> None:
        self._running_tokens -= turn.cost
        self._running_texts -= turn.n_texts
        self._texts_of[turn.key_id] -= turn.n_texts
        if not self._texts_of[turn.key_id]:
            del self._texts_of[turn.key_id]
        self.n_running -= 1
        self._let_through()

    def _remove(self, key_id: str, turn: _Turn) -> None:
        queue = self._queues.get(key_id, deque())
        with contextlib.suppress(ValueError):  # its turn had come, and was passed on
            queue.remove(turn)
        if not queue:
            self._queues.pop(key_id, None)
        self._let_through()
