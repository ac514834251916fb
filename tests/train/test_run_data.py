"""Little text of one's own: it trains, and the dry run says how, or refuses what the run does."""

import gzip
import json
import re

import pytest

from hclx.errors import CheckpointError, ConfigError, DataError
from hclx.gin_bindings import load_experiment
from hclx.train.dry_run import dry_run
from hclx.train.metrics_writer import read_metrics
from hclx.train.pretrain import pretrain
from hclx.train.run import RunOptions
from hclx.train.run_data import prepare_data
from hclx.train.run_dir import read_run

# The shape is small so that it compiles in seconds; everything else is as it ships.
SMALL = [
    "ModelConfig.n_layers=1",
    "ModelConfig.d_model=32",
    "ModelConfig.n_heads=2",
    "MeshConfig.fsdp=1",
    "MeshConfig.data=8",
    "TokenizerConfig.morphemes=none",
    "TrainConfig.total_steps=2",
    "OptimizerConfig.warmup_steps=1",
    "TrainConfig.eval_every=2",
    "TrainConfig.sequence_length=64",
    "ComputeConfig.remat=none",
    "ComputeConfig.loss_chunk_tokens=0",
    "TrainConfig.checkpoint_every=2",
]


def load(*bindings):
    return load_experiment(["runs/kowiki_cpu.gin"], [*SMALL, *bindings])


@pytest.fixture
def ten_documents(tmp_path, sample_texts):
    (tmp_path / "text").mkdir()
    for number, text in enumerate(sample_texts[:10]):
        (tmp_path / "text" / f"{number}.txt").write_text(text[:500], encoding="utf-8")
    return f"DataConfig.input={tmp_path}/text"


