"""The embedded engine: a model on this machine's devices that serves many requests at once.

Requests wait in a queue for one of a fixed number of rows of the KV cache (continuous batching). A
thread owns the device; in each turn of its loop it gives free rows to waiting requests, reads one
chunk of prompts, lets all rows sample some tokens, and hands out what came back.
"""

import contextlib
import logging
import queue
import threading
import time
from collections.abc import Sequence

import jax
import numpy as np

from hclx.errors import HclxError, StuckError
from hclx.infer.calls import most_positions
from hclx.infer.device import Device, Output
from hclx.infer.engine import (
    Choice,
    GenerateRequest,
    Generation,
    RequestError,
    Score,
    ScoreRequest,
    StopReason,
    as_list,
    choice_of,
    list_of_labels,
    list_of_texts,
)
from hclx.infer.engine_config import EngineConfig
from hclx.infer.intake import Intake
from hclx.infer.load import LoadedModel
from hclx.infer.tasks import GenerateTask, Task
from hclx.infer.ticket import Ticket
from hclx.text import Tokenizer

_LOG = logging.getLogger(__name__)
_MOST_CHUNKS = 8  # of prompts that are read between two calls that sample
_TOKENS_OF_A_TURN = 256  # that these chunks have together, if few rows wait for theirs
_MOST_FAILURES = 2  # device errors after which a request is given up
_LOSS_SECONDS = 5  # that the thread has to notice that another process is gone


