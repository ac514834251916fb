"""launch/slurm/pretrain.sbatch as it is, with launch/pretrain.py in it, under a stand-in for
SLURM.
"""

import contextlib
import random
import signal
import socket

import pytest

from tests.conftest import ROOT, xla_flags
from tests.helpers.commands import PATH, command
from tests.helpers.launchers import ended, log, started, wait_for
from tests.helpers.multi_process import THREADS
from tests.recovery.runs import ALL, EVERY, MESH, STEPS, assert_equal, copy, events_of


def free_job_id():
    """A job whose number gives process 0 a port that nobody has: JAX takes it from the number."""
    while True:
        with contextlib.closing(socket.socket()) as listener, contextlib.suppress(OSError):
            job_id = random.randrange(4096)
            listener.bind(("127.0.0.1", 61440 + job_id))
            return job_id


@pytest.mark.long
def test_the_real_trainer_under_slurm(whole, run, tmp_path):
    """Two processes of two devices, which find each other by SLURM's variables; SIGTERM, a requeue,
    and the same last digit.
    """
    copy(whole, run, until=3 * EVERY)
    attempts, job_id = len(events_of(run, "first_step")), free_job_id()
    for name in ("launch", "gin_configs", "hclx", "tasks"):
        (tmp_path / name).symlink_to(ROOT / name)
    arguments = [
        "sbatch",
        "launch/slurm/pretrain.sbatch",
        *command("pretrain.py", *ALL, *MESH, f"--model_dir={run}"),
    ]
    variables = {
        "STANDIN_JOB_ID": job_id,
        "STANDIN_SPEED": 1,
        "JAX_PLATFORMS": "cpu",
        "PYTHONPATH": PATH,
        "XLA_FLAGS": xla_flags(2),
        **THREADS,
    }
    with started(arguments, tmp_path, **variables) as job:
        wait_for(lambda: len(events_of(run, "first_step")) > attempts, job, timeout=120)
        job.send_signal(signal.SIGUSR1)
        code, output = ended(job, timeout=120)
    said = (tmp_path / f"hclx-{job_id}.log").read_text()
    assert code == 0 and "exit code 75 after" in said and said.count("starting again") == 1, (
        output,
        said,
        log(tmp_path),
        log(tmp_path, 1),
    )
    assert_equal(run, whole)
    assert f"done: step {STEPS}" in log(tmp_path) and "saved step" in log(tmp_path, 1)
