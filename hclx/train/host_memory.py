"""On CPU, the memory of one step's temporaries is kept for the next one."""

import ctypes
import glob

import jax

# Of glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -2, -4, -8
_SETTINGS = (
    (_M_MMAP_MAX, 0),
    (_M_TRIM_THRESHOLD, 2**31 - 1),
    (_M_TOP_PAD, 256 << 20),
    (_M_ARENA_MAX, 1),  # those of other threads take no large block, and map one anew each time
)
_ACCELERATORS = ("/dev/accel*", "/dev/vfio/[0-9]*", "/dev/nvidia[0-9]*", "/dev/kfd")


def computes_on_cpu() -> bool:
    """Whether JAX will compute on CPU, told without starting its backends: these settings must come before them."""
    platforms = jax.config.jax_platforms
    return platforms == "cpu" if platforms else not any(map(glob.glob, _ACCELERATORS))


def keep_freed_memory() -> bool:
    """Tells glibc to keep freed memory instead of giving it back to the system; call it before JAX has a backend.

    A training step on CPU frees and allocates hundreds of megabytes; by default each of these pages is taken from the
    system, zeroed and mapped again in every step, a tenth of its time.

    Returns:
      Whether the C library took it; others than glibc have no such settings, and need none of this to be right.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return False
    return all([mallopt(name, value) == 1 for name, value in _SETTINGS])
