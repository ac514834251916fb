"""The process of a job: it is asked to end, is killed if it does not, ends with its server, and
says why it failed.
"""

import os
import signal
import subprocess
import sys

import pytest

from hclx.serve.tuning.tuning_process import TuningProcess, reason_of, was_ended
from tests.conftest import ROOT
from tests.helpers.commands import environment
from tests.helpers.tuning_service import until

WAITING = "tests.helpers.waiting_command"


@pytest.fixture(autouse=True)
def in_root(monkeypatch):
    monkeypatch.chdir(ROOT)


def test_a_process_saves_when_it_is_asked_to_end(tmp_path):
    process = TuningProcess([WAITING, str(tmp_path)], tmp_path, 60)
    until((tmp_path / "begun").exists)
    assert process.code() is None
    process.end()
    assert process.wait() == 75 and was_ended(75) and (tmp_path / "saved").exists()
    assert (tmp_path / "log").read_text() == "it waits\n"


def test_a_process_that_does_not_end_in_time_is_killed(tmp_path):
    (tmp_path / "stubborn").touch()
    process = TuningProcess([WAITING, str(tmp_path)], tmp_path, 0.3)
    until((tmp_path / "begun").exists)
    process.end()
    assert process.wait() == 137 and (tmp_path / "saved").exists()
    assert "killed" in process.reason(137)


_SERVER = """
import sys, time
from pathlib import Path
from hclx.serve.tuning.tuning_process import TuningProcess
module, folder, seconds = sys.argv[1:]
process = TuningProcess([module, folder], Path(folder), float(seconds))
while not Path(folder, "begun").exists():
    assert process.code() is None
    time.sleep(0.05)
print(process.pid, flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("is_stubborn", [False, True])
def test_a_process_ends_when_its_server_is_killed(tmp_path, is_stubborn):
    if is_stubborn:
        (tmp_path / "stubborn").touch()
    server = subprocess.Popen(
        [sys.executable, "-c", _SERVER, WAITING, str(tmp_path), "0.3"],
        env=environment(),
        stdout=subprocess.PIPE,
        text=True,
    )
    pid = int(server.stdout.readline())
    assert is_alive(pid)
    server.send_signal(signal.SIGKILL)
    server.communicate()
    until(lambda: not is_alive(pid), 20)
    assert (tmp_path / "saved").exists()


def is_alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"  # nobody waits for it
    except FileNotFoundError:
        if os.path.exists("/proc"):
            return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize(
    "log, code, words",
    [
        ("step 1\nerror: rows.csv:3 has no text\n", 65, "rows.csv:3 has no text"),
        ("error: early\nerror: late\nmore\n", 64, "late"),
        ("Traceback (most recent call last):\n  File x\nValueError: bad\n", 1, "ValueError: bad"),
        ("", 137, "memory"),
        ("", 139, "signal 11"),
        ("", 3, "nothing"),
        ("50%\r100%\rerror: x\r\n", 70, "x"),
    ],
)
def test_a_failed_process_says_why(log, code, words):
    reason = reason_of(log, code)
    assert words in reason and "\n" not in reason
    assert not reason.startswith("Traceback")
