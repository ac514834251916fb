"""Several processes as one computation: joining them, letting process 0 go first, agreeing, and
leaving.

Each process runs the same command with another number. From then on `jax.devices()` is the devices
of all of them.
"""

import contextlib
import importlib.util
import itertools
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import jax
import numpy as np
from jax._src import distributed  # the store of the coordinator has no public name
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from hclx import errors
from hclx.errors import ConfigError, HclxError

T = TypeVar("T")

_LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
# how long a process that ends with an error waits for the others, which JAX then ends as well
_LEAVE_SECONDS = 60
_LAST_WORDS_MS = 5_000
_AGREEMENTS = itertools.count()
# a large corpus takes hours; a process 0 that dies is noticed by its heartbeat
_WAIT_MS = 7 * 24 * 3600 * 1000


def detect_cluster(environment: Mapping[str, str], on_tpu: bool) -> tuple[str, dict]:
    """What started this process among others, and what `jax.distributed.initialize` needs to be
    told beside what it finds.

    Args:
      environment: variables of the process.
      on_tpu: whether this machine has TPUs, whose pods JAX asks for themselves.
    Returns:
      "SLURM", "Kubernetes", "TPU", or "" where the process is alone; and arguments.
    """
    get = environment.get
    if (
        all(
            get(f"SLURM_{name}")
            for name in ("JOB_ID", "STEP_NODELIST", "NTASKS", "PROCID", "LOCALID")
        )
        and int(get("SLURM_NTASKS")) > 1
    ):
        gpus, tasks = int(get("SLURM_GPUS_ON_NODE") or 0), get("SLURM_STEP_TASKS_PER_NODE") or ""
        # JAX gives each task of SLURM one GPU; a task that has its node for itself computes on all
        # of them.
        alone = gpus > 1 and tasks.partition("(")[0] == "1" and "," not in tasks
        return "SLURM", {"local_device_ids": list(range(gpus))} if alone else {}
    if on_tpu:
        return "TPU", {}
    if all(
        get(name)
        for name in ("JOB_COMPLETION_INDEX", "JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES")
    ):
        address, number, count = (
            get("JAX_COORDINATOR_ADDRESS"),
            int(get("JOB_COMPLETION_INDEX")),
            int(get("JAX_NUM_PROCESSES")),
        )
        return "Kubernetes", {
            "coordinator_address": address,
            "process_id": number,
            "num_processes": count,
        }
    return "", {}


def _has_tpu() -> bool:
    devices = (*Path("/dev").glob("accel*"), *Path("/dev/vfio").glob("[0-9]*"))
    return (
        bool(devices)
        and importlib.util.find_spec("libtpu") is not None
        and os.environ.get("JAX_PLATFORMS", "tpu") != "cpu"
    )


