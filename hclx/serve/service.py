"""The parts of a server that every dialect shares, and the way of a request through them."""

import asyncio
import contextlib
import dataclasses
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Sequence

from starlette.requests import Request
from starlette.responses import Response

from hclx.infer import GenerateRequest, Generation, Part
from hclx.serve.admission import Admission
from hclx.serve.api_error import ApiError
from hclx.serve.backend import Backend
from hclx.serve.caller import Caller, Ended, Keys, Usage
from hclx.serve.event_stream import EventStream
from hclx.serve.guarded_texts import GuardedTexts
from hclx.serve.metrics import Metrics
from hclx.serve.safety.output_filter import Finding
from hclx.serve.safety.output_rules import OutputRules
from hclx.serve.serve_config import ServeConfig

_CANCEL_SECONDS = 10  # within which the engine ends a text that is cancelled


@dataclasses.dataclass(frozen=True)
class Asked:
    """A request, once its body was read and checked.

    Attributes:
      caller: who asks.
      route: the path of the request.
      model: the name by which the model was asked for.
      cost: the tokens of its prompts, and the most that may be written behind them.
      requests: the texts that the engine writes for it, with n=1 each.
      rules: by which its texts leave; None: those of the server.
      begin: when it came, in seconds of `time.monotonic`.
    """

    caller: Caller
    route: str
    model: str
    cost: int
    requests: Sequence[GenerateRequest] = ()
    rules: OutputRules | None = None
    begin: float = dataclasses.field(default_factory=time.monotonic)

    @classmethod
    def of(
        cls, request: Request, model: str, cost: int, requests: Sequence[GenerateRequest] = ()
    ) -> "Asked":
        """Returns what an HTTP request asks, which the guard has let through."""
        state = request.state
        return cls(state.caller, request.url.path, model, cost, requests, begin=state.begin)


class Running:
    """A request that was admitted, and its texts.

    Attributes:
      usage: the tokens that it has used so far.
      has_failed: whether one of its texts has, of which an answer in events has told the client.
    """

    def __init__(self, asked: Asked, texts: GuardedTexts, metrics: Metrics):
        """Takes the texts that the engine writes for it."""
        self.usage, self.has_failed = Usage(), False
        self._asked, self._texts, self._metrics = asked, texts, metrics

    def add(self, usage: Usage) -> None:
        """Adds what a part of the request has used."""
        self.usage += usage

    async def parts(self) -> AsyncIterator[tuple[int, Part | None]]:
        """Yields the parts of all texts, as `GuardedTexts.parts` does, and observes their times."""
        last = None
        async for index, part in self._texts.parts():
            if part is not None:
                last = self._metrics.observe_part(self._asked.begin, last)
            yield index, part

    async def result(self, index: int) -> Generation:
        """Awaits a whole text; see `GuardedTexts.result`. Raises ApiError if it has failed, or the
        server ends.
        """
        try:
            result = await self._texts.result(index)
        except ApiError:
            self.has_failed = True
            raise
        self._metrics.count_end(result.stop_reason)
        return result

    async def results(self) -> list[Generation]:
        """Awaits all texts. Raises ApiError as `result` does."""
        return [await self.result(index) for index in range(len(self._asked.requests))]

    async def findings(self, index: int) -> list[Finding]:
        """Judges a text that has ended; see `GuardedTexts.findings`."""
        return await self._texts.findings(index)

    def count_texts(self) -> None:
        """Counts what the texts have used, unless something was counted. It blocks until those that
        were cancelled have ended.
        """
        if self.usage == Usage():
            self.add(self._texts.used(_CANCEL_SECONDS))


