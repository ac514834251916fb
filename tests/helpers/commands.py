"""Runs the launch scripts as a user does: a process of their own, one device, their exit code and
output.
"""

import atexit
import functools
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.conftest import ROOT, SAMPLE, xla_flags
from tests.helpers import command_server

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
    merged = {
        **os.environ,
        "XLA_FLAGS": xla_flags(devices),
        "JAX_PLATFORMS": "cpu",
        "PYTHONPATH": PATH,
        **variables,
    }
    return {name: value for name, value in merged.items() if value is not None}


def command(script: str, *arguments: str) -> list[str]:
    return [sys.executable, str(ROOT / "launch" / script), *arguments]


def launch(
    script: str, *arguments: str, devices: int = 1, variables={}, input="", timeout=300
) -> subprocess.CompletedProcess:
    """Runs a command to its end: by fork from a process that has imported the libraries, if the
    variables allow it.
    """
    started, merged = command(script, *arguments), environment(devices, variables)
    is_text = all(isinstance(argument, str) for argument in arguments)
    if not is_text or not command_server.agree_at_import(merged, environment()):
        options = {"env": merged, "cwd": ROOT, "input": input, "timeout": timeout}
        return subprocess.run(started, capture_output=True, text=True, **options)
    with tempfile.TemporaryDirectory(dir=_server_folder()) as name:
        streams = [Path(name, stream) for stream in ("stdin", "stdout", "stderr")]
        for path in streams:
            path.touch()
        streams[0].write_text(input, encoding="utf-8")
        request = {
            "arguments": started[1:],
            "environment": merged,
            "folder": str(ROOT),
            "streams": list(map(str, streams)),
        }
        code = _exit_code(request, timeout)
        outputs = (path.read_text(encoding="utf-8") for path in streams[1:])
        return subprocess.CompletedProcess(started, code, *outputs)


def _exit_code(request: dict, timeout: float) -> int:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(_server_folder() / "socket"))
        connection.settimeout(timeout)
        with connection.makefile("rw", encoding="utf-8") as stream:
            print(json.dumps(request), file=stream, flush=True)
            process = int(stream.readline())
            try:
                return int(stream.readline())
            except TimeoutError as error:
                os.kill(process, signal.SIGKILL)
                raise subprocess.TimeoutExpired(request["arguments"], timeout) from error


@functools.cache
def _server_folder() -> Path:
    """Starts the server of commands of this process; returns the folder of its socket."""
    folder = Path(tempfile.mkdtemp(prefix="hclx-commands-"))
    log = (folder / "log").open("w")
    process = subprocess.Popen(
        [sys.executable, command_server.__file__, str(folder / "socket")],
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
    )

    def end() -> None:
        process.kill()
        process.wait()
        shutil.rmtree(folder, ignore_errors=True)

    atexit.register(end)
    while not (folder / "socket").exists():
        assert process.poll() is None, (folder / "log").read_text()
        time.sleep(0.02)
    return folder


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
