"""How a process detects its cluster manager, and how it aborts. The start of several processes is
tested with launch/pretrain.py.
"""

import subprocess
import sys

import pytest

from hclx.parallel.distributed import any_process_error, detect_cluster
from tests.helpers.commands import environment

TASK = {
    "SLURM_JOB_ID": "7",
    "SLURM_STEP_NODELIST": "n[1-4]",
    "SLURM_NTASKS": "4",
    "SLURM_PROCID": "2",
    "SLURM_LOCALID": "0",
}
NODE = {"SLURM_GPUS_ON_NODE": "8", "SLURM_STEP_TASKS_PER_NODE": "1(x4)"}
POD = {
    "JOB_COMPLETION_INDEX": "3",
    "JAX_COORDINATOR_ADDRESS": "run-0:8476",
    "JAX_NUM_PROCESSES": "8",
}
CASES = {
    "alone": ({}, False, ("", {})),
    "a task of SLURM": (TASK, False, ("SLURM", {})),
    "a task with its own node of 8 GPUs": (
        TASK | NODE,
        False,
        ("SLURM", {"local_device_ids": list(range(8))}),
    ),
    "8 tasks a node": (TASK | NODE | {"SLURM_STEP_TASKS_PER_NODE": "8(x4)"}, False, ("SLURM", {})),
    "a shell of SLURM, without srun": (
        {k: v for k, v in TASK.items() if "STEP" not in k},
        False,
        ("", {}),
    ),
    "one task": (TASK | {"SLURM_NTASKS": "1"}, False, ("", {})),
    "a TPU": (POD, True, ("TPU", {})),
    "SLURM with TPUs": (TASK, True, ("SLURM", {})),
    "a pod": (
        POD,
        False,
        ("Kubernetes", {"coordinator_address": "run-0:8476", "process_id": 3, "num_processes": 8}),
    ),
    "a pod of a job without a coordinator": ({"JOB_COMPLETION_INDEX": "3"}, False, ("", {})),
}


@pytest.mark.parametrize("case", CASES)
def test_recognised(case):
    environment, on_tpu, expected = CASES[case]
    assert detect_cluster(environment, on_tpu) == expected


def test_one_process_agrees_with_itself():
    assert any_process_error("a problem") == "a problem" and any_process_error() == ""


def test_a_process_leaves_though_process_0_is_stuck():
    """The barrier, which process 0 keeps, never comes back."""
    code = """
import threading, types
from hclx.parallel import distributed
client = types.SimpleNamespace(wait_at_barrier=lambda name, milliseconds: threading.Event().wait())
state = types.SimpleNamespace(client=client, process_id=1)
distributed.distributed = types.SimpleNamespace(global_state=state)
distributed._ABORT_BARRIER_MS = 100
distributed.abort_process(70)
"""
    assert (
        subprocess.run([sys.executable, "-c", code], env=environment(), timeout=60).returncode == 70
    )
