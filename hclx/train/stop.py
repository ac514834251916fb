"""A request to stop, from SIGTERM or Ctrl-C, that the loop sees between two steps."""

import signal


class StopSignal:
    """While it is entered, the signals set `requested` to their name; a second one acts as it always did."""

    SIGNALS = (signal.SIGTERM, signal.SIGINT)

    def __init__(self):
        self.requested = ""
        self._before = {}

    def __enter__(self):
        self._before = {number: signal.signal(number, self._handle) for number in self.SIGNALS}
        return self

    def __exit__(self, *exc_info):
        self._restore()

    def _handle(self, number, frame):
        self.requested = signal.Signals(number).name
        self._restore()

    def _restore(self):
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}
