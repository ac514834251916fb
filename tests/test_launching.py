"""Paths that a user gives: checked before the work, and one line if they are wrong."""

import errno
import os

import pytest

from hclx import launching
from hclx.errors import ConfigError
from hclx.launching import check_output, check_output_folder
from tests.conftest import SAMPLE
from tests.helpers.commands import launch, refused


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    (tmp_path / "folder.jsonl").mkdir()
    return tmp_path


def test_an_output_that_can_be_written_passes_and_nothing_is_made(folder):
    for path in ("new.json", "file", f"{folder}/new.json"):
        check_output("--json", path)
    check_output("--output", "a/b/new.npz", makes_folders=True)
    for path in ("new", "a/b", "folder.jsonl"):
        check_output_folder("--output_dir", path)
    assert sorted(os.listdir(folder)) == ["file", "folder.jsonl"]


@pytest.mark.parametrize(
    "check, path, message",
    [
        (check_output, "folder.jsonl", "is a folder; give the name of a file in it"),
        (check_output, "no/x.json", ": the folder FOLDER/no does not exist; make it first"),
        (check_output, "file/x.json", ": FOLDER/file is a file; give another path"),
        (check_output_folder, "file", "is a file; give the name of a folder"),
        (check_output_folder, "file/a/b", ": FOLDER/file is a file; give another path"),
    ],
)
def test_an_output_that_cannot_be_written_is_refused(check, path, message, folder):
    with pytest.raises(ConfigError) as caught:
        check("--flag", path)
    assert str(caught.value).startswith(f"--flag={path}")
    assert str(caught.value).endswith(message.replace("FOLDER", str(folder)))


@pytest.mark.parametrize("check", [check_output, check_output_folder])
def test_a_folder_that_is_closed_to_the_user_is_refused(check, folder, monkeypatch):
    monkeypatch.setattr(launching.os, "access", lambda path, mode: False)
    with pytest.raises(ConfigError, match=f"this user may not write {folder}"):
        check("--flag", "new")


@pytest.mark.parametrize(
    "error, expected",
    [
        (OSError(errno.EISDIR, "", "d"), "d is a folder, and a file is needed; give another path"),
        (OSError(errno.EACCES, "", "d"), "d may not be read or written by this user; give another"),
        (OSError(errno.ENOTDIR, "", "f/d"), "f/d has a file where a folder is needed"),
        (OSError(errno.EEXIST, "", "file"), "file is a file, and a folder is needed"),
        (OSError(errno.EEXIST, "Cannot create 'file': exists"), "file is a file"),  # as pyarrow
        (OSError(errno.ENOENT, "", "given"), "given does not exist"),
        (OSError(errno.ENOSPC, "full", "d"), "cannot write d: full; free some space"),
        # faults of the program, which keep their traceback
        (OSError(errno.ENOENT, "", "another"), None),
        (OSError(errno.EEXIST, "", "folder.jsonl"), None),
        (OSError(errno.EIO, "", "d"), None),
        (OSError(errno.EACCES, "Permission denied"), None),
        (OSError("no number"), None),
    ],
)
def test_errors_of_the_operating_system_that_a_user_can_mend(error, expected, folder):
    known = launching._known(error, {"given"})
    assert known is None if expected is None else str(known).startswith(expected)
    assert known is None or known.exit_code == (74 if error.errno == errno.ENOSPC else 64)


@pytest.mark.parametrize(
    "script, arguments, message",
    [
        (
            "pretrain.py",
            ["--gin_file=runs/demo.gin", "--model_dir={file}"],
            "{file} is a file, and a folder is needed",
        ),
        (
            "train_tokenizer.py",
            ["--input={folder}", "--output_dir={file}x", "--morphemes=none"],
            "{folder} is a folder, and a file is needed",
        ),
        (
            "train_tokenizer.py",
            [f"--input={SAMPLE}", "--output_dir={file}"],
            "--output_dir={file} is a file; give the name of a folder",
        ),
        (
            "build_cache.py",
            [f"--input={SAMPLE}", "--tokenizer_dir=no", "--cache_dir={file}"],
            "--cache_dir={file} is a file; give the name of a folder",
        ),
        (
            "train_filter.py",
            ["--good=no.txt", "--others=no.txt", "--output={folder}"],
            "--output={folder} is a folder",
        ),
        (
            "plan.py",
            ["--gin_file=no.gin", "--topology=h100:64", "--json=/nosuch/x.json"],
            "the folder /nosuch does not exist",
        ),
    ],
)
def test_a_wrong_path_is_one_line(script, arguments, message, folder):
    names = {"file": folder / "file", "folder": folder / "folder.jsonl"}
    result = launch(script, *(argument.format(**names) for argument in arguments))
    assert message.format(**names) in refused(result, 64)


def test_a_corpus_cannot_be_built_where_a_file_is(folder):
    (folder / "c.yaml").write_text("sources:\n  a: {input: 'a.txt'}\n")
    (folder / "a.txt").write_text("가\n")
    options = [f"--config={folder}/c.yaml", f"--input={folder}", f"--output={folder}/file"]
    error = refused(launch("build_corpus.py", *options), 64)
    assert f"{folder}/file is a file, and a folder is needed" in error
