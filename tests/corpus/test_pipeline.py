"""The whole pipeline on a small corpus: what becomes of every document, and that work is neither
lost nor done twice.
"""

import json
import os
import random
import shutil
import unicodedata
from collections import Counter
from pathlib import Path

import ftfy
import numpy as np
import pytest

from hclx.corpus.layout import DOCUMENTS, FIGURES
from hclx.corpus.pipeline import Corpus
from hclx.corpus.quality_models import ByteModel, QualityModel
from hclx.corpus.raw_files import raw_files
from hclx.corpus.readers import ingest_file
from hclx.corpus.runner import make_runner
from hclx.corpus.settings import parse_settings
from hclx.corpus.store import Store
from hclx.corpus.verdicts import STAGES, removals
from hclx.errors import ConfigError, DataError
from tests.helpers import generated_corpus
from tests.helpers.built_corpora import corpus, digest, kept, raw_name, times


def fates(built: Corpus) -> dict[str, str | None]:
    """Document -> the rule that removed it."""
    result = {}
    for shard in built.shards:
        ids = built.store.read_table(shard.file(DOCUMENTS), ["doc_id"])["doc_id"].to_pylist()
        result.update(zip(ids, removals(shard, built.store).rule, strict=True))
    return result


def test_every_document_has_the_fate_that_it_was_written_for(built, raw):
    document_fates = fates(built)
    own = {name: rule for name, rule in document_fates.items() if not name.startswith("news/c")}
    assert {name: rule for name, rule in own.items() if rule} == generated_corpus.GONE
    assert {name for name, rule in own.items() if not rule} == {
        *(*raw[1], "news/paragraph", "news/short_leak")
    }


def test_every_document_is_kept_removed_or_quarantined(built):
    quarantined = [
        json.loads(line)
        for path in Path(built.store.root).glob("quarantine/*/*.jsonl")
        for line in path.read_text().splitlines()
    ]
    assert (
        len(quarantined) == generated_corpus.UNREADABLE
        and len({(q["file"], q["line"]) for q in quarantined}) == generated_corpus.UNREADABLE
    )
    assert {Path(q["file"]).name: 0 for q in quarantined}.keys() == {"b.jsonl.gz", "d.jsonl.gz"}
    document_fates, stay = fates(built), kept(built)
    assert set(stay) == {name for name, rule in document_fates.items() if rule is None}
    figures = [built.store.read_json(shard.file(FIGURES)) for shard in built.shards]
    removed = Counter()
    for shard_figures in figures:
        for rules in shard_figures["removed"].values():
            removed.update({rule: totals["documents"] for rule, totals in rules.items()})
    assert removed == Counter(rule for rule in document_fates.values() if rule)
    assert sum(shard_figures["documents"] for shard_figures in figures) == len(
        document_fates
    ) and sum(shard_figures["kept"]["documents"] for shard_figures in figures) == len(stay)


def test_texts_that_stay_are_whole_but_for_masks_and_paragraphs_that_stood_before(built, raw):
    stay = kept(built)
    for name, text in raw[1].items():
        text = (
            ftfy.fix_encoding(text)
            if name == "news/mojibake"
            else unicodedata.normalize("NFC", text)
        )
        assert stay[name] == text.replace("010-1234-5678", "<전화번호>").replace(
            "hong.gildong@naver.com", "<이메일>"
        )
    assert stay["news/paragraph"].count("\n") == 1
    assert (
        "\ufffd" not in stay["news/mojibake"]
        and "–" in stay["news/mojibake"]
        and stay["news/decomposed"] != raw[1]["news/decomposed"]
    )


def test_raw_files_may_lie_at_an_address(built, raw, tmp_path):
    made = Corpus(
        generated_corpus.settings(),
        raw[0].as_uri(),
        tmp_path.as_uri(),
        make_runner(workers=1),
        generated_corpus.EVALUATION,
    )
    made.build()
    assert digest(tmp_path) == digest(Path(built.store.root))


@pytest.mark.long
def test_workers_do_not_change_a_byte(built, raw, tmp_path):
    corpus(raw[0], tmp_path, workers=2).build()
    assert digest(tmp_path) == digest(Path(built.store.root))


