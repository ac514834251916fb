"""The benchmark of the engine, with a tiny model: its sections, the turns of its contenders, and
what it says of one that fails.
"""

import json
import os
import subprocess
import sys

import pytest

from tests.benchmarks import engine_sections
from tests.benchmarks.gpu_process import Worker
from tests.conftest import ROOT
from tests.helpers.commands import environment

SHAPE = dict(vocab_size=64, n_layers=1, d_model=32, n_heads=2, max_length=512)
SIZES = engine_sections.Sizes(2, ((8, 16), (24, 8)), 4, 512, (8, 16), 4, 1, None, 1)


def figures_of(section, source=SHAPE, sizes=SIZES):
    figures = []
    engine_sections.SECTIONS[section](source, sizes, lambda case, **row: figures.append(row))
    return figures


@pytest.mark.long
def test_a_step_is_compared_with_the_bandwidth(monkeypatch):
    monkeypatch.setattr("hclx.infer.benchmark._READ_BYTES", {"cpu": 2**22})
    one, both = figures_of("bandwidth")
    assert one["step_mb"] < both["step_mb"] and min(one["share"], both["share"]) > 0
    assert one["share"] == pytest.approx(
        one["step_mb"] / one["step_ms"] / one["gb_per_second"], rel=1e-6
    )


@pytest.mark.long
def test_batches_have_the_same_requests():
    (figures,) = figures_of("batching")
    rates = figures["continuous_tokens_per_second"], figures["static_tokens_per_second"]
    assert figures["ratio"] == pytest.approx(rates[0] / rates[1])


@pytest.mark.long
def test_the_prefix_cache_computes_the_examples_once():
    (figures,) = figures_of("prefix")
    head, own, labels = engine_sections.SHOTS * 24, 24, 1.5
    assert figures["tokens_without"] == 2 * (head + own + labels)
    assert figures["tokens_with"] == head / 4 + 2 * (own + labels)  # of four items
    assert figures["fewer_tokens"] == figures["tokens_without"] / figures["tokens_with"]
    assert figures["same_labels"] == "1 of 1"


def test_items_of_a_file_come_after_balanced_examples(tmp_path):
    path = tmp_path / "train.tsv"
    lines = [f'{i}\t"글 {i}\t{i % 2 if i < 30 else 0}' for i in range(40)]
    path.write_text("\n".join(["ID\tText\tLabel", *lines]) + "\n", encoding="utf-8")
    sizes = SIZES._replace(items=str(path), n_items=20)
    contexts, labels, answers = engine_sections.scored_items("a run", sizes, 64)
    assert labels == [" 부정", " 긍정"] and len(contexts) == len(answers) == 20
    assert answers == [0, 1] * 7 + [0] * 6  # of 16 to 35
    heads = {context.rsplit("문장", 1)[0] for context in contexts}
    (head,) = heads
    assert head.count("부정\n\n") == head.count("긍정\n\n") == 8
    assert head.startswith('문장: "글 0\n감정: 부정\n\n문장: "글 1\n감정: 긍정\n\n')
    assert contexts[0].endswith('문장: "글 16\n감정:')
    with pytest.raises(SystemExit, match="has 24 items; give fewer by --n_items"):
        engine_sections.scored_items("a run", sizes._replace(n_items=25), 64)


@pytest.mark.long
def test_free_rows_are_timed_beside_rows_with_a_grammar(monkeypatch, tokenizers):
    pytest.importorskip("llguidance")
    plain = next(tokenizer for mode, tokenizer in tokenizers.items() if "plain" in mode)
    monkeypatch.setattr(engine_sections, "sample_tokenizer", lambda size: plain)
    (figures,) = figures_of("grammar", SHAPE | {"vocab_size": 1024})
    rates = [rate for name, rate in figures.items() if name.startswith("tokens")]
    assert figures["loss"] == pytest.approx(1 - rates[1] / rates[0])


def test_a_contender_that_cannot_start_is_one_line():
    program = str(ROOT / "tests" / "benchmarks" / "engine_contender.py")
    spec = json.dumps({"threads": 1, "folder": "/nowhere", "place": "/nowhere", "source": "/no"})
    command = [sys.executable, "-P", program, "llama_cpp", spec]
    worker = Worker("llama_cpp", {}, command)
    result = worker.ask({"requests": [[[1], 1]]}, 600)
    assert result["error"].startswith("ModuleNotFoundError: No module named 'conversion'")
    worker.kill()


def bench(tmp_path, *flags):
    script = str(ROOT / "tests" / "benchmarks" / "engine.py")
    output = tmp_path / "figures.jsonl"
    absent = {"HCLX_VLLM": None, "HCLX_LLAMA_CPP": None, "HCLX_DATA_DIR": None}
    result = subprocess.run(
        [sys.executable, script, "--tiny", f"--output={output}", *flags],
        env=environment(1, {"PYTHONPATH": str(ROOT), **absent}),  # with PyTorch
        capture_output=True,
        text=True,
        cwd="/",
        timeout=1200,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    rows = [json.loads(line) for line in output.read_text(encoding="utf-8").splitlines()]
    assert all(f"| {row['section']} | {row['model']} |" in result.stdout for row in rows)
    return rows


@pytest.mark.long
def test_transformers_and_the_engine_take_turns(tmp_path):
    pytest.importorskip("transformers")
    rows = bench(tmp_path, "--sections=transformers", "--compile_seconds=0.01")
    for row, (case, texts) in zip(rows, (("single", "1 of 1"), ("8 mixed", "8 of 8"))):
        assert row["case"].startswith(f"{case}, eager, ") and row["same_texts"] == texts
        rates = row["hclx_tokens_per_second"], row["peer_tokens_per_second"]
        assert row["ratio"] == pytest.approx(rates[0] / rates[1])
    assert [row["error"] for row in rows[2:]] == ["stopped after 0 s"]


@pytest.mark.long
def test_what_is_not_there_is_left_out(tmp_path):
    (row,) = bench(tmp_path, "--sections=foreign")
    assert row["why"] == "--hf is not given: they need a tokenizer"


@pytest.mark.long
def test_all_sections_of_one_process_run_as_a_command(tmp_path):
    rows = bench(tmp_path, "--sections=bandwidth,batching,prefix,grammar")
    assert [row["section"] for row in rows] == [
        *("bandwidth", "bandwidth", "batching", "prefix", "grammar")
    ]
    assert os.listdir(tmp_path) == ["figures.jsonl"]
