"""A process that serves the Studio over a small model with random weights.

python -m tests.helpers.studio_process STORE PORT
"""

import contextlib
import subprocess
import sys
import time
import urllib.request

from tests.conftest import ROOT
from tests.helpers.commands import environment
from tests.helpers.multi_process import free_port


@contextlib.contextmanager
def studio_process(url):
    """Runs the process on a store; yields it once it takes requests. It is killed at the end."""
    port = free_port()
    command = [sys.executable, "-m", "tests.helpers.studio_process", url, str(port)]
    process = subprocess.Popen(command, env=environment(), cwd=ROOT)
    try:
        end = time.monotonic() + 120
        while True:
            assert process.poll() is None and time.monotonic() < end
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"http://127.0.0.1:{port}/ready").close()
                break
            time.sleep(0.05)
        yield process
    finally:
        process.kill()
        process.wait()


def main(url, port):
    """Serves until the process is ended."""
    from hclx.serve.http_server import serve
    from hclx.serve.store.database import open_database
    from tests.helpers.serving import described_backend, tiny_engine
    from tests.helpers.studio import studio_app

    with tiny_engine() as engine, open_database(url) as database:
        serve(studio_app(described_backend(engine), database, time.time), port=int(port))


if __name__ == "__main__":
    main(*sys.argv[1:])
