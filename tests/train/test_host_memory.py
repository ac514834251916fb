"""Freed memory is kept, whichever thread frees it: the second use of a buffer of a step's size faults no page in."""

import platform
import subprocess
import sys
from types import SimpleNamespace

import pytest

from hclx.train import host_memory
from tests.launch.command import environment

# Another thread uses a block, larger than its own arena could hold, again and again.
_FAULTS = """
import ctypes, resource, sys, threading
from hclx.train.host_memory import keep_freed_memory
if sys.argv[1] == "keep":
    assert keep_freed_memory()
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
libc.memset.argtypes, libc.free.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t], [ctypes.c_void_p]

def use():
    block = libc.malloc(96 << 20)
    libc.memset(block, 1, 96 << 20)
    libc.free(block)

def steps():
    use()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(4):
        use()
    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)

thread = threading.Thread(target=steps)
thread.start()
thread.join()
"""


def faults(how: str) -> int:
    result = subprocess.run([sys.executable, "-c", _FAULTS, how], env=environment(), capture_output=True, text=True, check=True)
    return int(result.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="a setting of glibc's malloc")
def test_memory_is_kept():
    assert faults("keep") < 16 < faults("leave")


@pytest.mark.parametrize("platforms, found, expected", [
    ("cpu", ["/dev/accel*"], True),
    ("cuda,cpu", [], False),
    (None, ["/dev/accel*"], False),
    (None, ["/dev/nvidia[0-9]*"], False),
    ("", [], True),
])
def test_platform_is_known_before_jax_starts(monkeypatch, platforms, found, expected):
    monkeypatch.setattr(host_memory, "jax", SimpleNamespace(config=SimpleNamespace(jax_platforms=platforms)))
    monkeypatch.setattr(host_memory.glob, "glob", lambda pattern: [pattern] if pattern in found else [])
    assert host_memory.computes_on_cpu() is expected
