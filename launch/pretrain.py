"""Pretrains a decoder: hclx pretrain --gin_file=gin_configs/runs/demo.gin --model_dir=runs/demo

Re-run the same command to resume. SLURM, TPU pods and indexed jobs of Kubernetes are detected;
elsewhere, start each process with --coordinator, --num_processes and its own --process_id. Exit
codes: hclx/errors.py. `--gin.NAME=VALUE` sets any field of hclx/config.py.
"""

import sys
import time

from absl import flags

from hclx.errors import ConfigError
from hclx.launching import check_output_folder, run, take_gin_bindings
from hclx.shared_flags import RunFlags, process_flags

GIN_FILES = flags.DEFINE_multi_string("gin_file", [], "Gin file; repeatable, later ones win.")
MODEL_DIR = flags.DEFINE_string(
    "model_dir", None, "Folder of the run: checkpoints, metrics, configuration."
)
DRY_RUN = flags.DEFINE_bool("dry_run", False, "Print what would run, and start nothing.")
INIT_FROM = flags.DEFINE_string(
    "init_from", "", "MODEL_DIR[:STEP] of another run whose weights this run begins with."
)
PROFILE_STEPS = flags.DEFINE_string(
    "profile_steps", "", "FIRST:LAST step to trace into MODEL_DIR/profile."
)
CONNECT = process_flags()
RUN = RunFlags()
BINDINGS = take_gin_bindings(sys.argv)


def main(_):
    started = time.time()
    from hclx.gin_bindings import load_experiment

    if not GIN_FILES.value:
        raise ConfigError(
            "--gin_file is missing; for a first try: --gin_file=gin_configs/runs/demo.gin"
        )
    experiment = load_experiment(GIN_FILES.value, BINDINGS)
    if MODEL_DIR.value:
        check_output_folder("--model_dir", MODEL_DIR.value)
    elif not DRY_RUN.value:
        raise ConfigError("--model_dir is missing; give a folder for the run")
    from hclx.train.pretrain import RunOptions, pretrain
    from hclx.train.profiler import parse_steps

    options = RunOptions(
        profile_steps=parse_steps(PROFILE_STEPS.value),
        init_from=INIT_FROM.value,
        suite=suite_of(experiment.train) if experiment.train.suite_every else None,
        started=started,
        **RUN.values(),
    )
    if DRY_RUN.value:
        from hclx.train.dry_run import dry_run

        return dry_run(experiment, MODEL_DIR.value, options)
    CONNECT()
    pretrain(experiment, MODEL_DIR.value, options)


def suite_of(train):
    """Returns the function that evaluates the suite of a run, whose items are read now."""
    from hclx.evaluate.in_training import suite_hook
    from hclx.tasks.suite_runs import Selection, all_runs

    return suite_hook(all_runs(train.suite, Selection(limit=train.suite_limit)))


if __name__ == "__main__":
    run(main)
