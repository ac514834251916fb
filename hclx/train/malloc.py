"""On CPU, the memory of one step's temporaries is kept for the next one, in huge pages where the
system has them.
"""

import ctypes
import glob
import mmap
import os
from pathlib import Path

import jax

# Of glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -2, -4, -8
_SETTINGS = (
    (_M_MMAP_MAX, 0),
    (_M_TRIM_THRESHOLD, -1),  # no limit
    (_M_TOP_PAD, 256 << 20),
    (_M_ARENA_MAX, 1),  # those of other threads take no large block, and map one anew each time
)
_HUGE_PAGE = 2 << 20
_HUGE_PAGES, _OVERCOMMIT = (
    "/sys/kernel/mm/transparent_hugepage/enabled",
    "/proc/sys/vm/overcommit_memory",
)
_ACCELERATORS = ("/dev/accel*", "/dev/vfio/[0-9]*", "/dev/nvidia[0-9]*", "/dev/kfd")


def computes_on_cpu() -> bool:
    """Whether JAX will compute on CPU, told without starting its backends: these settings must come
    before them.
    """
    platforms = jax.config.jax_platforms
    return platforms == "cpu" if platforms else not any(map(glob.glob, _ACCELERATORS))


def keep_freed_memory() -> bool:
    """Tells glibc to keep freed memory instead of giving it back to the system; call it before JAX
    has a backend.

    A training step on CPU frees and allocates hundreds of megabytes; by default each of these pages
    is taken from the system, zeroed and mapped again in every step, a tenth of its time.

    Returns:
      Whether the C library took it; others than glibc have no such settings, and need none of this
      to be right.
    """
    try:
        libc = ctypes.CDLL(None)
        kept = all([libc.mallopt(name, value) == 1 for name, value in _SETTINGS])
    except (AttributeError, OSError):
        return False
    if kept and _huge_pages_are_given_on_request():
        _ask_for_huge_pages(libc)
    return kept


def _huge_pages_are_given_on_request() -> bool:
    """And addresses that nobody writes to count for nothing; otherwise asking would keep memory
    from other processes.
    """
    try:
        return (
            "[madvise]" in Path(_HUGE_PAGES).read_text()
            and Path(_OVERCOMMIT).read_text().strip() != "2"
        )
    except OSError:
        return False


def _ask_for_huge_pages(libc: ctypes.CDLL) -> None:
    """Lets the system map what malloc will give out, up to half of the machine's memory, in huge
    pages.

    It can be asked for addresses that exist only, so a block of that size is taken, which is no
    memory yet as nobody writes to it, and freed, which leaves its addresses to malloc. Where a
    limit forbids that block, pages stay small.
    """
    libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
    libc.free.argtypes, libc.madvise.argtypes = (
        [ctypes.c_void_p],
        [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int],
    )
    size = os.sysconf("SC_PHYS_PAGES") * mmap.PAGESIZE // 2
    block = libc.malloc(size)
    if block:
        begin = -(-block // _HUGE_PAGE) * _HUGE_PAGE
        libc.madvise(begin, block + size - begin, mmap.MADV_HUGEPAGE)
        libc.free(block)
