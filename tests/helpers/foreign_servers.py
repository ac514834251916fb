"""Servers of models that others wrote, which cannot be installed beside hclx.

HCLX_VLLM names the command vllm of another environment, and HCLX_LLAMA_CPP the Python of one that
has llama-cpp-python[server], torch, transformers and gguf; HCLX_LLAMA_CPP_SOURCE is the folder of
llama.cpp's source with its convert_hf_to_gguf.py.
"""

import contextlib
import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from hclx.convert.exporting import export_model
from tests.helpers.runs import pretrain

START_SECONDS = 300
LLAMA = [
    "norm='rmsnorm'",
    "activation='silu'",
    "gated_mlp=True",
    "kv_heads=2",
    "qkv_bias=False",
    "attention_out_bias=False",
    "mlp_bias=False",
    "tied_head=False",
    "position='rotary'",
]  # bindings of ModelConfig


def export_small_run(place: Path) -> None:
    """Trains a small Llama as the folder run of `place`, and exports it as hf there."""
    shape = [f"--gin.ModelConfig.{binding}" for binding in [*LLAMA, "d_model=128"]]
    steps = ["--gin.TrainConfig.total_steps=200", "--gin.OptimizerConfig.learning_rate=3e-3"]
    result = pretrain(place / "run", *shape, *steps)
    assert result.returncode == 0, result.stderr
    export_model(place / "run", place / "hf")


def setting(name: str) -> str:
    """Returns the value of a variable, or skips the test."""
    value = os.environ.get(name)
    if not value:
        pytest.skip(f"{name} is not set: see tests/helpers/{Path(__file__).name}")
    return value


def free_port() -> int:
    """Returns a port that nobody uses."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


@contextlib.contextmanager
def vllm(folder: Path, log: Path, *options: str) -> Iterator[str]:
    """Serves a folder of transformers as `exported`, and yields the address."""
    address, port = _address()
    command = [setting("HCLX_VLLM"), "serve", str(folder), "--dtype=float32"]
    command += ["--gpu-memory-utilization=0.1", "--enforce-eager", "--served-model-name=exported"]
    command += ["--max-model-len=128", "--host=127.0.0.1", f"--port={port}", *options]
    own = {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_NO_USAGE_STATS": "1", "HF_HUB_OFFLINE": "1"}
    with _running(command, own, log) as server:
        _wait_for(server, f"{address}/health", log)
        yield address


@contextlib.contextmanager
def llama_cpp(folder: Path, log: Path) -> Iterator[str]:
    """Converts a folder of transformers, serves it as `exported`, and yields the address."""
    python, source = setting("HCLX_LLAMA_CPP"), setting("HCLX_LLAMA_CPP_SOURCE")
    path = os.pathsep.join([f"{source}/gguf-py", os.environ.get("PYTHONPATH", "")])
    own = {"PYTHONPATH": path}
    check = subprocess.run(
        [python, "-c", "import llama_cpp.server.app"], env={**os.environ, **own}, text=True,
        capture_output=True,
    )  # fmt: skip
    if check.returncode:
        pytest.skip(f"HCLX_LLAMA_CPP has no llama-cpp-python[server]: {check.stderr[-200:]}")
    address, port = _address()
    program = Path(__file__).parent / "llama_cpp_server.py"
    command = [python, str(program), source, str(folder), str(log.with_suffix(".gguf")), str(port)]
    with _running(command, own, log) as server:
        _wait_for(server, f"{address}/v1/models", log)
        yield address


def _address() -> tuple[str, int]:
    port = free_port()
    return f"http://127.0.0.1:{port}", port


@contextlib.contextmanager
def _running(
    command: list[str], variables: dict[str, str], log: Path
) -> Iterator[subprocess.Popen]:
    environment = {**os.environ, **variables}
    with open(log, "w") as stream:
        server = subprocess.Popen(command, env=environment, stdout=stream, stderr=stream)
    try:
        yield server
    finally:
        server.terminate()
        server.wait(60)


def _wait_for(server: subprocess.Popen, address: str, log: Path) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and server.poll() is None:
        try:
            urllib.request.urlopen(address, timeout=5)
            return
        except urllib.error.URLError:
            time.sleep(1)
    pytest.fail(f"the server did not start:\n{log.read_text()[-2000:]}")
