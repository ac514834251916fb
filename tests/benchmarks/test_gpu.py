"""The benchmark for GPUs, without one: all of it with a tiny model, and its search with results
that are made up.
"""

import json
import subprocess
import sys

import pytest

from tests.benchmarks import gpu
from tests.conftest import ROOT
from tests.launch.command import environment

ABSENT = ("gin", "seqio", "tensorflow", "tensorflow_text", "tensorboardX", "torch")
# Read by Python when it starts, in the processes that the benchmark starts as well.
SITE = f"""
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {ABSENT!r}:
            raise ModuleNotFoundError("No module named " + name)
sys.meta_path.insert(0, Absent())
"""


@pytest.mark.long
def test_all_of_it_runs_where_heavy_libraries_are_absent(tmp_path):
    (tmp_path / "sitecustomize.py").write_text(SITE, encoding="utf-8")
    script = [sys.executable, str(ROOT / "tests" / "benchmarks" / "gpu.py")]
    flags = [
        "--tiny",
        "--attention=xla",
        "--changes=0",
        "--seconds=3000",
        "--candidate_seconds=1000",
        f"--output={tmp_path}",
    ]
    variables = {"PYTHONPATH": str(tmp_path)}  # as from a checkout: the script finds hclx by itself
    result = subprocess.run(
        [*script, *flags], env=environment(1, variables), capture_output=True, text=True, cwd="/"
    )
    assert result.returncode == 0, result.stdout + result.stderr
    known = json.loads((tmp_path / "gpu.json").read_text(encoding="utf-8"))
    (check,), (row, peer) = known["checks"], known["rows"]
    assert check["verdict"] == "ok" and 0 < check["gradient"] == check["xla_gradient"] < 0.1
    assert row["step_ms"] > 0 and 0 < row["mfu"] < 1 and row["losses"][1] < row["losses"][0]
    assert peer["error"].startswith("ModuleNotFoundError")
    assert (
        "| tiny | hclx | xla | 2 | minimal |" in result.stdout
        and "no ratio to PyTorch" in result.stdout
    )


class Made:
    """Instead of `gpu.Worker`: answers by what the task is."""

    tasks, speeds, off_by = [], {}, 1e-3

    def __init__(self, kind):
        self.kind = kind

    def run(self, task, seconds):
        self.tasks.append(task)
        if task["do"] == "check":
            case = {
                "loss": self.off_by,
                "gradient": 1e-3,
                "xla_loss": 1e-3,
                "xla_gradient": 1e-3,
                "dtype": "bfloat16",
                "head": 96,
            }
            return {
                "cases": [
                    case,
                    {"error": "ConfigError: it is none", "dtype": "float32", "head": 96},
                ]
            }
        speed = self.speeds.get(
            (task.get("attention"), task["batch"], task.get("scan_unroll"), task.get("matmul"))
        )
        if speed is None:
            return {"error": "out of memory"}
        known = {"flops_per_token": 2.0, "peak_flops": 1000.0, "device": "made up", "mfu": 0.5}
        times = {
            "step_ms": 1.0,
            "step_ms_least": 1.0,
            "step_ms_most": 1.0,
            "compile_seconds": 1.0,
            "peak_bytes": 2e9,
        }
        return {"tokens_per_second": speed, **times, **(known if task["do"] == "train" else {})}

    def kill(self):
        pass


@pytest.fixture
def made(monkeypatch):
    monkeypatch.setattr(gpu, "Worker", Made)
    Made.tasks, Made.off_by = [], 1e-3
    Made.speeds = {
        ("triton", 16, 1, None): 90.0,
        ("cudnn", 16, 1, None): 100.0,
        ("cudnn", 16, 4, None): 110.0,
        (None, 16, None, None): 100.0,
    }
    return Made


def run(tmp_path, *flags):
    bench = gpu.Benchmark(
        gpu.arguments(["--sizes=760m", f"--output={tmp_path / 'a' / 'b.json'}", *flags])
    )
    return bench, bench.run()


def test_each_change_is_made_to_the_best_so_far(tmp_path, made, monkeypatch, capsys):
    monkeypatch.setattr(gpu.Benchmark, "has_matmul", lambda self: True)
    made.speeds["cudnn", 32, 4, None] = 105.0
    made.speeds["cudnn", 16, 4, "fp8"] = 200.0  # another arithmetic: told, and not gone on with
    bench, code = run(tmp_path, "--attention=triton,cudnn")
    assert code == 0 and [check["verdict"] for check in bench.checks] == ["ok", "refused"] * 2
    changed = [task for task in made.tasks if task["do"] == "train"][2:]
    best = {**gpu.FIRST, "attention": "cudnn"} | gpu.CHANGES[0]  # which won
    for task, change in zip(changed, gpu.CHANGES, strict=True):
        assert {**best, **change}.items() <= task.items() and ("matmul" in task) == (
            "matmul" in change
        )
    assert bench.best("760m")["tokens_per_second"] == 110.0
    output = capsys.readouterr().out
    assert "hclx is 1.10 times as fast as PyTorch, with the same batch 1.10 times" in output
    # the peer's MFU, by a candidate's constants
    assert "out of memory" in output and "20.0%" in output
    assert json.loads((tmp_path / "a" / "b.json").read_text(encoding="utf-8"))["rows"] == bench.rows


@pytest.mark.parametrize("off_by", [0.01, float("nan")])
def test_a_wrong_kernel_ends_it_with_1_after_the_table(tmp_path, made, capsys, off_by):
    made.off_by = off_by
    bench, code = run(tmp_path, "--attention=cudnn", "--changes=0")
    assert code == 1 and "WRONG" in capsys.readouterr().out and len(bench.rows) == 2


def test_nothing_is_started_without_time(tmp_path, made):
    bench, code = run(tmp_path, "--seconds=10")
    assert (
        code == 0
        and made.tasks == []
        and {row["error"] for row in bench.rows} == {"not run: no time left"}
    )


def test_a_worker_that_dies_or_hangs_is_one_line(tmp_path):
    for task, seconds, expected in (
        (None, 600, "ended with"),
        ({"tiny": True, "do": "train"}, 0.01, "stopped after 0 s"),
    ):
        worker = gpu.Worker("jax")
        assert expected in worker.run(task, seconds)["error"]
        worker.kill()
