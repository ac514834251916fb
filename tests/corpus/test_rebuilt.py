"""What a change makes again: what depends on it, and nothing else."""

import copy
import gzip
import json
import random
import shutil
from pathlib import Path

import pytest

from hclx.corpus.store import Store
from tests.helpers import generated_corpus
from tests.helpers.built_corpora import corpus, digest, raw_name, times

PER_DOCUMENT = ("documents", "quarantine", "attributes", "hashes", "signatures", "corpus")
PER_DOCUMENT += ("figures", "mixture/news", "mixture/talk")


@pytest.fixture()
def copied(built, tmp_path) -> Path:
    """The corpus, to be changed."""
    return Path(shutil.copytree(built.store.root, tmp_path / "copied"))


def rewritten(folder: Path, before: dict[str, int]) -> set[str]:
    return {name for name, time in times(folder).items() if before.get(name) != time}


def test_a_file_that_sorts_in_front_is_the_only_one_that_is_read(raw, copied, tmp_path):
    corpus(raw[0], copied).mix()
    before = times(copied)
    shutil.copytree(raw[0], tmp_path / "raw")  # times and all
    texts = [generated_corpus.article(random.Random(f"new {i}")) for i in range(3)]
    rows = [json.dumps({"id": f"new{i}", "text": text}) for i, text in enumerate(texts)]
    new = tmp_path / "raw" / "news" / "00.jsonl.gz"
    new.write_bytes(gzip.compress("\n".join(rows).encode(), mtime=0))
    made = corpus(tmp_path / "raw", copied)
    made.build()
    made.mix()
    own = raw_name("news", "news/00.jsonl.gz")
    again = rewritten(copied, before)
    assert (
        again
        and [name for name in again if name.startswith(PER_DOCUMENT) and own not in name] == []
    )
    assert [name for name in again if name.startswith("verdicts/filter") and own not in name] == []
    fresh = corpus(tmp_path / "raw", tmp_path / "fresh")
    fresh.build()
    fresh.mix()
    assert digest(copied) == digest(tmp_path / "fresh")


def test_a_copy_of_a_document_that_stays_changes_no_text(raw, copied, tmp_path):
    """Its cluster grows: what tells of clusters is written again."""
    corpus(raw[0], copied).mix()
    before = times(copied)
    shutil.copytree(raw[0], tmp_path / "raw")
    lines = (tmp_path / "raw/talk/t.txt").read_text(encoding="utf-8").split("\n")
    (tmp_path / "raw/talk/z.txt").write_text(lines[3] + "\n", encoding="utf-8")
    made = corpus(tmp_path / "raw", copied)
    made.build()
    made.mix()
    of = lambda name: {
        path.split("/")[0] for path in rewritten(copied, before) if raw_name(*name) in path
    }
    assert of(("talk", "talk/t.txt")) == {"verdicts", "corpus", "figures"}
    assert of(("news", "news/a.jsonl.gz")) == {"verdicts"}


@pytest.mark.parametrize("change", ["touched", "html", "threshold", "rule", "where"])
def test_a_change_without_effect_ends_where_it_has_none(raw, copied, tmp_path, change):
    corpus(raw[0], copied).mix()
    before = times(copied)
    sources = copy.deepcopy(generated_corpus.SETTINGS["sources"])
    settings, folders = {"sources": sources}, {"mixture"}
    shutil.copytree(raw[0], tmp_path / "raw")
    if change == "touched":  # as after a copy that keeps no times
        (tmp_path / "raw/talk/t.txt").touch()
        settings, folders = {}, {"mixture", "documents"}
    elif change == "html":
        sources["talk"]["html"] = "strip"
        folders |= {"settings.json", "documents"}
    elif change == "threshold":
        settings = {"near": {"threshold": 0.7201}}
        folders |= {"settings.json", "verdicts"}
    elif change == "rule":
        sources["talk"]["rules"]["mine"] = {"attribute": "length.chars", "max": 10**6}
        folders |= {"settings.json", "verdicts", "corpus", "figures"}
    else:
        sources["talk"]["where"] = "length.chars > 0"
        folders |= {"settings.json"}
    made = corpus(tmp_path / "raw", copied, **settings)
    made.build()
    made.mix()
    again = rewritten(copied, before)
    assert {name.split("/")[0] for name in again} == folders
    stages = {"threshold": {"near"}, "rule": {"filter"}}.get(change, set())
    assert {name.split("/")[1] for name in again if name.startswith("verdicts")} == stages
    sampled = [name for name in again if name.startswith("mixture/talk")]
    assert bool(sampled) == (change == "where") and not [n for n in again if "mixture/news" in n]


def test_changed_parts_of_documents_reach_the_stages_behind_them(raw, tmp_path):
    """Which documents stay is as before, but a paragraph of one of them is no longer removed."""
    shutil.copytree(raw[0], tmp_path / "raw")
    rng = random.Random(1)
    line = generated_corpus.sentence(rng, 18)
    texts = ["\n".join([generated_corpus.article(rng), line]) for _ in range(2)]
    rows = [json.dumps({"id": f"new{i}", "text": text}) for i, text in enumerate(texts)]
    (tmp_path / "raw/news/e.jsonl.gz").write_bytes(gzip.compress("\n".join(rows).encode()))
    corpus(tmp_path / "raw", tmp_path / "out").build()
    assert built_texts(tmp_path / "out")["news/new1"] == texts[1].removesuffix("\n" + line)
    changes = {"paragraph": {"min_chars": len(line) + 1}}
    corpus(tmp_path / "raw", tmp_path / "out", **changes).build()
    assert built_texts(tmp_path / "out")["news/new1"] == texts[1]
    corpus(tmp_path / "raw", tmp_path / "fresh", **changes).build()
    assert digest(tmp_path / "out") == digest(tmp_path / "fresh")


def built_texts(folder: Path) -> dict[str, str]:
    store = Store(str(folder))
    tables = [store.read_table(name) for name in store.list("corpus")]
    return {row["doc_id"]: row["text"] for table in tables for row in table.to_pylist()}


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
    folders = ("verdicts/filter/", "hashes/", "signatures/", "contamination/hits/", "corpus/")
    folders += ("figures/",)
    made = {folder: [name for name in again if name.startswith(folder)] for folder in folders}
    assert made["verdicts/filter/"] and made["corpus/"] and made["signatures/"]
    assert [name for names in made.values() for name in names if "/news/" in name] == []
    corpus(raw[0], tmp_path / "fresh", sources=sources).build()
    assert digest(copied) == digest(tmp_path / "fresh")


MINE = {"attribute": "length.chars", "min": 100_000}
