"""Runs a function over a stream in worker processes, in order, with only a few items in flight."""

import collections
import multiprocessing
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor


def default_workers() -> int:
    """One process a core that this process may use."""
    return max(1, len(os.sched_getaffinity(0)))


def ordered_map(
    function: Callable, items: Iterable, *, initializer: Callable, initargs: tuple, workers: int
) -> Iterator:
    """Yields `function(item)` in the order of `items`; results do not depend on `workers`.

    Args:
      function, initializer: importable by name; `initializer(*initargs)` runs once in each process.
      workers: processes; 1 stays in this one.
    """
    if workers == 1:
        initializer(*initargs)
        yield from map(function, items)
        return
    context = multiprocessing.get_context("spawn")  # a fork of a process that has threads may hang
    with ProcessPoolExecutor(workers, context, initializer, initargs) as pool:
        pending: collections.deque = collections.deque()
        for item in items:
            pending.append(pool.submit(function, item))
            if len(pending) > 4 * workers:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()


def batches(texts: Iterable[str], max_chars: int = 200_000) -> Iterator[list[str]]:
    """Groups texts into lists of about `max_chars` characters."""
    batch, size = [], 0
    for text in texts:
        batch.append(text)
        size += len(text)
        if size >= max_chars:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
