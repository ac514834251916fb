"""Tokenizer and cache of a run are made if they are missing, and refused if they do not fit."""

import dataclasses
import gzip
import json
import re
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from hclx.config import DataConfig, TokenizerConfig
from hclx.data import TokenCache, prepare
from hclx.data.prepare import vocabulary_size
from hclx.data.source import ReadSettings, _tell_once, input_source
from hclx.data.token_cache import checksum
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


def test_a_copy_without_its_manifest_is_no_place_for_a_new_cache(made, tmp_path):
    folder, data = made
    shutil.copytree(folder / "tokenizer", tmp_path / "tokenizer")
    shutil.copytree(folder / "cache", tmp_path / "cache")
    (tmp_path / "cache" / "manifest.json").unlink()
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(DataError, match="cache has files and no manifest.json, so that it is no"):
        run(tmp_path, data)
    assert sorted(tmp_path.rglob("*")) == before


def test_the_tokenizer_never_sees_the_validation_split(made, sample_texts):
    folder, data = made
    metadata = json.loads((folder / "tokenizer" / "hclx_tokenizer.json").read_text())
    train = [t for t in sample_texts if ReadSettings.of(data).split_of(t) == "train"]
    assert metadata["documents"] == len(train) < len(sample_texts)


def divided(documents, tmp_path, **settings):
    """The texts of both splits of documents, in files of one document each."""
    for number, text in enumerate(documents):
        (tmp_path / f"{number:02}.txt").write_text(text, encoding="utf-8")
    source, settings = input_source(str(tmp_path / "*.txt")), ReadSettings(**settings)
    return [
        [document.text for document in source.documents(split, settings, Counter())]
        for split in ("train", "validation")
    ]


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("permille", [10, 500])
def test_few_documents_are_divided_by_their_length(count, permille, tmp_path, sample_texts, caplog):
    documents = [text for text in sample_texts if ReadSettings().split_of(text) == "train"]
    documents = ["\n".join(documents[i::count]) for i in range(count)]
    same = [text for text in documents if ReadSettings(permille).split_of(text) == "train"]
    if 0 < len(same) < count:  # a hash fills both splits
        return
    _tell_once.cache_clear()
    caplog.set_level("INFO")
    train, validation = divided(documents, tmp_path, validation_permille=permille)
    assert "".join(train + validation) == "".join(documents)
    total = sum(map(len, documents))
    # a tenth at least, as that is less than what is held out of a long text; it begins with a line
    share = max(100, permille) / 1000
    assert int(total * share) <= sum(map(len, validation)) <= total * share + 2_000
    assert train[-1].endswith("\n")
    told = (
        f"too few documents to hold some out for validation, {count}: the last {100 * share:.1f}%"
    )
    assert f"source input has {told}" in caplog.text
    assert [train, validation] == divided(documents, tmp_path, validation_permille=permille)
    assert caplog.text.count(told) == 1  # however often it is read


def test_a_long_text_holds_out_its_share(tmp_path):
    train, validation = divided(["가나다라 " * 600_000], tmp_path)
    assert abs(len(validation[0]) / 3_000_000 - 0.01) < 0.001 and train[0].endswith(" ")
    (train,), (validation,) = divided(["가" * 400_000], tmp_path)
    assert len(validation) == 20_000 and len(train) == 380_000


def test_many_documents_are_divided_by_a_hash(tmp_path, sample_texts):
    texts = sample_texts[:60]
    expected = [
        [text for text in texts if ReadSettings(100).split_of(text) == split]
        for split in ("train", "validation")
    ]
    assert all(expected) and divided(texts, tmp_path, validation_permille=100) == expected


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