class EmbeddedEngine:
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
        self._intake = Intake(tokenizer, model.config.vocab_size, longest, self._cancel)
        self._model, self._settings = model, settings
        self._inbox: queue.SimpleQueue = queue.SimpleQueue()
        self._error: BaseException | None = None  # of the caller, who closes the engine then
        self._loss: StuckError | None = None  # of another process
        self._waiting: list[Task] = []
        self._rows: list[Task | None] = [None] * settings.rows
        self._unread: list[Output] = []
        self._is_closed = False
        self._lock = threading.Lock()  # so that nothing is put into the inbox after its end
        self._thread = threading.Thread(target=self._run, name="hclx-engine", daemon=True)
        self._device = Device(model, settings, longest, on_loss=self._lose)
        self._thread.start()

    # What callers use, from any thread.

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

    def choose(self, context: str, labels: Sequence[str]) -> Choice:
        """Chooses among labels by their log-probabilities after a context, which is computed once.

        Raises:
          RequestError: there is no label, or one is empty or does not fit.
        """
        labels = list_of_labels(labels)
        return choice_of(labels, self.score([ScoreRequest(context, label) for label in labels]))

    def embed(self, texts: Sequence[str]) -> list[np.ndarray]:
        """Computes for each text the mean of its hidden states after the final norm, float32 [d].
        They are those of a language model, which no training has made alike for like meanings.
        """
        return self._serve([self._intake.embed_task(text) for text in list_of_texts(texts)])

    def warm_up(self) -> None:
        """Compiles every program that requests may need, so that none waits for it. Call it before
        the first request.
        """
        done = threading.Event()
        self._send(done)
        while not done.wait(1) and self._loss is None:
            pass
        if self._loss is not None:
            raise self._loss

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

    def _send(self, message: Task | threading.Event | None) -> None:
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

    # What the thread does.

    def _run(self) -> None:
        error = None
        try:
            with self._model.placement():
                while not self._is_closed and self._loss is None:
                    try:
                        self._turn()
                    except jax.errors.JaxRuntimeError as failure:
                        self._recover(failure)
        except StuckError as lost:
            self._loss = lost
        # A fault of the program must not hang its callers; libraries that are written in Rust
        # panic with what is no Exception.
        except BaseException as fault:
            _LOG.exception("the engine ends")
            error = RequestError(f"the engine ended: {fault!r}")
        error = self._loss or error
        self._device.end(error or self._error)
        self._finish_all(error)

    def _turn(self) -> None:
        self._take_new()
        self._admit()
        tasks = [task for task in self._rows if task is not None]
        if not self._waiting:
            self._device.shrink(max((task.length for task in tasks), default=0))
        self._read_chunks()
        if self._settings.guesses:
            self._hand_out(keep=0)  # guesses follow from all tokens
        sampling = self._sampling()
        if any(task.matcher is not None for _, task in sampling):
            self._step_by_grammar(sampling)
            return
        more = [(row, task) for row, task in sampling if task.n_ahead > 0]
        guesses = [task.guess(self._settings.guesses) for _, task in more]
        if 2 * sum(map(bool, guesses)) > len(more):
            self._unread.append(self._device.verify(more, guesses))
        elif more:
            n = min(self._settings.steps, max(task.n_ahead for _, task in more))
            self._unread.append(self._device.decode(more, n, bool(self._waiting)))
        # While the device runs the newest call, the host reads those before it; if requests wait
        # for a row, it reads that one too.
        self._hand_out(keep=1 if more and not self._waiting else 0)

    def _sampling(self) -> list[tuple[int, GenerateTask]]:
        """The rows whose prompt is whole and whose text is not."""
        return [
            (row, task)
            for row, task in enumerate(self._rows)
            if isinstance(task, GenerateTask) and not task.n_left
        ]

    def _read_chunks(self) -> None:
        """Reads the next chunks of some prompts, which take about as long as a call that samples;
        and more while more rows read than sample, because a step takes about the same time for all
        rows as for some of them.
        """
        n_tokens = 0
        for _ in range(_MOST_CHUNKS):
            reading = [task for task in self._rows if task is not None and task.n_left]
            if not reading:
                return
            n_tokens += self._read(reading)
            if n_tokens >= _TOKENS_OF_A_TURN and len(reading) <= len(self._sampling()):
                return

    def _step_by_grammar(self, sampling: list[tuple[int, GenerateTask]]) -> None:
        """Samples one token of each row; the host must know the last one to say what may follow.
        Rows whose next tokens are certain read them in the next turn, if these are so many that the
        others, which wait for that, would not have sampled as many.
        """
        self._hand_out(keep=0)
        least = 1 + 2 * len(sampling)
        for row, task in sampling:
            if self._rows[row] is task and (reason := task.append_forced(least)) is not None:
                self._end(row, task, reason)
        sampling = [
            (row, task) for row, task in sampling if self._rows[row] is task and not task.n_left
        ]
        if sampling:
            self._unread.append(self._device.decode_masked(sampling))
            self._hand_out(keep=0)

    def _take_new(self) -> None:
        """Takes what callers have sent; it waits for them if there is nothing else to do."""
        is_idle = not self._waiting and not any(self._rows) and not self._unread
        while True:
            try:
                message = self._inbox.get(block=is_idle)
            except queue.Empty:
                break
            is_idle = False
            if isinstance(message, Task):
                self._waiting.append(message)
            elif isinstance(message, threading.Event):
                try:
                    self._device.warm_up()
                finally:
                    message.set()
            elif isinstance(message, Ticket):
                self._end_early(lambda task: task.ticket is message, "cancelled")
        now = time.monotonic()
        self._end_early(lambda task: task.deadline is not None and task.deadline < now, "deadline")

    def _end_early(self, is_ended, reason) -> None:
        for task in [task for task in self._waiting if is_ended(task)]:
            self._waiting.remove(task)
            task.finish(reason)
        for row, task in enumerate(self._rows):
            if task is not None and is_ended(task):
                self._rows[row] = None
                task.finish(reason)

    def _admit(self) -> None:
        """Gives free rows to waiting requests, in order. A request waits for another that is about
        to compute the same beginning.
        """
        is_missing = lambda key: self._device.keeps_prefixes and not self._device.has_prefix(key)
        reading = [task for task in self._rows if task is not None and task.n_left]
        coming = {key for task in reading for key in task.keys if is_missing(key)}
        for row in [row for row, task in enumerate(self._rows) if task is None]:
            for i, task in enumerate(self._waiting):
                if next(filter(is_missing, task.keys), None) not in coming:
                    break
            else:
                return
            self._rows[row] = self._waiting.pop(i)
            coming.update(filter(is_missing, self._rows[row].keys))

    def _read(self, tasks: list[Task]) -> int:
        """Reads the next chunk of some prompts, and returns its number of tokens; the prompts that
        are whole sample their first token.
        """
        chunk = self._device.next_chunk(self._rows, tasks)
        row, task = chunk.rows[0]
        if is_alone := task.n_failures > 0:
            self._device.wait()  # so that an error is that of this request
        try:
            outputs = self._device.read(chunk)
            if is_alone:
                self._device.wait()
        except jax.errors.JaxRuntimeError as error:
            if is_alone:
                self._end(row, task, RequestError(f"the device failed at this request: {error}"))
            self._recover(error, [] if is_alone else [task for _, task in chunk.rows])
        else:
            self._unread += outputs
        return len(chunk.rows) * chunk.size

    def _hand_out(self, keep: int) -> None:
        """Reads the results of calls, but of the newest `keep`, and gives them to their owners."""
        ready, self._unread = (
            self._unread[: len(self._unread) - keep],
            self._unread[len(self._unread) - keep :],
        )
        while ready:
            output = ready.pop(0)
            try:
                ended = output.read(lambda row, task: self._rows[row] is task)
            except jax.errors.JaxRuntimeError:
                self._unread = []
                raise
            for row, task, reason in ended:
                if self._rows[row] is task:
                    self._end(row, task, reason)

    def _end(self, row: int, task: Task, reason: StopReason | RequestError) -> None:
        self._rows[row] = None
        is_error = isinstance(reason, RequestError)
        task.ticket.finish(reason) if is_error else task.finish(reason)

    def _recover(self, error: Exception, suspects: list[Task] | None = None) -> None:
        """Allocates everything anew after a device error. The requests are read again, with the
        text that they have; those that may have caused it, all by default, each alone, so that the
        one which causes it again ends with it.
        """
        _LOG.warning("a device error: %s; the caches are allocated anew", error)
        tasks = [task for task in self._rows if task is not None]
        self._rows, self._unread = [None] * len(self._rows), []
        for task in tasks:
            task.n_failures += suspects is None or task in suspects
            if task.n_failures > _MOST_FAILURES:
                task.ticket.finish(RequestError(f"the device failed at this request: {error}"))
            else:
                task.restart()
        self._waiting = [task for task in tasks if not task.ticket.is_done] + self._waiting
        self._device.reset()

    def _finish_all(self, error: HclxError | None) -> None:
        """Ends everything that waits: with an error, or else as it is."""
        with self._lock:
            self._is_closed = True
            while not self._inbox.empty():
                message = self._inbox.get()
                if isinstance(message, Task):
                    self._waiting.append(message)
                elif isinstance(message, threading.Event):
                    message.set()
        for task in [*self._rows, *self._waiting]:
            if task is not None:
                task.ticket.finish(error) if error else task.finish("cancelled")
