"""Freed memory is kept, whichever thread frees it: the second use of a buffer of a step's size
faults no page in.

And what is used may be mapped in huge pages, where the system gives them on request.
"""

import platform
import subprocess
import sys
from types import SimpleNamespace

import pytest

from hclx.train import malloc
from tests.helpers.commands import environment

glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="a setting of glibc's malloc")

# Another thread uses a block, larger than its own arena could hold, again and again.
_PROGRAM = """
import ctypes, resource, sys, threading
from hclx.train.malloc import keep_freed_memory
if sys.argv[1] == "keep":
    assert keep_freed_memory()
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
libc.memset.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]
libc.free.argtypes = [ctypes.c_void_p]

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
    block = libc.malloc(96 << 20)
    for line in open("/proc/self/smaps"):
        if "-" in line.split()[0]:
            begin, end = (int(x, 16) for x in line.split()[0].split("-"))
        elif line.startswith("VmFlags") and begin <= block + (48 << 20) < end:
            print(int("hg" in line.split()))  # whether the request was noted

thread = threading.Thread(target=steps)
thread.start()
thread.join()
"""


@pytest.fixture(scope="module")
def measured():
    """Page faults of the second to fifth use of 96 MB, and whether another one may be in huge
    pages, with our settings and with glibc's.
    """
    return {how: [int(line) for line in run(how).splitlines()] for how in ("keep", "leave")}


def run(how: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", _PROGRAM, how],
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    ).stdout


@glibc
def test_memory_is_kept(measured):
    assert measured["keep"][0] < 16 < measured["leave"][0]


@glibc
@pytest.mark.skipif(
    not malloc._huge_pages_are_given_on_request(),
    reason="this system gives huge pages always, or never",
)
def test_memory_may_be_in_huge_pages(measured):
    assert (measured["keep"][1], measured["leave"][1]) == (1, 0)


@pytest.mark.parametrize(
    "enabled, overcommit, expected",
    [
        ("always [madvise] never", "0", True),
        ("[always] madvise never", "0", False),
        ("always [madvise] never", "2", False),  # the addresses would count as used
        (None, "0", False),
    ],
)
def test_when_huge_pages_are_asked_for(tmp_path, monkeypatch, enabled, overcommit, expected):
    for name, text in (("_HUGE_PAGES", enabled), ("_OVERCOMMIT", overcommit)):
        monkeypatch.setattr(malloc, name, tmp_path / name)
        if text is not None:
            (tmp_path / name).write_text(f"{text}\n")
    assert malloc._huge_pages_are_given_on_request() is expected


def test_a_c_library_without_these_settings_is_left_alone(monkeypatch):
    """As that of macOS."""
    monkeypatch.setattr(malloc.ctypes, "CDLL", lambda name: object())
    assert not malloc.keep_freed_memory()


@pytest.mark.parametrize(
    "platforms, existing_paths, expected",
    [
        ("cpu", ["/dev/accel*"], True),
        ("cuda,cpu", [], False),
        (None, ["/dev/accel*"], False),
        (None, ["/dev/nvidia[0-9]*"], False),
        ("", [], True),
    ],
)
def test_platform_is_known_before_jax_starts(monkeypatch, platforms, existing_paths, expected):
    monkeypatch.setattr(
        malloc, "jax", SimpleNamespace(config=SimpleNamespace(jax_platforms=platforms))
    )
    monkeypatch.setattr(
        malloc.glob, "glob", lambda pattern: [pattern] if pattern in existing_paths else []
    )
    assert malloc.computes_on_cpu() is expected
