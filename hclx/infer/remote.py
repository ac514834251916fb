"""The remote engine: a model that another program serves, by OpenAI's completions over HTTP.

One thread runs an event loop, in which each request is a task. To cancel a request closes its
connection, at which servers end their work.
"""

import asyncio
import concurrent.futures
import dataclasses
import threading
import time
from collections.abc import Callable, Sequence

import numpy as np

from hclx.errors import check_ranges
from hclx.infer.engine import (
    Choice,
    GenerateRequest,
    Generation,
    RequestError,
    Score,
    ScoreRequest,
    as_list,
    choice_of,
    label_requests,
    list_of_labels,
    list_of_texts,
)
from hclx.infer.intake import check_request
from hclx.infer.remote_http import Http, ServerError
from hclx.infer.remote_servers import look_at
from hclx.infer.remote_work import EmbedWork, Remote, ScoreWork, TextWork
from hclx.infer.ticket import Ticket
from hclx.text import Tokenizer

__all__ = ["RemoteConfig", "RemoteEngine", "ServerError"]


@dataclasses.dataclass(frozen=True)
class RemoteConfig:
    """Limits of a remote engine.

    Attributes:
      requests: the number of requests that are sent at once; others wait here.
      retries: attempts after the first one, if a server is busy or fails or a connection breaks.
      timeout: the longest silence of the server, in seconds.
      stream: whether texts are asked for in parts; None: where the server's parts lose nothing. A
        server that is not asked so may compute a text to its end after it was cancelled.
    """

    requests: int = 16
    retries: int = 5
    timeout: float = 600.0
    stream: bool | None = None

    def __post_init__(self):
        checks = {
            "requests": (self.requests > 0, "a positive number"),
            "retries": (self.retries >= 0, "0 or more"),
            "timeout": (self.timeout > 0, "seconds above 0"),
        }
        check_ranges(self, checks, "RemoteConfig")