def start_processes(
    coordinator: str | None = None,
    process_id: int | None = None,
    n_processes: int | None = None,
    *,
    heartbeat_seconds: int = 100,
    join_seconds: int = 300,
) -> None:
    """Joins the other processes of a run; call it before JAX has a backend.

    With none of the first three arguments, SLURM, TPU pods and indexed jobs of Kubernetes are
    recognised; elsewhere the process is all of the run.

    Args:
      coordinator: HOST:PORT, where process 0 listens and all others find it.
      process_id: of this process, from 0.
      n_processes: in all.
      heartbeat_seconds: after which a process that is gone, or whose machine is, ends the others.
      join_seconds: that processes wait for each other at the start.
    Raises:
      ConfigError: some arguments are given and others are missing, one of them cannot be, or the
        others did not come.
    """
    given = {
        "--coordinator": coordinator,
        "--num_processes": n_processes,
        "--process_id": process_id,
    }
    missing = [flag for flag, value in given.items() if value in (None, "")]
    if len(missing) < len(given):
        _check_flags(given, missing)
        name, arguments = (
            "flags",
            {
                "coordinator_address": coordinator,
                "num_processes": n_processes,
                "process_id": process_id,
            },
        )
    else:
        name, arguments = detect_cluster(os.environ, _has_tpu())
        if not name:
            return
    address = arguments.get("coordinator_address") or ""
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    # it takes SIGTERM, which belongs to hclx.train.preemption
    jax.config.update("jax_enable_preemption_service", False)
    try:
        jax.distributed.initialize(
            **arguments,
            initialization_timeout=join_seconds,
            heartbeat_timeout_seconds=heartbeat_seconds,
            shutdown_timeout_seconds=_LEAVE_SECONDS,
            # JAX would listen on every network of the machine.
            coordinator_bind_address=address if address.rpartition(":")[0] in _LOOPBACK else None,
        )
    except (RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ConfigError(
            f"this process ({name}: {arguments or 'as JAX finds it'}) could not meet the others"
            f" ({reason}); is each of them started, and can they reach process 0? --coordinator,"
            " --num_processes and --process_id say it by hand"
        ) from error


def _check_flags(given: dict, missing: list[str]) -> None:
    coordinator, n_processes, process_id = given.values()
    if missing:
        raise ConfigError(
            f"{' and '.join(missing)} missing; several processes need {', '.join(given)}, one needs"
            " none"
        )
    host, _, port = coordinator.rpartition(":")
    if not host or not port.isdecimal():
        raise ConfigError(
            f"--coordinator={coordinator} is not HOST:PORT, as in --coordinator=10.0.0.1:8476"
        )
    if not 0 <= process_id < n_processes:
        raise ConfigError(
            f"--process_id={process_id} is not one of --num_processes={n_processes}, which count"
            " from 0"
        )


def is_distributed() -> bool:
    """Whether this process joined others."""
    return (
        distributed.global_state.client is not None and distributed.global_state.num_processes > 1
    )


def abort_process(code: int) -> None:
    """Ends this process, one of several, after an error.

    The way out that Python takes would wait for the others as long as a heartbeat does. Here they
    have a few seconds to end by the same error, each with its own message, and those that cannot
    know of it are ended by JAX when this one is gone.
    """
    # where process 0 is stuck, no barrier comes back
    end = threading.Timer(2 * _LAST_WORDS_MS / 1000, os._exit, [code])
    end.daemon = True
    end.start()
    with contextlib.suppress(Exception):  # the others may be gone, or stuck
        distributed.global_state.client.wait_at_barrier("hclx/leave", _LAST_WORDS_MS)
        if distributed.global_state.process_id == 0:
            # the others hear from it that all are here, and JAX aborts those that find it gone
            # before
            time.sleep(1)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def process_0_first(name: str, work: Callable[[], T]) -> T:
    """Runs `work` in process 0, and when it is done there, in the others, which find what it made
    on a shared file system.

    Process 0 writes its outcome in the coordinator's store, where the others wait for it: no device
    takes part, so that no collective can run out of time, and an error of process 0 ends them all.

    Args:
      name: of the work, used once in a run.
      work: makes what is missing, or only reads where nothing is.
    Raises:
      HclxError: in the others, what `work` raised in process 0.
    """
    if jax.process_count() == 1:
        return work()
    store, key = distributed.global_state.client, f"hclx/{name}"
    if jax.process_index() == 0:
        try:
            result = work()
        except BaseException as error:
            store.key_value_set(key, json.dumps([type(error).__name__, str(error)]))
            raise
        store.key_value_set(key, json.dumps(None))
        return result
    failure = json.loads(store.blocking_key_value_get(key, _WAIT_MS))
    if failure:
        kind = getattr(errors, failure[0], None)
        if kind is None:
            raise HclxError(
                f"process 0 ended with {failure[0]}: {failure[1]}; its own output says where"
            )
        raise kind(failure[1])
    return work()


def any_process_error(problem: str = "") -> str:
    """The problem that some process has, the same answer in all of them; "" where none has one.

    All processes must call it equally often. They meet in the coordinator's store and not on the
    devices, whose collectives may be what went wrong.
    """
    if jax.process_count() == 1:
        return problem
    store, key = distributed.global_state.client, f"hclx/agree/{next(_AGREEMENTS)}"
    if problem:
        store.key_value_set(f"{key}/{jax.process_index()}", problem)
    store.wait_at_barrier(f"{key}/all", _WAIT_MS)
    return next((answer for _, answer in sorted(store.key_value_dir_get(key))), "")


class AnyAcrossProcesses:
    """Whether a flag is raised in any process, told to all of them at the same call.

    All processes must call it equally often. The answer is of the call before, so that nobody waits
    for a device that is still busy with the step that was just dispatched.
    """

    def __init__(self, mesh: Mesh):
        """Prepares the flag; `mesh`: over the devices of all processes."""
        self._flags = NamedSharding(mesh, PartitionSpec(mesh.axis_names))
        self._size = mesh.size
        self._any = jax.jit(
            lambda flags: flags.any(), out_shardings=NamedSharding(mesh, PartitionSpec())
        )
        self._pending: jax.Array | None = None

    def __call__(self, raised: bool) -> bool:
        """Tells this process's flag; returns whether any was raised at the call before (one
        process: at this one).
        """
        if jax.process_count() == 1:
            return raised
        flags = jax.make_array_from_callback(
            (self._size,), self._flags, lambda _: np.array([raised])
        )
        before, self._pending = self._pending, self._any(flags)
        return before is not None and bool(before)
