"""launch/demo.py: what it refuses and removes, and how it ends with the process that it runs."""

import json
import os
import signal
import subprocess
import sys

import pytest

from hclx.errors import ConfigError, StorageError
from hclx.train.run_dir import claim_folder, describe_run, remove_run
from tests.helpers.commands import environment, launch, refused
from tests.helpers.meshes import ONE, experiment

# A program that runs a child, which tells its process id and ends with 7 at SIGTERM or SIGINT.
PARENT = """
import sys
from hclx.child_processes import Children
CHILD = '''
import os, signal, sys, time
for number in (signal.SIGTERM, signal.SIGINT):
    signal.signal(number, lambda *_: sys.exit(7))
print(os.getpid(), flush=True)
time.sleep(60)
'''
with Children() as children:
    children.run([sys.executable, "-c", CHILD])
    print("went on", flush=True)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_child_and_the_program_ends_with_its_code(number):
    arguments = [sys.executable, "-c", PARENT]
    options = {"env": environment(), "stdout": subprocess.PIPE, "text": True}
    process = subprocess.Popen(arguments, **options)
    child = int(process.stdout.readline())
    process.send_signal(number)
    try:
        assert process.communicate(timeout=10)[0] == "" and process.returncode == 7
    except subprocess.TimeoutExpired:
        os.kill(child, signal.SIGKILL)
        raise
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)


@pytest.mark.parametrize(("code", "ends"), [("exit(5)", 5), ("import os; os.abort()", 134)])
def test_a_child_that_fails_ends_the_program_with_its_code(code, ends):
    program = (
        "import sys; from hclx.child_processes import Children\n"
        f"with Children() as c: c.run([sys.executable, '-c', {code!r}]); print('went on')"
    )
    arguments = [sys.executable, "-c", program]
    result = subprocess.run(arguments, env=environment(), capture_output=True, text=True)
    assert (result.returncode, result.stdout) == (ends, "")


def test_an_earlier_run_is_removed_and_an_empty_or_missing_folder_is_no_error(tmp_path):
    run = tmp_path / "run"
    remove_run(run, "sample")
    claim_folder(run, describe_run(experiment(ONE), "t", {}))
    (run / "checkpoints").mkdir()
    remove_run(run, "sample")
    assert not run.exists()
    run.mkdir()
    remove_run(run, "sample")
    assert run.is_dir()


def folder_of(kind, path):
    """Makes something that is no earlier run of the demo, and returns the file in it."""
    file = path / "precious.txt"
    if kind == "file":
        file = path
    elif kind == "link":
        (path.parent / "elsewhere").mkdir()
        path.symlink_to(path.parent / "elsewhere")
    elif kind == "another run":
        description = describe_run(experiment(ONE), "t", {})
        description["config"]["data"] |= {"mixture": "kowiki"}
        claim_folder(path, description)
    else:
        path.mkdir()
        if kind == "another config.json":
            (path / "config.json").write_text(json.dumps({"model_type": "gpt2"}))
    file.write_text("precious")
    return file


KINDS = {
    "files": "holds no run",
    "file": "is not a folder",
    "link": "is not a folder",
    "another run": "holds a run on 'kowiki', and not on 'sample'",
    "another config.json": "holds something else than a run",
}


@pytest.mark.parametrize(("kind", "message"), KINDS.items())
def test_any_other_folder_is_left_alone(kind, message, tmp_path):
    file = folder_of(kind, tmp_path / "x")
    with pytest.raises(ConfigError, match=f"--model_dir=.*/x {message}.*choose another"):
        remove_run(tmp_path / "x", "sample")
    assert file.read_text() == "precious"


def test_what_cannot_be_removed_is_said(tmp_path, monkeypatch):
    claim_folder(tmp_path, describe_run(experiment(ONE), "t", {}))

    def refuse(path, *_, **__):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("os.rmdir", refuse)
    with pytest.raises(StorageError, match="cannot remove .*: Permission denied; remove .*"):
        remove_run(tmp_path, "sample")


def test_the_command_refuses_folders_and_steps_before_it_begins(tmp_path):
    for library in ("seqio", "tensorflow_text", "kiwipiepy", "matplotlib"):
        pytest.importorskip(library)
    file = folder_of("files", tmp_path / "x")
    assert "holds no run" in refused(launch("demo.py", f"--model_dir={tmp_path / 'x'}"), 64)
    assert file.read_text() == "precious"
    for step in (0, 151):
        error = refused(launch("demo.py", f"--model_dir={tmp_path}/y", f"--stop_at={step}"), 64)
        assert f"--stop_at={step} is not between 1 and 150; the demo has 160 steps" in error
