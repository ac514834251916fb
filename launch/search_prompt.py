"""Searches the prompt of a task: hclx search_prompt --model_dir=runs/demo --task=nsmc
--shots=0,4,16 --budget=24 --data_dir=DATA --output=best.json

Template, number of shots, calibration, examples and their order are chosen on items of the split
that examples come from. The same command again goes on where it stopped: OUTPUT.resume has what was
measured. docs/evaluation.md describes it. Several processes: as `hclx evaluate`.
"""

import os
from pathlib import Path

from absl import flags

from hclx.errors import ConfigError
from hclx.launching import check_output, run
from hclx.shared_flags import ModelFlags, NumbersFlag

MODEL = ModelFlags()
BOS = flags.DEFINE_enum(
    "bos", "auto", ["auto", "no"], "auto: the tokens that the tokenizer begins a document with."
)
TASK = flags.DEFINE_string("task", None, "The task.")
TEMPLATES = flags.DEFINE_list(
    "templates", [], "Its templates, or files of prompts; default: all of its templates."
)
DATA_DIR = flags.DEFINE_string(
    "data_dir", None, "The folder that holds tasks/; default: HCLX_DATA_DIR."
)
SHOTS = NumbersFlag("shots", "Examples of a prompt, such as 0,4,16; default: 0,4.")
BUDGET = flags.DEFINE_integer("budget", 20, "The most prompts that are evaluated.", 1)
LIMIT = flags.DEFINE_integer("limit", 200, "The most validation items.", 1)
POOL = flags.DEFINE_integer("pool", 500, "The most items that examples are chosen from.", 1)
SIMILAR = flags.DEFINE_bool(
    "similar", False, "Also try the examples most like the validation items, by embeddings."
)
SEED = flags.DEFINE_integer("seed", 0, "Of all draws.", 0)
SCORE = flags.DEFINE_enum(
    *("score", "total", ["total", "per_token", "per_character", "per_byte", "pmi"]),
    "By which a choice is made.",
)
SPLIT = flags.DEFINE_string("split", None, "The split that the prompt is for, which is left out.")
SHOTS_SPLIT = flags.DEFINE_string(
    "shots_split", None, "The split that validation items and examples are drawn from."
)
ROWS = flags.DEFINE_integer("rows", 16, "Requests that are served at once.", 1)
OUTPUT = flags.DEFINE_string("output", None, "The JSON file of the best prompt.")


def main(_):
    if not MODEL.has_value or not (TASK.value and OUTPUT.value):
        raise ConfigError("--model_dir (or --engine), --task and --output are needed; see --help")
    check_output("--output", OUTPUT.value)
    from hclx.evaluate.item_prompts import reader_of
    from hclx.evaluate.print_search import SearchTable, write_best
    from hclx.evaluate.run_search import embeddings, search, search_plan, shares_of_budget
    from hclx.evaluate.samples import SAMPLES, output_folder
    from hclx.evaluate.tried_prompts import TriedPrompts

    space, shots = make_space(), SHOTS.value or [0, 4]
    shares_of_budget(space, shots, BUDGET.value)  # before a model is loaded
    source = MODEL.source(ROWS.value)
    with source.open() as engine:
        if engine is None:  # this process has followed process 0 to its end
            return
        begins = None if BOS.value == "auto" else ()
        reader = reader_of(source.reads, *MODEL.reading(), begins)
        plan = search_plan(space, reader, shots, BUDGET.value, SIMILAR.value)
        folder = Path(f"{OUTPUT.value}.resume")
        with output_folder(folder, {"model": source.facts(), **plan}):
            table, kept = SearchTable(space), TriedPrompts(folder / SAMPLES / "tried.jsonl")
            vectors = embeddings(engine, space) if SIMILAR.value else None
            tried = search(engine, reader, space, shots, BUDGET.value, vectors, table.add, kept)
    write_best(space, tried, Path(OUTPUT.value))


def make_space():
    """Returns what is searched."""
    from hclx.tasks.search_space import search_space

    data_dir = DATA_DIR.value or os.environ.get("HCLX_DATA_DIR")
    counts, splits = (LIMIT.value, POOL.value), (SPLIT.value, SHOTS_SPLIT.value)
    return search_space(
        *(TASK.value, TEMPLATES.value, data_dir, *counts, *splits, SEED.value, SCORE.value)
    )


if __name__ == "__main__":
    run(main)
