"""launch/slurm/pretrain.sbatch as it is, with launch/pretrain.py in it, under a stand-in for SLURM."""

import contextlib
import random
import signal
import socket

from hclx.train.metrics import read_metrics
from tests.conftest import ROOT
from tests.launch.command import command
from tests.launch.several import unoptimised
from tests.launch.test_launchers import ended, log, started, wait_for
from tests.recovery.test_processes import ALL, SAVED, STEPS


def free_job_id():
    """A job whose number gives process 0 a port that nobody has: JAX takes it from the number."""
    while True:
        with contextlib.closing(socket.socket()) as listener, contextlib.suppress(OSError):
            job_id = random.randrange(4096)
            listener.bind(("127.0.0.1", 61440 + job_id))
            return job_id


def test_the_real_trainer_under_slurm(tmp_path):
    """Two processes of two devices, which find each other by SLURM's variables; SIGTERM, a requeue, and the last step."""
    job_id = free_job_id()
    for name in ("launch", "gin_configs", "hclx", "tasks"):
        (tmp_path / name).symlink_to(ROOT / name)
    arguments = ["sbatch", "launch/slurm/pretrain.sbatch", *command("pretrain.py", *ALL, f"--model_dir={tmp_path / 'run'}")]
    variables = {"STANDIN_JOB_ID": job_id, "STANDIN_SPEED": 1, "JAX_PLATFORMS": "cpu", "PYTHONPATH": ROOT} | unoptimised(2)
    with started(arguments, tmp_path, **variables) as job:
        wait_for(lambda: any(record["step"] >= SAVED + 2 for record in read_metrics(tmp_path / "run")), job, timeout=120)
        job.send_signal(signal.SIGUSR1)
        code, output = ended(job, timeout=120)
    said = (tmp_path / f"hclx-{job_id}.log").read_text()
    assert code == 0 and "exit code 75 after" in said and said.count("starting again") == 1, (output, said, log(tmp_path), log(tmp_path, 1))
    assert [record["step"] for record in read_metrics(tmp_path / "run")] == list(range(1, STEPS + 1))
    assert f"done: step {STEPS}" in log(tmp_path) and "saved step" in log(tmp_path, 1)
