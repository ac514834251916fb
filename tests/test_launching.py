"""Paths that a user gives: checked before the work, and one line if they are wrong."""

import ast
import os
import pty
import re
import subprocess
import sys
import time

import pytest

from hclx import launching
from hclx.errors import ConfigError
from hclx.launching import check_output, check_output_folder
from tests.conftest import ROOT, SAMPLE
from tests.helpers.commands import command, environment, launch, refused


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
    "script, arguments, message",
    [
        (
            "pretrain.py",
            ["--gin_file=runs/demo.gin", "--model_dir={file}"],
            "--model_dir={file} is a file; give the name of a folder",
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


@pytest.mark.parametrize(
    "script, arguments, name, other",
    [
        ("train_tokenizer.py", [f"--input={SAMPLE}"], "output_dir", "output"),
        ("inspect_corpus.py", ["--doc_id=a/b"], "output", "output_dir"),
    ],
)
def test_the_output_has_the_same_names_everywhere(script, arguments, name, other, folder):
    """And --help shows one."""
    target = str(folder / "file/x")
    errors = [launch(script, *arguments, f"--{n}={target}").stderr for n in (name, other)]
    assert errors[0] == errors[1] and "file/x" in errors[0]
    shown = launch(script, "--help").stdout
    assert f"--{name}:" in shown and f"--{other}:" not in shown


def test_the_users_folder_begins_the_path_of_an_option(folder):
    options = {"variables": {"HOME": str(folder)}}
    line = refused(launch("checkpoint.py", "list", "--model_dir=~/run", **options), 65)
    assert line.startswith(f"error: {folder}/run/checkpoints does not exist")


def test_a_corpus_cannot_be_built_where_a_file_is(folder):
    (folder / "c.yaml").write_text("sources:\n  a: {input: 'a.txt'}\n")
    (folder / "a.txt").write_text("가\n")
    options = [f"--config={folder}/c.yaml", f"--input={folder}", f"--output={folder}/file"]
    error = refused(launch("build_corpus.py", *options), 64)
    assert f"--output={folder}/file is a file; give the name of a folder" in error


# A program that ends in one way, under `run`.
PROGRAM = """
import os, signal, sys, time
from absl import app
from hclx.launching import run
def main(_):
    {body}
if __name__ == "__main__":
    run(main)
"""


def ended(folder, body: str, code: int, variables={}, pipe="") -> subprocess.CompletedProcess:
    """Runs the program with a body; `pipe` is what a shell puts behind it."""
    (folder / "program.py").write_text(PROGRAM.format(body=body), encoding="utf-8")
    command = f"set -o pipefail; '{sys.executable}' program.py {pipe}"
    options = {"capture_output": True, "cwd": folder, "env": environment(variables=variables)}
    result = subprocess.run(["bash", "-c", command], timeout=60, **options)
    assert result.returncode == code, result.stderr.decode()
    assert b"Traceback" not in result.stderr
    return result


def test_ctrl_c_is_one_line(folder):
    result = ended(folder, "os.kill(os.getpid(), signal.SIGINT); time.sleep(9)", 130)
    assert result.stderr == b"error: interrupted with Ctrl-C\n"


def test_ctrl_c_in_a_callback_that_loses_it_ends_the_program_all_the_same(folder):
    """As in one of XLA's that runs when Python collects garbage."""
    interrupt = "lambda self: os.kill(os.getpid(), signal.SIGINT) or time.sleep(0.01)"
    body = f"type('Last', (), {{'__del__': {interrupt}}})(); time.sleep(9); print('went on')"
    result = ended(folder, body, 130)
    assert result.stderr == b"error: interrupted with Ctrl-C\n" and not result.stdout


def test_ctrl_c_that_a_module_turns_into_another_error_is_one_line(folder):
    """As one of C++ does that is being imported."""
    body = """
    try:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(9)
    except KeyboardInterrupt as error:
        raise ImportError("while initializing the extension") from error"""
    result = ended(folder, body, 130)
    assert result.stderr == b"error: interrupted with Ctrl-C\n"


def test_a_reader_that_has_enough_ends_a_program_quietly(folder):
    body = "[print('long line ' * 99) for _ in range(10_000)]"
    assert ended(folder, body, 141, pipe="| head -c 4").stderr == b""


@pytest.mark.parametrize(
    "encoding, expected",
    [("ascii", b"\\uac00 \\xb7 \\ufffd"), ("cp949", b"\xb0\xa1 \xa1\xa4 \\ufffd")],
)
def test_what_a_terminal_cannot_show_is_written_as_an_escape(encoding, expected, folder):
    variables = {"PYTHONIOENCODING": encoding}
    result = ended(folder, r"print('\uac00 \xb7 \ufffd')", 0, variables)
    assert result.stdout.rstrip() == expected


@pytest.mark.skipif(not os.path.exists("/proc/self/mem"), reason="Linux alone has this file")
@pytest.mark.parametrize(
    "script, name",
    [
        ("train_tokenizer.py", "a.txt"),
        ("train_tokenizer.py", "a.jsonl.gz"),
        ("build_corpus.py", "a.jsonl"),
        ("build_cache.py", "a.jsonl"),
    ],
)
def test_a_file_of_a_disk_that_fails_is_named_in_one_line(script, name, tmp_path, tokenizer_dirs):
    """The memory of a process is a file of which the first byte gives an I/O error."""
    (tmp_path / name).symlink_to("/proc/self/mem")
    (tmp_path / "c.yaml").write_text(f"sources:\n  a: {{input: {name}}}\n")
    arguments = {
        "train_tokenizer.py": "--input={0}/{1} --output_dir={0}/t --vocab_size=512",
        "build_corpus.py": "--config={0}/c.yaml --input={0} --output={0}/out --workers=2",
        "build_cache.py": "--input={0}/{1} --tokenizer_dir={2} --cache_dir={0}/cache",
    }[script].format(tmp_path, name, tokenizer_dirs["plain"])
    line = f"'{tmp_path}/{name}' cannot be read or written: Input/output error; look whether"
    assert line in refused(launch(script, *arguments.split()), 74)


ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


@pytest.mark.parametrize(
    "script, arguments",
    [
        ("train_tokenizer.py", "--input={folder}/*.jsonl --vocab_size=512 --morphemes=none"),
        ("build_corpus.py", "--config={folder}/c.yaml --input={folder} --workers=1"),
    ],
)
def test_paths_in_hangul_are_read_and_written_in_an_ascii_locale(script, arguments, tmp_path):
    folder = tmp_path / "자료"
    folder.mkdir()
    (folder / "글.jsonl").write_bytes(SAMPLE.read_bytes())
    (folder / "c.yaml").write_text("sources:\n  a: {input: 글.jsonl}\nnear: null\n")
    arguments = arguments.format(folder=folder).split()
    flag = "--output_dir" if script == "train_tokenizer.py" else "--output"
    result = launch(script, *arguments, f"{flag}={folder}/결과", variables=ASCII)
    assert result.returncode == 0 and list((folder / "결과").iterdir()), result.stderr
    assert "\\uc790\\ub8cc" in result.stdout  # what the terminal cannot show


@pytest.mark.parametrize("script", ["pretrain.py", "generate.py", "train_tokenizer.py", "plan.py"])
@pytest.mark.parametrize("variables", [ASCII, {}], ids=["ASCII", "UTF-8"])
def test_an_argument_that_is_not_utf8_is_one_line(script, variables):
    option = (
        b"--gin.DataConfig.input=/\xb0\xa1" if script == "pretrain.py" else b"--input=/\xb0\xa1"
    )
    line = refused(launch(script, option, variables=variables), 64)
    assert f"the argument {option.decode('utf-8', 'backslashreplace')} is not in UTF-8; " in line
    assert ("set PYTHONUTF8=1" if variables else "convmv -f cp949 -t utf-8") in line


@pytest.mark.parametrize(
    "script, arguments",
    [
        ("build_corpus.py", "--config=c.yaml --input=. --output=out"),
        ("build_cache.py", "--input=a.jsonl --tokenizer_dir=no --cache_dir=cache"),
    ],
)
def test_a_folder_whose_name_is_not_utf8_is_one_line(script, arguments, tmp_path):
    folder = os.path.join(os.fsencode(tmp_path), "글".encode("cp949"))
    os.mkdir(folder)
    for name in (b"a.jsonl", b"c.yaml"):
        with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
            file.write("sources:\n  a: {input: a.jsonl}\n")
    options = {"cwd": folder, "env": environment(), "capture_output": True, "text": True}
    result = subprocess.run(command(script, *arguments.split()), timeout=60, **options)
    assert rf"{tmp_path}/\xb1\xdb/" in refused(result, 64)


CHECKED = """
import sys
from hclx.data import TokenCache
from hclx.errors import ConfigError
from hclx.train import Checkpointer
for kind in (TokenCache, Checkpointer):
    try:
        kind(sys.argv[1])
    except ConfigError as error:
        print(error)
"""


def test_a_name_that_cpp_libraries_cannot_take_is_refused_where_it_is_used(tmp_path):
    """In a program of one's own, which is not started again in the UTF-8 mode."""
    arguments = [sys.executable, "-c", CHECKED, f"{tmp_path}/자료"]
    options = {"env": environment(variables=ASCII | {"PYTHONIOENCODING": "utf-8"}), "timeout": 60}
    result = subprocess.run(arguments, capture_output=True, text=True, cwd=tmp_path, **options)
    line = f"the name of {tmp_path}/자료 is not in UTF-8; set PYTHONUTF8=1, or LC_ALL=C.UTF-8\n"
    assert result.stdout == 2 * line and not list(tmp_path.iterdir()), result.stderr


def test_an_error_of_the_operating_system_is_one_line_with_the_code_of_storage(folder):
    result = ended(folder, "open('folder.jsonl')", 74)
    assert result.stderr.startswith(b"error: 'folder.jsonl' cannot be read or written: Is a dir")


# A thread that waits for another for minutes, as those of orbax after a save that failed.
LEFT = """import threading
    from hclx import launching
    launching._END_SECONDS = 1
    threading.Thread(target=time.sleep, args=(50,)).start()
    """


@pytest.mark.parametrize(
    "body, code",
    [
        ("open('folder.jsonl')", 74),
        ("print('done')", 0),
        ("sys.exit(3)", 3),
        ("os.kill(os.getpid(), signal.SIGINT); time.sleep(9)", 130),
    ],
)
def test_no_thread_keeps_a_program_from_ending(body, code, folder):
    begun = time.monotonic()
    result = ended(folder, LEFT + body, code)
    assert time.monotonic() - begun < 30
    assert result.stdout == (b"done\n" if code == 0 else b"")


LIBRARIES = """
import logging
from absl import logging as absl_logging
from hclx.launching import run
class Fails:
    def __init__(self, message):
        self.message = message
    def __del__(self):
        raise RuntimeError(self.message)
def main(_):
    for path in ("/lib/orbax/checkpoint/future.py", "/lib/hclx/run.py"):
        record = logging.LogRecord("absl", logging.ERROR, path, 1, "from " + path, (), None)
        absl_logging.get_absl_handler().handle(record)
    for message in ("Event loop is closed", "another"):
        Fails(message)
if __name__ == "__main__":
    run(main)
"""


@pytest.mark.parametrize("verbosity", [[], ["--verbosity=0"]])
def test_libraries_do_not_repeat_what_the_run_reports(verbosity, folder):
    """Of a failed save the line of the run stays, and all is there if the user asks for it."""
    (folder / "program.py").write_text(LIBRARIES, encoding="utf-8")
    command = [sys.executable, "program.py", *verbosity]
    options = {"capture_output": True, "text": True, "timeout": 60}
    errors = subprocess.run(command, cwd=folder, env=environment(), **options).stderr
    assert "from /lib/hclx/run.py" in errors and "RuntimeError: another" in errors
    for noise in ("from /lib/orbax/checkpoint/future.py", "Event loop is closed"):
        assert (noise in errors) == bool(verbosity)


def test_a_line_of_the_log_begins_where_the_bar_was(folder):
    body = """import logging
    from tqdm import tqdm
    bar = tqdm(total=9, desc="work", ncols=60, nrows=24)
    bar.update(2)
    logging.getLogger("hclx").warning("the line")"""
    (folder / "program.py").write_text(PROGRAM.format(body=body), encoding="utf-8")
    terminal, end = pty.openpty()
    subprocess.run([sys.executable, "program.py"], stderr=end, env=environment(), timeout=60)
    os.close(end)
    shown = os.read(terminal, 10_000)
    os.close(terminal)
    assert re.search(rb"work: .*\r +\rW[0-9]{4} [^\r]*the line\r\n", shown), shown


@pytest.mark.parametrize("vendor, expected", [("0x8086", "localhost"), ("0x1ae0", None)])
def test_libtpu_looks_for_no_tpu_where_there_is_none(vendor, expected, tmp_path, monkeypatch):
    (tmp_path / "vendor").write_text(vendor + "\n")
    monkeypatch.setattr(launching.glob, "glob", lambda pattern: [str(tmp_path / "vendor")])
    for name in launching._NO_TPU:
        monkeypatch.delenv(name, raising=False)
    launching._say_that_there_is_no_tpu()
    assert os.environ.get("TPU_WORKER_HOSTNAMES") == expected
    for name in launching._NO_TPU:
        monkeypatch.delenv(name, raising=False)


# Options whose bounds are those of what they set, in its own words.
CHECKED_ELSEWHERE = {
    "generate": {"max_tokens", "temperature", "top_k", "top_p", "repetition_penalty"},
    "checkpoint": {"learning_rate_factor"},
    "demo": {"stop_at"},
    "plan": {"tokens"},
}


@pytest.mark.parametrize("script", sorted((ROOT / "launch").glob("*.py")), ids=lambda p: p.stem)
def test_every_number_of_a_command_line_has_bounds(script):
    kinds = {"DEFINE_integer", "DEFINE_float", "DEFINE_multi_integer", "DEFINE_multi_float"}
    unbounded = {
        call.args[0].value
        for call in ast.walk(ast.parse(script.read_text(encoding="utf-8")))
        if isinstance(call, ast.Call)
        and getattr(call.func, "attr", "") in kinds
        and len(call.args) < 4
        and "lower_bound" not in {k.arg for k in call.keywords}
    }
    assert unbounded == CHECKED_ELSEWHERE.get(script.stem, set())


@pytest.mark.parametrize(
    ("script", "arguments", "message"),
    [
        ("generate.py", ["--model_dir=x", "--output=y"], "--prompts=FILE and --output=FILE go tog"),
        ("generate.py", ["--model_dir=x", "--prompt=y", "--prompts=z"], "--prompt prints one text"),
        ("generate.py", ["--model_dir=x", "--seed=-1"], "--seed=-1: -1 is not an integer in the"),
        ("generate.py", ["--model_dir=x", "--temperature=nan"], "--temperature=nan: give a finite"),
        ("pretrain.py", ["--step_timeout=inf"], "--step_timeout=inf"),
        ("pretrain.py", ["--lease_seconds=nan"], "--lease_seconds=nan: give a finite number"),
        ("pretrain.py", ["--heartbeat_seconds=99999999999"], "is not an integer in the range"),
        ("checkpoint.py", ["list", "--step=-2"], "--step=-2"),
    ],
)
def test_a_number_out_of_bounds_is_one_line(script, arguments, message):
    assert message in refused(launch(script, *arguments), 64)
