"""What the tests of recovery share: a run that nothing interrupts, in two processes of two devices
each.
"""

import gc
import logging
import shutil

import pytest

from tests.recovery.runs import finish, start

# Of damaged files orbax leaves futures and coroutines behind, which fill a page each when they are
# collected: 23,000 lines.
logging.getLogger("asyncio").setLevel(logging.CRITICAL)


def pytest_itemcollected(item):
    item.add_marker(pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"))


@pytest.fixture(autouse=True)
def garbage_of_orbax():
    """Is collected while the test lasts, so that its warnings are ignored."""
    yield
    gc.collect()


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole") / "run"
    with start(folder) as started:
        return folder, finish(started)


@pytest.fixture(scope="session")
def whole(finished):
    """The folder of a finished run of `STEPS` steps, with every checkpoint that it saved."""
    return finished[0]


@pytest.fixture(scope="session")
def said_by_whole(finished):
    """What its processes wrote, in their order."""
    return finished[1]


@pytest.fixture()
def run(whole, tmp_path):
    """A folder for another run of the same text, tokenizer and cache."""
    folder = tmp_path / "run"
    folder.mkdir()
    for name in ("tokenizer", "cache"):
        shutil.copytree(whole / name, folder / name)
    return folder
