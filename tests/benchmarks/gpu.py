"""The training step on one NVIDIA GPU: attention backends, batches and remat policies, beside a
GPT-2 in plain PyTorch.

    python tests/benchmarks/gpu.py --seconds=450 --output=gpu.json

It needs JAX, Flax, Optax and Orbax, PyTorch for the peer, and none of this project's other
libraries (so no absl here). Kernels are checked first; then a greedy search: the attention
backends, the peer, and one change after the other to what was best. Each candidate is a process of
its own, so that one that dies or runs out of memory is a line of the table and no more. It ends
within its seconds, prints the table, and ends with 1 if a kernel was wrong.
"""

import argparse
import dataclasses
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

# Without JAX, whose devices this process leaves alone.
from hclx.config import ComputeConfig, ModelConfig  # noqa: E402
from tests.helpers.sizes import SIZES  # noqa: E402

LENGTH = 2_048
FIRST = {"batch": 16, "remat": "minimal", "scan_unroll": 1, "loss_chunk_tokens": 8_192}
# Tried in this order, each on top of the best so far.
CHANGES = (
    {"scan_unroll": 4},
    {"matmul": "fp8"},
    {"batch": 32},
    {"attention": "xla"},
    {"remat": "none", "batch": 8},
    {"loss_chunk_tokens": 32_768},
    {"xla_flags": "--xla_gpu_triton_gemm_any=true"},  # in JAX's GPU performance tips
    {"remat": "full", "batch": 32},
)
CHECKS = {
    "cudnn": [("bfloat16", 96), ("bfloat16", 128)],
    "triton": [("bfloat16", 96), ("bfloat16", 128), ("float32", 96)],
}
TINY = ModelConfig(vocab_size=64, n_layers=2, d_model=32, n_heads=4, max_length=128)
LEAST_SECONDS = 20.0  # of a candidate: it is not started with less
ENVIRONMENT = {
    # by default 25% of the memory is left to others, and there are none
    "XLA_PYTHON_CLIENT_MEM_FRACTION": ".92",
    # what is autotuned for one candidate is there for the next
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
}


def arguments(argv=None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=450, help="All of it, the table included.")
    parser.add_argument(
        "--candidate_seconds", type=float, default=110, help="At most, of one candidate."
    )
    parser.add_argument("--sizes", default="760m,1b3", help="Of tests.helpers.sizes.SIZES.")
    parser.add_argument("--attention", default="cudnn,triton", help="Backends to begin with.")
    parser.add_argument("--changes", type=int, default=len(CHANGES), help="How many to try.")
    parser.add_argument(
        "--tolerance",
        type=float,
        default=2.0,
        help="Error of a kernel, in errors of XLA in the same dtype.",
    )
    parser.add_argument(
        "--output", default="gpu.json", help="A .json file, or a folder for gpu.json."
    )
    parser.add_argument(
        "--tiny",
        action="store_true",
        help="The same on a CPU with a tiny model, to see that all of it runs.",
    )
    return parser.parse_args(argv)


