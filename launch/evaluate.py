"""Evaluates a model on few-shot tasks: hclx evaluate --model_dir=runs/demo --suite=kobest
--data_dir=DATA --output=results/demo

The same command again goes on where it stopped. docs/evaluation.md describes suites and results.
Several processes: as `hclx pretrain`; process 0 reads and writes.
"""

import os
from pathlib import Path

from absl import flags

from hclx.errors import ConfigError, DataError
from hclx.launching import run
from hclx.shared_flags import ModelFlags, NumbersFlag

MODEL = ModelFlags(takes_artefacts=True)
BOS = flags.DEFINE_enum(
    "bos", "auto", ["auto", "no"], "auto: the tokens that the tokenizer begins a document with."
)
SUITE = flags.DEFINE_string("suite", None, "hyperclova, klue, kobest, safety, or FILE.json.")
TASKS = flags.DEFINE_list("tasks", [], "Of the suite: TASK or TASK/TEMPLATE; default: all.")
DATA_DIR = flags.DEFINE_string(
    "data_dir", None, "The folder that holds tasks/; default: HCLX_DATA_DIR."
)
SHOTS = NumbersFlag("shots", "Examples, such as 0,4,16; each number is a run.")
TRIALS = flags.DEFINE_integer("trials", None, "How often the examples are drawn.", 1)
LIMIT = flags.DEFINE_integer("limit", None, "The most items of each task.", 1)
SEED = flags.DEFINE_integer("seed", None, "Of all draws; default: 0.", 0)
SCORE = flags.DEFINE_string(
    "score", None, "total, per_token, per_character, per_byte or pmi; default: total."
)
DRAW = flags.DEFINE_string("draw", None, "trial, item, own or fixed; see docs/evaluation.md.")
SPLIT = flags.DEFINE_string("split", None, "The split that is answered.")
SHOTS_SPLIT = flags.DEFINE_string("shots_split", None, "The split that examples are drawn from.")
BIAS_ROUNDS = flags.DEFINE_integer(
    "bias_rounds", None, "Pairs of prompts of the report of biases, from 6 on; 0: no report.", 0
)
SKIP_MISSING = flags.DEFINE_bool("skip_missing", False, "Leave out tasks without files.")
ROWS = flags.DEFINE_integer("rows", 16, "Requests that are served at once.", 1)
OUTPUT = flags.DEFINE_string("output", None, "The folder for the results.")


def main(_):
    if not MODEL.has_value or not (SUITE.value and OUTPUT.value):
        raise ConfigError("--model_dir (or --engine), --suite and --output are needed; see --help")
    from hclx.evaluate.item_prompts import reader_of
    from hclx.evaluate.print_results import print_results
    from hclx.evaluate.report import write_report
    from hclx.evaluate.suite import run_suite
    from hclx.tasks.suite_runs import read_suite, suite_runs

    specs, missing = suite_runs(
        read_suite(SUITE.value), DATA_DIR.value or os.environ.get("HCLX_DATA_DIR"), selection()
    )
    if missing and not (SKIP_MISSING.value and specs):
        listed = "\n  ".join(missing)
        raise DataError(f"files are missing:\n  {listed}\ngive --data_dir, or --skip_missing")
    source = MODEL.source(ROWS.value)
    folder = Path(OUTPUT.value)
    with source.open() as engine:
        if engine is None:  # this process has followed process 0 to its end
            return
        begins = None if BOS.value == "auto" else ()
        reader = reader_of(source.reads, *MODEL.reading(), begins)
        facts = {**source.facts(), "max_length": reader.max_length}
        results = run_suite(engine, specs, reader, facts, folder)
    print_results(results, missing)
    write_report([folder], folder)


def selection():
    """Returns what the command line changes of the suite."""
    from hclx.tasks.suite_runs import Selection

    shots, tasks = tuple(SHOTS.value), tuple(TASKS.value)
    numbers = (TRIALS.value, LIMIT.value, SEED.value)
    return Selection(
        *(tasks, shots, *numbers, SCORE.value, DRAW.value, SPLIT.value, SHOTS_SPLIT.value),
        BIAS_ROUNDS.value,
    )


if __name__ == "__main__":
    run(main)
