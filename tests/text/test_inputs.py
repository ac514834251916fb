"""Finding the files that a user names: names that exist come before patterns."""

import logging
import os
import unicodedata
from pathlib import Path

import pytest

from hclx.errors import ConfigError, DataError
from hclx.text.inputs import LocalPlace, corpus_among, expand_globs, may_match

NAMES = (
    "a[1].txt",
    "a1.txt",
    "b,c.txt",
    "b",
    "[2024] 뉴스/d.jsonl.gz",
    "old.jsonl.d/e.txt",
    "x y.TXT",
)


@pytest.fixture()
def folder(tmp_path, monkeypatch) -> Path:
    for name in NAMES:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("글", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    "patterns, found",
    [
        ("a[1].txt", ["a[1].txt"]),  # it exists, though the pattern matches a1.txt
        ("a[[]1].txt", ["a[1].txt"]),
        ("a[0-9].txt", ["a1.txt"]),
        ("b,c.txt", ["b,c.txt"]),
        ("a1.txt, b,c.txt ,x y.TXT", ["a1.txt", "b,c.txt", "x y.TXT"]),
        ("b[,]*.txt", ["b,c.txt"]),
        ("[2024] 뉴스/*.gz", ["[2024] 뉴스/d.jsonl.gz"]),
        ("**/*.txt", ["a1.txt", "a[1].txt", "b,c.txt", "old.jsonl.d/e.txt"]),
        ("./a1.txt", ["a1.txt"]),
        ("old.jsonl.d", ["old.jsonl.d/e.txt"]),
    ],
)
def test_a_name_that_exists_comes_before_a_pattern(folder, patterns, found):
    assert expand_globs(patterns) == found
    absolute = ",".join(
        f"{folder}/{pattern.strip()}" for pattern in [patterns] if "," not in patterns
    )
    if absolute:
        assert expand_globs(absolute) == [f"{folder}/{name}" for name in found]


def test_a_folder_gives_every_file_of_a_known_format_and_says_how_many_it_skips(folder, caplog):
    (folder / ".hidden.txt").write_text("글")
    (folder / "loop").symlink_to(folder)
    with caplog.at_level(logging.INFO, "hclx"):
        found = expand_globs(str(folder))
    assert found == sorted(f"{folder}/{name}" for name in NAMES if name != "b")
    assert "1 file of another kind skipped" in caplog.text
    (folder / "only").mkdir()
    (folder / "only" / "a.csv").touch()
    with pytest.raises(DataError, match="of 1 file below it none is .jsonl"):
        expand_globs("only")
    with pytest.raises(ConfigError, match="b: its format cannot be told from its name"):
        expand_globs("b")


def test_a_folder_without_files_is_told_from_a_name_that_matches_none(folder):
    (folder / "d.txt").mkdir()
    with pytest.raises(DataError, match=r"^d.txt is an empty folder; input is .jsonl"):
        expand_globs("d.txt")
    (folder / "d.txt/e").mkdir()
    with pytest.raises(DataError, match="^d.txt is a folder without a file; input is .jsonl"):
        expand_globs("a1.txt,d.txt")
    with pytest.raises(DataError, match="^e.txt matches no file; input is .jsonl"):
        expand_globs("e.txt")


def test_a_corpus_that_was_built_is_no_text(folder):
    """Its tables are those of stages; settings and documents alone are somebody's files."""
    for name in ("runs/c/documents/s/a.parquet", "runs/c/settings.json", "runs/c/mixture/a.jsonl"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    assert len(expand_globs("runs")) == 3
    (folder / "runs/c/attributes").mkdir()
    for pattern in ("runs", "runs/c", "runs/**", f"{folder}/runs"):
        with pytest.raises(
            DataError, match=r"runs/c is a corpus that hclx build_corpus made; give"
        ):
            expand_globs(pattern)
    assert expand_globs("runs/c/mixture/*") == ["runs/c/mixture/a.jsonl"]


def test_a_corpus_is_seen_from_inside_too(folder):
    for name in ("documents", "attributes"):
        (folder / name).mkdir()
    assert corpus_among(["a.txt", "settings.json"], LocalPlace()) == "."
    assert corpus_among(["a.txt", "b/settings.json"], LocalPlace()) == ""


def test_names_are_found_in_either_form_of_hangul(folder):
    nfc, nfd = (unicodedata.normalize(form, "맥파일") for form in ("NFC", "NFD"))
    for form, other in ((nfc, nfd), (nfd, nfc)):
        (folder / form).mkdir()
        (folder / form / f"{form}.txt").write_text("글")
        assert expand_globs(f"{other}/{other}.txt") == [f"{form}/{form}.txt"]
        first, last = (unicodedata.normalize("NFD" if other == nfd else "NFC", c) for c in "맥일")
        assert expand_globs(f"{first}*/*{last}.txt") == [f"{form}/{form}.txt"]
        (folder / form / f"{form}, 2 [x].txt").write_text("글")
        joined = f"{other}/{other}, 2 [x].txt"
        assert expand_globs(f"{joined},a1.txt") == sorted(["a1.txt", f"{form}/{form}, 2 [x].txt"])
        os.remove(folder / form / f"{form}, 2 [x].txt")
        os.remove(folder / form / f"{form}.txt")
        os.rmdir(folder / form)


def test_a_name_that_is_not_utf8_is_refused(folder):
    """As archives of Windows are unpacked, whose names are in CP949."""
    Path(os.fsdecode("글.txt".encode("cp949"))).write_text("글", encoding="utf-8")
    for patterns in ("*.txt", "."):
        with pytest.raises(ConfigError, match=r"\\xb1\\xdb.txt is not in UTF-8; rename it"):
            expand_globs(patterns)


def test_the_users_folder(folder, monkeypatch):
    monkeypatch.setenv("HOME", str(folder))
    assert expand_globs("~/a1.txt,~/old*/*") == [
        f"{folder}/a1.txt",
        f"{folder}/old.jsonl.d/e.txt",
    ]


def test_a_text_file_in_a_folder_named_as_json_is_text(folder):
    from hclx.text.documents import read_documents

    assert [document.text for document in read_documents(["old.jsonl.d/e.txt"])] == ["글"]


@pytest.mark.parametrize(
    "pattern, path, expected",
    [
        ("a/*.txt", "a/b.txt", True),
        ("a", "a/b/c", True),
        ("**/*.gz", "a/b/c.gz", True),
        ("*.gz", "a/c.gz", False),
        ("b", "a/b", False),
    ],
)
def test_what_a_pattern_may_match(pattern, path, expected):
    assert may_match(pattern, path) is expected
