"""A process that runs a command of hclx for a server, and ends with it: `python -m
hclx.serve.tuning.tuning_child SECONDS MODULE [--OPTION=VALUE ...]`

The server holds the other end of its standard input, which the system closes when the server ends,
in whatever way. The command then gets SIGTERM, at which it saves, and ends after SECONDS at the
latest.
"""

import contextlib
import os
import runpy
import signal
import sys
import threading
import time
from pathlib import Path

_NICE = 10  # requests to the server come first


def main() -> None:
    """Runs the module that the arguments name."""
    _, seconds, *sys.argv = sys.argv
    os.nice(_NICE)
    with contextlib.suppress(OSError):  # where the memory does not suffice, Linux ends it first
        Path("/proc/self/oom_score_adj").write_text("1000")
    threading.Thread(target=_end_with_server, args=(float(seconds),), daemon=True).start()
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


def _end_with_server(seconds: float) -> None:
    while os.read(0, 1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(seconds)
    os._exit(128 + signal.SIGTERM)


if __name__ == "__main__":
    main()
