"""launch/train_tokenizer.py and launch/build_cache.py, and that the second run uses what they
made.
"""

import json
import re

import pytest

from hclx.data import TokenCache
from hclx.launching import expand_home, take_gin_bindings
from hclx.text import load_tokenizer
from hclx.train.metrics_writer import read_metrics
from tests.conftest import SAMPLE
from tests.helpers import written_corpus
from tests.helpers.built_corpora import digest
from tests.helpers.commands import TINY, launch, refused


@pytest.mark.long
def test_tokenizer_then_cache_then_pretraining(tmp_path):
    tokenizer, cache, run = (str(tmp_path / name) for name in ("tokenizer", "cache", "run"))
    trained = launch(
        "train_tokenizer.py",
        f"--input={SAMPLE}",
        f"--output_dir={tokenizer}",
        "--vocab_size=512",
        "--mode=train",  # the old name of --morphemes=merges
    )
    assert (
        trained.returncode == 0 and "512 tokens, morphemes merges, split by kiwi" in trained.stdout
    ), trained.stderr
    assert (
        load_tokenizer(tokenizer).decode(load_tokenizer(tokenizer).encode("훈민정음")) == "훈민정음"
    )
    built = launch(
        "build_cache.py",
        "--mixture=sample",
        f"--tokenizer_dir={tokenizer}",
        f"--cache_dir={cache}",
        "--validation_permille=60",
    )
    assert built.returncode == 0 and "sample: " in built.stdout, built.stderr
    assert built.stderr == ""  # although TensorFlow was imported
    assert TokenCache(cache).manifest["vocab_size"] == 512
    own = [
        a for a in TINY if "input" not in a and "mixture" not in a and "TokenizerConfig" not in a
    ]
    own += [
        "--gin.DataConfig.mixture=sample",
        f"--gin.DataConfig.tokenizer_dir={tokenizer}",
        f"--gin.DataConfig.cache_dir={cache}",
    ]
    result = launch("pretrain.py", *own, f"--model_dir={run}", "--gin.TrainConfig.total_steps=6")
    assert result.returncode == 0, result.stderr
    assert not re.search("(?i)cuda|onednn|absl|tensorflow|apitools", result.stderr), result.stderr
    assert read_metrics(run)[-1]["step"] == 6 and not (tmp_path / "run" / "cache").exists()
    again = launch(
        "build_cache.py", "--mixture=sample", f"--tokenizer_dir={tokenizer}", f"--cache_dir={cache}"
    )
    assert "already holds a token cache" in refused(again, 64)


def test_a_run_and_the_command_train_the_same_tokenizer(tmp_path):
    """With the split of the run, which does not learn from the documents that it validates on."""
    from hclx.config import DataConfig, TokenizerConfig
    from hclx.data import prepare

    data = DataConfig(input=str(SAMPLE), validation_permille=100)
    wanted = TokenizerConfig(morphemes="none", sample_rate=0.8, seed=1)
    prepare(data, wanted, 512, str(tmp_path / "run"), str(tmp_path / "cache"))
    trained = launch(
        "train_tokenizer.py",
        f"--input={SAMPLE}",
        f"--output_dir={tmp_path / 'command'}",
        "--vocab_size=512",
        "--morphemes=none",
        "--sample_rate=0.8",
        "--seed=1",
        "--validation_permille=100",
    )
    assert trained.returncode == 0, trained.stderr
    assert digest(tmp_path / "run") == digest(tmp_path / "command")


def test_both_names_of_a_setting_are_a_contradiction(tmp_path):
    flags = (f"--input={SAMPLE}", f"--output_dir={tmp_path / 't'}", "--vocab_size=512")
    stopped = launch("train_tokenizer.py", *flags, "--mode=plain", "--morphemes=none")
    assert "--mode is the old name of --morphemes" in refused(stopped, 64)


@pytest.mark.long
def test_a_mixture_gives_the_tokenizer_of_its_files(tmp_path):
    raw, config = written_corpus.write(tmp_path)
    corpus, own = (
        tmp_path / "corpus",
        ["--vocab_size=512", "--morphemes=merges", "--sample_rate=0.7", "--seed=2"],
    )
    built = launch(
        "build_corpus.py",
        f"--config={config}",
        f"--input={raw}",
        f"--output={corpus}",
        "--workers=1",
    )
    assert built.returncode == 0, built.stderr
    from_corpus = launch(
        "train_tokenizer.py",
        f"--corpus={corpus}",
        f"--output_dir={tmp_path / 'one'}",
        "--workers=1",
        *own,
    )
    from_files = launch(
        "train_tokenizer.py",
        f"--input={corpus}/mixture/*/*.jsonl.gz",
        f"--output_dir={tmp_path / 'other'}",
        *own,
    )
    assert from_corpus.returncode == from_files.returncode == 0, (
        from_corpus.stderr + from_files.stderr
    )
    assert digest(tmp_path / "one") == digest(tmp_path / "other")
    metadata = load_tokenizer(tmp_path / "one").metadata
    assert (
        0 < metadata["documents"] < len(written_corpus.kept())
        and f"from {metadata['documents']} documents of" in from_corpus.stdout
    )
    assert (
        "error" not in from_corpus.stderr and from_corpus.stderr.count("\n") == 1
    )  # how long it counted
    again = lambda *flags: launch(
        "train_tokenizer.py", f"--corpus={corpus}", f"--output_dir={tmp_path / 'one'}", *own, *flags
    )
    repeated = again()
    assert repeated.returncode == 0 and "it is already there" in repeated.stdout, repeated.stderr
    assert digest(tmp_path / "one") == digest(tmp_path / "other")
    assert "already holds a tokenizer" in refused(again("--seed=3"), 64)


