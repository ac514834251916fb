"""Runs the launch scripts as a user does: a process of their own, one device, their exit code and
output.
"""

import os
import subprocess
import sys

from tests.conftest import ROOT, SAMPLE

# The source tree, and before it a PyTorch that cannot be imported.
PATH = os.pathsep.join(
    str(folder) for folder in (ROOT / "tests" / "launch" / "without_torch", ROOT)
)
# A decoder that trains in seconds, on the sample, without the morphological analyser.
TINY = [
    "--gin_file=gin_configs/runs/demo.gin",
    f"--gin.DataConfig.input={SAMPLE}",
    "--gin.TokenizerConfig.mode=plain",
    "--gin.ModelConfig.vocab_size=512",
    "--gin.ModelConfig.n_layers=2",
    "--gin.ModelConfig.d_model=64",
    "--gin.ModelConfig.n_heads=4",
    "--gin.ModelConfig.max_length=128",
    "--gin.TrainConfig.sequence_length=128",
    "--gin.TrainConfig.total_steps=40",
    "--gin.TrainConfig.log_every=1",
    "--gin.TrainConfig.eval_every=10",
    "--gin.TrainConfig.eval_windows=16",
    "--gin.TrainConfig.checkpoint_every=10",
    "--gin.OptimizerConfig.warmup_steps=5",
]


def environment(devices: int = 1, variables: dict[str, str | None] = {}) -> dict[str, str]:
    """Returns the environment of a command: fake devices, and the folder of compiled programs that
    the whole test run shares (tests/conftest.py).

    Args:
      devices: number of fake devices.
      variables: set in addition; None removes a variable.
    """
    # At this level a step compiles in two thirds of the time, and runs as fast.
    flags = f"--xla_force_host_platform_device_count={devices} --xla_backend_optimization_level=1"
    merged = {
        **os.environ,
        "XLA_FLAGS": flags,
        "JAX_PLATFORMS": "cpu",
        "PYTHONPATH": PATH,
        **variables,
    }
    return {name: value for name, value in merged.items() if value is not None}


def command(script: str, *arguments: str) -> list[str]:
    return [sys.executable, str(ROOT / "launch" / script), *arguments]


def launch(
    script: str, *arguments: str, devices: int = 1, variables={}, **options
) -> subprocess.CompletedProcess:
    options |= {
        "env": environment(devices, variables),
        "cwd": ROOT,
        "capture_output": True,
        "text": True,
        "timeout": 300,
    }
    return subprocess.run(command(script, *arguments), **options)


def refused(result: subprocess.CompletedProcess, code: int, *, alone: bool = True) -> str:
    """The one line of an error that ended a command with `code`; `alone`: no library wrote a
    traceback before it.
    """
    assert result.returncode == code, (
        f"exit code {result.returncode}\n{result.stdout}{result.stderr}"
    )
    errors = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1 and not (alone and "Traceback" in result.stderr), result.stderr
    return errors[0]
