"""Stands in for launch/pretrain.py: trainer.py --model_dir=FOLDER --plan=PLAN

A plan says how each start ends: starts by ";", in each a word for every process by ",", where the
  last holds for all that
follow. Words: an exit code (134, 137, 143 by the signal itself); "hold" or "hold:SECONDS" runs
  until any process gets
SIGTERM, saves for so long and exits with 75; "hang" never ends; "stop70" makes the file STOP and
exits with 70.
"""

import argparse
import os
import re
import signal
import sys
import time
from pathlib import Path


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--model_dir", type=Path)
    parser.add_argument("--plan", default=os.environ.get("TRAINER_PLAN"))
    flags, _ = parser.parse_known_args()
    flags.model_dir.mkdir(parents=True, exist_ok=True)
    process = int(
        os.environ.get("SLURM_PROCID")
        or os.environ.get("JOB_COMPLETION_INDEX")
        or re.search(r"\d+$", os.environ["HOSTNAME"])[0]
    )
    starts = flags.model_dir / f"starts_{process}"
    start = len(starts.read_text()) if starts.exists() else 0
    starts.write_text("x" * (start + 1))
    print(f"start {start} of process {process}", flush=True)
    if (flags.model_dir / "STOP").exists():
        sys.exit(64)
    words = flags.plan.split(";")[min(start, flags.plan.count(";"))].split(",")
    word = words[min(process, len(words) - 1)]
    if word == "stop70":
        (flags.model_dir / "STOP").touch()
        sys.exit(70)
    if word == "hang":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        print("hangs", flush=True)
        time.sleep(600)
    if word.startswith("hold"):
        hold(flags.model_dir, start, process, float(word.partition(":")[2] or 0))
    if int(word) > 128:
        os.kill(os.getpid(), int(word) - 128)
    sys.exit(int(word))


def hold(model_dir, start, process, seconds):
    """Until SIGTERM, or STOP; a second SIGTERM ends it, as it ends the trainer."""
    asked = model_dir / f"asked_{start}"

    def ask(*_):
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        asked.touch()

    signal.signal(signal.SIGTERM, ask)
    print("holds", flush=True)
    while not asked.exists():
        if (model_dir / "STOP").exists():
            sys.exit(0)
        time.sleep(0.01)
    time.sleep(seconds)
    (model_dir / f"saved_{process}").touch()
    sys.exit(75)


main()