def test_bad_values(tmp_path):
    call = lambda *arguments: launch(
        "train_tokenizer.py", f"--output_dir={tmp_path / 't'}", *arguments
    )
    assert "multiple of 128" in refused(call(f"--input={SAMPLE}", "--vocab_size=1000"), 64)
    assert "--mode is the old name of --morphemes" in refused(
        call(f"--input={SAMPLE}", "--mode=plain", "--morphemes=merges"), 64
    )
    assert "matches no file" in refused(call("--input=/nowhere/*.txt"), 65)
    for neither_or_both in ([], [f"--input={SAMPLE}", f"--corpus={tmp_path}"]):
        assert (
            "give either --input, files of one's own, or --corpus, a folder with a mixture"
            in refused(call(*neither_or_both), 64)
        )
    assert (
        "mixture/mixture.json cannot be read; make the mixture with hclx build_corpus"
        in refused(call(f"--corpus={tmp_path}"), 65)
    )
    assert "multiple of 128" in refused(call(f"--corpus={tmp_path}", "--vocab_size=1000"), 64)
    assert "sample_rate=0.0 is not in (0, 1]" in refused(
        call(f"--corpus={tmp_path}", "--sample_rate=0"), 64
    )
    assert "Apache Beam has no option --no_such_option" in refused(
        call(f"--corpus={tmp_path}", "--", "--no_such_option=1"), 64
    )
    assert "--runner=FlinkRunner is for Apache Beam, which runs with --corpus alone" in refused(
        call(f"--input={SAMPLE}", "--", "--runner=FlinkRunner"), 64
    )
    (tmp_path / "bad.jsonl").write_text(json.dumps({"text": "가"}) + "\n\n{}\n")
    assert "bad.jsonl:3: no string field `text`" in refused(
        call(f"--input={tmp_path / 'bad.jsonl'}"), 65
    )
    (tmp_path / "old.txt").write_bytes("예전 한글 파일".encode("cp949"))
    assert refused(call(f"--input={tmp_path / 'old.txt'}"), 65).endswith("give --encoding=cp949")
    assert not (tmp_path / "t").exists()


def test_a_filter_says_what_it_counted_and_how_to_divide_a_text(tmp_path):
    texts = SAMPLE.read_text(encoding="utf-8").splitlines()
    good, others = tmp_path / "good.txt", tmp_path / "others.txt"
    good.write_text("\n".join(json.loads(line)["text"].split("\n")[0] for line in texts))
    others.write_text("\n".join("ㅋㅋㅋ" * (i % 7 + 1) for i in range(100)))
    command = [
        "train_filter.py",
        f"--good={good}",
        f"--others={others}",
        f"--output={tmp_path / 'q.npz'}",
    ]
    message = refused(launch(*command), 65)
    assert "holds 1 document in 1 file (each text file is one; try --split=line" in message
    result = launch(*command, "--split=line")
    assert result.returncode == 0 and "classified correctly" in result.stdout, result.stderr
    others.write_bytes("날씨가 좋다\n".encode("cp949") * 100)  # no model learns U+FFFD in silence
    message = refused(launch(*command, "--split=line"), 65)
    assert "others.txt:1: invalid UTF-8 at byte 0, it reads as CP949" in message
    assert launch(*command, "--split=line", "--invalid_utf8=replace").returncode == 0


def test_the_users_folder_in_an_option(monkeypatch):
    monkeypatch.setenv("HOME", "/home/a")
    expected = {
        "--model_dir=~/run": "--model_dir=/home/a/run",
        "--gin.DataConfig.input='~/a.txt'": "--gin.DataConfig.input='/home/a/a.txt'",
        "--gin.DataConfig.cache_dir=~": "--gin.DataConfig.cache_dir=/home/a",
        "--prompt=~/run": "--prompt=~/run",
        "--model_dir=./~": "--model_dir=./~",
    }
    assert {argument: expand_home(argument) for argument in expected} == expected
    argv = ["pretrain.py", "--gin.DataConfig.input=~/a.txt"]
    assert take_gin_bindings(argv) == ["DataConfig.input=/home/a/a.txt"]
