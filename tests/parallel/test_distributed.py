"""How a process detects its cluster manager, and how it aborts. The start of several processes is
tested with launch/pretrain.py.
"""

import subprocess
import sys
import time

import pytest

from hclx.parallel.distributed import any_process_error, detect_cluster
from tests.helpers.commands import environment
from tests.helpers.multi_process import free_port

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


JOINS = """
import sys
from hclx.parallel.distributed import is_distributed, start_processes
start_processes(sys.argv[1], int(sys.argv[2]), 2, join_seconds=int(sys.argv[3]))
print(is_distributed())
"""


def joining(address, process_id, seconds, variables={}):
    arguments = [sys.executable, "-c", JOINS, address, str(process_id), str(seconds)]
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(arguments, env=environment(variables=variables), **options)


@pytest.mark.parametrize("excepted", [None, "example.org"])
def test_two_processes_meet_behind_a_proxy(excepted):
    proxy = {name: "http://127.0.0.1:9" for name in ("http_proxy", "https_proxy")}
    proxy |= {"no_proxy": excepted, "NO_PROXY": None}
    address = f"127.0.0.1:{free_port()}"
    both = [joining(address, i, 30, proxy) for i in (0, 1)]
    said = [process.communicate(timeout=90) for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert [out for out, _ in said] == ["True\n", "True\n"]


@pytest.mark.parametrize("process_id", [0, 1])
def test_a_process_that_waits_in_vain_ends_with_one_line(process_id):
    begun = time.monotonic()
    with joining(f"127.0.0.1:{free_port()}", process_id, 2) as alone:
        errors = alone.communicate(timeout=60)[1]
    assert alone.returncode == 70 and time.monotonic() - begun < 40
    lines = [line for line in errors.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1 and "did not meet at 127.0.0.1:" in lines[0]
