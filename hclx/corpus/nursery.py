"""Worker processes of Beam's runner on this machine: forked from one that has imported all that
they need.

A stage takes seconds, and so does importing Beam: workers that begin with nothing would take a
  fifth of a small corpus's time.
"""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping

# The process that workers are forked from, one after the other: a line of its input is a worker's
# folder and environment, a line of its output how that worker ended. A worker ends with the process
# that asked for it, however that one ended: its input, which the worker has too, is over then.
NURSERY = """
import json, os, signal, sys, threading
signal.signal(signal.SIGINT, signal.SIG_IGN)
answers = os.dup(1)
os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
import hclx.corpus.pipeline  # first, as it keeps Beam's import quiet
from apache_beam.runners.worker import sdk_worker_main
sys.stderr = open(os.devnull, "w")  # what a worker raises comes to the runner; that it prints it too helps nobody
def end_with_input():
    os.read(0, 1)
    os._exit(1)
for line in iter(sys.stdin.buffer.readline, b""):
    pid = os.fork()
    if not pid:
        code = 1
        try:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            threading.Thread(target=end_with_input, daemon=True).start()
            folder, environment = json.loads(line)
            os.chdir(folder)
            os.environ.update(environment)
            sdk_worker_main.main([])
            code = 0
        finally:
            os._exit(code)
    os.write(answers, b"%d\\n" % os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""

_idle: list[subprocess.Popen] = []
_lock = threading.Lock()


class LostWorker(RuntimeError):
    """A worker ended that should not have. code: its exit code, or minus the signal that killed
    it.
    """

    def __init__(self, code: int):
        super().__init__(f"a worker process ended ({code})")
        self.code = code


def prepare(n: int) -> None:
    """Starts the processes for `n` workers, which import meanwhile what takes long."""
    with _lock:
        _idle.extend(_start() for _ in range(n - len(_idle)))


def _start() -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", NURSERY], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )


def run(environment: Mapping[str, str]) -> None:
    """Runs a worker of Beam until it ends.

    Args:
      environment: what Beam tells a worker, beside this process's own.
    Raises:
      LostWorker: it did not end as it should.
    """
    with _lock:
        nursery = _idle.pop() if _idle else _start()
    try:
        nursery.stdin.write(
            json.dumps([os.getcwd(), {**os.environ, **environment}]).encode() + b"\n"
        )
        nursery.stdin.flush()
        answer = nursery.stdout.readline()
    except BrokenPipeError:
        answer = b""
    if not answer:
        raise LostWorker(nursery.wait() or -signal.SIGKILL)
    with _lock:
        _idle.append(nursery)
    if code := int(answer):
        raise LostWorker(code)
