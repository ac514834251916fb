"""Functions for Beam's workers, which import them by name."""

import json
import os
import sys
import time

from hclx.errors import DataError


def refuse(item):
    raise DataError(f"{item}.jsonl:7: not what it should be")


def look(item):
    """Writes, in the folder of this worker, what it was told and the process it was forked from."""
    with open(f"{os.getpid()}-{item}", "w") as file:
        json.dump([os.environ["ROUND"], os.getppid()], file)


def write_modules(item):
    with open(item, "w") as file:
        json.dump(sorted(sys.modules), file)


def sleep(item):
    """Writes a file with the number of this process, and sleeps for a minute."""
    with open(str(os.getpid()), "w"):
        time.sleep(60)
