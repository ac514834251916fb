"""Pretrains a decoder: python launch/pretrain.py --gin_file=gin_configs/runs/demo.gin
--model_dir=runs/demo

The same command goes on where the run stopped. SLURM, TPU pods and indexed jobs of Kubernetes are
recognised; elsewhere several processes are started with --coordinator, --num_processes and each its
--process_id. Exit codes: hclx/errors.py. `--gin.NAME=VALUE` sets any field of hclx/config.py.
"""

import sys
import time

from absl import flags

from hclx.errors import ConfigError
from hclx.launching import run, take_gin_bindings

GIN_FILES = flags.DEFINE_multi_string("gin_file", [], "Gin file; repeatable, later ones win.")
MODEL_DIR = flags.DEFINE_string(
    "model_dir", None, "Folder of the run: checkpoints, metrics, configuration."
)
DRY_RUN = flags.DEFINE_bool("dry_run", False, "Print what would run, and start nothing.")
PROFILE_STEPS = flags.DEFINE_string(
    "profile_steps", "", "FIRST:LAST step of which MODEL_DIR/profile takes a trace."
)
COORDINATOR = flags.DEFINE_string(
    "coordinator", None, "HOST:PORT of process 0, where a run of several processes meets."
)
NUM_PROCESSES = flags.DEFINE_integer(
    "num_processes", None, "Processes of the run, each started with this same command."
)
PROCESS_ID = flags.DEFINE_integer("process_id", None, "Which of them this is, from 0.")
HEARTBEAT = flags.DEFINE_integer(
    "heartbeat_seconds",
    100,
    "Seconds after which a process that is gone ends the others.",
    lower_bound=1,
)
JOIN = flags.DEFINE_integer(
    "join_seconds", 300, "Seconds that processes wait for each other at the start.", lower_bound=1
)
STEP_TIMEOUT = flags.DEFINE_float(
    "step_timeout",
    1800,
    "Seconds without progress that end the run with 70; 0: never.",
    lower_bound=0,
)
LEASE = flags.DEFINE_float(
    "lease_seconds",
    30,
    "Seconds after which the lock of a run that gives no sign is taken.",
    lower_bound=1,
)
SAVE_TIMEOUT = flags.DEFINE_integer(
    "save_timeout", 600, "Seconds that processes wait for each other to save.", lower_bound=1
)
LOG_EXAMPLES = flags.DEFINE_bool(
    "log_examples", False, "Write which examples each step saw to MODEL_DIR/examples."
)
BINDINGS = take_gin_bindings(sys.argv)


def main(_):
    started = time.time()
    from hclx.gin_bindings import load_experiment

    if not GIN_FILES.value:
        raise ConfigError(
            "--gin_file is missing; for a first try: --gin_file=gin_configs/runs/demo.gin"
        )
    experiment = load_experiment(GIN_FILES.value, BINDINGS)
    if DRY_RUN.value:
        from hclx.train.dry_run import describe

        print(describe(experiment))
        return
    if not MODEL_DIR.value:
        raise ConfigError("--model_dir is missing; give the folder that the run is kept in")
    from hclx.parallel import start_processes
    from hclx.train.loop import RunOptions
    from hclx.train.profiler import parse_steps
    from hclx.train.run import run_pretraining

    options = RunOptions(
        profile_steps=parse_steps(PROFILE_STEPS.value),
        step_timeout=STEP_TIMEOUT.value,
        lease_seconds=LEASE.value,
        save_timeout=SAVE_TIMEOUT.value,
        log_examples=LOG_EXAMPLES.value,
        started=started,
    )
    times = {"heartbeat_seconds": HEARTBEAT.value, "join_seconds": JOIN.value}
    start_processes(COORDINATOR.value, PROCESS_ID.value, NUM_PROCESSES.value, **times)
    run_pretraining(experiment, MODEL_DIR.value, options)


if __name__ == "__main__":
    run(main)
