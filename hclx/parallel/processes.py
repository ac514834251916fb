"""Several processes as one computation: joining them, letting process 0 go first, and agreeing on a flag.

Each process runs the same command with another number. From then on `jax.devices()` is the devices of all of them.
"""

import json
from collections.abc import Callable
from typing import TypeVar

import jax
import numpy as np
from jax._src import distributed  # the store of the coordinator has no public name
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from hclx import errors
from hclx.errors import ConfigError, HclxError

T = TypeVar("T")

_LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
_JOIN_SECONDS = 300
_LEAVE_SECONDS = 60  # how long a process that ends with an error waits for the others, which JAX then ends as well
_WAIT_MS = 7 * 24 * 3600 * 1000  # a large corpus takes hours; a process 0 that dies is noticed by its heartbeat


def start_processes(coordinator: str | None, process_id: int | None, n_processes: int | None) -> None:
    """Joins the other processes of a run; call it before JAX has a backend. With no argument given, this is all of it.

    Args:
      coordinator: HOST:PORT, where process 0 listens and all others find it.
      process_id: of this process, from 0.
      n_processes: in all.
    Raises:
      ConfigError: some arguments are given and others are missing, one of them cannot be, or the others did not come.
    """
    given = {"--coordinator": coordinator, "--num_processes": n_processes, "--process_id": process_id}
    missing = [flag for flag, value in given.items() if value in (None, "")]
    if len(missing) == len(given):
        return
    if missing:
        raise ConfigError(f"{' and '.join(missing)} missing; several processes need {', '.join(given)}, one process none of them")
    host, _, port = coordinator.rpartition(":")
    if not host or not port.isdecimal():
        raise ConfigError(f"--coordinator={coordinator} is not HOST:PORT, as in --coordinator=10.0.0.1:8476")
    if not 0 <= process_id < n_processes:
        raise ConfigError(f"--process_id={process_id} is not one of --num_processes={n_processes}, which count from 0")
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.config.update("jax_enable_preemption_service", False)  # it takes SIGTERM, which belongs to hclx.train.stop
    try:
        jax.distributed.initialize(
            coordinator,
            n_processes,
            process_id,
            initialization_timeout=_JOIN_SECONDS,
            shutdown_timeout_seconds=_LEAVE_SECONDS,
            # JAX would listen on every network of the machine.
            coordinator_bind_address=coordinator if host in _LOOPBACK else None,
        )
    except RuntimeError as error:
        raise ConfigError(
            f"process {process_id} of {n_processes} could not meet the others at {coordinator} ({' '.join(str(error).split())[:200]}); "
            "is each of them started, with the same --coordinator and its own --process_id?"
        ) from error


def process_0_first(name: str, work: Callable[[], T]) -> T:
    """Runs `work` in process 0, and when it is done there, in the others, which find what it made on a shared file system.

    Process 0 writes its outcome in the coordinator's store, where the others wait for it: no device takes part, so
    that no collective can run out of time, and an error of process 0 ends them all.

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
            raise HclxError(f"process 0 ended with {failure[0]}: {failure[1]}; its own output says where")
        raise kind(failure[1])
    return work()


class AnyProcess:
    """Whether a flag is raised in any process, told to all of them at the same call.

    All processes must call it equally often. The answer is of the call before, so that nobody waits for a device that
    is still busy with the step that was just dispatched.
    """

    def __init__(self, mesh: Mesh):
        """Prepares the flag; `mesh`: over the devices of all processes."""
        self._flags = NamedSharding(mesh, PartitionSpec(mesh.axis_names))
        self._size = mesh.size
        self._any = jax.jit(lambda flags: flags.any(), out_shardings=NamedSharding(mesh, PartitionSpec()))
        self._pending: jax.Array | None = None

    def __call__(self, raised: bool) -> bool:
        """Tells this process's flag; returns whether any was raised at the call before (one process: at this one)."""
        if jax.process_count() == 1:
            return raised
        flags = jax.make_array_from_callback((self._size,), self._flags, lambda _: np.array([raised]))
        before, self._pending = self._pending, self._any(flags)
        return before is not None and bool(before)