def test_another_name_or_compression_of_the_same_text_is_the_same_text(made, tmp_path):
    folder, content = shutil.copytree(made[0], tmp_path / "run"), (made[0] / "text.jsonl")
    fingerprints = set()
    for name, data in (
        ("other.jsonl", content.read_bytes()),
        ("fast.jsonl.gz", gzip.compress(content.read_bytes(), 1)),
        ("small.jsonl.gz", gzip.compress(content.read_bytes(), 9)),
    ):
        (tmp_path / name).write_bytes(data)
        other = dataclasses.replace(made[1], input=str(tmp_path / name))
        assert run(folder, other)
        built = shutil.copytree(folder, tmp_path / f"{name}.run")
        shutil.rmtree(built / "cache")
        fingerprints.add(run(built, other).fingerprint)
        for third in ("small.jsonl.gz", "fast.jsonl.gz"):
            if (tmp_path / third).exists():
                assert run(built, dataclasses.replace(made[1], input=str(tmp_path / third)))
    assert fingerprints == {run(folder, made[1]).fingerprint}


def test_an_old_cache_is_compared_with_the_tokenizer(made, tmp_path):
    """Its manifest has no checksum of the bytes of tokens, and none of the content of files."""
    folder = shutil.copytree(made[0], tmp_path / "run")
    path = folder / "cache" / "manifest.json"
    manifest = json.loads(path.read_text(encoding="utf-8"))
    del manifest["piece_bytes_sha256"]
    new = TokenCache(folder / "cache")
    manifest["fingerprint"] = checksum(manifest)
    path.write_text(json.dumps(manifest), encoding="utf-8")
    old = run(folder, made[1])
    assert old.fingerprint == new.fingerprint
    assert old.old_fingerprint == new.old_fingerprint == manifest["fingerprint"]
    lengths = np.load(folder / "cache" / "piece_bytes.npy")
    lengths[40] += 1
    np.save(folder / "cache" / "piece_bytes.npy", lengths)
    with pytest.raises(DataError, match="piece_bytes.npy is damaged: it is not that of the token"):
        run(folder, made[1])


@pytest.mark.parametrize(
    "change", [{"validation_permille": 101}, {"max_documents": 5}, {"invalid_utf8": "replace"}]
)
def test_other_settings_are_refused(made, change):
    folder, data = made
    with pytest.raises(DataError, match=f"token cache of something else.*{next(iter(change))}"):
        run(folder, dataclasses.replace(data, **change))


@pytest.mark.parametrize("field", ["max_documents", "invalid_utf8"])
def test_a_cache_that_does_not_record_a_setting_is_refused(made, tmp_path, field):
    folder = shutil.copytree(made[0], tmp_path / "run")
    path = folder / "cache" / "manifest.json"
    manifest = json.loads(path.read_text(encoding="utf-8"))
    del manifest["settings"][field], manifest["fingerprint"]
    manifest["fingerprint"] = checksum(manifest)
    path.write_text(json.dumps(manifest), encoding="utf-8")
    with pytest.raises(DataError, match=f"something else .{field}: not recorded there, "):
        run(folder, made[1])


def test_another_vocabulary_is_refused(made, tmp_path, sample_texts):
    folder = shutil.copytree(made[0], tmp_path / "run")
    shutil.rmtree(folder / "tokenizer")
    with pytest.raises(DataError, match="vocabulary: .*mode: 'plain' there, 'train' now"):
        run(folder, made[1], mode="train")


def test_a_text_that_is_too_little_for_the_vocabulary_gives_the_one_that_it_allows(
    tmp_path, sample_texts
):
    """And few documents are no sample: all are counted."""
    texts = [text[:1000] for text in sample_texts[:10]]
    for number, text in enumerate(texts):
        (tmp_path / f"{number}.txt").write_text(text, encoding="utf-8")
    data = DataConfig(input=f"{tmp_path}/*.txt")
    own, cache = str(tmp_path / "run" / "tokenizer"), str(tmp_path / "run" / "cache")
    make = lambda data, vocab_size: prepare(
        data, TokenizerConfig("none", sample_rate=0.001), vocab_size, own, cache
    )
    assert vocabulary_size(data, 16_384, own) == 16_384  # as long as nothing is known
    size = make(data, 16_384).manifest["vocab_size"]
    assert 384 <= size < 16_384 and make(data, 16_384).manifest["vocab_size"] == size
    assert vocabulary_size(data, 16_384, own) == size
    # Another size is another wish, and not ignored.
    assert vocabulary_size(data, 1024, own) == 1024
    with pytest.raises(
        ConfigError, match=f"has {size} tokens; give --gin.ModelConfig.vocab_size={size},"
    ):
        make(data, 1024)
    assert make(data, size)
    # A tokenizer that is named decides the vocabulary.
    named = dataclasses.replace(data, tokenizer_dir=own)
    assert vocabulary_size(named, 1024, own) == size
    assert make(named, 1024).manifest["vocab_size"] == size


