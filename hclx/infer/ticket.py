"""The ticket by which the owner of a request waits for it, in every engine."""

import concurrent.futures
import contextlib
import queue
import threading
from collections.abc import Callable, Iterator, Sequence

from hclx.infer.engine import Part


class Ticket:
    """A request on its way; see `hclx.infer.engine.Ticket`."""

    def __init__(self, on_cancel: Callable[["Ticket"], None]):
        """Starts waiting; `on_cancel` takes this ticket."""
        self._future, self._on_cancel = concurrent.futures.Future(), on_cancel
        self._parts: queue.SimpleQueue[Sequence[Part] | None] = queue.SimpleQueue()
        self._listener: Callable[[Sequence[Part] | None], None] | None = None
        self._lock = threading.Lock()  # between what is passed on and a listener that begins

    def result(self, timeout: float | None = None):
        """Waits for the result, at most `timeout` seconds."""
        return self._future.result(timeout)

    @property
    def future(self) -> concurrent.futures.Future:
        """Returns what will have the result."""
        return self._future

    @property
    def is_done(self) -> bool:
        """Returns whether there is a result or an error."""
        return self._future.done()

    def cancel(self) -> None:
        """Ends the request: a text ends as it is."""
        self._on_cancel(self)

    def __iter__(self) -> Iterator[str]:
        while (parts := self._parts.get()) is not None:
            yield "".join(part.text for part in parts)
        self._parts.put(None)  # for those who iterate once more, or in another thread
        self.result()

    def listen(self, listener: Callable[[Sequence[Part] | None], None]) -> None:
        """Passes the parts of the text, from its first, to a function in place of an iteration, and
        None at its end. The engine's thread calls it, which waits until it returns.
        """
        with self._lock:
            while not self._parts.empty():
                listener(self._parts.get())
            self._listener = listener

    def add_parts(self, parts: Sequence[Part]) -> None:
        """Passes on the next parts of the text, which came together."""
        if parts:
            self._pass_on(parts)

    def finish(self, result: object) -> None:
        """Gives the result, a RequestError among them, once."""
        # There may be one: a lost process ends requests from another thread.
        with contextlib.suppress(concurrent.futures.InvalidStateError):
            if isinstance(result, BaseException):
                self._future.set_exception(result)
            else:
                self._future.set_result(result)
            self._pass_on(None)

    def _pass_on(self, parts: Sequence[Part] | None) -> None:
        with self._lock:
            (self._listener or self._parts.put)(parts)
