"""The command `hclx serve` as a process of its own."""

import contextlib
import signal
import subprocess
import tempfile
import time
import urllib.request

from tests.conftest import ROOT
from tests.helpers.commands import command, environment
from tests.helpers.multi_process import free_port


@contextlib.contextmanager
def serving(*arguments):
    """Runs the command; yields its process and its address, once it takes requests. It gets SIGTERM
    at the end, unless it was killed, and then the process has what it wrote as `error`;
    `process.written()` is that so far.
    """
    port, log = free_port(), tempfile.TemporaryFile("w+")  # a pipe that nobody reads would fill
    process = subprocess.Popen(
        command("serve.py", *arguments, f"--port={port}"),
        env=environment(),
        cwd=ROOT,
        stderr=log,
    )

    def written():
        log.seek(0)
        return log.read()

    try:
        end = time.monotonic() + 120
        while True:
            assert process.poll() is None, written()
            assert time.monotonic() < end
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"http://127.0.0.1:{port}/ready").close()
                break
            time.sleep(0.1)
        process.written = written
        yield process, f"http://127.0.0.1:{port}"
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.wait(60)
        process.error = written()
