"""A process that serves the Studio: over a small model with random weights, or over an engine that
counts aloud.

python -m tests.helpers.studio_process STORE PORT [counting]
"""

import contextlib
import dataclasses
import subprocess
import sys
import time
import urllib.request

from tests.conftest import ROOT
from tests.helpers.commands import environment
from tests.helpers.multi_process import free_port

PAUSE = 0.01  # seconds before each character of what is counted


@contextlib.contextmanager
def studio_process(url, port=None, engine=""):
    """Runs the process on a store; yields it once it takes requests, with its `address`. It is
    killed at the end. `port`: None: any that is free; `engine`: "" or "counting".
    """
    port = port or free_port()
    command = [sys.executable, "-m", "tests.helpers.studio_process", url, str(port), engine]
    process = subprocess.Popen(command, env=environment(), cwd=ROOT)
    process.address = f"http://127.0.0.1:{port}"
    try:
        end = time.monotonic() + 120
        while True:
            assert process.poll() is None and time.monotonic() < end
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"{process.address}/ready").close()
                break
            time.sleep(0.05)
        yield process
    finally:
        process.kill()
        process.wait()


def counted(sentence):
    """Returns the text that is written for a sentence, whose last word may say how far."""
    last = sentence.split()[-1]
    n = int(last) if last.isdigit() else 20
    return f" {sentence}: " + " ".join(f"{number}번" for number in range(n))


def _write(prompt, seed):
    """What follows a prompt of `content_of`, which may end with a part of the text."""
    *_, sentence, written = prompt.rsplit("\n", 2)
    return counted(sentence).removeprefix(written.partition("감정:")[2])


def _counting():
    from tests.helpers.serving import TalkingTokenizer
    from tests.helpers.studio_engine import StudioEngine

    engine = StudioEngine(TalkingTokenizer(256))
    engine.write, engine.pause = _write, PAUSE
    return contextlib.nullcontext(engine)


def main(url, port, engine=""):
    """Serves until the process is ended."""
    from hclx.serve.http_server import serve
    from hclx.serve.store.database import open_database
    from tests.helpers.serving import described_backend, tiny_engine
    from tests.helpers.studio import studio_app

    opened = _counting() if engine else tiny_engine()
    with opened as served, open_database(url) as database:
        backend = described_backend(served)
        if engine:
            backend = dataclasses.replace(backend, max_length=20_000)
        serve(studio_app(backend, database, time.time), port=int(port))


if __name__ == "__main__":
    main(*sys.argv[1:])
