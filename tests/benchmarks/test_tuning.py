"""The benchmark of tuning with tiny models: its cases, its file, and the turns with PEFT."""

import json
from functools import partial

import numpy as np
import pytest

from hclx.tune import TuneConfig
from tests.benchmarks import tuning_peft, tuning_table
from tests.benchmarks.tuning_cases import METHODS, Setup, decode, next_tokens
from tests.benchmarks.tuning_tasks import Sizes, chatbot, klue_nli, tiny_task
from tests.helpers.tuning import FP32, load_base, torch_model
from tests.helpers.tuning_runs import write_base

SMALL = ("TuneConfig.length=3", "OptimizerConfig.warmup_steps=1", "MeshConfig.fsdp=1")


@pytest.fixture(scope="module")
def setup(tmp_path_factory, tokenizer_dirs):
    folder = tmp_path_factory.mktemp("benchmark")
    base = str(write_base(folder / "base", tokenizer_dirs["plain"]))
    return Setup(base, folder / "work", 2, 2, 92, 2, SMALL)  # a prefix of 3 has room too


def table_of(setup, output, names, methods, seeds=(0,)):
    tasks = {name: partial(tiny_task, name) for name in names}
    return tuning_table.measure(setup, tasks, methods, seeds, output)


@pytest.mark.long
def test_cases_are_measured_once(setup, tmp_path, monkeypatch):
    output = tmp_path / "tuning.jsonl"
    lines = table_of(setup, output, ["nsmc"], ["few_shot", "lora"])
    lines += table_of(setup, output, ["chatbot"], ["prompt_tune"])
    shots, lora, soft = lines
    assert 0 <= shots["accuracy"] <= 1 and shots["shots"] == 2 and "batch" in shots["calibrated"]
    assert 0 <= lora["accuracy"] <= 1 and lora["items"] == 8 and lora["loss"] > 0
    assert lora["state_bytes"] == pytest.approx(lora["state_bytes_planned"], rel=0.1)
    assert lora["artefact_bytes"] > 4 * lora["trainable"] > 0
    assert soft["chrf"] >= 0 and soft["loss"] > 0 and soft["trainable"] == 3 * 32
    assert list(setup.work.iterdir()) == []
    content = output.read_text(encoding="utf-8")
    assert [json.loads(line) for line in content.splitlines()] == lines
    # A kill left half a line: the finished cases are not run again, and the line is whole.
    output.write_text(content[:-20], encoding="utf-8")
    ran = []
    monkeypatch.setattr(tuning_table, "run_case", lambda *case: ran.append(case[2:]) or {"chrf": 1})
    table_of(setup, output, ["nsmc"], ["few_shot", "lora"])
    again = table_of(setup, output, ["chatbot"], ["prompt_tune"])
    assert ran == [("prompt_tune", 0)]
    assert [json.loads(x) for x in output.read_text().splitlines()] == [shots, lora, *again]
    assert table_of(setup._replace(steps=3), output, ["nsmc"], ["lora"]) and len(ran) == 2
    shown = tuning_table.table(lines)
    assert "| few_shot, batch |" in shown and "| lora |" in shown and "chatbot" in shown
    widths = {line.count("|") for line in shown.splitlines() if line.startswith("| few")}
    assert len(widths) == 1


@pytest.mark.long
def test_every_method_is_a_case_of_every_task(setup, tmp_path):
    lines = table_of(setup, tmp_path / "all.jsonl", ["nsmc", "klue_nli", "chatbot"], METHODS)
    assert len(lines) == 3 * len(METHODS)
    whole = next(line for line in lines if line["method"] == "finetune")
    assert whole["artefact_bytes"] is None and whole["state_bytes"] > 12 * whole["trainable"]


def test_texts_are_those_of_transformers():
    torch = pytest.importorskip("torch")
    base = load_base("gpt2")
    contexts = [np.array([5, 9, 30, 7]), np.array([11, 3])]
    step = next_tokens(base.config, FP32, TuneConfig(kind="finetune"))
    written = decode(step, base.params, contexts, 6, eod=-1)
    model = torch_model(base)
    for context, ids in zip(contexts, written):
        whole = model.generate(
            torch.tensor(context)[None], max_new_tokens=6, do_sample=False, eos_token_id=None
        )
        assert whole[0, len(context) :].tolist() == ids


@pytest.mark.long
@pytest.mark.parametrize("kind", ["prompt_tune", "lora"])
def test_steps_take_turns_with_peft(kind):
    pytest.importorskip("peft")
    folder = load_base("gpt2").folder
    full, mixed = tuning_peft.measure(folder, tuning_peft.TINY, [kind])
    for figures in (full, mixed):
        assert figures["ratio"] > 0 and figures["rounds"] == 1
        assert 0 < figures["peft_filled"] <= figures["hclx_filled"] + 0.5
    assert full["peft_filled"] == 1 and mixed["peft_filled"] < 1


def test_published_items_are_divided_by_their_content(data_dir):
    nli = klue_nli(str(data_dir), Sizes(10_000, 60, 10_000))
    assert (len(nli.train) + len(nli.held_out), len(nli.test)) == (1998, 1002)
    premises = lambda rows: {row.fields["premise"] for row in rows}
    assert not premises(nli.test) & premises([*nli.train, *nli.held_out])
    chat = chatbot(str(data_dir), Sizes(20_000, 60, 20_000))
    questions = lambda rows: {row.fields["question"] for row in rows}
    assert not questions(chat.test) & questions([*chat.train, *chat.held_out])
    assert len(chat.train) + len(chat.held_out) + len(chat.test) == 11_823
