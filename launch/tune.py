"""Tunes a model on rows: hclx tune --gin_file=runs/lora.gin --base=runs/demo --prompt=prompt.json
--data=rows.csv --model_dir=runs/tuned

docs/tuning.md says what rows are and what is written. Re-run the same command to resume. Several
processes: as `hclx pretrain`. `--gin.NAME=VALUE` sets any field of hclx/tune/tune_config.py and of
hclx/config.py, but for those of the base.
"""

import sys
import time

from absl import flags

from hclx.errors import ConfigError
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
DATA_DIR = flags.DEFINE_string("data_dir", None, "Holds tasks/; default: HCLX_DATA_DIR.")
TOO_LONG = flags.DEFINE_enum(
    "too_long", "refuse", ["refuse", "drop"], "What happens to examples longer than a sequence."
)
MERGE_TO = flags.DEFINE_string(
    "merge_to", None, "A new folder for a plain model: the base with what LoRA has learnt."
)
DRY_RUN = flags.DEFINE_bool("dry_run", False, "Print what would be learnt, and train nothing.")
SWEEP = flags.DEFINE_string(
    "sweep", None, "A grid: 'TuneConfig.rank=4,8 OptimizerConfig.learning_rate=1e-4,3e-4'."
)
CONNECT = process_flags()
RUN = RunFlags()
BINDINGS = take_gin_bindings(sys.argv)


def main(_):
    started = time.time()
    for name, flag in (("gin_file", GIN_FILES), ("base", BASE), ("model_dir", MODEL_DIR)):
        if not flag.value and not (DRY_RUN.value and flag is MODEL_DIR):
            raise ConfigError(f"--{name} is missing; see --help")
    if bool(DATA.value) == bool(SUITE.value):
        raise ConfigError("give --data=FILE.csv, or a published task by --suite and --tasks")
    if MODEL_DIR.value:
        check_output_folder("--model_dir", MODEL_DIR.value)
    from hclx.train.run import RunOptions
    from hclx.tune.merged_run import check_merge, write_merged
    from hclx.tune.preview import preview
    from hclx.tune.sweep import cases_of, parse_grid, sweep
    from hclx.tune.tuning_data import text_of_files
    from hclx.tune.tuning_run import tune
    from hclx.tune.tuning_settings import load_settings

    name = f"DataConfig.{'input' if DATA.value else 'mixture'}={DATA.value or SUITE.value}"
    load = lambda more: load_settings(GIN_FILES.value, [*BINDINGS, name, *more], BASE.value)
    experiment, config = load([])
    if MERGE_TO.value:
        check_merge(MERGE_TO.value, config)
    CONNECT()
    files = DATA.value, VALIDATION.value, PROMPT.value
    own = lambda settings: text_of_files(*files, settings, TOO_LONG.value)
    text = (published_rows if SUITE.value else own)(experiment.data)
    options = RunOptions(init_from=BASE.value, started=started, **RUN.values())
    if DRY_RUN.value:
        return preview(experiment, config, text, MODEL_DIR.value, options)
    folder = MODEL_DIR.value
    if SWEEP.value:
        best = sweep(cases_of(parse_grid(SWEEP.value), load, folder), text, folder, options)
        if not (best and MERGE_TO.value):
            return
        _, folder, experiment, config = best  # is read back
    state, _ = tune(experiment, config, text, folder, options)
    if MERGE_TO.value:
        write_merged(MERGE_TO.value, state, experiment, config)


def published_rows(data):
    """Returns the rows of a published task: those from which examples are drawn."""
    from hclx.tasks.suite_runs import Selection, all_runs
    from hclx.tune.row_files import Row
    from hclx.tune.tuning_data import TuningText

    chosen = Selection(tuple(TASKS.value), shots=(1,))
    specs = all_runs(SUITE.value, chosen, DATA_DIR.value)
    if len(specs) != 1 or PROMPT.value or VALIDATION.value:
        raise ConfigError("--suite needs --tasks with one task, and no --prompt or --validation")
    rows = [Row(item.id, {**item.fields, "answer": item.answer}) for item in specs[0].pool]
    rows = rows[: data.max_documents or None]
    return TuningText(specs[0].name, rows, None, specs[0].prompt, TOO_LONG.value)


if __name__ == "__main__":
    run(main)
