"""DA of two checkpoints of one real run: the later one is closer to 0.5."""

import json
import subprocess

import pytest

from hclx.evaluate.generator.continuations import matched_pairs, read_continuations
from hclx.evaluate.generator.discriminator import discriminate
from tests.helpers.commands import TINY, command, environment

pytestmark = pytest.mark.long
STEPS = 20, 500
N_HELD_OUT = 120
SIZE = ["n_layers=4", "d_model=128", "vocab_size=2048"]


def run(*arguments):
    done = subprocess.run(
        command(*arguments), env=environment(), capture_output=True, text=True, timeout=2400
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def folder(tmp_path_factory, wiki_texts):
    """A run on articles of Wikipedia, and prompts of others."""
    folder = tmp_path_factory.mktemp("checkpoints")
    for name, texts in (("held_out", wiki_texts[:N_HELD_OUT]), ("train", wiki_texts[N_HELD_OUT:])):
        lines = (json.dumps({"text": text}) for text in texts)
        (folder / f"{name}.jsonl").write_text("\n".join(lines))
    changes = [
        f"--gin.DataConfig.input={folder}/train.jsonl",
        *(f"--gin.ModelConfig.{setting}" for setting in SIZE),
        f"--gin.TrainConfig.total_steps={STEPS[-1]}",
        f"--gin.TrainConfig.checkpoint_every={STEPS[0]}",
        "--gin.TrainConfig.keep_last=100",
        "--gin.TrainConfig.eval_every=0",
        "--gin.TrainConfig.log_every=50",
    ]
    kept = [flag for flag in TINY if flag.split("=")[0] not in {c.split("=")[0] for c in changes}]
    run("pretrain.py", *kept, *changes, f"--model_dir={folder}/run")
    sizes = ["--prompt_characters=30", "--text_characters=60"]
    documents = [f"--documents={folder}/held_out.jsonl", f"--human={folder}/human.jsonl"]
    run("text_metrics.py", *documents, *sizes)
    return folder


def discrimination(folder, step):
    model = folder / f"model-{step}.jsonl"
    prompts = [f"--prompts={folder}/human.jsonl", f"--output={model}", f"--step={step}"]
    settings = ["--max_tokens=40", "--temperature=1", "--top_p=1", "--rows=16"]
    run("generate.py", f"--model_dir={folder}/run", *prompts, *settings)
    human = read_continuations(str(folder / "human.jsonl"))
    return discriminate(matched_pairs(human, read_continuations(str(model))))


def test_the_later_checkpoint_is_closer_to_a_half(folder):
    early, late = (discrimination(folder, step) for step in STEPS)
    print(early, late, sep="\n")
    assert early.accuracy > 0.9
    assert abs(late.accuracy - 0.5) < abs(early.accuracy - 0.5)
    assert late.accuracy < early.accuracy_interval[0]
