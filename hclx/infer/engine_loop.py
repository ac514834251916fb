"""The loop of the embedded engine, in a thread that alone speaks to the device. Each turn gives
free rows to waiting requests, reads chunks of prompts, lets all rows sample some tokens, and hands
out what came back.
"""

import logging
import queue
import threading
import time

import jax

from hclx.errors import HclxError, StuckError
from hclx.infer.adapters import AdapterPlaces
from hclx.infer.device import Device, Output
from hclx.infer.engine import RequestError, StopReason
from hclx.infer.engine_config import EngineConfig
from hclx.infer.jobs import Job
from hclx.infer.load import LoadedModel
from hclx.infer.tasks import GenerateTask, Task
from hclx.infer.ticket import Ticket

_LOG = logging.getLogger(__name__)
_MOST_CHUNKS = 8  # of prompts that are read between two calls that sample
_TOKENS_OF_A_TURN = 256  # that these chunks have together, if few rows wait for theirs
_MOST_FAILURES = 2  # device errors after which a request is given up


class EngineLoop:
    """The rows of an engine, the requests that wait for one, and the thread that serves them."""

    def __init__(self, model: LoadedModel, settings: EngineConfig, max_length: int):
        """Allocates the caches: see `hclx.infer.EmbeddedEngine`. `max_length` are the most tokens
        of a prompt and its continuation.
        """
        self._model, self._settings = model, settings
        self._adapters = AdapterPlaces(model.config)
        self._inbox: queue.SimpleQueue = queue.SimpleQueue()
        self._error: BaseException | None = None  # of the caller, who closes the engine then
        self._loss: StuckError | None = None  # of another process
        self._waiting: list[Task] = []
        self._rows: list[Task | None] = [None] * settings.rows
        self._unread: list[Output] = []
        self._is_closed = False
        self._lock = threading.Lock()  # so that nothing is put into the inbox after its end
        self._device = Device(model, settings, max_length, on_loss=self._lose)

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
                if not self._adapters.has(message.adapter):
                    self._waiting.pop().ticket.finish(RequestError("its adapter was removed"))
            elif isinstance(message, Job):
                message.run()
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
                elif isinstance(message, Job):
                    message.future.set_exception(error or RequestError("the engine is closed"))
        for task in [*self._rows, *self._waiting]:
            if task is not None:
                task.ticket.finish(error) if error else task.finish("cancelled")