def write_corpus(folder, sources):
    """The mixture of a corpus, as `hclx build_corpus` writes it."""
    files = {name: [f"{name}/0.jsonl.gz"] for name in sources}
    for name, texts in sources.items():
        (folder / "mixture" / name).mkdir(parents=True)
        lines = "".join(json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in texts)
        (folder / "mixture" / name / "0.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    entries = {name: {"rate": 1.0, "kept": len(texts)} for name, texts in sources.items()}
    mixture = json.dumps({"sources": entries, "files": files})
    (folder / "mixture" / "mixture.json").write_text(mixture)
    return f"DataConfig.corpus={folder}"


@pytest.mark.long
def test_ten_documents_train_with_the_settings_for_wikipedia(ten_documents, tmp_path, capsys):
    """Whose sample of a quarter, and vocabulary, they are too few for."""
    run = str(tmp_path / "run")
    dry_run(load(ten_documents), run)
    page = capsys.readouterr().out
    assert not (tmp_path / "run").exists()
    assert f"tokenizer          is trained in {run}/tokenizer\n" in page
    (size,) = re.findall(r"^ModelConfig.vocab_size = (\d+)$", page, re.MULTILINE)
    said = f"vocabulary: {int(size):,} tokens, as the tokenizer has, and not the 16,384 of"
    assert said in page and re.search(r"\n *10 files, 1\d\.\d KB\n".replace(" *", r"text +"), page)
    assert re.search(r"\ntokens +[\d,]+ to train on, [\d,]+ held out; the run reads \d+% of", page)
    for _ in range(2):  # the second start has nothing left to do
        state = pretrain(load(ten_documents), run)
        assert int(state.step) == 2 and said in capsys.readouterr().out
    other = RunOptions(init_from=run)  # its vocabulary is that of its tokenizer, which is named
    with pytest.raises(CheckpointError, match="there and 16384 here") as caught:
        dry_run(load(ten_documents), None, other)
    (advice,) = re.findall(r"take its tokenizer with --gin\.(\S+)$", str(caught.value))
    capsys.readouterr()
    dry_run(load(ten_documents, advice), None, other)
    page = capsys.readouterr().out
    assert f"begins from        step 2 of {run}\n" in page
    assert f"tokenizer          as it is in {run}/tokenizer\n" in page
    config, _ = read_run(run)
    assert config.model.vocab_size == int(size) < 16_384
    assert read_metrics(run)[-1]["validation_loss"] > 0


@pytest.mark.long
def test_a_source_that_is_too_small_is_told_and_left_out(tmp_path, sample_texts, capsys):
    sources = {
        "big": sample_texts[:40],
        "tiny": ["아주 짧은 글"],
        "small": [sample_texts[40][:400]],
    }
    corpus = write_corpus(tmp_path / "corpus", sources)
    experiment = load(corpus, "ModelConfig.vocab_size=512")
    dry_run(experiment, str(tmp_path / "run"))
    page = capsys.readouterr().out
    tokens = "a sequence needs 65 tokens of one source"
    assert re.search(rf"left out of training, as {tokens}: tiny \(\d+ tokens\)\n", page)
    listed = r"small \(\d+ tokens\), tiny \(\d+ tokens?\)"
    assert re.search(rf"left out of validation, as {tokens}: {listed}\n", page)
    pretrain(experiment, str(tmp_path / "run"))
    assert page.partition("left out")[2].splitlines()[0] in capsys.readouterr().out
    assert read_metrics(tmp_path / "run")[-1]["validation_loss"] > 0


SHORT = ["ModelConfig.vocab_size=384", "TrainConfig.sequence_length=256"]


def test_the_dry_run_says_that_too_little_is_held_out(tmp_path, sample_texts, capsys):
    corpus = write_corpus(tmp_path / "corpus", {"one": [sample_texts[0][:200].replace("\n", " ")]})
    few = ["ModelConfig.vocab_size=384", corpus]
    dry_run(load(*few))
    assert "no validation loss is computed, as a sequence needs 65" in capsys.readouterr().out
    dry_run(load(*few, "DataConfig.validation_permille=400"))
    page = capsys.readouterr().out
    assert "no validation loss" not in page and "left out" not in page


@pytest.mark.parametrize(
    ("content", "bindings", "message"),
    [
        ("", [], "no text to train on: there is no document with text"),
        ("짧다", [], "6 bytes are too little text for vocab_size=16384; give more text"),
        ("short", SHORT, "a.txt: no source has more than"),
        ("옛 한글".encode("cp949"), [], "it reads as CP949: give --gin.DataConfig.encoding=cp949"),
        (b'{"body": "1"}\n' * 100_000, [], "a.jsonl:1: no string field `text`"),
    ],
)
def test_the_dry_run_refuses_text_that_the_run_would_refuse(
    content, bindings, message, tmp_path, sample_texts
):
    content = sample_texts[0][:200] if content == "short" else content
    content = content if isinstance(content, bytes) else content.encode()
    path = tmp_path / ("a.jsonl" if content.startswith(b"{") else "a.txt")
    path.write_bytes(content)
    experiment = load(f"DataConfig.input={path}", *bindings)
    for begin in (dry_run, pretrain):
        with pytest.raises(DataError, match=re.escape(message)) as caught:
            begin(experiment, str(tmp_path / "run"))
        assert "hclx-dry-run" not in str(caught.value)  # a folder that nobody knows
        assert begin is pretrain or not (tmp_path / "run").exists()


def test_the_dry_run_refuses_a_tokenizer_and_a_cache_that_the_run_would_refuse(
    ten_documents, tmp_path
):
    run = str(tmp_path / "run")
    pretrain(load(ten_documents, "TrainConfig.checkpoint_every=9", "TrainConfig.eval_every=0"), run)
    for path in (tmp_path / "run" / "checkpoints").iterdir():
        path.rename(tmp_path / path.name)  # the configuration may change again
    for change, error, message in (
        ("ModelConfig.vocab_size=512", ConfigError, "vocab_size=512, but the tokenizer in"),
        ("TokenizerConfig.seed=3", ConfigError, "TokenizerConfig.seed=3, but it has 0"),
        ("DataConfig.max_documents=3", DataError, "max_documents: 0 there, 3 now"),
    ):
        with pytest.raises(error, match=message):
            dry_run(load(ten_documents, change), run)


def test_a_tokenizer_folder_that_is_missing_is_said_with_its_flag(
    ten_documents, tmp_path, capsys, caplog
):
    experiment = load(ten_documents, f"DataConfig.tokenizer_dir={tmp_path}/tokenzier")
    warning = f"--gin.DataConfig.tokenizer_dir={tmp_path}/tokenzier holds no tokenizer: one is"
    dry_run(experiment)
    assert f"\nwarning: {warning}" in capsys.readouterr().out and warning not in caplog.text
    prepare_data(experiment, str(tmp_path / "run"))
    assert warning in caplog.text


@pytest.mark.long
def test_a_run_that_goes_on_without_its_tokenizer_is_told_the_flags(
    ten_documents, tmp_path, capsys
):
    first, run = str(tmp_path / "first"), str(tmp_path / "run")
    prepare_data(load(ten_documents), first)
    named = [f"DataConfig.tokenizer_dir={first}/tokenizer", f"DataConfig.cache_dir={first}/cache"]
    pretrain(load(ten_documents, *named), run)
    size = read_run(run)[0].model.vocab_size
    for forgotten in ([], [f"ModelConfig.vocab_size={size}"], named[1:]):
        begin = pretrain if forgotten else dry_run
        with pytest.raises(ConfigError, match="was trained with another vocabulary") as caught:
            begin(load(ten_documents, *forgotten), run)
        flags = re.findall(r"--gin\.(DataConfig\.\S+)", str(caught.value))
        assert flags == (named[:1] if forgotten == named[1:] else named)
    assert not (tmp_path / "run" / "tokenizer").exists()
    assert int(pretrain(load(ten_documents, *flags, *forgotten), run).step) == 2


def test_text_that_was_added_is_refused_for_good_where_the_run_has_begun(
    ten_documents, tmp_path, capsys
):
    run = tmp_path / "run"
    pretrain(load(ten_documents), str(run))
    (tmp_path / "text" / "more.txt").write_text("나중에 쓴 글입니다.", encoding="utf-8")
    for begin in (dry_run, pretrain):
        with pytest.raises(DataError, match="has begun and cannot go on with another text: give"):
            begin(load(ten_documents), str(run))
    (run / "checkpoints").rename(tmp_path / "checkpoints")  # as if it had not begun
    with pytest.raises(DataError, match="`rm -r .*/run/cache` lets the run make it again"):
        pretrain(load(ten_documents), str(run))


def test_a_cache_with_old_rates_is_refused_in_a_short_line(tmp_path, sample_texts):
    sources = {name: sample_texts[i::8] for i, name in enumerate("abcdefgh")}
    corpus = write_corpus(tmp_path / "corpus", sources)
    named = [
        corpus,
        "ModelConfig.vocab_size=512",
        f"DataConfig.tokenizer_dir={tmp_path}/tokenizer",
        f"DataConfig.cache_dir={tmp_path}/corpus/cache",
    ]
    prepare_data(load(*named), str(tmp_path / "run"))
    path = tmp_path / "corpus" / "mixture" / "mixture.json"
    mixture = json.loads(path.read_text())
    for entry in mixture["sources"].values():
        entry["rate"] = 1 / 7
    path.write_text(json.dumps(mixture))
    with pytest.raises(DataError, match="run `hclx build_corpus` with --tokenizer_dir") as caught:
        prepare_data(load(*named), str(tmp_path / "run"))
    assert "1 there, 0.1429 now" in str(caught.value) and "6 other differences" in str(caught.value)
    assert len(str(caught.value).replace(str(tmp_path), "runs")) < 250
