"""Programs of others serve folders that were exported, with the greedy text of `hclx generate`.

They cannot be installed beside hclx. HCLX_VLLM names the command vllm of another environment, and
HCLX_LLAMA_CPP the Python of one that has llama-cpp-python, torch, transformers and gguf;
HCLX_LLAMA_CPP_SOURCE is the folder of llama.cpp's source with its convert_hf_to_gguf.py.
"""

import json
import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from hclx.convert.exporting import export_model
from hclx.infer import EmbeddedEngine, GenerateRequest, SamplingConfig, load_for_inference
from hclx.text import load_tokenizer
from tests.helpers.runs import pretrain

pytestmark = pytest.mark.long

PROMPTS = ("대한민국의 수도는", "오늘 아침에는", "1998년 그는 처음으로", "이 영화는 정말", "한국어")
SHAPES = {
    "gpt2": [],
    "llama": [
        "norm='rmsnorm'",
        "activation='silu'",
        "gated_mlp=True",
        "kv_heads=2",
        "qkv_bias=False",
        "attention_out_bias=False",
        "mlp_bias=False",
        "tied_head=False",
        "position='rotary'",
    ],
}
START_SECONDS = 300
BROKEN = "\ufffd "
GAP = 0.05  # of logits: the GELU of llama.cpp is a table in float16


def setting(name: str) -> str:
    value = os.environ.get(name)
    if not value:
        pytest.skip(f"{name} is not set: see {Path(__file__).name}")
    return value


@pytest.fixture(scope="module", params=SHAPES)
def exported(request, tmp_path_factory):
    """A folder that was exported, and for each prompt its ids and what `hclx generate` adds."""
    place = tmp_path_factory.mktemp(request.param)
    shape = [f"--gin.ModelConfig.{binding}" for binding in SHAPES[request.param]]
    shape.append("--gin.ModelConfig.d_model=128")  # vLLM's attention on CPUs takes heads from 32 on
    steps = ["--gin.TrainConfig.total_steps=200", "--gin.OptimizerConfig.learning_rate=3e-3"]
    result = pretrain(place / "run", *shape, *steps)
    assert result.returncode == 0, result.stderr
    assert export_model(place / "run", place / "hf").family == request.param
    model, tokenizer = load_for_inference(place / "run"), load_tokenizer(place / "run/tokenizer")
    greedy = SamplingConfig(max_tokens=64, temperature=0.0)
    with EmbeddedEngine(model, tokenizer) as engine:
        results = engine.generate([GenerateRequest(prompt, greedy) for prompt in PROMPTS])
    answers = [
        ([*tokenizer.begin_ids, *tokenizer.encode(prompt)], made)
        for prompt, (made,) in zip(PROMPTS, results)
    ]
    assert len({made.text for _, made in answers}) > 1  # not the same noise after each
    return place / "hf", answers


@pytest.fixture
def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def test_vllm(exported, free_port, tmp_path):
    """Its server is given text, which it encodes with the tokenizer in the folder."""
    program, (folder, answers) = setting("HCLX_VLLM"), exported
    command = [program, "serve", str(folder), "--dtype=float32", "--max-model-len=128"]
    command += ["--gpu-memory-utilization=0.1", "--enforce-eager", "--served-model-name=exported"]
    own = {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_NO_USAGE_STATS": "1", "HF_HUB_OFFLINE": "1"}
    with open(tmp_path / "log", "w") as log:
        server = subprocess.Popen(
            [*command, "--host=127.0.0.1", f"--port={free_port}"],
            env={**os.environ, **own},
            stdout=log,
            stderr=log,
        )
    try:
        wait_for(server, f"http://127.0.0.1:{free_port}/health", tmp_path / "log")
        for prompt, (_, made) in zip(PROMPTS, answers):
            body = {"model": "exported", "prompt": prompt, "max_tokens": 64, "temperature": 0}
            request = urllib.request.Request(
                f"http://127.0.0.1:{free_port}/v1/completions",
                json.dumps(body).encode(),
                {"Content-Type": "application/json"},
            )
            with urllib.request.urlopen(request, timeout=120) as response:
                text = json.load(response)["choices"][0]["text"]
            # ours ends with the token of a character that was not finished, in which may be a space
            assert text.rstrip(BROKEN) == made.text.rstrip(BROKEN), prompt
    finally:
        server.terminate()
        server.wait(60)


def wait_for(server: subprocess.Popen, address: str, log: Path) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and server.poll() is None:
        try:
            urllib.request.urlopen(address, timeout=5)
            return
        except urllib.error.URLError:
            time.sleep(1)
    pytest.fail(f"the server did not start:\n{log.read_text()[-2000:]}")


def test_llama_cpp(exported, tmp_path):
    """It is given ids: of a tokenizer that it does not know it can only guess how text is split."""
    python, source = setting("HCLX_LLAMA_CPP"), setting("HCLX_LLAMA_CPP_SOURCE")
    folder, answers = exported
    program = Path(__file__).parent / "llama_cpp_answers.py"
    prompts = json.dumps([ids for ids, _ in answers])
    result = subprocess.run(
        [python, str(program), source, str(folder), str(tmp_path / "model.gguf"), prompts],
        env={**os.environ, "PYTHONPATH": f"{source}/gguf-py"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype="float32").eval()
    same = 0
    for (ids, made), answer in zip(answers, json.loads(result.stdout.splitlines()[-1])):
        end = model.config.eos_token_id
        same += answer == [i for i in made.tokens if i != end]
        answer = answer if len(answer) == 64 else [*answer, end]
        with torch.no_grad():
            logits = model(torch.tensor([[*ids, *answer]])).logits[0, len(ids) - 1 : -1]
        chosen = logits.gather(-1, torch.tensor(answer)[:, None])[:, 0]
        assert (logits.max(-1).values - chosen).max() < GAP
    assert same >= 3