def test_the_size_of_parts_does_not_change_what_stays(built, raw, tmp_path):
    other = corpus(raw[0], tmp_path, part_bytes=1 << 20)
    other.build()
    assert len(other.shards) < len(built.shards)
    assert fates(other) == fates(built) and kept(other) == kept(built)


@pytest.fixture()
def copied(built, tmp_path) -> Path:
    """The corpus, to be changed."""
    return Path(shutil.copytree(built.store.root, tmp_path / "copied"))


def test_what_is_done_is_not_done_again_and_what_is_missing_is(raw, copied):
    before, content = times(copied), digest(copied)
    a, b, d, t = (
        raw_name(shown.split("/")[0], shown)
        for shown in ("news/a.jsonl.gz", "news/b.jsonl.gz", "news/d.jsonl.gz", "talk/t.txt")
    )
    gone = [
        f"attributes/spam/{t}-00000.parquet",
        f"documents/{b}.json",
        f"verdicts/near/{a}-00001.parquet",
    ]
    # as where a run was killed between two parts
    gone += [f"verdicts/paragraph/{t}-00000.parquet", "contamination/report.json"]
    gone += [
        f"documents/{t}-00000.parquet",
        f"corpus/{t}-00000.parquet",
        f"quarantine/{d}.jsonl",
        f"figures/{a}-00000.json",
    ]
    for name in gone:
        (copied / name).unlink()
    (copied / f"corpus/{a}-00000.parquet.1234.tmp").write_bytes(
        b"left by a process that was killed"
    )
    corpus(raw[0], copied).build()
    assert digest(copied) == content
    again = {name for name, time in times(copied).items() if before[name] != time}
    whole_stage = {
        name
        for name in content
        if name.startswith(tuple(f"verdicts/{stage}/" for stage in STAGES[2:]))
    }
    files = (b, d, t)
    own_file = {
        name
        for name in content
        if name.startswith(("documents/", "quarantine/")) and any(file in name for file in files)
    }
    assert again == {
        *gone,
        *whole_stage,
        *own_file,
        f"figures/{t}-00000.json",
        f"corpus/{a}-00000.parquet",
        "contamination/found.json",  # is written with the report
    }


def read(
    folder: Path, output: Path, text: str, name: str = "a.txt", time: int = 1, **changes
) -> dict[str, str]:
    """What becomes of a folder with one raw file, in a store where another one may have been
    read.
    """
    folder.mkdir()
    (folder / name).write_text(text, encoding="utf-8")
    os.utime(folder / name, ns=(time, time))
    settings = parse_settings(
        {
            "sources": {"talk": {"input": "*.txt", "split": "line", **changes.pop("source", {})}},
            **changes,
        }
    )
    for file in raw_files(settings, str(folder)):
        ingest_file(file, Store(str(output)))
    return digest(output)


@pytest.mark.parametrize(
    "text, changes",
    [
        ("다\n나\n", {"time": 2}),  # as long as before
        ("가\n나\n다\n", {}),
        ("가\n나\n", {"name": "b.txt"}),
        ("가\n나\n", {"source": {"licence": "CC0"}}),
        ("가\n나\n", {"part_bytes": 1}),
    ],
    ids=["content", "length", "name", "licence", "part_bytes"],
)
def test_a_raw_file_is_read_again_when_it_changed_or_how_it_is_read(tmp_path, text, changes):
    before = read(tmp_path / "raw", tmp_path / "out", "가\n나\n")
    after = read(tmp_path / "changed", tmp_path / "out", text, **changes)
    if "name" in changes:  # the next stage removes what belongs to no file any more
        after = {name: value for name, value in after.items() if name not in before}
    assert after == read(tmp_path / "again", tmp_path / "fresh", text, **changes) != before


def test_patterns_are_divided_by_commas_and_a_file_that_two_match_is_read_once(tmp_path):
    (tmp_path / "c").mkdir()
    for name in ("b.txt", "a.txt", "c/d.txt", "e.jsonl"):
        (tmp_path / name).touch()
    settings = parse_settings({"sources": {"talk": {"input": "*.txt, c/*,b.*"}}})
    names = [file.shown for file in raw_files(settings, str(tmp_path))]
    assert names == ["a.txt", "b.txt", "c/d.txt"]


