"""A request to stop, from SIGTERM or Ctrl-C, that the loop sees between two steps."""

import signal

from jax.sharding import Mesh

from hclx.parallel.processes import AnyProcess


class StopSignal:
    """While it is entered, the signals set `requested` to their name; a second one acts as it always did."""

    SIGNALS = (signal.SIGTERM, signal.SIGINT)

    def __init__(self, mesh: Mesh):
        """Prepares to listen; `mesh`: that the processes which stop together compute on."""
        self.requested = ""
        self._in_any_process = AnyProcess(mesh)
        self._before = {}

    def __enter__(self):
        self._before = {number: signal.signal(number, self._handle) for number in self.SIGNALS}
        return self

    def __exit__(self, *exc_info):
        self._restore()

    def agreed(self) -> bool:
        """Whether to stop after this step, the same in every process; call it once a step.

        One process that stops alone would leave the others waiting in their next collective.
        """
        agreed = self._in_any_process(bool(self.requested))
        if agreed and not self.requested:
            self.requested = "a signal to another process"
        return agreed

    def _handle(self, number, frame):
        self.requested = signal.Signals(number).name
        self._restore()

    def _restore(self):
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}
