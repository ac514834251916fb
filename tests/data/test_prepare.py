"""Tokenizer and cache of a run are made if they are missing, and refused if they do not fit."""

import dataclasses
import json
import shutil
from pathlib import Path

import pytest

from hclx.config import DataConfig, TokenizerConfig
from hclx.data import prepare
from hclx.errors import ConfigError, DataError


@pytest.fixture(scope="module")
def made(tmp_path_factory, sample_texts):
    folder = tmp_path_factory.mktemp("run")
    with (folder / "text.jsonl").open("w", encoding="utf-8") as file:
        file.writelines(
            json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in sample_texts
        )
    data = DataConfig(input=str(folder / "text.jsonl"), validation_permille=100)
    run(folder, data)
    return folder, data


def run(folder, data, vocab_size=512, mode="plain"):
    return prepare(
        data,
        TokenizerConfig(mode=mode),
        vocab_size,
        str(folder / "tokenizer"),
        str(folder / "cache"),
    )


def test_made_once_and_used_again(made):
    folder, data = made
    before = (folder / "cache" / "manifest.json").stat().st_mtime_ns
    cache = run(folder, data)
    assert (
        cache.manifest["vocab_size"] == 512
        and (folder / "cache" / "manifest.json").stat().st_mtime_ns == before
    )


def test_the_tokenizer_never_sees_the_validation_split(made, sample_texts):
    folder, data = made
    from hclx.data.source import ReadSettings

    metadata = json.loads((folder / "tokenizer" / "hclx_tokenizer.json").read_text())
    train = [t for t in sample_texts if ReadSettings.of(data).split_of(t) == "train"]
    assert metadata["documents"] == len(train) < len(sample_texts)


def test_other_text_is_refused(made, tmp_path):
    folder = shutil.copytree(made[0], tmp_path / "run")
    (folder / "text.jsonl").write_text(json.dumps({"text": "다른 글"}) + "\n")
    with pytest.raises(DataError, match="text of input: other files"):
        run(folder, dataclasses.replace(made[1], input=str(folder / "text.jsonl")))


def test_text_may_move_and_may_be_gone_but_not_change(made, tmp_path):
    folder, data = shutil.copytree(made[0], tmp_path / "run"), made[1]
    moved = dataclasses.replace(data, input=str(folder / "text.jsonl"))
    assert run(folder, moved).manifest["mixture"] == "input"
    (folder / "text.jsonl").unlink()
    assert run(folder, moved)


@pytest.mark.parametrize(
    "change", [{"validation_permille": 101}, {"max_documents": 5}, {"invalid_utf8": "replace"}]
)
def test_other_settings_are_refused(made, change):
    folder, data = made
    with pytest.raises(DataError, match=f"token cache of something else.*{next(iter(change))}"):
        run(folder, dataclasses.replace(data, **change))


def test_another_vocabulary_is_refused(made, tmp_path, sample_texts):
    folder = shutil.copytree(made[0], tmp_path / "run")
    shutil.rmtree(folder / "tokenizer")
    with pytest.raises(DataError, match="vocabulary: .*mode: 'plain' there, 'train' now"):
        run(folder, made[1], mode="train")


def test_another_size_of_the_model_is_refused(made):
    with pytest.raises(ConfigError, match="vocab_size=1024, but the tokenizer .* has 512"):
        run(*made, vocab_size=1024)


def test_unknown_mixture(tmp_path):
    pytest.importorskip("seqio")
    with pytest.raises(
        ConfigError, match="'kowikki' is not registered by hclx.tasks.corpora; known are .*kowiki"
    ):
        run(tmp_path, DataConfig(mixture="kowikki"))


def test_folders_may_be_named_from_a_folder_beside_them(made, tmp_path, monkeypatch):
    """A path with `..`, which TensorStore itself refuses."""
    (tmp_path / "beside").mkdir()
    monkeypatch.chdir(tmp_path / "beside")
    cache = run(Path("../run"), made[1])
    tokens = cache.stream("train", 0)
    assert (tmp_path / "run" / "cache").is_dir() and len(tokens) == cache.n_tokens("train", 0)


def test_text_of_another_encoding_and_in_a_folder(made, tmp_path, sample_texts):
    (tmp_path / "raw" / "deep").mkdir(parents=True)
    for i, text in enumerate(sample_texts):
        content = text.encode("cp949", "ignore")
        (tmp_path / "raw" / "deep" / f"{i}.txt").write_bytes(content)
    shutil.copytree(made[0] / "tokenizer", tmp_path / "tokenizer")
    data = DataConfig(input=str(tmp_path / "raw"), validation_permille=100)
    with pytest.raises(DataError, match="it reads as CP949: write `encoding: cp949`"):
        run(tmp_path, data)
    cp949 = dataclasses.replace(data, encoding="cp949")
    cache = run(tmp_path, cp949)
    assert sum(s["splits"]["train"]["n_documents"] for s in cache.manifest["sources"]) > 10
    assert run(tmp_path, cp949).fingerprint == cache.fingerprint
    with pytest.raises(DataError, match="'input in cp949' there, 'input' now"):
        run(tmp_path, data)