class Worker:
    """A process that has imported what it needs, has not touched the GPU yet, and then serves one
    task.
    """

    def __init__(self, kind: str):
        self.errors = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")
        self.process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("gpu_worker.py")), kind],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
            start_new_session=True,
            env={
                **ENVIRONMENT,
                **os.environ,
                "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
            },
        )

    def run(self, task: dict, seconds: float) -> dict:
        """What the task found, or {"error": one line}."""
        try:
            output, _ = self.process.communicate(json.dumps(task) + "\n", timeout=seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            return {"error": f"stopped after {seconds:.0f} s"}
        except OSError as error:  # it died before it read its task
            self.kill()
            output = str(error)
        lines = [line for line in output.splitlines() if line.startswith("{")]
        if lines:
            return json.loads(lines[-1])
        self.errors.seek(0)
        last = ([line.strip() for line in self.errors if line.strip()] or ["it said nothing"])[-1]
        return {"error": f"ended with {self.process.wait()}: {last[:160]}"}

    def kill(self) -> None:
        """Ends the process and those that it started."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.communicate()


class Benchmark:
    """The search and its results, which are in the JSON file from the first one on."""

    def __init__(self, options: argparse.Namespace):
        self.options, self.end = options, time.monotonic() + options.seconds
        self.path = Path(options.output)
        if self.path.suffix != ".json":
            self.path = self.path / "gpu.json"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.models = (
            {"tiny": TINY}
            if options.tiny
            else {name: SIZES[name] for name in options.sizes.split(",")}
        )
        self.first = {**FIRST, "batch": 2} if options.tiny else FIRST
        self.length = 128 if options.tiny else LENGTH
        self.checks, self.rows = [], []
        self.spare = Worker("jax")

    def run(self) -> int:
        """Everything, in order of what matters most. Returns the exit code."""
        backends = self.options.attention.split(",")
        for attention in backends:
            cases = [("bfloat16", 32)] if self.options.tiny else CHECKS.get(attention, [])
            if cases:
                self.check(attention, cases)
        for size in self.models:
            for attention in backends:
                self.candidate(size, {**self.first, "attention": attention})
            self.peer(size)
        for change in CHANGES[: self.options.changes]:
            for size in self.models:
                best = self.best(size)
                if best and ("matmul" not in change or self.has_matmul()):
                    self.candidate(size, {**best["settings"], **change})
        self.spare.kill()
        print("\n" + self.report())
        return 1 if any(check["verdict"] in ("WRONG", "failed") for check in self.checks) else 0

    def has_matmul(self) -> bool:
        """Whether this version computes matrix products in other dtypes."""
        return "matmul" in {field.name for field in dataclasses.fields(ComputeConfig)}

    def best(self, size: str, batch: int | None = None) -> dict | None:
        """The fastest candidate of a size so far, of any batch or of one, whose matrix products are
        all in bfloat16.
        """
        rows = [
            row
            for row in self.rows
            if row["size"] == size and row["by"] == "hclx" and "error" not in row
        ]
        rows = [
            row
            for row in rows
            if batch in (None, row["settings"]["batch"]) and "matmul" not in row["settings"]
        ]
        return max(rows, key=lambda row: row["tokens_per_second"], default=None)

    def ask(self, kind: str, task: dict) -> dict:
        """Runs a task within the time that is left; the next process starts while this one
        works.
        """
        left = self.end - time.monotonic() - 5
        if left < (0 if self.options.tiny else LEAST_SECONDS):
            return {"error": "not run: no time left"}
        worker = self.spare if kind == "jax" else Worker(kind)
        if kind == "jax":
            self.spare = Worker("jax")
        task = {"tiny": self.options.tiny, "length": self.length, **task}
        return worker.run(task, min(left, self.options.candidate_seconds))

    def check(self, attention: str, cases: list[tuple[str, int]]) -> None:
        """A kernel's loss and gradients against XLA's in float32."""
        found = self.ask("jax", {"do": "check", "attention": attention, "cases": cases})
        for case in found.get("cases") or [{"error": found["error"]}]:
            if "error" in case:
                verdict = "refused" if case["error"].startswith("ConfigError") else "failed"
                verdict = "not run" if case["error"].startswith("not run") else verdict
            else:  # written so that a NaN is wrong
                limits = {
                    name: self.options.tolerance * case[f"xla_{name}"] + 1e-3
                    for name in ("loss", "gradient")
                }
                verdict = (
                    "ok" if all(case[name] <= limit for name, limit in limits.items()) else "WRONG"
                )
            self.checks.append({"attention": attention, **case, "verdict": verdict})
            print(f"check {self.checks[-1]}", flush=True)
        self.save()

    def candidate(self, size: str, settings: dict) -> None:
        """One setting of the training step."""
        task = {"do": "train", "model": dataclasses.asdict(self.models[size]), **settings}
        self.add({"size": size, "by": "hclx", "settings": settings, **self.ask("jax", task)})

    def peer(self, size: str) -> None:
        """PyTorch on the same batch; its MFU is by the same formula, from the constants that a
        candidate told.
        """
        task = {
            "do": "peer",
            "model": dataclasses.asdict(self.models[size]),
            "batch": self.first["batch"],
        }
        row = {
            "size": size,
            "by": "PyTorch",
            "settings": {"attention": "sdpa", "batch": task["batch"]},
            **self.ask("torch", task),
        }
        known = next(
            (row for row in self.rows if row["size"] == size and "peak_flops" in row), None
        )
        if known and "error" not in row:
            row["mfu"] = row["tokens_per_second"] * known["flops_per_token"] / known["peak_flops"]
        self.add(row)

    def add(self, row: dict) -> None:
        """Keeps a result, in the file too."""
        self.rows.append(row)
        print(line(row), flush=True)
        self.save()

    def save(self) -> None:
        """Writes what is known."""
        known = {
            "checks": self.checks,
            "rows": self.rows,
            "seconds_left": round(self.end - time.monotonic()),
        }
        self.path.write_text(json.dumps(known, indent=1), encoding="utf-8")

    def report(self) -> str:
        """Checks, table and ratios, in markdown."""
        device = next((row["device"] for row in self.rows if "device" in row), "no device")
        lines = [
            (
                f"{device}; windows of {self.length} tokens, bfloat16, float32 master weights,"
                " AdamW with clipping"
            ),
            "",
            CHECK_HEADER,
        ]
        for check in self.checks:
            numbers = [
                f"{check[name]:.1e}" if name in check else ""
                for name in ("loss", "gradient", "xla_loss", "xla_gradient")
            ]
            words = [
                check["attention"],
                str(check.get("head", "")),
                check.get("dtype", ""),
                *numbers,
            ]
            lines.append(
                "| "
                + " | ".join(
                    [*words, ": ".join(filter(None, [check["verdict"], check.get("error")]))]
                )
                + " |"
            )
        return "\n".join(
            [*lines, "", HEADER, *map(line, self.rows), "", *map(self.ratio, self.models)]
        )

    def ratio(self, size: str) -> str:
        """hclx against its peer: at its best, and with the peer's batch."""
        peer = next(
            (row for row in self.rows if row["size"] == size and row["by"] == "PyTorch"), None
        )
        speeds = {batch: self.best(size, batch) for batch in (None, self.first["batch"])}
        if not peer or "error" in peer or not all(speeds.values()):
            return f"{size}: no ratio to PyTorch, one of the two has no result"
        best, same = (
            row["tokens_per_second"] / peer["tokens_per_second"] for row in speeds.values()
        )
        return (
            f"{size}: hclx is {best:.2f} times as fast as PyTorch, with the same batch {same:.2f}"
            " times"
        )


CHECK_HEADER = (
    "| kernel | head | dtype | loss off by | gradient off by | loss, XLA | gradient, XLA |"
    " verdict |\n" + "|---|---:|---|---:|---:|---:|---:|---|"
)
COLUMNS = ("attention", "batch", "remat", "scan_unroll", "loss_chunk_tokens")
HEADER = (
    "| size | by | attention | batch | remat | unroll | loss chunk | else | step ms | tokens/s |"
    " MFU | peak GB | compile s |\n"
    + "|---|---|---|---:|---|---:|---:|---|---:|---:|---:|---:|---:|"
)


def line(row: dict) -> str:
    """A result as a line of the table."""
    settings = row["settings"]
    words = [row["size"], row["by"], *(str(settings.get(name, "")) for name in COLUMNS)]
    words.append(
        " ".join(f"{name}={value}" for name, value in settings.items() if name not in COLUMNS)
    )
    if "error" in row:
        return "| " + " | ".join([*words, row["error"].replace("|", "/")]) + " | | | | |"
    mfu = f"{row['mfu']:.1%}" if "mfu" in row else ""
    peak = f"{row['peak_bytes'] / 1e9:.1f}" if row.get("peak_bytes") else ""
    step = f"{row['step_ms']:.1f} ({row['step_ms_least']:.1f} to {row['step_ms_most']:.1f})"
    return (
        "| "
        + " | ".join(
            [
                *words,
                step,
                f"{row['tokens_per_second']:,.0f}",
                mfu,
                peak,
                f"{row['compile_seconds']:.0f}",
            ]
        )
        + " |"
    )


def main():
    with tempfile.TemporaryDirectory() as programs:
        ENVIRONMENT.setdefault("JAX_COMPILATION_CACHE_DIR", programs)
        sys.exit(Benchmark(arguments()).run())


if __name__ == "__main__":
    main()
