"""Measures the time in which JAX compiles, which is not that of the model."""

import contextlib
import dataclasses
import threading
from collections.abc import Iterator

_EVENTS = (
    "/jax/core/compile/jaxpr_trace_duration",
    "/jax/core/compile/jaxpr_to_mlir_module_duration",
    "/jax/core/compile/backend_compile_duration",
)
_lock = threading.Lock()
_running: list["CompileTime"] = []
_is_listening = False


@dataclasses.dataclass
class CompileTime:
    """The seconds in which programs were traced, lowered and compiled, or read from the cache."""

    seconds: float = 0.0


@contextlib.contextmanager
def compile_seconds() -> Iterator[CompileTime]:
    """Counts the time of compilation in all threads, as long as the context is open."""
    global _is_listening
    import jax

    time = CompileTime()
    with _lock:
        _running.append(time)
        if not _is_listening:  # jax.monitoring has no public way to remove a listener
            jax.monitoring.register_event_duration_secs_listener(_count)
            _is_listening = True
    try:
        yield time
    finally:
        with _lock:
            _running.remove(time)


def _count(event: str, seconds: float, **_) -> None:
    if event in _EVENTS:
        with _lock:
            for time in _running:
                time.seconds += seconds
