"""Several processes as one computation: starting them, letting process 0 work first, sharing errors
and flags, and aborting.

Each process runs the same command with its own process id. After the start `jax.devices()` lists
the devices of all of them.
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
from jax._src import distributed  # JAX has no public name for the coordinator's key-value store
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from hclx import errors
from hclx.errors import ConfigError, HclxError, StuckError

T = TypeVar("T")

_LOOPBACK = ("localhost", "127.0.0.1", "::1")
# How long a process that ends waits for the others to end too.
_SHUTDOWN_SECONDS = 60
_ABORT_BARRIER_MS = 5_000
_JOIN_MARGIN_SECONDS = 60  # of JAX's own limit, beyond that of `start_processes`
# A large corpus takes hours to prepare; if process 0 dies, its heartbeat ends the wait.
_WAIT_MS = 7 * 24 * 3600 * 1000
_error_rounds = itertools.count()


def detect_cluster(environment: Mapping[str, str], on_tpu: bool) -> tuple[str, dict]:
    """Detects the cluster manager that started this process.

    Args:
      environment: variables of the process.
      on_tpu: whether this machine has TPUs; JAX detects the processes of their pods itself.
    Returns:
      Its name ("SLURM", "Kubernetes", "TPU", or "" if this process is the whole run), and the
      arguments that `jax.distributed.initialize` cannot detect itself, keyword -> value.
    """
    get = environment.get
    slurm = ("JOB_ID", "STEP_NODELIST", "NTASKS", "PROCID", "LOCALID")
    if all(get(f"SLURM_{name}") for name in slurm) and int(get("SLURM_NTASKS")) > 1:
        gpus, tasks = int(get("SLURM_GPUS_ON_NODE") or 0), get("SLURM_STEP_TASKS_PER_NODE") or ""
        # JAX assigns one GPU to each task of SLURM; the only task of a node uses all GPUs of it.
        only_task = gpus > 1 and tasks.partition("(")[0] == "1" and "," not in tasks
        return "SLURM", {"local_device_ids": list(range(gpus))} if only_task else {}
    if on_tpu:
        return "TPU", {}
    indexed_job = ("JOB_COMPLETION_INDEX", "JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES")
    if all(get(name) for name in indexed_job):
        return "Kubernetes", {
            "coordinator_address": get("JAX_COORDINATOR_ADDRESS"),
            "process_id": int(get("JOB_COMPLETION_INDEX")),
            "num_processes": int(get("JAX_NUM_PROCESSES")),
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
    """Connects this process to the others of a run; call it before JAX initialises a backend.

    Without the first three arguments, SLURM, TPU pods and indexed jobs of Kubernetes are detected;
    anywhere else this process is the whole run, and nothing is done. If the others do not connect
    in time, the process ends with one line and 70.

    Args:
      coordinator: HOST:PORT on which process 0 listens and which the others can reach.
      process_id: of this process, from 0.
      n_processes: in all.
      heartbeat_seconds: after that time without a sign of a process, the others are ended.
      join_seconds: how long processes wait for each other at the start.
    Raises:
      ConfigError: only some of the first three arguments are given, one of them is invalid, or JAX
        refuses them.
    """
    flags = {
        "--coordinator": coordinator,
        "--num_processes": n_processes,
        "--process_id": process_id,
    }
    if any(value not in (None, "") for value in flags.values()):
        _check_flags(flags)
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
    try:
        _initialize(arguments, heartbeat_seconds, join_seconds)
    except (RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ConfigError(
            f"this process ({name}: {arguments or 'as JAX detects it'}) could not connect to the"
            f" others ({reason}); check that each of them was started and can reach process 0, or"
            " set --coordinator, --num_processes and --process_id by hand"
        ) from error


def _check_flags(flags: dict) -> None:
    missing = [flag for flag, value in flags.items() if value in (None, "")]
    if missing:
        raise ConfigError(
            f"{' and '.join(missing)} missing; several processes need {', '.join(flags)}, a single"
            " process needs none of them"
        )
    coordinator, n_processes, process_id = flags.values()
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


def _initialize(arguments: dict, heartbeat_seconds: int, join_seconds: int) -> None:
    address = arguments.get("coordinator_address") or ""
    _reach_without_proxy(address)
    # JAX would abort the process with 134 and a C++ stack trace, which Python cannot catch.
    timer = threading.Timer(join_seconds, _end_unjoined, [address, join_seconds])
    timer.daemon = True
    timer.start()
    try:
        _join(arguments, heartbeat_seconds, join_seconds + _JOIN_MARGIN_SECONDS)
    finally:
        timer.cancel()


def _end_unjoined(address: str, seconds: int) -> None:
    """Ends a process that waited in vain for the others; they may come later, so it may retry."""
    where = f" at {address}" if address else ""
    message = (
        f"error: the processes of the run did not meet{where} within {seconds} seconds; check that"
        " each of them was started and can reach process 0 (--join_seconds), then run the same"
        " command again\n"
    )
    os.write(2, message.encode())
    os._exit(StuckError.exit_code)


def _join(arguments: dict, heartbeat_seconds: int, timeout_seconds: int) -> None:
    address = arguments.get("coordinator_address") or ""
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    # It would handle SIGTERM, which hclx.train.preemption handles.
    jax.config.update("jax_enable_preemption_service", False)
    jax.distributed.initialize(
        **arguments,
        initialization_timeout=timeout_seconds,
        heartbeat_timeout_seconds=heartbeat_seconds,
        shutdown_timeout_seconds=_SHUTDOWN_SECONDS,
        # By default JAX listens on every network of the machine.
        coordinator_bind_address=address if is_loopback(_host(address)) else None,
    )


def _reach_without_proxy(address: str) -> None:
    """Excepts the coordinator's host from the HTTP proxy of the environment, through which gRPC
    would look for it: a proxy for the web does not lead to other machines of a cluster.

    Args:
      address: HOST:PORT, or "" if JAX detects the coordinator; then nothing is known to except.
    """
    host = _host(address)
    if not host:
        return
    # gRPC reads the first of no_grpc_proxy and no_proxy that is set, other libraries NO_PROXY.
    for name in ("no_grpc_proxy", "no_proxy", "NO_PROXY"):
        hosts = [part for part in os.environ.get(name, "").split(",") if part.strip()]
        if host not in hosts and (hosts or name != "no_grpc_proxy"):
            os.environ[name] = ",".join([*hosts, host])


def is_distributed() -> bool:
    """Returns whether this process is one of several; False before `start_processes`."""
    state = distributed.global_state
    return state.client is not None and state.num_processes > 1


def abort_process(code: int) -> None:
    """Ends this process with the exit code `code` after an error; it does not return.

    With several processes, a normal exit of Python would wait for the others as long as a heartbeat
    takes. Here they have a few seconds to end by the same error, each with its own message; those
    that do not see the error are ended by JAX once this process is gone.
    """
    # If process 0 is stuck, the barrier never returns.
    timer = threading.Timer(2 * _ABORT_BARRIER_MS / 1000, os._exit, [code])
    timer.daemon = True
    timer.start()
    with contextlib.suppress(Exception):  # the others may be gone or stuck
        distributed.global_state.client.wait_at_barrier("hclx/leave", _ABORT_BARRIER_MS)
        if distributed.global_state.process_id == 0:
            # Process 0 releases the others from the barrier; JAX would abort a process that finds
            # it gone before that.
            time.sleep(1)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def process_0_first(name: str, work: Callable[[], T]) -> T:
    """Runs `work` in process 0 and afterwards in the others, which find its files on a shared file
    system.

    Args:
      name: of the work; used once in a run.
      work: makes what is missing and reads the rest.
    Returns:
      The result that `work` had in this process.
    Raises:
      HclxError, Exception: as `only_in_process_0`.
    """
    result = only_in_process_0(name, work)
    return result if jax.process_index() == 0 else work()


def only_in_process_0(name: str, work: Callable[[], T]) -> T | None:
    """Runs `work` in process 0, for which the others wait.

    Process 0 writes its outcome to the coordinator's key-value store, where the others wait for it.
    No device takes part, so no collective can time out, and an error of process 0 ends them all.

    Args:
      name: of the work; used once in a run.
      work: whatever one process does for all.
    Returns:
      In process 0 the result of `work`, in the others None.
    Raises:
      HclxError: in the other processes, the error that `work` raised in process 0, of the same
        class if that is one of `hclx.errors`.
      Exception: in process 0, whatever `work` raises.
    """
    if not is_distributed():  # which initialises no backend
        return work()
    if jax.process_index() != 0:
        if failure := json.loads(text_of_process_0(name)):
            raise as_error_of_process_0(failure)
        return None
    try:
        result = work()
    except BaseException as error:
        text_of_process_0(name, json.dumps(describe_error(error)))
        raise
    text_of_process_0(name, json.dumps(None))
    return result


def text_of_process_0(name: str, text: str = "") -> str:
    """Returns in all processes the text that process 0 gives; the others wait for it.

    Args:
      name: of the text; used once in a run.
      text: that of process 0; others need not give any.
    """
    store, key = distributed.global_state.client, f"hclx/{name}"
    if jax.process_index() == 0:
        store.key_value_set(key, text)
        return text
    return store.blocking_key_value_get(key, _WAIT_MS)


def describe_error(error: BaseException) -> list[str]:
    """Returns the class and the text of an error, for `as_error_of_process_0` in the others."""
    return [type(error).__name__, str(error)]


def as_error_of_process_0(description: list[str]) -> HclxError:
    """Returns the error that another process raises because process 0 has ended with one."""
    name, text = description
    kind = getattr(errors, name, None)
    if kind is None:
        reason = f"{name}: {text}" if text else name
        return HclxError(f"process 0 ended with {reason}; its own output has the traceback")
    return kind(text)


def coordinator_host() -> str:
    """Returns the host of process 0, by which the other processes reach it."""
    return _host(distributed.global_state.coordinator_address or "")


def is_loopback(host: str) -> bool:
    """Returns whether a host is this machine, by its name or address."""
    return host in _LOOPBACK


def _host(address: str) -> str:
    """The host of HOST:PORT or [HOST]:PORT."""
    return address.rpartition(":")[0].strip("[]")


def any_process_error(problem: str = "") -> str:
    """Shares an error across processes: returns one process's message in all of them, or "" if no
    process has one.

    All processes must call it equally often. They meet in the coordinator's key-value store and not
    on the devices, whose collectives may be what failed.

    Args:
      problem: the message of this process, or "".
    """
    if jax.process_count() == 1:
        return problem
    store, key = distributed.global_state.client, f"hclx/agree/{next(_error_rounds)}"
    if problem:
        store.key_value_set(f"{key}/{jax.process_index()}", problem)
    store.wait_at_barrier(f"{key}/all", _WAIT_MS)
    return next((answer for _, answer in sorted(store.key_value_dir_get(key))), "")


class AnyAcrossProcesses:
    """Tells all processes at the same call whether a flag is raised in any of them.

    All processes must call it equally often. The answer is that of the call before, so that no
    process waits for a device that is still busy with the step that was just dispatched.
    """

    def __init__(self, mesh: Mesh):
        """Prepares the flag; `mesh` has the devices of all processes."""
        self._flags = NamedSharding(mesh, PartitionSpec(mesh.axis_names))
        self._size = mesh.size
        self._any = jax.jit(
            lambda flags: flags.any(), out_shardings=NamedSharding(mesh, PartitionSpec())
        )
        self._pending: jax.Array | None = None

    def __call__(self, raised: bool) -> bool:
        """Sends this process's flag; returns whether any flag was raised at the call before (with a
        single process, at this call).
        """
        if jax.process_count() == 1:
            return raised
        flags = jax.make_array_from_callback(
            (self._size,), self._flags, lambda _: np.array([raised])
        )
        before, self._pending = self._pending, self._any(flags)
        return before is not None and bool(before)
