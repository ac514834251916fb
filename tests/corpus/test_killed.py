"""kill -9 at any moment, then the same command: the corpus that an undisturbed run makes, byte for
byte.
"""

import os
import random
import signal
import subprocess
import sys
import time

import pytest
import yaml

from tests.conftest import ROOT
from tests.corpus import small
from tests.corpus.test_pipeline import digest
from tests.launch.command import environment

# What is there when a stage has begun to write, in the order in which they appear.
MOMENTS = ("documents", "attributes", "verdicts/exact", "verdicts/near", "corpus")


def start(raw, output, workers, config):
    command = [
        sys.executable,
        "launch/build_corpus.py",
        f"--config={config}",
        f"--input={raw}",
        f"--output={output}",
        f"--workers={workers}",
    ]
    return subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def kill_when(process, folder, wait):
    """Ends the command and all of its processes at once, `wait` seconds after a folder has
    appeared.
    """
    end = time.monotonic() + 120
    while not folder.exists() and process.poll() is None and time.monotonic() < end:
        time.sleep(0.005)
    assert process.poll() is None, process.communicate()
    time.sleep(wait)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.long)])
def test_a_run_that_is_killed_five_times_makes_what_an_undisturbed_one_makes(tmp_path, workers):
    raw, config, rng = tmp_path / "raw", tmp_path / "corpus.yaml", random.Random(workers)
    small.write(raw)
    config.write_text(yaml.safe_dump({**small.SETTINGS, "contamination": None}), encoding="utf-8")
    undisturbed = start(raw, tmp_path / "one", workers, config)
    for moment in MOMENTS:
        kill_when(
            start(raw, tmp_path / "two", workers, config),
            tmp_path / "two" / moment,
            rng.random() * 0.3,
        )
    for process in (undisturbed, start(raw, tmp_path / "two", workers, config)):
        out, error = process.communicate(timeout=120)
        assert process.returncode == 0, error
    assert digest(tmp_path / "two") == digest(tmp_path / "one")
    assert "card.html" in digest(tmp_path / "one")