def test_a_corpus_stays_where_it_was_when_it_was_named(tmp_path, monkeypatch):
    for name in ("raw", "elsewhere"):
        (tmp_path / name).mkdir()
    (tmp_path / "raw" / "a.txt").write_text(
        generated_corpus.article(random.Random(0)), encoding="utf-8"
    )
    monkeypatch.chdir(tmp_path)
    made = Corpus(
        parse_settings({"sources": {"talk": {"input": "*.txt"}}}),
        "raw",
        "out",
        make_runner(workers=1),
    )
    monkeypatch.chdir("elsewhere")
    made.build()
    assert (tmp_path / "out" / "corpus" / "talk").is_dir() and not list(
        (tmp_path / "elsewhere").iterdir()
    )


def test_a_changed_rule_makes_again_what_depends_on_it_alone(raw, copied, tmp_path):
    before = times(copied)
    changed = corpus(
        raw[0], copied, rules={**generated_corpus.SETTINGS["rules"], "profanity": {"max": 1}}
    )
    changed.build()
    assert fates(changed)["news/profane"] is None
    again = {name.split("/")[0] for name, time in times(copied).items() if before.get(name) != time}
    assert again == {
        "settings.json",
        "verdicts",
        "hashes",
        "signatures",
        "corpus",
        "figures",
        "contamination",
    }
    corpus(
        raw[0],
        tmp_path / "fresh",
        rules={**generated_corpus.SETTINGS["rules"], "profanity": {"max": 1}},
    ).build()
    assert digest(copied) == digest(tmp_path / "fresh")


def test_a_stage_that_is_switched_off_leaves_nothing(raw, copied):
    without = corpus(raw[0], copied, near=None, paragraph=None, contamination=None)
    without.build()
    document_fates = fates(without)
    assert document_fates == {
        **fates_without(generated_corpus.GONE, document_fates),
        **{name: None for name in ("news/near", "news/eaten", "news/leaked")},
    }
    assert kept(without)["news/paragraph"].count("\n") == 2
    assert not {
        name for name in digest(copied) if "contamination" in name or "verdicts/near" in name
    }


def fates_without(
    gone: dict[str, str], document_fates: dict[str, str | None]
) -> dict[str, str | None]:
    """The fate that every document was written for; of what was generated by the damaged file, what
    was found.
    """
    return {
        name: document_fates[name] if name.startswith("news/c") else gone.get(name)
        for name in document_fates
    }


def test_a_file_that_was_taken_away_takes_its_documents_with_it(raw, copied, tmp_path):
    shutil.copytree(raw[0], tmp_path / "raw")  # times and all
    (tmp_path / "raw" / "news" / "b.jsonl.gz").unlink()
    corpus(tmp_path / "raw", copied).build()
    corpus(tmp_path / "raw", tmp_path / "fresh").build()
    assert digest(copied) == digest(tmp_path / "fresh")


def test_models_that_a_user_trained_judge_and_are_drawn(built, raw, tmp_path):
    of_source = lambda source: [text for name, text in raw[1].items() if name.startswith(source)]
    model = QualityModel.train(of_source("news")[::2], of_source("talk")[::2])
    model.save(tmp_path / "quality.npz")
    ByteModel.train(of_source("news"), bits=12).save(tmp_path / "bytes.npz")
    score = model.score
    files = {"quality": str(tmp_path / "quality.npz"), "perplexity": str(tmp_path / "bytes.npz")}
    rules = {
        **generated_corpus.SETTINGS["rules"],
        "quality": {"attribute": "quality.score", "min": 0.5},
    }
    judged = corpus(
        raw[0],
        tmp_path / "out",
        rules=rules,
        models=files,
        paragraph=None,
        near=None,
        contamination=None,
    )
    judged.build()
    poor = {name for name, rule in fates(judged).items() if rule == "quality"}
    assert poor & set(raw[1]) and set(raw[1]) - poor
    assert {
        name
        for name, text in raw[1].items()
        if score([unicodedata.normalize("NFC", text)])[0] < 0.5
    } == poor & set(raw[1])
    figures = [judged.store.read_json(shard.file(FIGURES)) for shard in judged.shards]
    bars = sum(
        np.array(shard_figures["histograms"]["quality.score"]["all"]) for shard_figures in figures
    )
    tables = [
        judged.store.read_table(shard.file(DOCUMENTS), ["text"])["text"].to_pylist()
        for shard in judged.shards
    ]
    scores = score([unicodedata.normalize("NFC", text) for table in tables for text in table])
    assert bars.tolist() == np.histogram(scores, np.append(np.arange(10) / 10, 2))[0].tolist()
    assert sum(
        sum(shard_figures["histograms"]["perplexity.bits"]["all"]) for shard_figures in figures
    ) == len(scores)
    assert "quality.score" not in built.store.read_json(built.shards[0].file(FIGURES))["histograms"]


