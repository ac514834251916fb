"""Runs a function over a stream in worker processes, in order, with only a few items in flight."""

import collections
import contextlib
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from hclx.errors import StuckError

T = TypeVar("T")


def default_workers() -> int:
    """Returns the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):  # macOS has none
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def ordered_map(function: Callable, items: Iterable, workers: int) -> Iterator:
    """Yields `function(item)` in the order of `items`; results do not depend on `workers`.

    The processes end when the iteration ends, for whatever reason, and with this process, however
    it ends; a Ctrl-C waits for none of them.

    Args:
      function: can be pickled. What it needs in each process, such as a tokenizer, it takes from a
        function that loads it once a process. What it raises for an item is raised here in place
        of the result.
      workers: number of processes, at least 1; with 1 everything runs in this process.
    Raises:
      StuckError: a process ended, as where memory runs out.
    """
    if workers == 1:
        yield from map(function, items)
        return
    context = multiprocessing.get_context("spawn")  # a fork of a process that has threads may hang
    others = set(multiprocessing.active_children())
    with sigterm_exits(), ProcessPoolExecutor(workers, context, end_with_parent) as pool:
        try:
            pending: collections.deque = collections.deque()
            for item in items:
                with _ctrl_c_blocked():
                    pending.append(pool.submit(function, item))
                if len(pending) > 4 * workers:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        except BaseException as error:  # Ctrl-C too: nobody waits for what is in flight
            for process in set(multiprocessing.active_children()) - others:
                process.terminate()
            if isinstance(error, BrokenProcessPool):
                raise StuckError(
                    "a process that splits or encodes text ended; it may have run out of memory."
                    " Run the same command again, with fewer processes where it has --workers"
                ) from error
            raise


def end_with_parent() -> None:
    """Makes this process, a worker, end soon after the process that started it: one that is killed
    cannot end its workers.
    """
    threading.Thread(target=_wait_for_parent, daemon=True).start()


def _wait_for_parent() -> None:
    multiprocessing.parent_process().join()  # a pipe that closes, so no call of one system alone
    os.kill(os.getpid(), signal.SIGTERM)


@contextlib.contextmanager
def _ctrl_c_blocked() -> Iterator[None]:
    """Keeps Ctrl-C from processes that are started here, which inherit it; this one gets it when
    the context ends.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def sigterm_exits() -> Iterator[None]:
    """Lets SIGTERM leave the context as `SystemExit` with 143, so that processes are ended and
    temporary files removed. A handler that is there stays.
    """
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, _exit_after_sigterm)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _exit_after_sigterm(number: int, frame) -> None:
    print("error: ended by SIGTERM; run the same command again", file=sys.stderr)
    sys.exit(128 + number)


def call_native(function: Callable[[], T]) -> T:
    """Returns what `function` returns or raises. It runs in a thread, so that this one answers
    Ctrl-C while the function is in native code for minutes; the thread then ends with the process.
    """
    future: Future = Future()

    def work():
        try:
            future.set_result(function())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=work, daemon=True).start()
    return future.result()


def batches(texts: Iterable[str], max_chars: int = 200_000) -> Iterator[list[str]]:
    """Groups texts, in order, into lists. A list ends with the text at which it reaches `max_chars`
    characters, so that only the last one may have fewer.
    """
    batch, size = [], 0
    for text in texts:
        batch.append(text)
        size += len(text)
        if size >= max_chars:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
