"""launch/tune.py as a user runs it: from a table to a tuned model, killed and resumed, refused."""

import re
import signal
import subprocess
import time

import pytest

from hclx.train.metrics_writer import read_metrics
from hclx.tune.tuning_run import ARTEFACT
from tests.conftest import ROOT
from tests.helpers.commands import command, environment, launch, refused
from tests.helpers.runs import numbers
from tests.helpers.tuning_runs import (
    KINDS,
    SMALL,
    labelled_rows,
    tune,
    write_base,
    write_prompt,
    write_rows,
)


@pytest.fixture(scope="module")
def place(tmp_path_factory, tokenizer_dirs):
    """A folder with a base, a prompt document, and a table in CP949."""
    folder = tmp_path_factory.mktemp("tuning")
    write_base(folder / "base", tokenizer_dirs["plain"])
    write_prompt(folder / "prompt.json")
    write_rows(folder / "rows.jsonl", labelled_rows())
    lines = ["text,answer", *(f"{row['text']},{row['answer']}" for row in labelled_rows())]
    (folder / "rows.csv").write_bytes("\r\n".join(lines).encode("cp949"))
    return folder


def data(place, name="rows.jsonl"):
    return f"--prompt={place / 'prompt.json'}", f"--data={place / name}"


def test_a_table_becomes_a_model_that_writes(place, tmp_path):
    merged = tmp_path / "merged"
    encoding = "--gin.DataConfig.encoding=cp949"
    result = tune(
        *("lora", place / "base", tmp_path / "run", *data(place, "rows.csv"), encoding),
        f"--merge_to={merged}",
    )
    assert result.returncode == 0, result.stderr
    assert "9 examples, 3 held out" in result.stdout
    assert "validation accuracy" in result.stdout.splitlines()[-1]
    assert (tmp_path / "run" / ARTEFACT).is_file()
    arguments = ("--prompt=글:", "--temperature=0", "--max_tokens=4")
    written = launch("generate.py", f"--model_dir={merged}", *arguments)
    assert written.returncode == 0, written.stderr
    listed = launch("checkpoint.py", "verify", f"--model_dir={tmp_path / 'run'}")
    assert (listed.returncode, listed.stdout) == (0, "8: good\n"), listed.stderr


def test_a_dry_run_needs_no_folder_and_makes_none(place, tmp_path):
    arguments = ("--gin_file=runs/lora.gin", f"--base={place / 'base'}", *data(place), *SMALL)
    result = launch("tune.py", *arguments, "--dry_run")
    assert result.returncode == 0, result.stderr
    assert "9 examples, 3 held out" in result.stdout and "memory per device" in result.stdout
    assert re.search(r"example 3: 글: .*\n평:⟦ (좋음|나쁨)⟧", result.stdout)


@pytest.mark.long
def test_the_best_run_of_a_sweep_is_merged(place, tmp_path):
    sweep, merged = tmp_path / "sweep", tmp_path / "merged"
    grid = "--sweep=TuneConfig.rank=2,4 TuneConfig.targets='q,v'"
    arguments = ("lora", place / "base", sweep, *data(place), grid, f"--merge_to={merged}")
    result = tune(*arguments)
    assert result.returncode == 0, result.stderr
    folder = re.search(r"^best: .*, in (.*)$", result.stdout, re.MULTILINE)[1]
    assert sorted(path.name for path in sweep.iterdir()) == [
        *("rank=2,targets=_q,v_", "rank=4,targets=_q,v_", "sweep.jsonl")
    ]
    assert (sweep / folder / ARTEFACT).is_file() and (merged / "config.json").is_file()


@pytest.mark.long
@pytest.mark.parametrize("kind", KINDS)
def test_killed_and_resumed_is_equal_to_the_last_digit(kind, place, tmp_path):
    assert tune(kind, place / "base", tmp_path / "whole", *data(place)).returncode == 0
    run = tmp_path / "killed"
    own = (f"--gin_file=runs/{kind}.gin", f"--base={place / 'base'}", f"--model_dir={run}")
    process = subprocess.Popen(
        command("tune.py", *own, *SMALL, *data(place)),
        env=environment(),
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    end = time.monotonic() + 120
    while not any(record["step"] >= 3 for record in read_metrics(run)):
        assert process.poll() is None and time.monotonic() < end
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert tune(kind, place / "base", run, *data(place)).returncode == 0
    assert numbers(run) == numbers(tmp_path / "whole")
    if kind == "finetune":
        written = launch("generate.py", f"--model_dir={run}", "--prompt=글:", "--max_tokens=4")
        assert written.returncode == 0, written.stderr
    else:
        whole, killed = (path / ARTEFACT for path in (tmp_path / "whole", run))
        assert whole.read_bytes() == killed.read_bytes()


@pytest.mark.parametrize(
    "arguments, code, message",
    [
        (("--base={0}/missing", "--data={0}/rows.jsonl"), 65, "--base={0}/missing"),
        (("--base={0}/base", "--data={0}/rows.csv"), 65, "rows.csv:2 is not UTF-8"),
        (("--base={0}/base",), 64, "give --data=FILE.csv"),
        (
            ("--base={0}/base", "--data={0}/rows.jsonl", "--gin.ModelConfig.d_model=8"),
            *(64, "there is no class 'ModelConfig'"),
        ),
        (("--base={0}/base", "--data={0}/rows.jsonl", "--sweep=rank"), 64, "--sweep: 'rank'"),
    ],
)
def test_what_cannot_be_tuned_is_refused(arguments, code, message, place, tmp_path):
    own = ("--gin_file=runs/lora.gin", f"--model_dir={tmp_path / 'run'}", *SMALL)
    filled = (argument.format(place) for argument in arguments)
    result = launch("tune.py", *own, f"--prompt={place / 'prompt.json'}", *filled)
    assert message.format(place) in refused(result, code)
    assert not (tmp_path / "run" / "checkpoints").exists()
