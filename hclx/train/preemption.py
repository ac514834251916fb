"""Requests to stop: SIGTERM, SIGHUP (a closed terminal), Ctrl-C, or a file STOP in the folder of
the run. The loop asks for them between two steps.
"""

import signal
import time
from pathlib import Path

from jax.sharding import Mesh

from hclx.errors import ConfigError
from hclx.parallel import any_process_error
from hclx.parallel.distributed import AnyAcrossProcesses
from hclx.train.signal_watch import SIGNALS

FILE = "STOP"


class StopSignal:
    """While it is entered, signals set `requested` to their name instead of ending the process.

    A second Ctrl-C ends the process as usual. A second SIGTERM, which schedulers send when the
    first process of a run has ended, does not end a process that is still saving. The file serves
    users who can write to the folder but not signal the processes; process 0 looks for it once a
    second.
    """

    def __init__(self, mesh: Mesh, model_dir: str | Path, is_first: bool):
        """Prepares to listen.

        Args:
          mesh: over the devices of all processes that stop together.
          model_dir: in which the file is looked for.
          is_first: whether this is process 0.
        """
        self.requested = ""
        self._file, self._next_look = Path(model_dir) / FILE if is_first else None, 0.0
        self._reason = f"file {self._file}"
        self._in_any_process = AnyAcrossProcesses(mesh)
        self._before = {}

    def __enter__(self):
        self._before = {
            number: signal.signal(number, self._handle)
            for number in SIGNALS
            if signal.getsignal(number) is not signal.SIG_IGN  # nohup ignores SIGHUP
        }
        return self

    def __exit__(self, *exc_info):
        self._restore()

    def agreed(self) -> bool:
        """Returns whether to stop after this step; the same in every process, each of which must
        call it once a step. With several processes a signal is answered one call later.

        A process that stopped alone would leave the others waiting in their next collective.
        """
        if self._file and not self.requested and time.monotonic() >= self._next_look:
            self._next_look = time.monotonic() + 1
            self.requested = self._reason if self._file.exists() else ""
        agreed = self._in_any_process(bool(self.requested))
        if agreed and not self.requested:
            self.requested = "a signal to another process"
        return agreed

    def by_file(self) -> bool:
        """Returns whether the file is the reason; the same in every process, all of which must
        call it.
        """
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
    """Refuses to start a run that the file MODEL_DIR/STOP has ended, which a scheduler may try.

    Raises:
      ConfigError: the file exists.
    """
    path = Path(model_dir) / FILE
    if path.exists():
        raise ConfigError(f"{path} exists, which ended this run; remove the file to resume it")
