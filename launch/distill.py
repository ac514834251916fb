"""Teaches a smaller model what a larger one says: hclx distill --gin_file=runs/distill.gin
--gin_file=sizes/137m.gin --teacher=runs/large --data=rows.jsonl --model_dir=runs/small

docs/distillation.md says what is learnt. With --write=FILE.jsonl the teacher answers the rows in
its own words instead, for `hclx tune`. Re-run the same command to resume.
"""

import sys
import time

from absl import flags

from hclx.errors import ConfigError
from hclx.launching import check_output_folder, run, take_gin_bindings
from hclx.shared_flags import RunFlags, process_flags

GIN_FILES = flags.DEFINE_multi_string("gin_file", [], "Gin file; repeatable, later ones win.")
TEACHER = flags.DEFINE_string("teacher", None, "MODEL_DIR[:STEP] of the run that teaches.")
MODEL_DIR = flags.DEFINE_string("model_dir", None, "Folder of the student's run.")
INIT_FROM = flags.DEFINE_string(
    "init_from", "", "MODEL_DIR[:STEP] that the student begins with; default: random weights."
)
PROMPT = flags.DEFINE_string("prompt", None, "The prompt document whose fields the rows have.")
DATA = flags.DEFINE_string("data", None, "FILE.csv or FILE.jsonl with rows.")
VALIDATION = flags.DEFINE_string(
    "validation", None, "The same with rows to hold out; default: a share of --data."
)
TOO_LONG = flags.DEFINE_enum(
    "too_long", "refuse", ["refuse", "drop"], "What happens to examples longer than a sequence."
)
CACHE = flags.DEFINE_string(
    "cache_dir", "", "Folder of what the teacher says; default: MODEL_DIR/teacher."
)
WRITE = flags.DEFINE_string("write", None, "FILE.jsonl for rows with the teacher's own answers.")
MAX_TOKENS = flags.DEFINE_integer("max_tokens", 128, "Of an answer, for --write.", 1)
TEMPERATURE = flags.DEFINE_float("temperature", 0.0, "Of an answer, for --write.", 0.0)
SEED = flags.DEFINE_integer("seed", 0, "Of the answers, for --write.", 0)
CONNECT = process_flags()
RUN = RunFlags()
BINDINGS = take_gin_bindings(sys.argv)


def main(_):
    started = time.time()
    needed = [("teacher", TEACHER), ("data", DATA)]
    needed += [] if WRITE.value else [("gin_file", GIN_FILES), ("model_dir", MODEL_DIR)]
    for name, flag in needed:
        if not flag.value:
            raise ConfigError(f"--{name} is missing; see --help")
    if WRITE.value:
        return write()
    check_output_folder("--model_dir", MODEL_DIR.value)
    from hclx.distill.distill_run import distill
    from hclx.distill.distill_settings import load_distill_settings
    from hclx.train.run import RunOptions

    bindings = [*BINDINGS, f"DataConfig.input={DATA.value}"]
    of_models = TEACHER.value, INIT_FROM.value
    experiment, config = load_distill_settings(GIN_FILES.value, bindings, *of_models)
    CONNECT()
    options = RunOptions(init_from=INIT_FROM.value, started=started, **RUN.values())
    text, folders = rows(experiment.data.encoding), (MODEL_DIR.value, TEACHER.value)
    distill(experiment, config, text, *folders, options, CACHE.value)


def write():
    """Has the teacher answer the rows."""
    from hclx.distill.sequences import write_sequences
    from hclx.infer import SamplingConfig
    from hclx.progress import counted

    sampling = SamplingConfig(
        max_tokens=MAX_TOKENS.value, temperature=TEMPERATURE.value, seed=SEED.value
    )
    text = rows("")
    n_answers = write_sequences(TEACHER.value, text, WRITE.value, sampling)
    if n_answers is not None:
        n_rows = counted(len(text.rows), "row")
        print(f"{counted(n_answers, 'answer')} to {n_rows}, in {WRITE.value}")


def rows(encoding):
    """Returns the rows of the files."""
    from hclx.prompts import load_prompt
    from hclx.tune.row_files import read_rows
    from hclx.tune.tuning_data import TuningText

    held_out = read_rows(VALIDATION.value, encoding) if VALIDATION.value else None
    prompt = load_prompt(PROMPT.value) if PROMPT.value else None
    return TuningText(DATA.value, read_rows(DATA.value, encoding), held_out, prompt, TOO_LONG.value)


if __name__ == "__main__":
    run(main)
