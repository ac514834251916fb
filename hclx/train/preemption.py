"""A request to stop, from SIGTERM, Ctrl-C or a file STOP in the folder of the run, that the loop
sees between two steps.
"""

import signal
import time
from pathlib import Path

from jax.sharding import Mesh

from hclx.errors import ConfigError
from hclx.parallel import any_process_error
from hclx.parallel.distributed import AnyAcrossProcesses

FILE = "STOP"


class StopSignal:
    """While it is entered, the signals set `requested` to their name. A second Ctrl-C acts as it
    always did; a second SIGTERM, which schedulers send when the first process of a run is gone,
    does not end a process that is still saving.

    The file is for those who may write to the folder and not signal the processes; process 0 looks
    for it once a second.
    """

    SIGNALS = (signal.SIGTERM, signal.SIGINT)

    def __init__(self, mesh: Mesh, model_dir: str | Path, is_first: bool):
        """Prepares to listen; `mesh`: that the processes which stop together compute on;
        `is_first`: of them.
        """
        self.requested = ""
        self._file, self._next_look = Path(model_dir) / FILE if is_first else None, 0.0
        self._reason = f"file {self._file}"
        self._in_any_process = AnyAcrossProcesses(mesh)
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
        if self._file and not self.requested and time.monotonic() >= self._next_look:
            self._next_look = time.monotonic() + 1
            self.requested = self._reason if self._file.exists() else ""
        agreed = self._in_any_process(bool(self.requested))
        if agreed and not self.requested:
            self.requested = "a signal to another process"
        return agreed

    def by_file(self) -> bool:
        """Whether the file is the reason, the same answer in every process; all must ask."""
        return bool(any_process_error("file" if self.requested == self._reason else ""))

    def _handle(self, number, frame):
        self.requested = signal.Signals(number).name
        if number == signal.SIGINT:
            signal.signal(number, self._before.pop(number))

    def _restore(self):
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}


def refuse_stop_file(model_dir: str | Path) -> None:
    """Keeps a run that was ended by the file from being started again, by a scheduler or by
    mistake.

    Raises:
      ConfigError: the file is there.
    """
    path = Path(model_dir) / FILE
    if path.exists():
        raise ConfigError(f"{path} exists, so this run is not to go on; remove the file first")
