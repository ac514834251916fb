"""Calls that begin at the same time."""

import threading
from concurrent.futures import ThreadPoolExecutor


def at_once(calls):
    """Makes calls in threads of their own, all together, and returns their results, or what they
    have raised, in their order.
    """
    gate = threading.Barrier(len(calls))

    def made(call):
        gate.wait(10)
        try:
            return call()
        except Exception as error:
            return error

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(made, calls))
