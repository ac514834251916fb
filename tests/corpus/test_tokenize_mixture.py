"""The token cache of a mixture: the bytes that build_cache makes, with the place of every
document.
"""

# ruff: noqa: F811  (fixtures of another module)

import gzip
import itertools
import json
import os
from pathlib import Path

import pytest

from hclx import progress
from hclx.corpus.runner import make_runner
from hclx.corpus.store import Store
from hclx.corpus.tokenize_mixture import check_tokenizing, tokenize_mixture
from hclx.data.cache_builder import build_cache
from hclx.data.source import ReadSettings, corpus_sources
from hclx.errors import ConfigError, DataError
from hclx.text import load_tokenizer
from tests.helpers import generated_corpus
from tests.helpers.built_corpora import corpus, digest, kept

SETTINGS = ReadSettings(validation_permille=300)


@pytest.fixture(scope="module")
def mixed(built):
    built.build()
    built.mix()
    return Path(built.store.root)


def test_the_bytes_of_a_token_are_measured_with_the_tokenizer(mixed, built, tokenizer_dirs):
    tokenizer = load_tokenizer(tokenizer_dirs["plain"])
    shares = built.mix(tokenizer_dir=tokenizer_dirs["plain"])
    tokens = 0.0
    for name, share in shares.items():
        texts = [text for doc_id, text in kept(built).items() if doc_id.startswith(f"{name}/")]
        texts = texts[:200]  # so many documents of a source are measured
        n_tokens = sum(len(tokenizer.encode(text)) for text in texts)
        tokens += share.bytes * n_tokens / sum(len(text.encode()) for text in texts)
    measured = sum(share.bytes for share in shares.values()) / tokens
    assert 1.5 < measured < 4.0  # and not the 4.5 of large vocabularies
    for share in shares.values():
        assert share.tokens == pytest.approx(share.bytes / measured, rel=1e-3)
    built.mix()


def test_the_cache_is_the_one_that_build_cache_makes(
    mixed, built, tokenizer_dirs, tmp_path, monkeypatch, caplog
):
    """And while it is written, a log says how much of the mixture's files is done."""
    monkeypatch.setattr(progress, "LOG_EVERY_SECONDS", 0.0)
    caplog.set_level("INFO", logger="hclx.progress")
    made = tokenize_mixture(
        built.store,
        tokenizer_dirs["train"],
        str(tmp_path / "one"),
        SETTINGS,
        make_runner(workers=1),
    )
    lines = [line for line in caplog.messages if line.startswith("tokens of news, train: ")]
    done = {int(line.split()[4].replace(",", "")) for line in lines}
    (news,) = (s for s in corpus_sources(str(mixed)) if s.name == "news")
    sizes = [0, *itertools.accumulate(os.path.getsize(path) for path in news.files())]
    assert {0, sizes[1]} <= done <= set(sizes[:-1])  # the last file is done after the last line
    expected = build_cache(
        "corpus", corpus_sources(str(mixed)), tokenizer_dirs["train"], tmp_path / "other", SETTINGS
    )
    assert made.fingerprint == expected.fingerprint and digest(tmp_path / "one") == digest(
        tmp_path / "other"
    )
    assert sum(made.n_tokens(split) for split in ("train", "validation")) > 1000


def test_so_few_documents_that_a_hash_holds_none_out_are_divided_as_by_build_cache(
    mixed, built, tokenizer_dirs, tmp_path
):
    (settings, sources), runner = (ReadSettings(1), corpus_sources(str(mixed))), make_runner((), 1)
    made = tokenize_mixture(
        built.store, tokenizer_dirs["plain"], str(tmp_path / "one"), settings, runner
    )
    build_cache("corpus", sources, tokenizer_dirs["plain"], tmp_path / "other", settings)
    assert digest(tmp_path / "one") == digest(tmp_path / "other")
    assert made.n_tokens("validation") > 100


