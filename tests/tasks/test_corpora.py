"""The registered tasks and mixtures: same tokens by seqio as in the cache, rates as published."""

import itertools
import os

import pytest

seqio = pytest.importorskip("seqio")

import hclx.tasks.corpora  # noqa: E402, F401
from hclx.config import DataConfig  # noqa: E402
from hclx.data.cache_builder import build_cache  # noqa: E402
from hclx.data.source import ReadSettings, sources_of  # noqa: E402
from hclx.errors import ConfigError, DataError  # noqa: E402
from hclx.tasks.common import VOCABULARY, data_files  # noqa: E402
from hclx.tasks.evaluation import EvaluationSet  # noqa: E402
from hclx.text.seqio_imports import diverted_stderr  # noqa: E402

CORPORA = ("kowiki", "law", "reviews", "comments")


@pytest.fixture(autouse=True)
def vocabulary(tokenizer_dirs):
    VOCABULARY.set_directory(tokenizer_dirs["train"])


def test_seqio_gives_the_tokens_that_the_cache_holds(tokenizer_dirs, tmp_path):
    cache = build_cache(
        "sample",
        sources_of(DataConfig(mixture="sample")),
        tokenizer_dirs["train"],
        tmp_path / "c",
        ReadSettings(),
    )
    for split in ("train", "validation"):
        dataset = seqio.get_mixture_or_task("sample").get_dataset(
            {"targets": 1 << 20}, split, shuffle=False, trim_output_features=False
        )
        # each ends with EOD
        documents = [example["targets"].tolist() for example in dataset.as_numpy_iterator()]
        assert list(itertools.chain([1], *documents)) == cache.stream(split, 0).tolist()


def test_every_corpus_of_the_data_folder_can_be_read(data_dir, tokenizers):
    for name in CORPORA:
        task = seqio.TaskRegistry.get(name)
        example = next(
            task.get_dataset({"targets": 1 << 20}, "train", shuffle=False).as_numpy_iterator()
        )
        text = next(task.source.documents("train", ReadSettings())).text
        assert example["targets"].tolist() == [*tokenizers["train"].encode(text), 1]


def test_rates_follow_the_published_corpus_by_domain():
    mixture = seqio.MixtureRegistry.get("hyperclova_ko")
    rates = {task.name: mixture.get_rate(task) for task in seqio.get_subtasks(mixture)}
    assert set(rates) == set(CORPORA)
    total = 41.1 + 5.2 + 51.5  # billions of tokens: comments, Wikipedia, others
    assert rates["kowiki"] / sum(rates.values()) == pytest.approx(5.2 / total)
    assert rates["law"] / sum(rates.values()) == pytest.approx(51.5 / total)
    assert (rates["reviews"] + rates["comments"]) / sum(rates.values()) == pytest.approx(
        41.1 / total
    )


def test_all_tasks_share_one_vocabulary():
    for name in (*CORPORA, "sample"):
        assert seqio.TaskRegistry.get(name).output_features["targets"].vocabulary is VOCABULARY


def test_a_corpus_without_the_data_folder_says_what_to_set(monkeypatch):
    monkeypatch.delenv("HCLX_DATA_DIR", raising=False)
    with pytest.raises(DataError, match="HCLX_DATA_DIR is not set"):
        next(seqio.TaskRegistry.get("law").source.documents("train", ReadSettings()))


def test_the_data_folder_may_have_any_name(tmp_path, monkeypatch):
    folder = tmp_path / "[2024] 자료"
    (folder / "corpus").mkdir(parents=True)
    (folder / "corpus" / "a.jsonl").write_text("")
    monkeypatch.setenv("HCLX_DATA_DIR", str(folder))
    assert data_files("corpus/*.jsonl")() == [str(folder / "corpus" / "a.jsonl")]
    (folder / "tasks").mkdir()
    (folder / "tasks" / "s.jsonl").write_text("")
    sentences = EvaluationSet("s*.jsonl", ("text",), lambda path: [{"text": "문장"}])
    assert sentences.items(str(folder)) == [("문장",)]


def test_another_module_may_register_the_mixtures(tmp_path, monkeypatch):
    (tmp_path / "my_tasks.py").write_text(
        "from hclx.tasks.common import add_corpus\nadd_corpus('my_corpus', lambda: ['my.txt'])\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    (source,) = sources_of(DataConfig(mixture="my_corpus", task_module="my_tasks"))
    assert (source.name, source.rate, source.files()) == ("my_corpus", 1.0, ["my.txt"])


@pytest.mark.parametrize(
    "content, message",
    [
        (None, "No module named 'NAME'.; it was looked for in the working directory, FOLDER/cwd,"),
        ("\nimport no_such_library\n", "FILE:2 raises ModuleNotFoundError: .*'no_such_library'"),
        ("import json\n\njson.loads('x')\n", "FILE:3 raises JSONDecodeError: Expecting value"),
        ("x = 1\nx = = 2\n", "FILE:2 raises SyntaxError: invalid syntax"),
    ],
)
def test_a_task_module_that_cannot_be_imported_says_why(content, message, tmp_path, monkeypatch):
    name = f"tasks_{abs(hash(content))}"
    if content:
        (tmp_path / f"{name}.py").write_text(content)
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    monkeypatch.syspath_prepend(tmp_path)
    for word, text in ("FILE", f"FOLDER/{name}.py"), ("NAME", name), ("FOLDER", str(tmp_path)):
        message = message.replace(word, text)
    with pytest.raises(ConfigError, match=f"task_module='{name}' cannot be imported.*{message}"):
        sources_of(DataConfig(mixture="my_corpus", task_module=name))


def test_what_is_written_during_a_quiet_start_comes_back_with_an_error(capfd):
    with diverted_stderr():
        os.write(2, b"start-up\n")
    assert capfd.readouterr().err == ""
    with pytest.raises(ValueError), diverted_stderr():
        os.write(2, b"reason\n")
        raise ValueError
    os.write(2, b"after\n")
    assert capfd.readouterr().err == "reason\nafter\n"


def test_the_sample_is_as_large_and_as_varied_as_promised(sample_texts):
    import json

    from tests.conftest import SAMPLE

    records = [json.loads(line) for line in SAMPLE.read_text(encoding="utf-8").splitlines()]
    assert {r["source"] for r in records} == {
        "encyclopedia",
        "news",
        "blog",
        "qna",
        "dialogue",
        "review",
    }
    assert sum(len(text.encode()) for text in sample_texts) >= 100_000
    lines = [line for text in sample_texts for line in text.split("\n") if len(line) > 30]
    assert len(set(lines)) == len(lines)