class RemoteEngine:
    """An `hclx.infer.engine.Engine` over a server that speaks OpenAI's completions: vLLM, SGLang,
    llama.cpp and others. A setting that the server is not known to honour is refused. Use it in a
    `with` block, or call `close`.
    """

    def __init__(
        self,
        url: str,
        model: str | None = None,
        *,
        key: str | None = None,
        tokenizer: Tokenizer | None = None,
        settings: RemoteConfig = RemoteConfig(),
    ):
        """Asks the server what it is and serves.

        Args:
          url: the address, such as `http://localhost:8000`, with or without `/v1`.
          model: the name that the server gives the model; None: the only one that it has.
          key: of the server.
          tokenizer: that of the model; None: the server encodes texts.
          settings: limits.
        Raises:
          ConfigError: the address, the key or the model is wrong.
          ServerError: the server is not reached, or fails.
        """
        self._http = Http(url, key, settings.timeout, settings.retries)
        self._lock, self._is_closed = threading.Lock(), False
        self._tasks: dict[Ticket, asyncio.Task] = {}
        self._loop, self._stop = asyncio.new_event_loop(), asyncio.Event()
        self._thread = threading.Thread(target=self._serve, name="hclx-remote", daemon=True)
        self._thread.start()
        try:
            looking = asyncio.run_coroutine_threadsafe(look_at(self._http, model), self._loop)
            server = looking.result()
        except BaseException:
            self.close(timeout=1)
            raise
        self._http.is_500_final = server.kind.is_500_final
        self._slots = asyncio.Semaphore(1 if server.kind.is_serial else settings.requests)
        is_right = not server.kind.has_poor_streams
        streams = is_right if settings.stream is None else settings.stream
        self._remote = Remote(self._http, server, tokenizer, streams)

    @property
    def address(self) -> str:
        """Returns the address of the server, without a user and a password."""
        return self._http.address

    @property
    def model(self) -> str:
        """Returns the name of the model at the server."""
        return self._remote.server.model

    @property
    def keeps_tenants(self) -> bool:
        """Returns whether the server keeps the prefix caches of tenants apart."""
        return self._remote.server.kind.tenant_field is not None

    @property
    def kind(self) -> str:
        """Returns the name of the server's kind, as far as it is known."""
        return self._remote.server.kind.name

    def check(self, request: GenerateRequest) -> None:
        """Raises RequestError if `submit` would not take a request."""
        TextWork(self._remote, request, 0, Ticket(self._cancel))

    def submit(self, request: GenerateRequest | ScoreRequest) -> Ticket:
        """Takes a request, and returns at once. Raises RequestError if the server cannot serve
        it; what the server says itself is raised by the ticket.
        """
        ticket = Ticket(self._cancel)
        if isinstance(request, ScoreRequest):
            return self._start(ticket, ScoreWork(self._remote, request))
        work = TextWork(self._remote, request, 0, ticket)
        if request.n > 1:
            raise RequestError(f"n={request.n}: `submit` takes one; use `generate`")
        return self._start(ticket, work)

    def generate(self, requests: Sequence[GenerateRequest]) -> list[list[Generation]]:
        """Continues texts: for each request its `n` continuations, in order.

        Raises:
          RequestError: the server cannot serve a request; if that is known here, none is sent.
          ServerError: it is not reached, or fails, after all attempts.
        """
        requests = as_list(requests, "requests")
        for request in requests:
            check_request(request)
        works = []
        for request in requests:
            for index in range(request.n):
                ticket = Ticket(self._cancel)
                works.append((ticket, TextWork(self._remote, request, index, ticket)))
        results = iter(self._results(works))
        return [[next(results) for _ in range(request.n)] for request in requests]

    def score(self, requests: Sequence[ScoreRequest]) -> list[Score]:
        """Computes the log-probabilities of texts. Raises errors as `generate` does.

        Where the server takes ids, a continuation is encoded on its own, as by the embedded
        engine. Where it takes text alone, the server encodes context and continuation as one text,
        and the tokens that begin behind the context are scored.
        """
        requests = as_list(requests, "requests")
        works = [(Ticket(self._cancel), ScoreWork(self._remote, r)) for r in requests]
        return self._results(works)

    def choose(self, context: str, labels: Sequence[str], artefact: str | None = None) -> Choice:
        """Chooses among labels by their log-probabilities after a context. Raises as `score`."""
        labels = list_of_labels(labels)
        return choice_of(labels, self.score(label_requests(context, labels, artefact)))

    def embed(self, texts: Sequence[str], artefact: str | None = None) -> list[np.ndarray]:
        """Returns the server's vectors of texts, float32 [d]. Raises RequestError if it has none
        of this model.
        """
        texts = list_of_texts(texts)
        works = [(Ticket(self._cancel), EmbedWork(self._remote, text, artefact)) for text in texts]
        return self._results(works)

    def close(self, timeout: float | None = None) -> None:
        """Ends all requests as they are, and the thread; waits for it at most `timeout` seconds."""
        with self._lock:
            if not self._is_closed:
                self._is_closed = True
                self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(timeout)

    def __enter__(self) -> "RemoteEngine":
        return self

    def __exit__(self, kind, *_) -> None:
        self.close(timeout=None if kind is None else 2)

    def _results(self, works: list[tuple[Ticket, object]]) -> list:
        tickets = [self._start(ticket, work) for ticket, work in works]
        futures = [ticket.future for ticket in tickets]
        try:
            done, _ = concurrent.futures.wait(futures, return_when="FIRST_EXCEPTION")
            if error := next(filter(None, (future.exception() for future in done)), None):
                raise error
            return [future.result() for future in futures]
        except BaseException:  # nobody waits for the others any more
            for ticket in tickets:
                ticket.cancel()
            raise

    def _start(self, ticket: Ticket, work) -> Ticket:
        self._call(lambda: self._begin(ticket, work))
        return ticket

    def _cancel(self, ticket: Ticket) -> None:
        def cancel():
            if task := self._tasks.get(ticket):
                task.cancel()

        if not self._is_closed:  # which ends it too
            self._call(cancel)

    def _call(self, function: Callable[[], None]) -> None:
        with self._lock:
            if self._is_closed:
                raise RequestError("the engine is closed")
            self._loop.call_soon_threadsafe(function)

    # What the thread does.

    def _serve(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._wait())

    async def _wait(self) -> None:
        await self._stop.wait()
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        await self._http.close()

    def _begin(self, ticket: Ticket, work) -> None:
        task = self._tasks[ticket] = self._loop.create_task(self._run(work))
        task.add_done_callback(lambda task: self._finish(ticket, work, task))

    async def _run(self, work):
        left = None if work.end is None else max(0.0, work.end - time.monotonic())
        limit = asyncio.timeout(left)
        try:
            async with limit, self._slots:
                return await work.run()
        except TimeoutError:
            if not limit.expired():
                raise
            return work.ended("deadline")

    def _finish(self, ticket: Ticket, work, task: asyncio.Task) -> None:
        del self._tasks[ticket]
        try:
            ticket.finish(work.ended("cancelled") if task.cancelled() else task.result())
        except Exception as error:  # its owner gets it
            ticket.finish(error)
