"""Answers SIGTERM, SIGHUP and Ctrl-C within two seconds, in every phase of a run.

Python runs its handlers between two bytecodes of the main thread, which may be minutes away: XLA
compiles in one call, and a step is waited for in one. Its own C handler writes the number of a
signal to a file descriptor at once, and a thread reads it here.
"""

import os
import signal
import socket
import threading
import time

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class EndedBySignal(SystemExit):
    """A signal came before there was anything to save; the exit code is 128 + its number."""

    def __init__(self, number: int):
        super().__init__(128 + number)
        self.exit_code = self.code


class SignalWatch:
    """While it is entered, a signal ends the process: by an exception, so that folders and locks
    are left in order, and after `seconds` by force. Where another handler is set meanwhile, as by
    `StopSignal`, the signal is its business, and here a line says that it was heard.
    """

    def __init__(self, seconds: float = 1.3):
        """Prepares the thread; `seconds` are those from a signal to the end by force."""
        self._seconds, self._before, self._is_ending = seconds, {}, False
        self._is_said = False
        self._reader, self._writer = socket.socketpair()
        self._writer.setblocking(False)
        self._thread = threading.Thread(target=self._watch, name="signals", daemon=True)

    def __enter__(self):
        if threading.current_thread() is threading.main_thread():  # others may set no handlers
            for number in SIGNALS:
                if signal.getsignal(number) is not signal.SIG_IGN:  # nohup ignores SIGHUP
                    self._before[number] = signal.signal(number, self._end)
            self._descriptor = signal.set_wakeup_fd(self._writer.fileno())
            self._thread.start()
        return self

    def __exit__(self, *exc_info):
        if self._is_ending:  # the thread lives on: threads of libraries may keep Python from ending
            return
        if self._thread.is_alive():
            signal.set_wakeup_fd(self._descriptor)
            self._writer.send(b"\0")
            self._thread.join()
            for number, handler in self._before.items():
                signal.signal(number, handler)
        self._reader.close()
        self._writer.close()

    def _end(self, number: int, frame):
        self._is_ending = True
        self._say_end(number)
        raise EndedBySignal(number)

    def _say_end(self, number: int) -> None:
        if not self._is_said:
            self._is_said = True
            name = signal.Signals(number).name
            _say(f"error: {name}: ended and saved nothing more; run the same command again")

    def _watch(self) -> None:
        while number := self._reader.recv(1)[0]:
            if number not in self._before:
                continue
            if signal.getsignal(number) == self._end:
                time.sleep(0.2)  # the main thread says it first, unless it is in compiled code
                self._say_end(number)
                time.sleep(self._seconds)
                os._exit(128 + number)
            name = signal.Signals(number).name
            _say(f"{name}: the step that runs is finished and saved, then the run ends")


def _say(line: str) -> None:
    try:
        os.write(2, f"{line}\n".encode())
    except OSError:  # the terminal is gone, as after SIGHUP
        pass
