"""launch/pretrain.py from raw text to a checkpoint: killed, stopped, moved to another mesh, and its
disk filled.
"""

import contextlib
import ctypes
import json
import math
import os
import resource
import shutil
import signal
import subprocess
import time
import unicodedata

import pytest

from hclx.text import train_tokenizer
from hclx.train.events import read_events
from hclx.train.metrics_writer import read_metrics
from hclx.train.timing import StepClock
from tests.conftest import ROOT, SAMPLE
from tests.helpers.commands import TINY, command, environment, launch, refused
from tests.helpers.runs import FILES, numbers, pretrain, sharing


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run of 40 steps that nothing interrupts."""
    model_dir = tmp_path_factory.mktemp("runs") / "whole"
    result = pretrain(model_dir)
    assert result.returncode == 0, result.stderr
    return model_dir


def start_until(model_dir, step, *bindings):
    """A process of a run that has logged `step`."""
    arguments = command("pretrain.py", *TINY, f"--model_dir={model_dir}", *bindings)
    process = subprocess.Popen(
        arguments,
        env=environment(),
        cwd=ROOT,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 120
    while not any(record["step"] >= step for record in read_metrics(model_dir)):
        assert process.poll() is None and time.monotonic() < deadline, process.communicate()[1]
        time.sleep(0.002)
    return process


def test_a_run_leaves_what_it_says(whole):
    records = read_metrics(whole)
    assert [record["step"] for record in records] == list(range(1, 41))
    assert records[-1]["loss"] < records[0]["loss"] - 0.5
    assert all(
        0 < sum(r[name] for name in StepClock.TIMES[1:]) <= r["step_time"] * 1.01
        for r in records[1:]
    )
    assert [r["step"] for r in records if "bits_per_byte" in r] == [10, 20, 30, 40]
    assert {p.name for p in whole.iterdir()} == FILES
    assert {"40", "30", "20"} <= {p.name for p in (whole / "checkpoints").iterdir()}
    config = json.loads((whole / "config.json").read_text())
    assert config["config"]["model"]["d_model"] == 64 and set(config["hashes"]) == {
        "vocabulary",
        "text",
    }
    assert [r["learning_rate"] for r in records] == pytest.approx(
        [learning_rate(r["step"], config["config"]) for r in records], rel=1e-5
    )


def learning_rate(step: int, config: dict) -> float:
    """Learning rate of a step from 1, by the formula: linear from 0, then a cosine."""
    optimizer, done, total = config["optimizer"], step - 1, config["train"]["total_steps"]
    warmup, final = optimizer["warmup_steps"], optimizer["final_fraction"]
    if done < warmup:
        return optimizer["learning_rate"] * done / warmup
    return optimizer["learning_rate"] * (
        final + (1 - final) * (1 + math.cos(math.pi * (done - warmup) / (total - warmup))) / 2
    )


@pytest.mark.long
def test_killed_and_resumed_is_equal_to_the_last_digit(whole, tmp_path):
    process = start_until(tmp_path / "run", 21, *sharing(whole))
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert read_metrics(tmp_path / "run")[-1]["step"] < 40
    result = pretrain(tmp_path / "run", *sharing(whole))
    assert result.returncode == 0, result.stderr
    assert numbers(tmp_path / "run") == numbers(whole)


def test_the_folder_is_claimed_and_signals_are_answered_while_data_is_prepared(tmp_path):
    """The text is a pipe into which nobody writes."""
    (tmp_path / "run").mkdir()
    os.mkfifo(tmp_path / "text.jsonl")
    flags = [f"--gin.DataConfig.input={tmp_path}/text.jsonl", "--lease_seconds=1.5"]
    arguments = command("pretrain.py", *TINY, f"--model_dir={tmp_path}/run", *flags)
    options = {"env": environment(), "cwd": ROOT, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(arguments, **options) as first, contextlib.ExitStack() as stack:
        stack.callback(first.kill)  # it would wait for its text without end
        deadline = time.monotonic() + 60
        while not (tmp_path / "run" / "RUN_LOCK.json").exists():
            assert first.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
        second = refused(pretrain(tmp_path / "run", *flags), 64)
        assert "is in use by a run that is alive" in second
        begun = time.monotonic()
        first.send_signal(signal.SIGTERM)
        errors = first.communicate(timeout=30)[1]
    assert first.returncode == 143 and time.monotonic() - begun < 5, errors
    assert "error: SIGTERM: ended" in errors and "Traceback" not in errors
    assert not list((tmp_path / "run").glob("*")), errors


@pytest.mark.long
def test_sigterm_is_answered_while_the_first_step_is_compiled(whole, tmp_path):
    """XLA tells when it begins to compile a program, and when it is done, by what it dumps."""
    flags = f"--xla_dump_to={tmp_path}/dump --xla_dump_hlo_module_re=.*train_step.*"
    variables = {"XLA_FLAGS": flags, "JAX_ENABLE_COMPILATION_CACHE": "false"}
    arguments = command("pretrain.py", *TINY, f"--model_dir={tmp_path}/run", *sharing(whole))
    options = {"env": environment(variables=variables), "cwd": ROOT, "text": True}
    with subprocess.Popen(arguments, stderr=subprocess.PIPE, **options) as process:
        deadline = time.monotonic() + 120
        while not list(tmp_path.glob("dump/*train_step.before_optimizations.txt")):
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.005)
        begun = time.monotonic()
        process.send_signal(signal.SIGTERM)
        errors = process.communicate(timeout=120)[1]
        assert time.monotonic() - begun < 3 and process.returncode == 143, errors
    assert errors.count("error: SIGTERM: ended and saved nothing more") == 1
    assert not list((tmp_path / "run" / "checkpoints").iterdir())
    assert "of 40 steps" not in errors  # the first one did not run


@pytest.mark.long
def test_sigterm_saves_and_exits_75_and_the_same_command_goes_on(whole, tmp_path):
    process = start_until(tmp_path / "run", 4, *sharing(whole))
    process.send_signal(signal.SIGTERM)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 75 and "error: SIGTERM: saved step" in stderr
    (saved,) = [
        int(p.name) for p in (tmp_path / "run" / "checkpoints").iterdir() if int(p.name) % 10
    ]
    assert numbers(tmp_path / "run")[-1]["step"] == saved
    assert pretrain(tmp_path / "run", *sharing(whole)).returncode == 0
    assert numbers(tmp_path / "run") == numbers(whole)


def bound_by_permissions():
    """Makes root a user like any other: it may no longer read what belongs to others."""
    prctl, drop_capability = ctypes.CDLL(None).prctl, 24
    for capability in (1, 2):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
        prctl(drop_capability, capability, 0, 0, 0)


@pytest.mark.long
@pytest.mark.skipif(os.getuid() != 0, reason="only root can give files to another user")
def test_checkpoints_of_another_user_are_no_damage(whole, tmp_path):
    """Folders are open to all, and the files of arrays to their owner alone."""
    run = shutil.copytree(whole, tmp_path / "run")
    for path in run.rglob("*"):
        path.chmod(0o777 if path.is_dir() else 0o666)
        os.chown(path, 65534, 65534)
    arrays = [path for path in (run / "checkpoints").rglob("*") if path.parent.name == "d"]
    for path in arrays:
        path.chmod(0o600)
    read = ["cat", str(arrays[0])]
    if not subprocess.run(read, capture_output=True, preexec_fn=bound_by_permissions).returncode:
        pytest.skip("root reads the files of others here, whatever it gives up")
    longer = ["--gin.TrainConfig.total_steps=44"]
    before = {path.name for path in (run / "checkpoints").iterdir()}
    error = refused(pretrain(run, *longer, preexec_fn=bound_by_permissions), 74)
    assert f"checkpoints/40 could not be read: {run}/checkpoints/40/" in error, error
    assert ": Permission denied. Nothing was renamed" in error and len(arrays) > 6, error
    assert {path.name for path in (run / "checkpoints").iterdir()} == before
    assert not any(record["event"] == "quarantine" for record in read_events(run))
    for path in arrays:
        path.chmod(0o666)
    resumed = pretrain(run, *longer, preexec_fn=bound_by_permissions)
    assert resumed.returncode == 0 and "resumed from step 40" in resumed.stderr, resumed.stderr
    assert read_metrics(run)[-1]["step"] == 44


@pytest.mark.long
def test_a_run_goes_on_upon_another_mesh(whole, tmp_path):
    half = pretrain(
        tmp_path / "run", *sharing(whole), "--gin.TrainConfig.total_steps=40", devices=1
    )
    assert half.returncode == 0
    longer = [
        "--gin.TrainConfig.total_steps=44",
        "--gin.MeshConfig.fsdp=2",
        "--gin.MeshConfig.model=2",
    ]
    result = pretrain(tmp_path / "run", *sharing(whole), *longer, devices=4)
    assert result.returncode == 0 and "'fsdp': 2" in result.stdout, result.stderr
    assert [r["step"] for r in read_metrics(tmp_path / "run")] == list(range(1, 45))


@pytest.mark.long
def test_profile_steps_leaves_a_trace(whole, tmp_path):
    steps = ["--gin.TrainConfig.total_steps=8", "--profile_steps=5:6"]
    result = pretrain(tmp_path / "run", *sharing(whole), *steps)
    assert result.returncode == 0, result.stderr
    assert len(list((tmp_path / "run" / "profile").rglob("*.xplane.pb"))) == 1


def record(folder) -> dict[str, bytes]:
    """The files of a run but for the log of its starts, and the time of each."""
    logs = ("events.jsonl", "goodput.json")
    return {
        str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file() and path.name not in logs
    }


@pytest.mark.long
def test_a_start_that_trains_nothing_changes_no_record(whole, tmp_path):
    folder, text = tmp_path / "run", tmp_path / "the_same.jsonl"
    shutil.copytree(whole, folder)
    shutil.copyfile(SAMPLE, text)
    before, goodput = record(folder), (folder / "goodput.json").read_text()
    settings = "TrainConfig.total_steps=20", "TrainConfig.keep_last=1", f"DataConfig.input={text}"
    shorter = pretrain(folder, *(f"--gin.{name}" for name in settings), "--log_examples")
    assert shorter.returncode == 0 and "changed:" not in shorter.stdout, shorter.stderr
    assert "nothing to do: TrainConfig.total_steps=20 lies before step 40" in shorter.stdout
    assert record(folder) == before and (folder / "goodput.json").read_text() == goodput
    longer = pretrain(folder, "--gin.TrainConfig.total_steps=42")
    assert longer.returncode == 0, longer.stderr
    *_, changed, rate, _ = longer.stdout.splitlines()
    assert changed == "changed: train.total_steps 40 -> 42" and "at step 40 of 40" in rate
    config = json.loads((folder / "config.json").read_text())["config"]
    assert config["train"]["total_steps"] == 42 and config["data"]["input"] == str(SAMPLE)


def test_dry_run_prints_and_starts_nothing(tmp_path):
    result = launch("pretrain.py", *TINY, f"--model_dir={tmp_path / 'run'}", "--dry_run")
    assert result.returncode == 0 and not (tmp_path / "run").exists()
    for expected in (
        "ModelConfig.d_model = 64",
        "parameters         141,056",
        "steps              40",
        f"text               1 file, {SAMPLE.stat().st_size / 1000:.1f} KB",
        "memory per device",
        " MB needed, ",
        " GB in this machine",
    ):
        assert expected in result.stdout


@pytest.mark.long
def test_a_full_disk_ends_the_run_with_74_and_what_was_saved_stays(whole, tmp_path):
    """No file may grow beyond 64 KB from the second start on: the next checkpoint cannot be
    written.
    """
    process = start_until(tmp_path / "run", 12, *sharing(whole))
    process.send_signal(signal.SIGTERM)
    process.communicate()
    steps = {p.name for p in (tmp_path / "run" / "checkpoints").iterdir()}
    limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (65_536, 65_536))
    message = refused(
        pretrain(tmp_path / "run", *sharing(whole), preexec_fn=limit), 74, alone=False
    )
    assert "3 of 3 in a row" in message
    assert [e["event"] for e in read_events(tmp_path / "run")][-4:] == ["save_failed"] * 3 + [
        "exit"
    ]
    assert steps <= {p.name for p in (tmp_path / "run" / "checkpoints").iterdir()}
    assert pretrain(tmp_path / "run", *sharing(whole)).returncode == 0
    assert numbers(tmp_path / "run") == numbers(whole)


BAD = {
    "an unknown field": (["--gin.ModelConfig.d_modle=3"], 64, "d_modle"),
    "an unknown size": (["--gin_file=gin_configs/sizes/7b.gin"], 64, "sizes/7b.gin does not exist"),
    "an unknown flag": (["--model_dri=x"], 64, "model_dri"),
    "heads that do not divide d_model": (
        ["--gin.ModelConfig.n_heads=7"],
        64,
        "n_heads=7 does not divide",
    ),
    "a mesh that does not fit": (["--gin.MeshConfig.model=3"], 64, "does not fit 1 device"),
    "a missing corpus": (
        ["--gin.DataConfig.input=/nowhere/*.jsonl"],
        65,
        "/nowhere/*.jsonl matches no file",
    ),
    "steps to profile that are no range": (
        ["--profile_steps=5"],
        64,
        "--profile_steps=5 is not first:last",
    ),
    "an unknown mixture": (
        ["--gin.DataConfig.input=", "--gin.DataConfig.mixture=wiki"],
        64,
        "'wiki' is not registered",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused_in_one_line_and_changes_nothing(case, tmp_path):
    bindings, code, message = BAD[case]
    assert message in refused(pretrain(tmp_path / "run", *bindings), code)
    assert not (tmp_path / "run").exists() or not any((tmp_path / "run").iterdir())


TEXTS = {
    "an empty corpus": (b"", "no text to train on"),
    "a line without text": (
        b'{"text": "a"}\n{"body": "b"}\n',
        "text.jsonl:2: no string field `text`",
    ),
    "invalid UTF-8": (b'{"text": "\xff"}\n', "text.jsonl:1: invalid UTF-8"),
}


@pytest.mark.parametrize("case", TEXTS)
def test_bad_text_is_refused_with_file_and_line(case, tmp_path):
    content, message = TEXTS[case]
    (tmp_path / "text.jsonl").write_bytes(content)
    assert message in refused(
        pretrain(tmp_path / "run", f"--gin.DataConfig.input={tmp_path / 'text.jsonl'}"), 65
    )
    assert not (tmp_path / "run").exists() or not any((tmp_path / "run").iterdir())


def test_a_folder_of_another_configuration_is_refused_and_left_alone(whole):
    before = numbers(whole)
    assert "train.seed: 0 there, 1 now" in refused(pretrain(whole, "--gin.TrainConfig.seed=1"), 64)
    assert numbers(whole) == before


def test_a_vocabulary_that_differs_from_the_checkpoints_is_refused(whole, tmp_path, sample_texts):
    options = {"vocab_size": 512, "morphemes": "none", "workers": 1}
    train_tokenizer(sample_texts[::2], tmp_path / "other" / "tokenizer", **options)
    other = sharing(tmp_path / "other")
    message = refused(pretrain(whole, *other), 65)
    assert "another vocabulary" in message and "leave out DataConfig.tokenizer_dir" in message


class TestGenerate:
    def generate(self, model_dir, *arguments, **options):
        flags = [f"--model_dir={model_dir}", "--prompt=우리 동네", "--max_tokens=12"]
        return launch("generate.py", *flags, *arguments, **options)

    def test_it_continues_the_prompt_and_repeats_with_the_seed(self, whole):
        first, second, other = (
            self.generate(whole),
            # as of `echo`, which ends the prompt with a newline; syllables are put together
            self.generate(
                whole,
                "--nostream",
                "--prompt=-",
                input=unicodedata.normalize("NFD", "우리 동네\n"),
            ),
            self.generate(whole, "--seed=1"),
        )
        assert first.returncode == 0, first.stderr
        assert (
            first.stdout.startswith("우리 동네") and first.stdout == second.stdout != other.stdout
        )

    def test_a_folder_without_a_run(self, tmp_path):
        assert "config.json does not exist" in refused(self.generate(tmp_path), 65)

    def test_a_step_that_is_not_there(self, whole):
        assert "has no step 7; it has [20, 30, 40]" in refused(self.generate(whole, "--step=7"), 65)

    def test_values_out_of_range(self, whole):
        assert "top_p=2.0" in refused(self.generate(whole, "--top_p=2"), 64)
