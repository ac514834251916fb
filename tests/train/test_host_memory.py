"""Freed memory is kept: the second use of a buffer of a step's size faults no page in."""

import platform
import subprocess
import sys

import pytest

from tests.launch.command import environment

_FAULTS = """
import resource, sys
import numpy as np
from hclx.train.host_memory import keep_freed_memory
if sys.argv[1] == "keep":
    assert keep_freed_memory()
np.ones(64 << 20, np.uint8)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(4):
    np.ones(64 << 20, np.uint8)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(how: str) -> int:
    result = subprocess.run([sys.executable, "-c", _FAULTS, how], env=environment(), capture_output=True, text=True, check=True)
    return int(result.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="a setting of glibc's malloc")
def test_memory_is_kept():
    assert faults("keep") < 1000 < faults("leave")
