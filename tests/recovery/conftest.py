"""What the tests of recovery share: a run that nothing interrupts, in two processes of two devices each."""

import shutil

import pytest

from tests.recovery.runs import finish, start


@pytest.fixture(scope="session")
def whole(tmp_path_factory):
    """A finished run of `STEPS` steps, with every checkpoint that it saved."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    with start(folder) as started:
        finish(started)
    return folder


@pytest.fixture()
def run(whole, tmp_path):
    """A folder for another run of the same text, tokenizer and cache."""
    folder = tmp_path / "run"
    folder.mkdir()
    for name in ("tokenizer", "cache"):
        shutil.copytree(whole / name, folder / name)
    return folder
