"""kill -9 at any moment, then the same command: the corpus that an undisturbed run makes, byte for
byte.
"""

import random
import subprocess
import sys

import pytest
import yaml

from tests.conftest import ROOT
from tests.helpers import generated_corpus
from tests.helpers.built_corpora import digest
from tests.helpers.commands import environment
from tests.helpers.killing import kill_when

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


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.long)])
def test_a_run_that_is_killed_five_times_makes_what_an_undisturbed_one_makes(tmp_path, workers):
    raw, config, rng = tmp_path / "raw", tmp_path / "corpus.yaml", random.Random(workers)
    generated_corpus.write(raw)
    config.write_text(
        yaml.safe_dump({**generated_corpus.SETTINGS, "contamination": None}), encoding="utf-8"
    )
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
