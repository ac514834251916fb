"""Programs of others serve folders that were exported, with the greedy text of `hclx generate`.

They run where the variables of tests/helpers/foreign_servers.py name them.
"""

import json
import os
import subprocess
import urllib.request
from pathlib import Path

import pytest

from hclx.convert.exporting import export_model
from hclx.infer import EmbeddedEngine, GenerateRequest, SamplingConfig, load_for_inference
from hclx.text import load_tokenizer
from tests.helpers.foreign_servers import LLAMA, setting, vllm
from tests.helpers.runs import pretrain

pytestmark = pytest.mark.long

PROMPTS = ("대한민국의 수도는", "오늘 아침에는", "1998년 그는 처음으로", "이 영화는 정말", "한국어")
SHAPES = {
    "gpt2": [],
    "llama": LLAMA,
}
BROKEN = "\ufffd "
GAP = 0.05  # of logits: the GELU of llama.cpp is a table in float16


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


def test_vllm(exported, tmp_path):
    """Its server is given text, which it encodes with the tokenizer in the folder."""
    folder, answers = exported
    with vllm(folder, tmp_path / "log") as address:
        for prompt, (_, made) in zip(PROMPTS, answers):
            body = {"model": "exported", "prompt": prompt, "max_tokens": 64, "temperature": 0}
            request = urllib.request.Request(
                f"{address}/v1/completions",
                json.dumps(body).encode(),
                {"Content-Type": "application/json"},
            )
            with urllib.request.urlopen(request, timeout=120) as response:
                text = json.load(response)["choices"][0]["text"]
            # ours ends with the token of a character that was not finished, in which may be a space
            assert text.rstrip(BROKEN) == made.text.rstrip(BROKEN), prompt


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
