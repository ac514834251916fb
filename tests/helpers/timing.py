"""Processor time of calls, for tests of how it grows with the input."""

import time


def cpu_seconds(function, *arguments) -> float:
    """Returns the processor time of a call: the least of three, as other processes share the
    caches.
    """
    seconds = []
    for _ in range(3):
        begin = time.process_time()
        function(*arguments)
        seconds.append(time.process_time() - begin)
    return min(seconds)
