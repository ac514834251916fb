"""The parts of a server that every dialect shares, and the way of a request through them."""

import asyncio
import contextlib
import dataclasses
import time
from collections.abc import AsyncIterator, Sequence

from hclx.infer import GenerateRequest
from hclx.serve.admission import Admission
from hclx.serve.api_error import ApiError
from hclx.serve.backend import Backend, TextStreams
from hclx.serve.caller import Caller, Ended, Keys, Usage
from hclx.serve.metrics import Metrics
from hclx.serve.serve_config import ServeConfig

_CANCEL_SECONDS = 10  # within which the engine ends a text that is cancelled


class UsageCounter:
    """Counts the tokens of a request.

    Attributes:
      usage: so far.
      texts: of the request, which count by themselves if it ends before it has counted.
    """

    def __init__(self):
        """Starts at nothing."""
        self.usage, self.texts = Usage(), None

    def add(self, usage: Usage) -> None:
        """Adds what a part of the request has used."""
        self.usage += usage


@dataclasses.dataclass(frozen=True)
class Service:
    """The parts of a server.

    Attributes:
      backend, keys, config: see `hclx.serve.server.build_app`.
      admission: the queue before the engine.
      metrics: numbers about all requests.
    """

    backend: Backend
    keys: Keys
    config: ServeConfig
    admission: Admission
    metrics: Metrics

    @contextlib.asynccontextmanager
    async def admitted(
        self, caller: Caller, cost: int, model: str = "", route: str = ""
    ) -> AsyncIterator[UsageCounter]:
        """Waits until a request may use the engine, as long as the context lasts; what it counts is
        recorded at the end, whatever ends it.

        Args:
          caller: who asks.
          cost: the tokens of its prompts, and the most that may be written behind them.
          model: the name by which the model was asked for.
          route: the path of the request.
        Raises:
          ApiError: 403, 429 or 503: the key, its quota, or the server does not allow it.
        """
        caller.check_scope("inference")
        begin = time.monotonic()
        async with self.admission.turn(caller, cost):
            reservation = await self._reserved(caller, cost)
            self.metrics.queue_time.observe(time.monotonic() - begin)
            counter, reason = UsageCounter(), "failed"
            try:
                yield counter
                reason = "finished"
            except (asyncio.CancelledError, GeneratorExit):
                reason = "cancelled"
                raise
            finally:
                how = model, route, reason
                # A client that has left is no reason not to record: the thread ends its work.
                recording = asyncio.to_thread(self._record, caller, counter, reservation, *how)
                await asyncio.shield(recording)

    @contextlib.asynccontextmanager
    async def started(
        self, requests: Sequence[GenerateRequest], counter: UsageCounter
    ) -> AsyncIterator[TextStreams]:
        """Begins the texts of a request that was admitted, as `Backend.started` does; `counter`
        counts what they have used, if the client leaves before they have ended.
        """
        async with self.backend.started(requests) as counter.texts:
            yield counter.texts

    def _record(
        self,
        caller: Caller,
        counter: UsageCounter,
        reservation: object,
        model: str,
        route: str,
        reason: str,
    ) -> None:
        if counter.texts and counter.usage == Usage():
            counter.add(counter.texts.used(_CANCEL_SECONDS))
        self.metrics.count(counter.usage)
        self.keys.record(caller, Ended(counter.usage, model, route, reason), reservation)

    async def _reserved(self, caller: Caller, cost: int) -> object:
        """Returns what the store has reserved; a request that is cancelled meanwhile gives it
        back.
        """
        admitting = asyncio.ensure_future(asyncio.to_thread(self.keys.admit, caller, cost))
        try:
            return await asyncio.shield(admitting)
        except asyncio.CancelledError:
            with contextlib.suppress(ApiError):
                reservation, ended = await admitting, Ended(Usage(), reason="cancelled")
                await asyncio.to_thread(self.keys.record, caller, ended, reservation)
            raise
