"""Commands that a command runs, which end when it is ended."""

import signal
import subprocess
import sys
from collections.abc import Callable


class Children:
    """Runs commands, one at a time, as a context. SIGTERM, SIGHUP and Ctrl-C reach the command that
    runs, and this program ends with its exit code; a signal that was ignored before stays ignored.
    """

    def __init__(self):
        self._child: subprocess.Popen | None = None
        self._signal = 0  # the number of the first one that came
        self._before = {}  # number -> the handler that was there

    def __enter__(self):
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._forward)
        return self

    def __exit__(self, *exc_info):
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def run(
        self,
        arguments: list[str],
        meanwhile: Callable[[subprocess.Popen], None] = lambda child: None,
        expected: int = 0,
        **options,
    ) -> str:
        """Runs a command to its end.

        Args:
          arguments: the command line.
          meanwhile: is called once with the process when it has started.
          expected: the exit code after which this program goes on.
          options: of `subprocess.Popen`; stdout=subprocess.PIPE captures the output.
        Returns:
          The output, "" if it is not captured.
        Raises:
          SystemExit: with the exit code of the command if it is another one, or if a signal came;
            128 + the signal's number for a command that a signal ended, as shells have it.
        """
        if self._signal:  # it came between two commands
            sys.exit(128 + self._signal)
        # In a session of its own, a Ctrl-C in the terminal reaches it once, through `_forward`.
        child = subprocess.Popen(arguments, text=True, start_new_session=True, **options)
        self._child = child
        try:
            if self._signal:
                child.send_signal(self._signal)
            meanwhile(child)
            output = child.communicate()[0] or ""
        except BaseException:
            child.terminate()
            child.wait()
            raise
        finally:
            self._child = None
        code = child.returncode if child.returncode >= 0 else 128 - child.returncode
        if self._signal:
            sys.exit(code or 128 + self._signal)
        if code != expected:
            sys.exit(code or 1)
        return output

    def _forward(self, number: int, frame) -> None:
        self._signal = self._signal or number
        if self._child is not None:
            self._child.send_signal(number)
