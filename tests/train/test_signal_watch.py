"""Signals before the first step, and while compiled code runs."""

import signal
import subprocess
import sys
import time

import pytest

from tests.helpers.commands import environment

PROGRAM = """
import signal, sys, time
import numpy as np
from hclx.train.signal_watch import SignalWatch

signal.signal(signal.SIGHUP, signal.SIG_DFL)  # the tests may run under nohup, which ignores it
matrix = np.random.default_rng(0).normal(size=(4000, 4000))
with SignalWatch():
    try:
        print("begun", flush=True)
        if sys.argv[1] == "python":
            while True:
                time.sleep(0.01)
        elif sys.argv[1] == "compiled":
            np.linalg.svd(matrix)
        else:
            signal.signal(signal.SIGTERM, lambda *_: None)
            time.sleep(2)
            print("saved", flush=True)
    finally:
        print("closed", flush=True)
"""


def hit(where, number):
    arguments = [sys.executable, "-c", PROGRAM, where]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(arguments, env=environment(), **pipes) as process:
        try:
            assert process.stdout.readline() == "begun\n"
            time.sleep(0.3)
            begun = time.monotonic()
            process.send_signal(number)
            output, errors = process.communicate(timeout=120)
        finally:
            process.kill()  # does nothing to one that has ended
    return process.returncode, output, errors, time.monotonic() - begun


@pytest.mark.parametrize(
    "number",
    [
        signal.SIGTERM,
        *(pytest.param(n, marks=pytest.mark.long) for n in (signal.SIGINT, signal.SIGHUP)),
    ],
)
def test_a_signal_ends_the_process_with_one_line_and_closes_what_is_open(number):
    code, output, errors, _ = hit("python", number)
    line = f"error: {number.name}: ended and saved nothing more; run the same command again\n"
    assert (code, output, errors) == (128 + number, "closed\n", line)


def test_a_signal_ends_a_process_that_is_in_compiled_code():
    code, output, errors, seconds = hit("compiled", signal.SIGINT)
    assert (code, output) == (130, "") and errors.count("\n") == 1 and 1.4 < seconds < 4


def test_where_another_handler_is_set_it_is_said_and_left_to_it():
    code, output, errors, _ = hit("handled", signal.SIGTERM)
    assert (code, output) == (0, "saved\nclosed\n")
    assert errors == "SIGTERM: the step that runs is finished and saved, then the run ends\n"
