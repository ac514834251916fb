"""The embedded engine: a model on this machine's devices that serves many requests at once.

Requests wait in a queue for one of a fixed number of rows of the KV cache (continuous batching). A
thread owns the device: `hclx.infer.engine_loop`.
"""

import concurrent.futures
import contextlib
import threading
from collections.abc import Callable, Sequence

import jax
import numpy as np

from hclx.errors import HclxError, StuckError
from hclx.infer.adapters import Adapter
from hclx.infer.calls import most_positions
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
from hclx.infer.engine_config import EngineConfig
from hclx.infer.engine_loop import EngineLoop
from hclx.infer.intake import Intake
from hclx.infer.jobs import Job
from hclx.infer.load import LoadedModel
from hclx.infer.tasks import Task
from hclx.infer.ticket import Ticket
from hclx.text import Tokenizer

_LOSS_SECONDS = 5  # that the thread has to notice that another process is gone


class EmbeddedEngine(EngineLoop):
    """An `hclx.infer.engine.Engine` over a model that is loaded here. Use it in a `with` block, or
    call `close`.
    """

    def __init__(
        self, model: LoadedModel, tokenizer: Tokenizer, settings: EngineConfig = EngineConfig()
    ):
        """Allocates the caches and starts the thread.

        Args:
          model: as `hclx.infer.load_for_inference` returns it.
          tokenizer: that of the model.
          settings: sizes.
        Raises:
          ConfigError: `max_length` is more than the model reads; or the model lies on the devices
            of several processes, and this is not process 0: see `hclx.infer.follow`.
          StuckError: the model lies on the devices of several processes, and one does not follow.
        """
        longest = settings.max_length or most_positions(model.config)
        super().__init__(model, settings, longest)
        self._intake = Intake(
            *(tokenizer, model.config.vocab_size, longest, self._cancel, self._adapters.find)
        )
        self._thread = threading.Thread(target=self._run, name="hclx-engine", daemon=True)
        self._thread.start()

    # What callers use, from any thread.

    @property
    def loaded_model(self) -> LoadedModel:
        """Returns the model that it computes with."""
        return self._model

    def check(self, request: GenerateRequest) -> None:
        """Raises RequestError if `submit` would not take a request."""
        self._intake.generate_tasks(request)

    def submit(self, request: GenerateRequest | ScoreRequest) -> Ticket:
        """Takes a request, and returns at once. Raises RequestError if it cannot be served."""
        if isinstance(request, ScoreRequest):
            ((task, _),) = self._intake.score_tasks([request])
            return self._put(task)
        tasks = self._intake.generate_tasks(request)
        if len(tasks) > 1:
            raise RequestError(f"n={request.n}: `submit` takes one; use `generate`")
        return self._put(tasks[0])

    def generate(self, requests: Sequence[GenerateRequest]) -> list[list[Generation]]:
        """Continues texts: for each request its `n` continuations, in order.

        Raises:
          RequestError: a request cannot be served; then none is.
        """
        requests = as_list(requests, "requests")
        tasks = [self._intake.generate_tasks(request) for request in requests]
        results = iter(self._serve([task for row in tasks for task in row]))
        return [[next(results) for _ in row] for row in tasks]

    def score(self, requests: Sequence[ScoreRequest]) -> list[Score]:
        """Computes the log-probabilities of texts. Raises RequestError as `generate` does."""
        requests = as_list(requests, "requests")
        tasks = self._intake.score_tasks(requests)
        scores: list[Score | None] = [None] * len(requests)
        for (_, numbers), result in zip(tasks, self._serve([task for task, _ in tasks])):
            for number, score in zip(numbers, result if len(numbers) > 1 else [result]):
                scores[number] = score
        return scores

    def choose(self, context: str, labels: Sequence[str], artefact: str | None = None) -> Choice:
        """Chooses among labels by their log-probabilities after a context, which is computed once.

        Raises:
          RequestError: there is no label, or one is empty or does not fit.
        """
        labels = list_of_labels(labels)
        return choice_of(labels, self.score(label_requests(context, labels, artefact)))

    def embed(self, texts: Sequence[str], artefact: str | None = None) -> list[np.ndarray]:
        """Computes for each text the mean of its hidden states after the final norm, float32 [d],
        with those of soft slots. They are those of a language model, which no training has made
        alike for like meanings.
        """
        texts = list_of_texts(texts)
        return self._serve([self._intake.embed_task(text, artefact) for text in texts])

    def warm_up(self) -> None:
        """Compiles every program that requests may need, so that none waits for it. Call it before
        the first request, once all adapters are there.
        """
        self._ask(lambda: self._device.warm_up(self._adapters.placements))

    def add_adapter(self, name: str, adapter: Adapter) -> None:
        """Adds what tuning has made, which requests have as their `artefact` from then on.

        Raises:
          ConfigError: the name is taken, the adapter is not of this model's shape, or the device
            has no room for it.
        """

        def add() -> None:
            placement = self._adapters.choose(name, adapter)
            self._device.add_adapter(placement, adapter)
            self._adapters.take(placement)

        try:
            self._ask(add)
        except jax.errors.JaxRuntimeError as error:
            raise RequestError(f"the device failed at the adapter {name!r}: {error}") from error

    def remove_adapter(self, name: str) -> None:
        """Removes an adapter. Raises RequestError if there is none of this name, or a request that
        has not ended uses it.
        """

        def remove() -> None:
            placement = self._adapters.get(name)
            if any(task.adapter == placement for task in [*self._rows, *self._waiting] if task):
                raise RequestError(f"the adapter {name!r} is in use; end its requests first")
            self._adapters.free(placement)
            self._device.remove_adapter(placement, self._adapters.placements)

        self._ask(remove)

    def adapter_length(self, name: str | None) -> int:
        """Returns how many tokens stand before each prompt with an artefact: soft slots and the
        positions of a prefix; 0 for None. Raises RequestError if there is none of this name.
        """
        placement = self._adapters.find(name)
        return len(placement.slots) + placement.n_prefix

    def close(self, timeout: float | None = None) -> None:
        """Ends all requests as they are, and the thread; waits for it at most `timeout` seconds."""
        with contextlib.suppress(HclxError):  # it is closed
            self._send(None)
        # After the loss of another process the device may never be ready.
        self._thread.join(timeout if self._loss is None else _LOSS_SECONDS)

    def __enter__(self) -> "EmbeddedEngine":
        return self

    def __exit__(self, kind, error, _) -> None:
        # After an error or Ctrl-C nobody waits for a program that is being compiled.
        self._error = error
        self.close(timeout=None if kind is None else 0.5)

    def _serve(self, tasks: list[Task]) -> list:
        """Waits for the results of tasks. If one cannot be served, or the caller is interrupted,
        nobody waits for the others, and they end.
        """
        tickets = []
        try:
            tickets += map(self._put, tasks)
            return [ticket.result() for ticket in tickets]
        except BaseException:
            for ticket in tickets:
                ticket.cancel()
            raise

    def _put(self, task: Task) -> Ticket:
        self._send(task)
        return task.ticket

    def _ask(self, function: Callable[[], None]) -> None:
        """Waits until the thread has called a function, and raises its error."""
        job = Job(function)
        self._send(job)
        while not concurrent.futures.wait([job.future], timeout=1).done:
            if self._loss is not None:
                raise self._loss
        job.future.result()

    def _send(self, message: Task | Job | None) -> None:
        """Passes a message to the thread; None tells it to end. After that it reads no more."""
        with self._lock:
            if self._loss is not None:
                raise self._loss
            if self._is_closed:
                raise RequestError("the engine is closed")
            self._is_closed = message is None
            self._inbox.put(message)

    def _cancel(self, ticket: Ticket) -> None:
        self._inbox.put(ticket)

    def _lose(self, error: StuckError) -> None:
        """Ends all requests when another process is gone. The engine's own thread does so if it
        can: it may wait for devices that will never be ready.
        """
        self._loss = error
        self._inbox.put(None)
        if self._thread.is_alive():
            self._thread.join(_LOSS_SECONDS)
        self._finish_all(error)
