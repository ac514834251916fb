"""Tunes a model on rows: hclx tune --gin_file=runs/lora.gin --base=runs/demo --prompt=prompt.json
--data=rows.csv --model_dir=runs/tuned

docs/tuning.md says what rows are and what is written. Re-run the same command to resume. Several
processes: as `hclx pretrain`. `--gin.NAME=VALUE` sets any field of hclx/tune/tune_config.py and of
hclx/config.py, but for those of the base.
"""

import os
import sys
import time

from absl import flags

from hclx.errors import ConfigError, DataError
from hclx.launching import check_output_folder, run, take_gin_bindings
from hclx.shared_flags import RunFlags, process_flags

GIN_FILES = flags.DEFINE_multi_string("gin_file", [], "Gin file; repeatable, later ones win.")
BASE = flags.DEFINE_string("base", None, "MODEL_DIR[:STEP] of the run that is tuned.")
MODEL_DIR = flags.DEFINE_string("model_dir", None, "Folder of the run of tuning.")
PROMPT = flags.DEFINE_string("prompt", None, "The prompt document whose fields the rows have.")
DATA = flags.DEFINE_string("data", None, "FILE.csv or FILE.jsonl with rows.")
VALIDATION = flags.DEFINE_string(
    "validation", None, "The same with rows to hold out; default: a share of --data."
)
SUITE = flags.DEFINE_string("suite", None, "A published task instead of --data, with --tasks.")
TASKS = flags.DEFINE_list("tasks", [], "Of the suite: one TASK or TASK/TEMPLATE.")
DATA_DIR = flags.DEFINE_string(
    "data_dir", None, "The folder that holds tasks/; default: HCLX_DATA_DIR."
)
TOO_LONG = flags.DEFINE_enum(
    "too_long", "refuse", ["refuse", "drop"], "What happens to examples longer than a sequence."
)
MERGE_TO = flags.DEFINE_string(
    "merge_to", None, "A new folder for a plain model: the base with what LoRA has learnt."
)
CONNECT = process_flags()
RUN = RunFlags()
BINDINGS = take_gin_bindings(sys.argv)


def main(_):
    started = time.time()
    for name, flag in (("gin_file", GIN_FILES), ("base", BASE), ("model_dir", MODEL_DIR)):
        if not flag.value:
            raise ConfigError(f"--{name} is missing; see --help")
    if bool(DATA.value) == bool(SUITE.value):
        raise ConfigError("give --data=FILE.csv, or a published task by --suite and --tasks")
    check_output_folder("--model_dir", MODEL_DIR.value)
    from hclx.train.run import RunOptions
    from hclx.tune.merged_run import check_merge, write_merged
    from hclx.tune.tuning_run import tune
    from hclx.tune.tuning_settings import load_settings

    name = f"DataConfig.{'input' if DATA.value else 'mixture'}={DATA.value or SUITE.value}"
    experiment, config = load_settings(GIN_FILES.value, [*BINDINGS, name], BASE.value)
    if MERGE_TO.value:
        check_merge(MERGE_TO.value, config)
    CONNECT()
    read = published_rows if SUITE.value else own_rows
    text = read(experiment.data)
    options = RunOptions(init_from=BASE.value, started=started, **RUN.values())
    state, _ = tune(experiment, config, text, MODEL_DIR.value, options)
    if MERGE_TO.value:
        write_merged(MERGE_TO.value, state, experiment, config)


def own_rows(data):
    """Returns the rows of files."""
    from hclx.prompts import load_prompt
    from hclx.tune.row_files import read_rows
    from hclx.tune.tuning_data import TuningText

    rows = read_rows(DATA.value, data.encoding, data.max_documents)
    held_out = read_rows(VALIDATION.value, data.encoding) if VALIDATION.value else None
    prompt = load_prompt(PROMPT.value) if PROMPT.value else None
    return TuningText(DATA.value, rows, held_out, prompt, TOO_LONG.value)


def published_rows(data):
    """Returns the rows of a published task: those from which examples are drawn."""
    from hclx.tasks.suite_runs import Selection, read_suite, suite_runs
    from hclx.tune.row_files import Row
    from hclx.tune.tuning_data import TuningText

    folder = DATA_DIR.value or os.environ.get("HCLX_DATA_DIR")
    chosen = Selection(tuple(TASKS.value), shots=(1,))
    specs, missing = suite_runs(read_suite(SUITE.value), folder, chosen)
    if missing:
        raise DataError(f"files are missing: {'; '.join(missing)}; give --data_dir")
    if len(specs) != 1 or PROMPT.value or VALIDATION.value:
        raise ConfigError("--suite needs --tasks with one task, and no --prompt or --validation")
    rows = [Row(item.id, {**item.fields, "answer": item.answer}) for item in specs[0].pool]
    rows = rows[: data.max_documents or None]
    return TuningText(specs[0].name, rows, None, specs[0].prompt, TOO_LONG.value)


if __name__ == "__main__":
    run(main)
