"""The benchmark for GPUs, without one: all of it with a tiny model, its order with results that are
made up, its kernels' oracle, and its profiles.
"""

import gzip
import importlib.util
import json
import os
import signal
import subprocess
import sys
import time

import jax
import numpy as np
import pytest

from hclx.model import blockwise
from tests.benchmarks import gpu, gpu_kernels, gpu_plan, gpu_profile, gpu_report
from tests.benchmarks.gpu_process import Worker
from tests.conftest import ROOT
from tests.helpers.commands import environment

# Read by Python when it starts, in the processes that the benchmark starts as well: all but
# PyTorch's do without the libraries that a machine with a GPU need not have, and without PyTorch.
SITE = """
import sys
ABSENT = (
    *("gin", "kiwipiepy", "llguidance", "pyarrow", "sentencepiece", "seqio", "tensorboardX"),
    *("tensorflow", "tensorflow_text", "tiktoken", "tokenizers", "torch", "tqdm", "transformers"),
)
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ABSENT:
            raise ModuleNotFoundError("No module named " + name)
if sys.orig_argv[-1] != "torch":
    sys.meta_path.insert(0, Absent())
"""


NO_TORCH = "ModuleNotFoundError: No module named 'torch'"  # as in an environment without `bench`


def run_tiny(plan, tmp_path):
    """The lines of the results, and what was printed."""
    (tmp_path / "sitecustomize.py").write_text(SITE, encoding="utf-8")
    script = [sys.executable, str(ROOT / "tests" / "benchmarks" / "gpu.py")]
    flags = [
        "--tiny",
        "--attention=cudnn,xla",  # a CPU has no cudnn, so that the second one is used
        f"--plan={plan}",
        "--seconds=3000",
        "--candidate_seconds=1000",
        "--peer_seconds=1000",
        "--kernel_seconds=1000",
        f"--output={tmp_path}",
    ]
    # As from a checkout: the script finds hclx by itself. The time of this test is compilation.
    fast = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
    variables = {"PYTHONPATH": str(tmp_path), "XLA_FLAGS": fast}
    result = subprocess.run(
        [*script, *flags], env=environment(1, variables), capture_output=True, text=True, cwd="/"
    )
    assert result.returncode == 0, result.stdout + result.stderr
    lines = (tmp_path / "gpu.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines], result.stdout


MORE = "tune=lora,tune=prompt_tune,engine,profile"


@pytest.mark.parametrize("more", ["", pytest.param(MORE, marks=pytest.mark.long)])
@pytest.mark.long
def test_a_part_of_it_runs_where_heavy_libraries_are_absent(more, tmp_path):
    records, printed = run_tiny(f"first,{more}".rstrip(","), tmp_path)
    refused, first, *tuned = [record for record in records if record["kind"] == "figure"]
    assert refused["error"].startswith("ConfigError: ComputeConfig.attention='cudnn'")
    assert first["step_ms"] > 0 and first["losses"][1] < first["losses"][0]
    if not more:
        return
    assert [row["settings"]["tune"] for row in tuned] == ["lora", "prompt_tune"]
    for row in tuned:  # fewer moments than a model that is trained whole, and no MFU
        assert row["step_ms"] > 0 and row["losses"][1] != row["losses"][0] and "mfu" not in row
        assert 0 < row["peak_bytes"] < first["peak_bytes"]
    assert "| tiny | hclx | xla | 2 | minimal | 1 | 8192 | tune=lora |" in printed
    assert [r["what"] for r in records if r["kind"] == "engine"] == ["decode", "prefill of 63"]
    assert "| 1 | " in printed.split("profile of tiny")[1]


@pytest.mark.long
def test_all_of_it_runs_where_heavy_libraries_are_absent(tmp_path):
    plan = (
        "first,engine,peer,engine_peer,batch=4,+matmul=fp8&xla_no_such=1,+matmul=fp8"
        ",profile,1b3:first,1b3:peer,kernels"
    )
    records, printed = run_tiny(plan, tmp_path)
    refused, first, peer, batch, unknown, fp8, again, peer_again = [
        record for record in records if record["kind"] == "figure"
    ]
    assert refused["error"].startswith("ConfigError: ComputeConfig.attention='cudnn'")
    assert "xla_no_such" in unknown["error"], "an option did not reach XLA"
    for row in (first, batch, fp8, again):
        assert row["step_ms"] > 0 and 0 < row["mfu"] < 1 and row["losses"][1] < row["losses"][0]
        assert row["peak_bytes"] > 0 and row["device"].startswith("cpu, jax")
    assert fp8["held_bytes"] < 10_000, "the candidate before left something in the process"
    assert batch["settings"]["batch"] == 4 and fp8["settings"]["matmul"] == "fp8"
    decoding, prefill, *decoding_of_peer = [r for r in records if r["kind"] == "engine"]
    assert (decoding["what"], decoding["rows"], decoding["by"]) == ("decode", 2, "hclx")
    assert 0 < decoding["share"] < 2 and decoding["step_ms"] > 0
    assert prefill["what"] == "prefill of 63" and 0 < prefill["share"] < 1
    (profile,) = [record for record in records if record["kind"] == "profile"]
    assert 0 < len(profile["operations"]) <= 20 and 0 < profile["busy_ms"] < profile["step_ms"]
    assert any(operation["source"] for operation in profile["operations"])
    checks = [record for record in records if record["kind"] == "check"]
    assert [(check["attention"], check["verdict"]) for check in checks] == [
        ("cudnn", "ok"),
        ("triton", "ok"),
    ]
    if importlib.util.find_spec("torch"):
        assert peer["step_ms"] > 0 and peer["losses"][1] < peer["losses"][0]
        assert 0 < peer["mfu"] < 1 and 0 < peer["compile_seconds"] < 1000
        assert peer_again["step_ms"] > 0
        assert "of compiled PyTorch with the same batch of 2" in printed
        if importlib.util.find_spec("transformers"):
            assert decoding_of_peer[0]["tokens_per_second"] > 0
            assert "tokens/s of transformers with 2 at once" in printed
    else:
        assert peer["error"] == NO_TORCH
        assert "there is no ratio" in printed
    assert "| tiny | hclx | xla | 2 | minimal |" in printed
    assert "| 1 | " in printed.split("profile of tiny")[1]


class MadeUpWorker:
    """Stands in for `Worker`, and answers by what the task is."""

    def __init__(self, library, variables):
        self.library, self.variables, self.ready, self.alive = library, variables, False, True
        self.queue, self.number = [], len(self.workers)
        self.workers.append(self)
        self.log.append((self.number, library, "start"))

    def ask(self, task, seconds, on_event=lambda event: None):
        self.start(task)
        return self.finish(seconds, on_event)

    def start(self, task):
        self.queue.append(task)

    def finish(self, seconds, on_event=lambda event: None):
        if not self.ready:
            self.ready = True
            on_event({"event": "ready", "seconds": 20.0})
        task = self.queue.pop(0)
        self.log.append((self.number, self.library, task))
        if task["do"] == "prepare":
            return {"begin": 0.0, "end": 30.0}
        if task["do"] == "kernels":
            return self.answer_kernels(task, on_event)
        if task["do"] in ("engine", "engine_peer"):
            return self.answer_engine(task, on_event)
        if task["do"] == "profile":
            return {"step_ms": 1.0, "busy_ms": 0.9, "kinds": {"attention": 0.9}, "operations": []}
        key = "peer" if task["do"] == "peer" else task["attention"]
        options = (task["batch"], task.get("scan_unroll"), task.get("remat"), task.get("matmul"))
        answer = self.speeds.get((key, *options), "out of memory")
        if isinstance(answer, str):
            return {"error": answer}
        if isinstance(answer, dict):  # a peer that takes less than what it was asked for
            return {**self.figures(90.0), **answer}
        return self.figures(answer) | {"flops_per_token": 2.0, "peak_flops": 1000.0, "mfu": 0.5}

    def figures(self, speed):
        times = dict.fromkeys(("step_ms", "step_ms_least", "step_ms_most", "compile_seconds"), 1.0)
        return {**times, "tokens_per_second": speed, "peak_bytes": 2e9, "device": "made up"}

    def answer_kernels(self, task, on_event):
        for name, dtype, head in task["cases"]:
            if name == self.dies_in:
                MadeUpWorker.dies_in = None
                return {"error": "ended with -11: no word"}
            case = {"attention": name, "dtype": dtype, "head": head}
            if dtype == "float32":
                case["error"] = "ConfigError: it serves no float32"
            else:
                names = ("context", "gradient", "xla_context", "xla_gradient")
                case |= dict.fromkeys(names, 1e-3) | {"context": self.off_by}
            on_event({"event": "case", "case": case})
        return {}

    def answer_engine(self, task, on_event):
        if task["do"] == "engine_peer" and not self.has_transformers:
            return {"error": "left out, because transformers is not installed"}
        speed = {"engine": 60.0, "engine_peer": 20.0}[task["do"]]
        for rows in task["rows"]:
            case = {"what": "decode", "rows": rows, "tokens_per_second": rows * speed}
            on_event({"event": "case", "case": case | {"device": "made up"}})
            speed *= 2 if task["do"] == "engine" else 1
        return {}

    def running_seconds(self, begin, end):
        return end - begin

    def pause(self):
        self.log.append((self.number, self.library, "pause"))

    def resume(self):
        self.log.append((self.number, self.library, "resume"))

    def kill(self):
        self.alive = False
        self.log.append((self.number, self.library, "kill"))


@pytest.fixture
def made_up(monkeypatch):
    monkeypatch.setattr(gpu, "Worker", MadeUpWorker)
    MadeUpWorker.workers, MadeUpWorker.log = [], []
    MadeUpWorker.off_by, MadeUpWorker.dies_in = 1e-3, None
    MadeUpWorker.has_transformers = True
    MadeUpWorker.speeds = {
        ("cudnn", 16, 1, "minimal", None): 100.0,
        ("triton", 16, 1, "minimal", None): 90.0,
        ("cudnn", 16, 1, "none", None): 105.0,
        ("cudnn", 16, 24, "minimal", None): 105.0,
        ("cudnn", 8, 24, "none", None): 110.0,
        ("cudnn", 16, 1, "minimal", "fp8"): 200.0,
        ("peer", 16, None, None, None): 100.0,
    }
    return MadeUpWorker


def run(tmp_path, *flags):
    options = gpu.arguments([f"--output={tmp_path / 'a' / 'b.jsonl'}", *flags])
    bench = gpu.Benchmark(options, str(tmp_path))
    return bench, bench.run()


def tasks(made_up, *kinds):
    return [task for _, _, task in made_up.log if isinstance(task, dict) and task["do"] in kinds]


def test_the_plan_is_parsed_or_refused(capsys):
    plan = gpu_plan.parse_plan("first,1b3:peer,remat=none&batch=8,1b3:+scan_unroll=4", "760m")
    assert [(item.size, item.action, item.changes, item.on_best) for item in plan] == [
        ("760m", "first", {}, False),
        ("1b3", "peer", {}, False),
        ("760m", "change", {"remat": "none", "batch": 8}, False),
        ("1b3", "change", {"scan_unroll": 4}, True),
    ]
    with pytest.raises(SystemExit):
        gpu.arguments(["--plan=first,pear"])
    assert (
        "--plan: 'pear' is not first, peer, engine, engine_peer, profile, kernels or a change"
        in (capsys.readouterr().err)
    )


def test_the_default_plan_runs_in_its_order(tmp_path, made_up, capsys):
    """Each change is made to the first settings or to the best so far."""
    bench, code = run(tmp_path)
    first = {"attention": "cudnn", "batch": 16, "remat": "minimal", "scan_unroll": 1}
    best = first | {"remat": "none", "scan_unroll": 24, "batch": 8}
    fp8 = {"matmul": "fp8", "xla_gpu_enable_triton_gemm": "False"}
    expected = [
        ("train", "760m", first),
        ("peer", "760m", {"batch": 16}),
        ("engine", "760m", {"rows": (8, 1, 64)}),
        ("engine_peer", "760m", {"rows": (8, 1, 64)}),
        ("train", "760m", best),
        ("train", "760m", first | {"batch": 32}),  # out of memory
        ("train", "760m", first | fp8),  # other arithmetic, which is no best
        ("profile", "760m", best),
        ("train", "1b3", first),
        ("train", "1b3", first | {"tune": "lora"}),
        ("train", "1b3", first | {"tune": "prompt_tune"}),
        ("peer", "1b3", {"batch": 16}),
        ("engine", "1b3", {"rows": (8, 1, 64)}),
        ("engine_peer", "1b3", {"rows": (8, 1, 64)}),
        ("kernels", None, {}),
        ("train", "760m", best | {"attention": "triton"}),
        ("train", "760m", best | {"loss_chunk_tokens": 32_768}),
        ("train", "760m", first | {"remat": "none"}),
        ("train", "760m", first | {"scan_unroll": 24}),
        ("train", "760m", first | {"batch": 64}),
    ]
    done = tasks(made_up, "train", "peer", "profile", "kernels", "engine", "engine_peer")
    for task, (do, size, settings) in zip(done, expected, strict=True):
        assert task["do"] == do and task.get("size") == size and settings.items() <= task.items()
        assert [name in task for name in ("matmul", "tune")] == [
            name in settings for name in ("matmul", "tune")
        ]
    assert code == 0 and [check["verdict"] for check in bench.checks] == ["ok"] * 4 + ["refused"]
    output = capsys.readouterr().out
    assert (
        "760m: hclx has 1.05 times the tokens/s of compiled PyTorch with the same batch of 16, and"
        " 1.10 times at its fastest (batch 8)." in output
    )
    engine_ratios = [line for line in output.splitlines() if line.startswith("1b3: hclx's engine")]
    assert engine_ratios == [
        f"1b3: hclx's engine has {ratio}.00 times the tokens/s of transformers with {n} at once."
        for ratio, n in ((3, 8), (6, 1), (12, 64))
    ]
    # The peer's MFU is by a candidate's constants, and its compilation beside JAX's imports counts.
    assert "| 100 | 20.0% | 2.0 | 31 | made up |" in output and "out of memory" in output
    records = [json.loads(x) for x in (tmp_path / "a" / "b.jsonl").read_text().splitlines()]
    assert [r for r in records if r["kind"] == "figure"] == [
        {"kind": "figure", **row} for row in bench.rows
    ]


def test_one_process_at_a_time_uses_the_gpu(tmp_path, made_up):
    run(tmp_path)
    torch_state, holders = "kill", set()  # the last that PyTorch's process was told; JAX's ones
    timed_peers = set()  # processes of PyTorch that hold the parameters of a peer
    for number, library, what in made_up.log:
        if library == "torch" and isinstance(what, str):
            torch_state = what
            timed_peers -= {number} if what == "kill" else set()
        elif library == "torch":
            assert torch_state in ("start", "resume") and not holders, "PyTorch ran beside JAX"
            timed_peers |= {number} if what["do"] == "peer" else set()  # the other frees its own
        elif what == "kill":
            holders.discard(number)
        elif what != "start":
            holders.add(number)
            assert torch_state in ("pause", "kill"), "JAX ran beside PyTorch"
            assert not timed_peers, "PyTorch holds memory beside JAX"
            assert len(holders) == 1, "two processes of JAX hold memory"
    # Several candidates share a process; one that follows a failure is in the next one.
    trained = [(n, t["batch"]) for n, _, t in made_up.log if isinstance(t, dict) and "remat" in t]
    by_process = dict.fromkeys(n for n, _ in trained)
    assert len(by_process) < len(trained)
    (failed,) = [i for i, (_, batch) in enumerate(trained) if batch == 32]
    assert trained[failed + 1][0] != trained[failed][0] == trained[failed - 1][0]
    # Only the first one shares the memory with PyTorch.
    fractions = [w.variables["XLA_PYTHON_CLIENT_MEM_FRACTION"] for w in made_up.workers]
    assert [f for f, w in zip(fractions, made_up.workers) if w.library == "jax"][:2] == [
        ".7",
        ".92",
    ]
    assert not any(worker.alive for worker in made_up.workers)


def test_a_backend_that_fails_and_a_batch_that_does_not_fit_are_replaced(tmp_path, made_up):
    made_up.speeds = {
        ("cudnn", 16, 1, "minimal", None): "JaxRuntimeError: no such library",
        ("triton", 8, 1, "minimal", None): 50.0,
    }
    bench, code = run(tmp_path, "--plan=first,peer,1b3:first")
    tried = [(t["attention"], t["batch"]) for t in tasks(made_up, "train")]
    assert tried == [("cudnn", 16), ("triton", 16), ("triton", 8), ("triton", 16), ("triton", 8)]
    assert [t["batch"] for t in tasks(made_up, "prepare", "peer")] == [16, 8, 8]


def test_a_peer_that_takes_half_of_the_batch_is_compared_at_that_batch(tmp_path, made_up, capsys):
    made_up.speeds["peer", 16, None, None, None] = {"batch": 8}
    made_up.speeds["cudnn", 8, 1, "minimal", None] = 99.0
    run(tmp_path, "--plan=first,peer")
    assert tasks(made_up, "train")[-1]["batch"] == 8
    output = capsys.readouterr().out
    assert (
        "1.10 times the tokens/s of compiled PyTorch with the same batch of 8, and 1.11 times at"
        " its fastest (batch 16)" in output
    )


def test_an_engine_without_its_peer_has_figures_and_a_line(tmp_path, made_up, capsys):
    made_up.has_transformers = False
    bench, code = run(tmp_path, "--plan=engine_peer,engine")
    assert code == 0 and [row["by"] for row in bench.engine_rows] == ["transformers", *3 * ["hclx"]]
    output = capsys.readouterr().out
    assert "| 760m | transformers | left out, because transformers is not installed |" in output
    assert "| 760m | hclx | decode | 8 | 480 |" in output and "at once" not in output


def test_what_a_peer_prepared_is_prepared_again_after_the_peer_of_the_engine(tmp_path, made_up):
    bench, code = run(tmp_path, "--plan=engine_peer,first,peer")
    assert code == 0 and bench.rows[-1]["by"] == "PyTorch" and "error" not in bench.rows[-1]
    prepared = [n for n, _, t in made_up.log if isinstance(t, dict) and t["do"] == "prepare"]
    assert len(prepared) == 1 and len(bench.engine_rows) == 3


@pytest.mark.parametrize("off_by", [0.01, float("nan")])
def test_a_wrong_kernel_ends_it_with_1_after_the_table(tmp_path, made_up, capsys, off_by):
    made_up.off_by = off_by
    bench, code = run(tmp_path, "--plan=kernels,first")
    assert code == 1 and "WRONG" in capsys.readouterr().out and len(bench.rows) == 1


def test_a_kernel_that_kills_the_process_has_failed_and_the_others_are_checked(tmp_path, made_up):
    made_up.dies_in = "triton"
    bench, code = run(tmp_path, "--plan=kernels")
    assert code == 1
    assert [(check["attention"], check["verdict"]) for check in bench.checks] == [
        ("cudnn", "ok"),
        ("triton", "failed"),
        ("cudnn", "ok"),
        ("triton", "ok"),
        ("triton", "refused"),
    ]
    assert "ended with -11" in gpu_report.check(bench.checks[1])


def test_nothing_is_started_without_time(tmp_path, made_up, capsys):
    bench, code = run(tmp_path, "--seconds=10")
    assert code == 0 and made_up.log == made_up.workers == bench.rows == []
    items = gpu_plan.PLAN.split(",")
    assert [entry["item"] for entry in bench.skipped] == items
    assert "Skipped: " + "; ".join(f"{x} (no time was left)" for x in items) in (
        capsys.readouterr().out
    )


def test_a_worker_that_dies_or_hangs_is_one_line():
    for seconds, expected in (
        (600, "ended with -9: it wrote no error"),
        (0.0, "stopped after 0 s"),
    ):
        worker = Worker("torch", {})
        if seconds:
            os.kill(worker._process.pid, signal.SIGKILL)
        task = {"do": "prepare", "tiny": True}
        assert worker.ask(task, seconds)["error"] == expected
        assert not worker.alive
        assert worker.ask(task, 600)["error"].startswith("ended with -9")


def test_a_task_that_fails_is_one_line_and_the_next_one_runs():
    worker = Worker("torch", {})
    task = {"do": "peer", "tiny": False, "size": "nine", "batch": 1, "length": 8}
    for _ in range(2):
        error = worker.ask(task, 600)["error"]
        assert error.startswith(("RuntimeError: PyTorch sees no GPU", NO_TORCH))
    worker.kill()


def test_a_paused_worker_does_not_run_and_its_seconds_do_not_count():
    worker = Worker("torch", {})
    state = lambda: subprocess.check_output(
        ["ps", "-o", "state=", "-p", str(worker._process.pid)], text=True
    )
    worker.pause()
    begin = time.monotonic()
    while not state().startswith("T") and time.monotonic() < begin + 60:
        time.sleep(0.05)
    assert state().startswith("T")
    time.sleep(1.0)
    worker.resume()
    end = time.monotonic()
    assert not state().startswith("T")
    worker.kill()
    assert end - begin >= 1.0
    assert worker.running_seconds(begin - 5.0, end + 2.0) == pytest.approx(7.0, abs=0.5)
    assert worker.running_seconds(end + 1.0, end + 2.0) == 1.0


def test_imports_leave_the_gpu_to_the_process_that_uses_it():
    code = """
from tests.benchmarks.gpu_worker import import_library
import_library("jax")
from jax._src import xla_bridge
assert not xla_bridge.backends_are_initialized()
"""
    subprocess.run([sys.executable, "-c", code], env=environment(1), check=True, cwd="/")


def test_attention_by_its_definition_is_what_xla_computes_and_differentiates():
    arrays, segments = gpu_kernels.problem("float32", 24, 128)
    with jax.default_matmul_precision("highest"):
        context, pullback = jax.vjp(
            lambda *qkv: blockwise.blockwise_attention(*qkv, segments), *arrays[:3]
        )
        results = context, *pullback(arrays[3])
    exact = gpu_kernels.attention_by_definition(*arrays, segments)
    assert segments.max() > 0
    for x, y in zip(results, exact, strict=True):
        np.testing.assert_allclose(x, y, atol=1e-4)


@pytest.mark.parametrize("name", ["xla", "cudnn"])
def test_errors_of_a_kernel_are_those_of_its_dtype(name):
    errors = gpu_kernels.compare(name, "bfloat16", 32, 128)
    assert all(1e-4 < error < 2e-2 for error in errors.values())
    assert (errors["context"] == errors["xla_context"]) == (name == "xla")
    assert gpu.verdict(errors, 2.0) == "ok"
    assert gpu.verdict(errors | {"gradient": 1.0}, 2.0) == "WRONG"


def lane(pid, tid, process, thread):
    names = {"process_name": process, "thread_name": thread}
    return [
        {"ph": "M", "pid": pid, "tid": tid, "name": kind, "args": {"name": name}}
        for kind, name in names.items()
    ]


def event(pid, tid, ts, dur, name, **arguments):
    times = {"ph": "X", "pid": pid, "tid": tid, "ts": ts, "dur": dur}
    return {**times, "name": name, "args": arguments}


def test_kernels_of_a_gpu_are_counted_by_its_streams():
    """Two steps on two streams; lanes that repeat the streams, and the host, do not count."""
    attention = "cudnn_generated_fort_native_sdpa_sm90_flash_fprop"
    events = [
        *lane(1, 13, "/device:GPU:0", "Stream #13(Compute,MemcpyD2D)"),
        *lane(1, 14, "/device:GPU:0", "Stream #14(MemcpyH2D)"),
        *lane(1, 99, "/device:GPU:0", "XLA Ops"),
        *lane(2, 13, "/host:CPU", "python"),
        event(1, 13, 0, 4_000, "nvjet_tst_128x256", hlo_op="cublas-gemm.1"),
        event(1, 13, 4_000, 2_000, attention, hlo_op="custom-call.3"),
        event(1, 13, 10_000, 6_000, "nvjet_tst_128x256", hlo_op="cublas-gemm.1"),
        event(1, 13, 16_000, 1_000, "loop_convert_fusion_2"),  # in a CUDA graph
        event(1, 14, 3_000, 2_000, "MemcpyH2D"),
        event(1, 99, 0, 20_000, "cublas-gemm.1", hlo_op="cublas-gemm.1"),
        event(2, 13, 0, 20_000, "train_step", hlo_op="cublas-gemm.1"),
    ]
    program = """
      %cublas-gemm.1 = bf16[8,8] custom-call(%a), metadata={op_name="jit(train_step)/mlp/dot" a=1}
      ROOT %loop_convert_fusion.2 = f32[] fusion(%x), metadata={op_name="jit(f)/transpose(jvp)/add"}
      %none = f32[] add(%x)
    """
    sources = gpu_profile.instruction_sources(program)
    assert sources == {
        "cublas-gemm.1": "jit(train_step)/mlp/dot",
        "loop_convert_fusion.2": "jit(f)/transpose(jvp)/add",
    }
    summary = gpu_profile.summarize(events, 2, sources)
    assert summary["lanes"] == [
        "/device:GPU:0 Stream #13(Compute,MemcpyD2D)",
        "/device:GPU:0 Stream #14(MemcpyH2D)",
    ]
    assert summary["busy_ms"] == pytest.approx(6.5)  # 0 to 6 ms and 10 to 17 ms, over two steps
    assert summary["kinds"] == {
        "matrix products": 5.0,
        "attention": 1.0,
        "copies and slices": 1.0,
        "elementwise and other": 0.5,
    }
    largest, *_, smallest = summary["operations"]
    assert smallest["instruction"] == "loop_convert_fusion.2" and smallest["source"]
    assert (largest["ms"], largest["calls"], largest["instruction"]) == (5.0, 1.0, "cublas-gemm.1")
    assert largest["share"] == pytest.approx(10 / 15)
    text = gpu_profile.table({"step_ms": 10.0, **summary})
    assert "busy for 6.5 ms of it and idle for 3.5 ms (35.0%)" in text
    assert "| 1 | 5.00 | 66.7% | 1 | matrix products | nvjet_tst_128x256 | cublas-gemm.1 |" in text
    assert gpu_profile.summarize(events, 2, largest=1)["operations"] == [largest | {"source": ""}]


def test_the_time_of_an_operation_is_without_those_inside_it():
    events = [
        *lane(1, 1, "/host:CPU", "tf_XLAPjRtCpuClient/1"),
        event(1, 1, 0, 100, "while.5", hlo_op="while.5"),
        event(1, 1, 10, 30, "call.1", hlo_op="call.1"),
        event(1, 1, 20, 10, "dot.2", hlo_op="dot.2"),
        event(1, 1, 50, 40, "dot.2", hlo_op="dot.2"),
        event(1, 1, 100, 5, "ThreadpoolListener::Record"),
    ]
    operations = gpu_profile.summarize(events, 1)["operations"]
    assert {operation["kernel"]: operation["ms"] for operation in operations} == {
        "dot.2": pytest.approx(0.05),
        "while.5": pytest.approx(0.03),
        "call.1": pytest.approx(0.02),
    }


def test_a_trace_is_read_from_either_of_its_files(tmp_path):
    step = jax.jit(lambda x: jax.numpy.tanh(x @ x).sum())
    x = np.ones((256, 256), np.float32)
    step(x).block_until_ready()
    with jax.profiler.trace(str(tmp_path)):
        step(x).block_until_ready()
    from_json = gpu_profile.summarize(gpu_profile.read_trace(str(tmp_path)), 1)
    (path,) = tmp_path.rglob("*.trace.json.gz")
    with gzip.open(path) as file:
        assert json.load(file)["traceEvents"]
    os.remove(path)
    from_xplane = gpu_profile.summarize(gpu_profile.read_trace(str(tmp_path)), 1)
    names = lambda summary: {operation["instruction"] for operation in summary["operations"]}
    assert from_json["operations"] and names(from_json) == names(from_xplane)
    assert from_json["busy_ms"] == pytest.approx(from_xplane["busy_ms"], rel=1e-3)
    with pytest.raises(FileNotFoundError, match="holds no"):
        gpu_profile.read_trace(str(tmp_path / "empty"))
