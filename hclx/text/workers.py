"""Runs a function over a stream in worker processes, in order, with only a few items in flight."""

import collections
import multiprocessing
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor


def default_workers() -> int:
    """Returns the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):  # macOS has none
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def ordered_map(function: Callable, items: Iterable, workers: int) -> Iterator:
    """Yields `function(item)` in the order of `items`; results do not depend on `workers`.

    Args:
      function: can be pickled. What it needs in each process, such as a tokenizer, it takes from a
        function that loads it once a process. What it raises for an item is raised here in place
        of the result.
      workers: number of processes, at least 1; with 1 everything runs in this process.
    """
    if workers == 1:
        yield from map(function, items)
        return
    context = multiprocessing.get_context("spawn")  # a fork of a process that has threads may hang
    with ProcessPoolExecutor(workers, context) as pool:
        pending: collections.deque = collections.deque()
        for item in items:
            pending.append(pool.submit(function, item))
            if len(pending) > 4 * workers:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()


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