@dataclasses.dataclass(frozen=True)
class Service:
    """The parts of a server.

    Attributes:
      backend, keys, config: see `hclx.serve.server.build_app`.
      admission: the queue before the engine.
      metrics: numbers about all requests.
      endings: what `end` calls, on the event loop.
      workers: what runs beside requests, on the event loop, until the server has ended; each is
        cancelled then.
    """

    backend: Backend
    keys: Keys
    config: ServeConfig
    admission: Admission
    metrics: Metrics
    endings: set[Callable[[], None]] = dataclasses.field(default_factory=set)
    workers: list[Callable[[], Coroutine]] = dataclasses.field(default_factory=list)

    @contextlib.asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """Enters a context in which the workers run."""
        tasks = [asyncio.create_task(work()) for work in self.workers]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    @contextlib.contextmanager
    def ended_by(self, ending: Callable[[], None]) -> Iterator[None]:
        """Enters a context in which `end` calls `ending`."""
        self.endings.add(ending)
        try:
            yield
        finally:
            self.endings.discard(ending)

    def end(self) -> None:
        """Ends all requests: each tells its client that the server ends."""
        self.admission.refuse_waiting()
        for ending in tuple(self.endings):
            ending()

    async def answer(
        self,
        asked: Asked,
        whole: Callable[[Running], Awaitable[Response]],
        events: Callable[[Running], AsyncIterator[str]] | None = None,
    ) -> Response:
        """Runs a request, and answers it.

        Args:
          asked: the request.
          whole: writes the answer in one.
          events: writes it as events, during which the request goes on; None: it is no stream.
        Raises:
          ApiError: 403, 429 or 503: the key, its quota, or the server does not allow it; or the
            engine refuses it.
        """
        async with contextlib.AsyncExitStack() as stack:
            running = await stack.enter_async_context(self.running(asked))
            if events is not None:
                return EventStream(events(running), stack.pop_all())
            return await whole(running)

    @contextlib.asynccontextmanager
    async def running(self, asked: Asked) -> AsyncIterator[Running]:
        """Waits until a request may use the engine, and begins its texts; those that have not ended
        with the context are cancelled, and what was used is recorded, whatever ends it.

        Raises:
          ApiError: as `answer`.
        """
        asked.caller.check_scope("inference")
        self.admission.check(asked.caller, asked.cost)
        reservation = await self._reserved(asked)
        running, reason = None, "failed"
        try:
            n_texts = max(1, len(asked.requests))
            async with self.admission.turn(asked.caller, asked.cost, n_texts):
                self.metrics.queue_time.observe(time.monotonic() - asked.begin)
                async with self.backend.started(asked.requests) as texts:
                    prompt_of = lambda index: self.backend.end_of(asked.requests[index].prompt)
                    rules = asked.rules or self.backend.rules
                    guarded = GuardedTexts(texts, rules, self.metrics, prompt_of)
                    running = Running(asked, guarded, self.metrics)
                    with self.ended_by(texts.cancel_all):
                        yield running
            reason = "failed" if running.has_failed else "finished"
        except (asyncio.CancelledError, GeneratorExit):
            reason = "cancelled"
            raise
        finally:
            # A client that has left is no reason not to record: the thread ends its work.
            recording = asyncio.to_thread(self._record, asked, running, reservation, reason)
            await asyncio.shield(recording)

    def _record(
        self, asked: Asked, running: Running | None, reservation: object, reason: str
    ) -> None:
        usage = Usage()
        if running is not None:
            running.count_texts()
            usage = running.usage
        self.metrics.count(usage)
        ended = Ended(usage, asked.model, asked.route, reason)
        self.keys.record(asked.caller, ended, reservation)

    async def _reserved(self, asked: Asked) -> object:
        """Returns what the store has reserved; a request that is cancelled meanwhile gives it
        back.
        """
        caller = asked.caller
        admitting = asyncio.ensure_future(asyncio.to_thread(self.keys.admit, caller, asked.cost))
        try:
            return await asyncio.shield(admitting)
        except asyncio.CancelledError:
            with contextlib.suppress(ApiError):
                reservation, ended = await admitting, Ended(Usage(), reason="cancelled")
                await asyncio.to_thread(self.keys.record, caller, ended, reservation)
            raise
