"""Settings of malloc. On CPU, the memory of one step's temporaries is kept for the next one, in
huge pages where the system has them. A conversion returns what it frees.
"""

import ctypes
import glob
import mmap
import os
from pathlib import Path

import jax

# From glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -2, -3, -4, -8
_SETTINGS = (
    (_M_MMAP_MAX, 0),
    (_M_TRIM_THRESHOLD, -1),  # no limit
    (_M_TOP_PAD, 256 << 20),
    (_M_ARENA_MAX, 1),  # arenas of other threads hold no large block, and map each one anew
)
_LARGE_BLOCK = 1 << 20
_HUGE_PAGE = 2 << 20
_HUGE_PAGES, _OVERCOMMIT = (
    "/sys/kernel/mm/transparent_hugepage/enabled",
    "/proc/sys/vm/overcommit_memory",
)
_ACCELERATORS = ("/dev/accel*", "/dev/vfio/[0-9]*", "/dev/nvidia[0-9]*", "/dev/kfd")


def computes_on_cpu() -> bool:
    """Returns whether JAX will compute on CPU. It does not start the backends of JAX."""
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
        libc = ctypes.CDLL(None)
        kept = all([libc.mallopt(name, value) == 1 for name, value in _SETTINGS])
    except (AttributeError, OSError):
        return False
    if kept and _huge_pages_are_given_on_request():
        _ask_for_huge_pages(libc)
    return kept


def return_freed_memory() -> bool:
    """Tells glibc to return large blocks to the system as soon as they are freed; call it before
    they are allocated. By default each thread that once copied a part of an array keeps its memory
    for later ones: half as much again as a conversion needs.

    Returns:
      Whether the C library accepted it.
    """
    try:
        return ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, _LARGE_BLOCK) == 1
    except (AttributeError, OSError):
        return False


def _huge_pages_are_given_on_request() -> bool:
    """Whether Linux gives huge pages on request, and unused addresses do not count as memory, so
    that the request takes nothing from other processes.
    """
    try:
        return (
            "[madvise]" in Path(_HUGE_PAGES).read_text()
            and Path(_OVERCOMMIT).read_text().strip() != "2"
        )
    except OSError:
        return False


def _ask_for_huge_pages(libc: ctypes.CDLL) -> None:
    """Lets the system map the memory of malloc, up to half of the machine's, in huge pages (a
    twentieth of a step's time).

    The request needs addresses that exist. So a block of that size is allocated, which is no memory
    yet as nothing is written to it, and freed, which leaves its addresses to malloc. If a limit
    forbids the block, pages stay small.
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
