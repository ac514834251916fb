"""A model that comes in with its own tokenizer: its files go out again as they are, a token cache
is built with it, training and generation use it.
"""

import json

import numpy as np
import pytest

from hclx.convert.exporting import export_model
from hclx.convert.importing import import_model
from hclx.data import TokenCache
from hclx.infer import (
    EmbeddedEngine,
    EngineConfig,
    GenerateRequest,
    SamplingConfig,
    load_for_inference,
)
from hclx.text import load_tokenizer
from tests.conftest import SAMPLE
from tests.helpers.commands import launch
from tests.helpers.families import save_model
from tests.helpers.foreign_tokenizers import LINES, save_tokenizer

pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("tokenizers")
NAMES = {"byte-level": "Qwen", "byte fallback": "Llama 2"}
ROWS = 512  # of the embedding; more than there are tokens
GENERATION = {"eos_token_id": [5, 6], "bos_token_id": None, "temperature": 0.6}
TEMPLATE = "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}"


@pytest.fixture(scope="module", params=NAMES)
def imported(request, tmp_path_factory):
    """(the folder of transformers, the run)."""
    folder, run = tmp_path_factory.mktemp("hf"), tmp_path_factory.mktemp("run") / "run"
    save_model("llama", folder, vocab_size=ROWS)
    save_tokenizer(NAMES[request.param], folder, chat_template=TEMPLATE)
    (folder / "chat_template.jinja").write_text(TEMPLATE, encoding="utf-8")
    (folder / "generation_config.json").write_text(json.dumps(GENERATION))
    import_model(folder, run)
    return folder, run


def test_its_files_go_out_as_they_came_in(imported, tmp_path):
    import transformers

    folder, run = imported
    export_model(run, tmp_path / "out")
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        assert (tmp_path / "out" / name).read_bytes() == (folder / name).read_bytes()
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path / "out")
    ours = load_tokenizer(run / "tokenizer")
    for text in LINES:
        assert theirs(text, add_special_tokens=False)["input_ids"] == ours.encode(text)
    chat = [{"role": "user", "content": "안녕"}]
    assert theirs.apply_chat_template(chat, tokenize=False) == "[user]안녕"
    assert ours.chat_template == TEMPLATE
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    ids = {"eos_token_id": ours.eod_id, "bos_token_id": ours.begin_ids[0]}
    assert ids.items() <= config.items()
    # Its own words on generation stay, and what they leave open is written.
    generation = json.loads((tmp_path / "out" / "generation_config.json").read_text())
    assert generation == ids | {"pad_token_id": ours.pad_id} | {
        "eos_token_id": [5, 6],
        "temperature": 0.6,
    }


def test_generation_begins_as_the_tokenizer_says_and_streams_whole_characters(imported):
    _, run = imported
    model = load_for_inference(run)
    tokenizer = load_tokenizer(run / "tokenizer")
    sampling = [SamplingConfig(temperature=1.0, max_tokens=48, seed=seed) for seed in (1, 2)]
    requests = map(GenerateRequest, ["오늘 아침에는", ""], sampling)
    with EmbeddedEngine(model, tokenizer, EngineConfig(rows=2, steps=1)) as engine:
        tickets = list(map(engine.submit, requests))
        parts = list(map(list, tickets))
        made = [ticket.result() for ticket in tickets]
    for generation, said in zip(made, parts):
        assert "".join(said) == generation.text and "" not in said
        assert generation.text == tokenizer.decode_bytes(generation.tokens).decode(errors="replace")
        assert max(generation.tokens) < tokenizer.vocab_size  # and not of the other rows
        special = np.flatnonzero(tokenizer.token_bytes() == 0)
        assert not set(generation.tokens) & set(special.tolist())


def test_a_token_cache_is_built_by_the_command_and_read_back(imported, tmp_path):
    _, run = imported
    with (tmp_path / "a.jsonl").open("w", encoding="utf-8") as file:
        for line in LINES * 5:
            file.write(json.dumps({"text": line}, ensure_ascii=False) + "\n")
    command = [f"--input={tmp_path}/a.jsonl", f"--tokenizer_dir={run}/tokenizer"]
    done = launch("build_cache.py", *command, f"--cache_dir={tmp_path}/cache")
    assert done.returncode == 0, done.stderr
    cache, tokenizer = TokenCache(tmp_path / "cache"), load_tokenizer(run / "tokenizer")
    assert cache.manifest["tokenizer"]["fingerprint"] == tokenizer.fingerprint
    assert cache.manifest["tokenizer"]["mode"] == "foreign"
    np.testing.assert_array_equal(cache.token_bytes, tokenizer.token_bytes())
    documents = []
    for split in ("train", "validation"):
        stream, offsets = cache.stream(split, 0), cache.offsets(split, 0)
        assert (stream[offsets] == tokenizer.eod_id).all()
        for begin, end in zip(offsets[:-1], offsets[1:]):
            documents.append(tokenizer.decode(stream[begin + 1 : end].tolist()))
    # One document of so few is split between training and validation.
    assert len(documents) == len(LINES * 5) + 1 and "".join(documents) == "".join(LINES * 5)


@pytest.mark.long
def test_training_goes_on_with_it_and_the_model_generates(imported, tmp_path):
    _, run = imported
    done = launch(
        "pretrain.py",
        f"--gin_file={run}/model.gin",
        "--gin_file=gin_configs/runs/continue_cpu.gin",
        f"--gin.DataConfig.input={SAMPLE}",
        "--gin.TrainConfig.sequence_length=64",
        "--gin.TrainConfig.total_steps=3",
        "--gin.TrainConfig.log_every=1",
        "--gin.OptimizerConfig.warmup_steps=1",
        f"--init_from={run}",
        f"--model_dir={tmp_path}/next",
    )
    assert done.returncode == 0, done.stderr
    hashes = json.loads((tmp_path / "next" / "config.json").read_text())["hashes"]
    assert hashes["vocabulary"] == load_tokenizer(run / "tokenizer").fingerprint
    arguments = (f"--model_dir={tmp_path}/next", "--prompt=오늘 아침에는", "--max_tokens=8")
    done = launch("generate.py", *arguments)
    assert done.returncode == 0 and "오늘 아침에는" in done.stdout, done.stderr
    assert export_model(tmp_path / "next", tmp_path / "out").step == 3
