"""Launchers as processes under stand-ins for the schedulers."""

import contextlib
import os
import signal
import subprocess
import time

from tests.conftest import ROOT

STANDIN = ROOT / "tests" / "launch" / "standin"


@contextlib.contextmanager
def started(arguments, folder, cwd=None, **variables):
    """A launcher that runs in `folder`, in front of the stand-ins; what it leaves behind is
    killed.
    """
    standin = {
        "STANDIN_DIR": folder / "standin",
        "STANDIN_SPEED": 100,
        "STANDIN_TASKS": 2,
        "MODEL_DIR": folder / "run",
    }
    environment = {
        **os.environ,
        "PATH": f"{STANDIN}:{os.environ['PATH']}",
        **{k: str(v) for k, v in (standin | variables).items()},
    }
    (folder / "standin").mkdir(exist_ok=True)
    options = {
        "stdout": subprocess.PIPE,
        "stderr": subprocess.STDOUT,
        "text": True,
        "cwd": cwd or folder,
    }
    process = subprocess.Popen(
        [str(a) for a in arguments], env=environment, start_new_session=True, **options
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        for name in ("step", "workers"):
            for group in (
                (folder / "standin" / name).read_text().split()
                if (folder / "standin" / name).exists()
                else []
            ):
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(int(group), signal.SIGKILL)
        process.communicate()


def ended(process, timeout=60):
    output, _ = process.communicate(timeout=timeout)
    return process.returncode, output


def wait_for(condition, process, timeout=60):
    deadline = time.monotonic() + timeout
    while not condition():
        assert process.poll() is None and time.monotonic() < deadline, (
            process.poll(),
            process.stdout.read() if process.poll() is not None else "",
        )
        time.sleep(0.01)


def log(folder, process=0):
    path = folder / "run" / "logs" / f"process_{process}.log"
    return path.read_text() if path.exists() else ""
