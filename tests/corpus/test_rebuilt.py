"""What a change makes again: what depends on it, and nothing else."""

import gzip
import json
import random
import shutil
from pathlib import Path

import pytest

from tests.helpers import generated_corpus
from tests.helpers.built_corpora import corpus, digest, raw_name, times

PER_DOCUMENT = ("documents", "quarantine", "attributes", "signatures", "corpus", "figures")


@pytest.fixture()
def copied(built, tmp_path) -> Path:
    """The corpus, to be changed."""
    return Path(shutil.copytree(built.store.root, tmp_path / "copied"))


def rewritten(folder: Path, before: dict[str, int]) -> set[str]:
    return {name for name, time in times(folder).items() if before.get(name) != time}


def test_a_file_that_sorts_in_front_is_the_only_one_that_is_read(raw, copied, tmp_path):
    before = times(copied)
    shutil.copytree(raw[0], tmp_path / "raw")  # times and all
    texts = [generated_corpus.article(random.Random(f"new {i}")) for i in range(3)]
    rows = [json.dumps({"id": f"new{i}", "text": text}) for i, text in enumerate(texts)]
    new = tmp_path / "raw" / "news" / "00.jsonl.gz"
    new.write_bytes(gzip.compress("\n".join(rows).encode(), mtime=0))
    corpus(tmp_path / "raw", copied).build()
    own = raw_name("news", "news/00.jsonl.gz")
    again = rewritten(copied, before)
    assert (
        again
        and [name for name in again if name.startswith(PER_DOCUMENT) and own not in name] == []
    )
    assert [name for name in again if name.startswith("verdicts/filter") and own not in name] == []
    corpus(tmp_path / "raw", tmp_path / "fresh").build()
    assert digest(copied) == digest(tmp_path / "fresh")


def test_the_threshold_makes_no_signature_again(raw, copied, tmp_path):
    before = times(copied)
    corpus(raw[0], copied, near={"threshold": 0.9}).build()
    again = {name.split("/")[0] for name in rewritten(copied, before)}
    assert "verdicts" in again and not again & {"signatures", "attributes", "documents"}
    corpus(raw[0], tmp_path / "fresh", near={"threshold": 0.9}).build()
    assert digest(copied) == digest(tmp_path / "fresh")
    before = times(copied)
    corpus(raw[0], copied, near={"threshold": 0.9, "shingle": 8}).build()
    assert any(name.startswith("signatures/") for name in rewritten(copied, before))


def test_a_rule_of_one_source_leaves_the_files_of_the_others(raw, copied, tmp_path):
    before = times(copied)
    sources = {name: dict(source) for name, source in generated_corpus.SETTINGS["sources"].items()}
    sources["talk"]["rules"] = {**sources["talk"].get("rules", {}), "mine": MINE}
    corpus(raw[0], copied, sources=sources).build()
    again = rewritten(copied, before)
    folders = ("verdicts/filter/", "signatures/", "contamination/hits/", "corpus/", "figures/")
    made = {folder: [name for name in again if name.startswith(folder)] for folder in folders}
    assert made["verdicts/filter/"] and made["corpus/"] and made["signatures/"]
    assert [name for names in made.values() for name in names if "/news/" in name] == []
    corpus(raw[0], tmp_path / "fresh", sources=sources).build()
    assert digest(copied) == digest(tmp_path / "fresh")


MINE = {"attribute": "length.chars", "min": 100_000}
