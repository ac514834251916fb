"""Tuning on this machine: its methods beside few-shot prompts, and its speed beside PEFT.

    HCLX_DATA_DIR=data python tests/benchmarks/tuning.py --run=runs/mine --hf=mine_hf \\
        --output=tuning.jsonl

table: reviews (NSMC), pairs of sentences (KLUE-NLI, whose dev split is divided by premise) and
answers to what users say (ChatbotData), each with few-shot prompts of 16 examples, raw and
calibrated, and with every method of tuning after so many steps: the score on test items, what is
trained, the bytes of the artefact, the memory of the state as it is planned and as it is measured,
and seconds. It drives the functions of `hclx evaluate` and `hclx tune`. Each finished case is a
line of --output, and is not run again.

peft: steps of prompt tuning and LoRA, in float32, of the same batches by hclx and by PEFT: rows
that are all full, and examples of mixed length, which hclx packs and PEFT pads. Contenders are
processes of their own that take turns, and the one that waits is stopped; a ratio is the median of
the rounds' ratios.
"""

import json
import os
import sys
from functools import partial
from pathlib import Path

from absl import app, flags

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.benchmarks import tuning_peft, tuning_table  # noqa: E402
from tests.benchmarks.tuning_cases import METHODS, Setup  # noqa: E402
from tests.benchmarks.tuning_tasks import TASKS, Sizes, tiny_task  # noqa: E402

SECTIONS = flags.DEFINE_list("sections", ["table", "peft"], "table, peft.")
RUN = flags.DEFINE_string("run", None, "A run of hclx, for the table.")
HF = flags.DEFINE_string("hf", None, "The same model, exported by hclx, for peft.")
NAMES = flags.DEFINE_list("tasks", list(TASKS), f"Some of {', '.join(TASKS)}.")
CHOSEN = flags.DEFINE_list("methods", list(METHODS), f"Some of {', '.join(METHODS)}.")
SEEDS = flags.DEFINE_list("seeds", ["0", "1", "2"], "Of shots, initial values and order.")
STEPS = flags.DEFINE_integer("steps", 300, "Of tuning.", lower_bound=2)
BATCH = flags.DEFINE_integer("batch", 4, "Rows of a step.", lower_bound=1)
LENGTH = flags.DEFINE_integer("length", 256, "Tokens of a row.", lower_bound=32)
TRAIN = flags.DEFINE_integer("train", 20_000, "At most so many rows to learn from.", 16)
HELD_OUT = flags.DEFINE_integer("held_out", 64, "Rows to choose the best step by.", 8)
TEST = flags.DEFINE_integer("test", 1_000, "Test items.", lower_bound=8)
GENERATED = flags.DEFINE_integer("generated", 100, "Texts that are generated.", lower_bound=1)
BINDINGS = flags.DEFINE_multi_string("gin", [], "NAME=VALUE for all methods; repeatable.")
ROUNDS = flags.DEFINE_integer("rounds", 5, "Rounds of peft that are counted.", lower_bound=1)
KINDS = flags.DEFINE_list("kinds", list(tuning_peft.KINDS), "Of peft: prompt_tune, lora.")
TINY = flags.DEFINE_bool("tiny", False, "Made-up items and few steps, as a test of this script.")
OUTPUT = flags.DEFINE_string("output", "tuning.jsonl", "A file for JSON lines.")
WORK = flags.DEFINE_string("work", "runs/tuning_benchmark", "A folder for runs, which are removed.")


def run_table() -> None:
    """Runs the cases of the table, and prints it."""
    setup = Setup(
        *(RUN.value, Path(WORK.value), STEPS.value, BATCH.value, LENGTH.value, GENERATED.value),
        tuple(BINDINGS.value),
    )
    sizes = Sizes(TRAIN.value, HELD_OUT.value, TEST.value)
    folder = os.environ.get("HCLX_DATA_DIR", "")
    tasks = {
        name: partial(tiny_task, name) if TINY.value else partial(TASKS[name], folder, sizes)
        for name in NAMES.value
    }
    seeds, output = [int(seed) for seed in SEEDS.value], Path(OUTPUT.value)
    lines = tuning_table.measure(setup, tasks, CHOSEN.value, seeds, output)
    print(f"\n{tuning_table.table(lines)}")


def run_peft() -> None:
    """Compares with PEFT."""
    sizes = tuning_peft.TINY if TINY.value else tuning_peft.Sizes(rounds=ROUNDS.value)
    for figures in tuning_peft.measure(HF.value, sizes, KINDS.value):
        print(json.dumps(figures), flush=True)
        tuning_table.append(Path(OUTPUT.value), {"section": "peft", **figures})


def main(_):
    needed = {"table": (RUN, run_table), "peft": (HF, run_peft)}
    for name in SECTIONS.value:
        flag, work = needed[name]
        if not flag.value:
            raise SystemExit(f"--{flag.name} is needed for {name}")
        work()


if __name__ == "__main__":
    app.run(main)
