"""A folder that appears whole or not at all, and what others left beside it."""

import errno
import os
import socket
import subprocess
import sys

import pytest

from hclx.text.new_folder import FolderTakenError, new_folder

# A name as users have them, which is a pattern to others.
NAME = "[2024] 토크나이저"


@pytest.fixture(scope="module")
def dead():
    """The number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_it_appears_at_the_end_and_others_may_read_it(tmp_path):
    path = tmp_path / "a" / NAME
    with new_folder(path) as temporary:
        (temporary / "file").write_text("all")
        assert not path.exists() and temporary.parent == path.parent
    assert names(path.parent) == [NAME] and names(path) == ["file"]
    assert path.stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_after_an_error_nothing_is_left(tmp_path, error):
    with pytest.raises(error), new_folder(tmp_path / NAME) as temporary:
        (temporary / "file").write_text("half")
        raise error
    assert names(tmp_path) == []


def test_an_empty_folder_is_replaced_and_nothing_else_is(tmp_path):
    (tmp_path / "empty").mkdir()
    with new_folder(tmp_path / "empty") as temporary:
        (temporary / "file").write_text("new")
    assert names(tmp_path / "empty") == ["file"]
    for name in ("folder", "file"):
        with pytest.raises(FolderTakenError, match=f"{name} was meanwhile made by another process"):
            with new_folder(tmp_path / name) as temporary:
                if name == "folder":
                    (tmp_path / name / "other").mkdir(parents=True)
                else:
                    (tmp_path / name).write_text("other")
                (temporary / "file").write_text("new")
    assert names(tmp_path) == ["empty", "file", "folder"] and names(tmp_path / "folder") == [
        "other"
    ]


def test_another_error_of_the_system_is_raised_as_it_is(tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(errno.EROFS, "Read-only file system", "x")

    with pytest.raises(OSError, match="Read-only"), new_folder(tmp_path / NAME):
        monkeypatch.setattr(os, "replace", fail)
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    "host, process, name, stays",
    [
        (socket.gethostname(), "dead", NAME, False),
        (socket.gethostname(), "running", NAME, True),
        (socket.gethostname(), "unknown", NAME, True),
        (socket.gethostname(), "1" * 40, NAME, True),
        ("another-host", "dead", NAME, True),
        (socket.gethostname(), "dead", "another name", True),
    ],
)
def test_what_is_removed_is_of_this_name_and_machine_and_of_no_running_process(
    host, process, name, stays, tmp_path, dead
):
    number = {"dead": dead, "running": os.getpid()}.get(process, process)
    remains = tmp_path / f".{name}.{host}.{number}.ab12_xyz"
    (remains / "folder").mkdir(parents=True)
    with new_folder(tmp_path / NAME):
        assert remains.exists() == stays
