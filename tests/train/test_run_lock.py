"""One run at a time: who is alive is respected, who is gone is replaced."""

import json
import subprocess
import sys
import time

import pytest

from hclx.errors import ConfigError
from hclx.train.run_lock import FILE, Lease

SECONDS = 1.5
HOLD = (
    "import sys, time; from hclx.train.run_lock import Lease\nwith Lease(sys.argv[1], 1.5):"
    " print('held', flush=True); time.sleep(60)"
)


def lock(folder, **changes):
    path = folder / FILE
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.fixture()
def holder(tmp_path):
    """Another process, which holds the folder."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()


@pytest.mark.parametrize("content", [b"\xff\xfe", b"[]", b"3", b"", b"{", b'{"pid": "\\u0000"}'])
def test_a_damaged_lock_is_the_lock_of_a_run_that_is_gone(content, tmp_path):
    (tmp_path / FILE).write_bytes(content)
    with Lease(tmp_path, 0.3):
        assert json.loads((tmp_path / FILE).read_text())["id"]
    assert not (tmp_path / FILE).exists()


def test_a_run_that_is_alive_is_respected(tmp_path, holder):
    with pytest.raises(ConfigError, match=f"in use by a run that is alive .*pid {holder.pid}"):
        Lease(tmp_path, SECONDS).__enter__()
    assert json.loads((tmp_path / FILE).read_text())["pid"] == holder.pid


def test_one_that_was_killed_on_this_machine_is_replaced_at_once(tmp_path, holder):
    holder.kill()
    holder.wait()
    begun = time.monotonic()
    with Lease(tmp_path, 60) as lease:
        assert time.monotonic() - begun < 2 and lease.before["pid"] == holder.pid
    assert not (tmp_path / FILE).exists()


def test_one_on_another_machine_is_replaced_when_it_gives_no_sign(tmp_path, holder):
    holder.kill()
    holder.wait()
    lock(tmp_path, machine="elsewhere")
    begun = time.monotonic()
    with Lease(tmp_path, SECONDS) as lease:
        assert time.monotonic() - begun >= SECONDS and lease.before["machine"] == "elsewhere"


def test_a_number_that_another_process_has_now_is_not_the_holder(tmp_path, holder):
    with Lease(tmp_path / "own", 60):
        mine = json.loads((tmp_path / "own" / FILE).read_text())
    holder.kill()
    holder.wait()
    lock(tmp_path, pid=mine["pid"])  # this test runs, but it was born at another time
    with Lease(tmp_path, 60) as lease:
        assert lease.before["pid"] == mine["pid"]


def test_whoever_lost_the_folder_saves_nothing_more(tmp_path):
    with Lease(tmp_path, SECONDS) as lease:
        lease.reached(7, {"saving": 1.0})
        lease.check()
        lock(tmp_path, id="other", host="there")
        with pytest.raises(ConfigError, match="taken over by another run .host there"):
            lease.check()
        time.sleep(SECONDS)  # nor does it write its name over the other's
        assert json.loads((tmp_path / FILE).read_text())["id"] == "other"
    assert (tmp_path / FILE).exists()


def test_a_lock_that_was_cut_is_taken_over_like_a_dead_one(tmp_path):
    (tmp_path / FILE).write_text('{"id": "ab')
    with Lease(tmp_path, SECONDS) as lease:
        assert lease.before == {"id": "unreadable"}