def test_planted_items_are_found_and_reported(built):
    report = json.loads((Path(built.store.root) / "contamination" / "report.json").read_text())
    assert report["sets"]["quiz"] == {
        **{"items": 3, "too_short": 1, "found": 2, "stock": 1},
        **{"documents": 2, "removed": 1, "shortened": 0},
    }
    phrase = {"item": "quiz/1", "texts": ["아주아주 짧은 질문이다"], "documents": 1}
    assert report["stock_phrases"] == [phrase]
    assert "아주아주 짧은 질문이다?" in kept(built)["news/short_leak"]


@pytest.mark.parametrize(
    "changes, error, message",
    [
        (
            {"sources": {"a": {"input": "none/*.jsonl"}}},
            DataError,
            "sources.a.input: .* matches no file",
        ),
        (
            {"sources": {"a": {"input": "news/*.gz", "format": "xml"}}},
            ConfigError,
            "sources.a.format must be .*'wikiextractor', and is 'xml'",
        ),
        ({"sources": {"a": {"inputs": "x"}}}, ConfigError, "sources.a.inputs is unknown"),
        ({"sources": {"a": {}}}, ConfigError, "sources.a.input is missing"),
        ({"sources": {"a/b": {"input": "x"}}}, ConfigError, "sources.a/b: a source's name"),
        (
            {"rules": {"digits": {"max": "many"}}},
            ConfigError,
            "sources.news.rules.digits.max must be a valid number, and is 'many'",
        ),
        (
            {"rules": {"mine": {"attribute": "script.klingon", "max": 1}}},
            ConfigError,
            "no attribute 'script.klingon'; script: .*hangul",
        ),
        (
            {"rules": {"mine": {"attribute": "nothing.at_all", "max": 1}}},
            ConfigError,
            "no attribute 'nothing.at_all'; taggers: ",
        ),
        (
            {"rules": {"mine": {"attribute": "length.chars"}}},
            ConfigError,
            "sources.news.rules.mine needs min or max",
        ),
        (
            {"near": {"threshold": 2}},
            ConfigError,
            "near.threshold must be less than or equal to 1, and is 2",
        ),
        (
            {"contamination": {"coverage": 0}},
            ConfigError,
            "contamination.coverage must be greater than 0",
        ),
        ({"part_bytes": 0}, ConfigError, "part_bytes must be greater than 0, and is 0"),
        ({"sources": {}}, ConfigError, "sources is empty"),
        ({"seeds": 1}, ConfigError, "seeds is unknown; is it seed.; the file has sources, .*seed"),
        (
            {"sources": {"news": {"input": "news/*.gz", "where": "length.chars >"}}},
            ConfigError,
            "sources.news.where: .* is no expression",
        ),
        (
            {"sources": {"news": {"input": "news/*.gz", "where": "length.pages > 3"}}},
            ConfigError,
            "sources.news.where: no attribute 'length.pages'",
        ),
    ],
)
def test_a_wrong_setting_is_refused_by_name_before_anything_is_written(
    raw, tmp_path, changes, error, message
):
    with pytest.raises(error, match=message):
        corpus(raw[0], tmp_path, **changes)
    assert not list(tmp_path.iterdir())


def test_names_of_files_in_ids_are_whole_and_composed_however_the_disk_spells_them(tmp_path):
    folder = unicodedata.normalize("NFD", "자료실")
    (tmp_path / folder / "안").mkdir(parents=True)
    text = (
        "강가의 나무는 바람에 흔들리고 아이들은 돌을 던지며 웃었다. 저녁이 되자 모두 집으로 갔다."
    )
    (tmp_path / folder / "안" / unicodedata.normalize("NFD", "글.txt")).write_text(text)
    settings = parse_settings({"sources": {"a": {"input": "자료실/**"}}})
    (raw,) = raw_files(settings, str(tmp_path))
    assert raw.document_name == "안/글.txt"
