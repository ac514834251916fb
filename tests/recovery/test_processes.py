"""launch/pretrain.py in several processes with fake devices, over JAX's network stack on loopback: one set of losses."""

import shutil
import signal

import pytest

from hclx.train.metrics import read_metrics
from tests.launch import several
from tests.launch.command import TINY, launch, refused
from tests.launch.several import ended, unoptimised, wait_for_step
from tests.launch.test_pretrain import FILES, numbers, sharing

MESH = ["--gin.MeshConfig.data=2", "--gin.MeshConfig.fsdp=2"]
STEPS, SAVED = 16, 8
SHORT = [f"--gin.TrainConfig.{field}" for field in (f"total_steps={STEPS}", f"eval_every={STEPS}", f"checkpoint_every={SAVED}")]
ALL = [*TINY, *MESH, *SHORT]


def processes(n, model_dir, *bindings, devices, **options):
    return several.processes(n, model_dir, *ALL, *bindings, devices=devices, **options)

def one_process(model_dir, *bindings):
    result = launch("pretrain.py", *ALL, f"--model_dir={model_dir}", *bindings, variables=unoptimised(4))
    assert result.returncode == 0, result.stderr
    return model_dir


def several_processes(n, model_dir, *bindings, devices):
    with processes(n, model_dir, *bindings, devices=devices) as started:
        results = ended(started)
    assert [result.returncode for result in results] == [0] * n, [result.stderr for result in results]
    return results


def assert_same_losses(found, expected):
    """To one part in a million: sums over four devices are in another order over a network, and float32 rounds."""
    found, expected = numbers(found), numbers(expected)
    assert [set(record) for record in found] == [set(record) for record in expected]
    for a, b in zip(found, expected, strict=True):
        assert a.pop("grad_norm") == pytest.approx(b.pop("grad_norm"), rel=1e-5)  # of all parameters, so it rounds more
        assert a == pytest.approx(b, rel=1e-6)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Folders `two` and `one`: the same steps in two processes of two devices, and in one process of four.

    The two processes make the data, and the one finds it.
    """
    folder = tmp_path_factory.mktemp("runs")
    results = several_processes(2, folder / "two", devices=2)
    one_process(folder / "one", *sharing(folder / "two"))
    return folder, results


def test_two_processes_take_the_steps_of_one(runs):
    folder, _ = runs
    assert_same_losses(folder / "two", folder / "one")
    assert [record["step"] for record in read_metrics(folder / "two")] == list(range(1, STEPS + 1))


def test_only_process_0_speaks_and_writes(runs):
    folder, (first, second) = runs
    assert "on 4 cpu" in first.stdout and f"done: step {STEPS}" in first.stdout
    assert not [line for line in second.stdout.splitlines() if not line.startswith("[Gloo]")]
    assert len(list((folder / "two" / "tensorboard").iterdir())) == 1
    assert {path.name for path in (folder / "two").iterdir()} == FILES


def test_four_processes_are_equal_to_two_to_the_last_digit(runs, tmp_path):
    folder, _ = runs
    several_processes(4, tmp_path / "four", *sharing(folder / "two"), devices=1)
    assert numbers(tmp_path / "four") == numbers(folder / "two")


def test_a_run_moves_from_one_process_to_two_and_back(runs, tmp_path):
    """One process saves a step; two go on, are stopped by a SIGTERM to the second alone, and one process ends it."""
    whole, run, shared = runs[0] / "one", tmp_path / "run", sharing(runs[0] / "two")
    shutil.copytree(whole, run)
    shutil.rmtree(run / "checkpoints" / str(STEPS))
    (run / "metrics.jsonl").write_text("".join((whole / "metrics.jsonl").read_text().splitlines(keepends=True)[:SAVED]))
    with processes(2, run, *shared, devices=2) as started:
        wait_for_step(started, run, SAVED + 2)
        started[1].send_signal(signal.SIGTERM)
        first, second = ended(started)
    (saved,) = [int(path.name) for path in (run / "checkpoints").iterdir() if path.name != str(SAVED)]
    assert SAVED + 2 < saved < STEPS
    assert f"a signal to another process: saved step {saved} of {STEPS}" in refused(first, 75)
    assert f"SIGTERM: saved step {saved} of {STEPS}" in refused(second, 75)
    one_process(run, *shared)
    assert_same_losses(run, whole)


def test_an_error_of_process_0_while_it_prepares_ends_them_all(tmp_path):
    only = {0: ["--gin.DataConfig.input=/nowhere/*.jsonl"]}  # the other one would find its text
    with processes(2, tmp_path / "run", devices=2, only=only) as started:
        errors = [refused(result, 65) for result in ended(started)]
    assert errors[0] == errors[1] and "/nowhere/*.jsonl matches no file" in errors[0]


def test_a_flag_that_is_missing_is_named(tmp_path):
    result = launch("pretrain.py", *TINY, f"--model_dir={tmp_path / 'run'}", "--coordinator=127.0.0.1:1", "--process_id=0")
    assert "--num_processes missing" in refused(result, 64)
    assert not (tmp_path / "run").exists()