def test_an_own_cache_is_kept_or_made_again(mixed, built, tokenizer_dirs, tmp_path):
    make = lambda tokenizer, settings: tokenize_mixture(
        built.store,
        tokenizer_dirs[tokenizer],
        str(tmp_path / "cache"),
        settings,
        make_runner(workers=1),
    )
    first = make("train", SETTINGS)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").rglob("*")}
    # of a file that is no longer in the mixture
    left_over = mixed / "tokens" / "news" / "00009-00000.train.parquet"
    left_over.write_bytes(b"")
    assert make("train", SETTINGS).fingerprint == first.fingerprint
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").rglob("*")} == before
    for tokenizer, settings in (("plain", SETTINGS), ("train", ReadSettings())):
        assert make(tokenizer, settings).fingerprint != first.fingerprint
    assert make("train", SETTINGS).fingerprint == first.fingerprint
    build_cache(
        "corpus", corpus_sources(str(mixed)), tokenizer_dirs["plain"], tmp_path / "b", SETTINGS
    )
    arguments = tokenizer_dirs["plain"], str(tmp_path / "b"), SETTINGS
    with pytest.raises(DataError, match="was not made from .*; name another cache_dir or remove"):
        check_tokenizing(built.store, *arguments)
    tokenize_mixture(
        built.store,
        tokenizer_dirs["train"],
        str(tmp_path / "again"),
        SETTINGS,
        make_runner(workers=1),
    )
    assert not left_over.exists()


def test_every_document_of_the_cache_can_be_found_again(
    mixed,
    built,
    tokenizers,
    tokenizer_dirs,
    tmp_path,
):
    cache = tokenize_mixture(
        built.store,
        tokenizer_dirs["plain"],
        str(tmp_path / "cache"),
        SETTINGS,
        make_runner(workers=1),
    )
    texts, seen = kept(built), set()
    for split in ("train", "validation"):
        for source, entry in enumerate(cache.manifest["sources"]):
            stream, offsets = cache.stream(split, source), cache.offsets(split, source)
            for document in range(len(offsets) - 1):
                name, line = cache.origin(split, source, document)
                record = json.loads(
                    gzip.decompress(
                        (mixed / "mixture" / entry["name"] / name).read_bytes()
                    ).splitlines()[line - 1]
                )
                ids = stream[offsets[document] + 1 : offsets[document + 1]].tolist()
                assert (
                    record["source"] == entry["name"]
                    and tokenizers["plain"].decode(ids) == record["text"] == texts[record["doc_id"]]
                )
                seen.add(record["doc_id"])
    assert seen == set(texts)


def test_what_cannot_be_serialized_is_refused(built, tokenizer_dirs, tmp_path):
    with pytest.raises(ConfigError, match="max_documents goes with"):
        tokenize_mixture(
            built.store,
            tokenizer_dirs["plain"],
            str(tmp_path / "c"),
            ReadSettings(max_documents=3),
            make_runner(workers=1),
        )
    with pytest.raises(ConfigError, match="is made from a mixture in a local folder"):
        tokenize_mixture(
            Store(Path(built.store.root).as_uri()),
            tokenizer_dirs["plain"],
            str(tmp_path / "c"),
            SETTINGS,
            make_runner(workers=1),
        )
    with pytest.raises(DataError, match="mixture.json cannot be read; make the mixture"):
        corpus_sources(str(tmp_path))


def test_tokens_are_made_again_when_the_mixture_or_its_division_changed(
    raw,
    mixed,
    tokenizer_dirs,
    tmp_path,
    monkeypatch,
):
    monkeypatch.setattr("hclx.corpus.tokenize_mixture._TOGETHER", 3)  # texts, and not all of a file
    for epochs, permille in ((1.0, 300), (0.5, 300), (0.5, 600)):
        changed = corpus(
            raw[0],
            mixed,
            sources={
                name: {**settings, "epochs": epochs}
                for name, settings in generated_corpus.SETTINGS["sources"].items()
            },
        )
        changed.build()
        changed.mix()
        mixture_cache, direct_cache = (
            tmp_path / f"one {epochs} {permille}",
            tmp_path / f"other {epochs} {permille}",
        )
        tokenize_mixture(
            changed.store,
            tokenizer_dirs["plain"],
            str(mixture_cache),
            ReadSettings(permille),
            make_runner(workers=1),
        )
        build_cache(
            "corpus",
            corpus_sources(str(mixed)),
            tokenizer_dirs["plain"],
            direct_cache,
            ReadSettings(permille),
        )
        assert digest(mixture_cache) == digest(direct_cache)
    lost = next((mixed / "tokens").glob("*/*.validation.parquet"))
    content = lost.read_bytes()
    lost.unlink()
    tokenize_mixture(
        changed.store,
        tokenizer_dirs["plain"],
        str(tmp_path / "again"),
        ReadSettings(permille),
        make_runner(workers=1),
    )
    assert lost.read_bytes() == content
