"""A process without progress ends with 70 and says where every thread stood; one that is slow but
alive does not.
"""

import subprocess
import sys

STUCK = """
import threading, time
from hclx.train.watchdog import Watchdog
def waits_for_ever():
    threading.Event().wait()
threading.Thread(target=waits_for_ever, daemon=True).start()
report = lambda event, **fields: print(event, fields["code"], fields["step"], flush=True)
with Watchdog(0.6, report, start_up_seconds=5.0) as watchdog:
    for step in range(4):
        time.sleep(0.4)
        watchdog.alive(step)
    time.sleep(30)
"""


def test_stuck_and_alive():
    result = subprocess.run(
        [sys.executable, "-c", STUCK], capture_output=True, text=True, timeout=60
    )
    assert result.returncode == 70 and result.stdout == "exit 70 3\n"
    assert (
        "waits_for_ever" in result.stderr
        and "error: no progress for 1 s after step 3" in result.stderr
    )


def test_start_up_has_its_own_time_and_zero_is_never():
    code = (
        "import time; from hclx.train.watchdog import Watchdog\nwith Watchdog({}, print,"
        " start_up_seconds={}): time.sleep(1.2)"
    )
    start = lambda *values: subprocess.Popen(
        [sys.executable, "-c", code.format(*values)], stderr=subprocess.DEVNULL
    )
    started = start(0.3, 30), start(0.3, 0.5), start(0, 0.1)
    assert [process.wait(60) for process in started] == [0, 70, 0]
