"""Commands, most of them launch/pretrain.py, as several processes with fake devices, over JAX's
network stack on loopback.
"""

import contextlib
import socket
import subprocess
import threading
import time

from hclx.train.metrics_writer import read_metrics
from tests.conftest import ROOT
from tests.helpers.commands import command, environment

LIMIT = 240  # seconds
# XLA computes with as many threads as a process has devices, or cores if these are more, and splits
# sums by their number: so it is the same for one process of four devices and for four of one.
THREADS = {"NPROC": "4"}


def free_port():
    with contextlib.closing(socket.socket()) as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def run_processes(commands, devices):
    """Runs commands that meet each other, over `devices` in all, and returns what each has done.
    Those that are left after `LIMIT` are killed.
    """
    variables = {"NPROC": str(devices)}  # so that XLA splits sums alike, see `THREADS`
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    options = {"env": environment(devices // len(commands), variables), "cwd": ROOT, **pipes}
    with contextlib.ExitStack() as stack:
        started = []
        for arguments in commands:
            started.append(subprocess.Popen(arguments, **options))
            stack.callback(started[-1].kill)
        deadline = time.monotonic() + LIMIT
        spoken = [p.communicate(timeout=max(1, deadline - time.monotonic())) for p in started]
        return [
            subprocess.CompletedProcess(p.args, p.returncode, *s) for p, s in zip(started, spoken)
        ]


@contextlib.contextmanager
def processes(n, model_dir, *bindings, devices, only={}, **more):
    """`n` processes of one run, `only`: arguments by process; those that are left at the end are
    killed.

    `more`: of subprocess.Popen.
    """
    meeting = [f"--coordinator=127.0.0.1:{free_port()}", f"--num_processes={n}"]
    arguments = command("pretrain.py", f"--model_dir={model_dir}", *meeting, *bindings)
    options = {
        "env": environment(devices, THREADS),
        "cwd": ROOT,
        "text": True,
        **more,
    }
    options |= {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    started = [
        subprocess.Popen([*arguments, f"--process_id={i}", *only.get(i, ())], **options)
        for i in range(n)
    ]
    try:
        for process in started:
            process.said = {name: _read(getattr(process, name)) for name in ("stdout", "stderr")}
        yield started
    finally:
        for process in started:
            process.kill()
            process.wait()


def _read(pipe):
    """The lines of a pipe, as they come: a process whose pipe nobody reads stops when it is
    full.
    """
    lines = []
    reader = threading.Thread(target=lambda: lines.extend(pipe), daemon=True)
    reader.start()
    return lines, reader


def ended(started):
    """What is known of processes that end by themselves."""
    results = []
    for process in started:
        process.wait(timeout=120)
        results.append(
            subprocess.CompletedProcess(
                process.args, process.returncode, *(said(process, name) for name in process.said)
            )
        )
    return results


def said(process, where="stderr"):
    """All that a process has written so far."""
    lines, end = process.said[where]
    if process.poll() is not None:
        end.join(timeout=10)
    return "".join(lines)


def wait_for_step(started, model_dir, step):
    deadline = time.monotonic() + 120
    while not any(record["step"] >= step for record in read_metrics(model_dir)):
        assert all(p.poll() is None for p in started) and time.monotonic() < deadline, [
            said(p)[-3000:] for p in started
        ]
        time.sleep(0.002)