def test_another_size_of_the_model_is_refused(made):
    with pytest.raises(ConfigError, match="vocab_size=1024, but the tokenizer .* has 512"):
        run(*made, vocab_size=1024)


@pytest.mark.parametrize(
    "wanted, difference",
    [
        ({"mode": "encode"}, "TokenizerConfig.morphemes='merges_and_text', but it has 'none'"),
        ({"mode": "train"}, "TokenizerConfig.morphemes='merges', but it has 'none'"),
        ({"sample_rate": 0.01}, "TokenizerConfig.sample_rate=0.01, but it has 1.0"),
        ({"seed": 3}, "TokenizerConfig.seed=3, but it has 0"),
    ],
)
def test_a_tokenizer_of_other_settings_is_refused(made, tmp_path, wanted, difference):
    folder, data = shutil.copytree(made[0], tmp_path / "run"), made[1]
    config = TokenizerConfig(**{"mode": "plain"} | wanted)
    arguments = config, 512, str(folder / "tokenizer"), str(folder / "cache")
    with pytest.raises(ConfigError, match=re.escape(difference) + ".*DataConfig.tokenizer_dir"):
        prepare(data, *arguments)
    # One that is named was trained elsewhere: its sample is its own, and so is how it splits unless
    # the run asks for something else than the default.
    named = dataclasses.replace(data, tokenizer_dir=str(folder / "tokenizer"))
    if wanted == {"mode": "encode"}:
        with pytest.raises(ConfigError, match=re.escape(difference)):
            prepare(named, *arguments)
    else:
        assert prepare(named, *arguments)


@pytest.mark.parametrize("array", ["offsets", "origins"])  # which training does not read
def test_a_cache_that_is_not_whole_is_refused_at_the_start(made, tmp_path, array):
    folder, data = shutil.copytree(made[0], tmp_path / "run"), made[1]
    path = folder / "cache" / "validation" / "input" / array / "c" / "0"
    path.unlink()
    with pytest.raises(DataError, match=f"{path} is missing from the token cache; copy the cache"):
        run(folder, data)


def test_a_setting_that_an_old_tokenizer_does_not_record_is_not_compared(made, tmp_path):
    folder, data = shutil.copytree(made[0], tmp_path / "run"), made[1]
    path = folder / "tokenizer" / "hclx_tokenizer.json"
    old = {"seed", "sample_rate", "exports_sha256"}
    metadata = {name: v for name, v in json.loads(path.read_text()).items() if name not in old}
    path.write_text(json.dumps(metadata))
    config = TokenizerConfig(mode="plain", seed=3, sample_rate=0.5)
    assert prepare(data, config, 512, str(folder / "tokenizer"), str(folder / "cache"))


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
    with pytest.raises(DataError, match="as CP949: give --gin.DataConfig.encoding=cp949$"):
        run(tmp_path, data)
    cp949 = dataclasses.replace(data, encoding="cp949")
    cache = run(tmp_path, cp949)
    assert sum(s["splits"]["train"]["n_documents"] for s in cache.manifest["sources"]) > 10
    assert run(tmp_path, cp949).fingerprint == cache.fingerprint
    with pytest.raises(DataError, match="'input in cp949' there, 'input' now"):
        run(tmp_path, data)
