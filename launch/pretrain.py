"""Pretrains a decoder: python launch/pretrain.py --gin_file=gin_configs/runs/demo.gin --model_dir=runs/demo

The same command goes on where the run stopped. Several processes are started with it, each with its --process_id. `--gin.NAME=VALUE` sets any field of hclx/config.py.
"""

import sys

from absl import flags

from hclx.errors import ConfigError
from hclx.launching import run, take_gin_bindings

GIN_FILES = flags.DEFINE_multi_string("gin_file", [], "Gin file; repeatable, later ones win.")
MODEL_DIR = flags.DEFINE_string("model_dir", None, "Folder of the run: checkpoints, metrics, configuration.")
DRY_RUN = flags.DEFINE_bool("dry_run", False, "Print what would run, and start nothing.")
PROFILE_STEPS = flags.DEFINE_string("profile_steps", "", "FIRST:LAST step of which MODEL_DIR/profile takes a trace.")
COORDINATOR = flags.DEFINE_string("coordinator", None, "HOST:PORT of process 0, where a run of several processes meets.")
NUM_PROCESSES = flags.DEFINE_integer("num_processes", None, "Processes of the run, each started with this same command.")
PROCESS_ID = flags.DEFINE_integer("process_id", None, "Which of them this is, from 0.")
BINDINGS = take_gin_bindings(sys.argv)


def main(_):
    from hclx.gin_bindings import load_experiment

    if not GIN_FILES.value:
        raise ConfigError("--gin_file is missing; for a first try: --gin_file=gin_configs/runs/demo.gin")
    experiment = load_experiment(GIN_FILES.value, BINDINGS)
    if DRY_RUN.value:
        from hclx.train.dry_run import describe

        print(describe(experiment))
        return
    if not MODEL_DIR.value:
        raise ConfigError("--model_dir is missing; give the folder that the run is kept in")
    from hclx.parallel import start_processes
    from hclx.train.profiler import parse_steps
    from hclx.train.run import run_pretraining

    profile_steps = parse_steps(PROFILE_STEPS.value)
    start_processes(COORDINATOR.value, PROCESS_ID.value, NUM_PROCESSES.value)
    run_pretraining(experiment, MODEL_DIR.value, profile_steps)


if __name__ == "__main__":
    run(main)
