"""On CPU, the memory of one step's temporaries is kept for the next step."""

import ctypes
import glob

import jax

# From glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -2, -4, -8
_SETTINGS = (
    (_M_MMAP_MAX, 0),
    (_M_TRIM_THRESHOLD, -1),  # no limit
    (_M_TOP_PAD, 256 << 20),
    # Arenas of other threads cannot hold large blocks, and map each of them anew.
    (_M_ARENA_MAX, 1),
)
_ACCELERATORS = ("/dev/accel*", "/dev/vfio/[0-9]*", "/dev/nvidia[0-9]*", "/dev/kfd")


def computes_on_cpu() -> bool:
    """Returns whether JAX will compute on CPU, without starting its backends: `keep_freed_memory`
    must be called before they start.
    """
    platforms = jax.config.jax_platforms
    return platforms == "cpu" if platforms else not any(map(glob.glob, _ACCELERATORS))


def keep_freed_memory() -> bool:
    """Tells glibc to keep freed memory instead of returning it to the system; call it before JAX
    has a backend.

    A training step on CPU frees and allocates hundreds of megabytes. By default each of these pages
    is taken from the system, zeroed and mapped again in every step: a tenth of its time.

    Returns:
      Whether the C library accepted it. Others than glibc (of macOS, musl) have no such settings,
      and training is correct without them.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return False
    return all([mallopt(name, value) == 1 for name, value in _SETTINGS])
