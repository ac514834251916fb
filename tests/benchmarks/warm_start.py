"""Measures the time from the start of `launch/pretrain.py` to its first step, with the compilation
cache empty and with it warm.

    python tests/benchmarks/warm_start.py --data_dir=runs/kowiki_cpu

The decoder has 20M parameters (8 layers, d_model 384, 6 heads); the tokenizer and the token cache
are those of a finished run.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from absl import app, flags

ROOT = Path(__file__).resolve().parents[2]
SHAPE = {"ModelConfig.n_layers": 8, "ModelConfig.d_model": 384, "ModelConfig.n_heads": 6}
STEPS = {
    "TrainConfig.total_steps": 2,
    "TrainConfig.log_every": 1,
    "TrainConfig.eval_every": 0,
    "OptimizerConfig.warmup_steps": 1,
}

DATA = flags.DEFINE_string(
    "data_dir",
    "runs/kowiki_cpu",
    "Model directory of a run of gin_configs/runs/kowiki_cpu.gin, whose tokenizer and cache are"
    " used.",
)
REPEATS = flags.DEFINE_integer("repeats", 3, "Number of warm starts.")


def main(_):
    with tempfile.TemporaryDirectory() as folder:
        for name in ("cold", *["warm"] * REPEATS.value):
            print(f"{name}: first step after {first_step(Path(folder)):.1f} s", flush=True)


def first_step(folder: Path) -> float:
    """Starts a run; returns the seconds until its `metrics.jsonl` has its first line."""
    with tempfile.TemporaryDirectory(dir=folder) as model_dir:
        gin = (
            {
                f"DataConfig.{name}_dir": f"'{Path(DATA.value).resolve() / name}'"
                for name in ("tokenizer", "cache")
            }
            | SHAPE
            | STEPS
        )
        command = [
            sys.executable,
            "launch/pretrain.py",
            "--gin_file=gin_configs/runs/kowiki_cpu.gin",
            f"--model_dir={model_dir}",
        ]
        environment = os.environ | {"JAX_COMPILATION_CACHE_DIR": str(folder / "xla")}
        begin, metrics = time.perf_counter(), Path(model_dir) / "metrics.jsonl"
        log = open(folder / "log", "w")
        process = subprocess.Popen(
            command + [f"--gin.{k}={v}" for k, v in gin.items()],
            cwd=ROOT,
            env=environment,
            stdout=log,
            stderr=log,
        )
        while not (metrics.exists() and metrics.stat().st_size):
            if process.poll() is not None:
                sys.exit(
                    f"the run ended with {process.returncode} before its first"
                    f" step:\n{(folder / 'log').read_text()[-2000:]}"
                )
            time.sleep(0.05)
        seconds = time.perf_counter() - begin
        process.wait()
    return seconds


if __name__ == "__main__":
    app.run(main)
