"""The stage `documents`: nothing is refused or ignored in silence, and long documents are split."""

import json
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest

from hclx.corpus.card import write_card
from hclx.corpus.explain import explain
from hclx.corpus.layout import DOCUMENTS, MANIFEST
from hclx.corpus.pipeline import Corpus
from hclx.corpus.raw_files import raw_files
from hclx.corpus.readers import HOPELESS, LISTED, ingest_file, notes
from hclx.corpus.runner import make_runner
from hclx.corpus.settings import parse_settings
from hclx.corpus.store import Store
from hclx.errors import ConfigError, DataError
from tests.helpers.commands import environment

SENTENCE = "강가의 마을에는 오래된 다리가 하나 있고, 아이들은 그 위에서 배를 기다린다."


def ingest(folder: Path, files: dict[str, bytes], **source) -> tuple[Store, list[dict], list[dict]]:
    """(store, manifests, rows of all documents) of files of one source."""
    for name, content in files.items():
        (folder / "raw" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "raw" / name).write_bytes(content)
    store = Store(str(folder / "out"))
    settings = parse_settings({"sources": {"src": {"input": ".", **source}}})
    manifests, rows = [], []
    for raw in raw_files(settings, str(folder / "raw")):
        ingest_file(raw, store)
        manifests.append(store.read_json(raw.file(MANIFEST)))
        for shard in manifests[-1]["parts"]:
            rows += store.read_table(DOCUMENTS.format(name=shard["name"])).to_pylist()
    return store, manifests, rows


def corpus(folder: Path, sources: dict, **changes) -> Corpus:
    settings = parse_settings({"sources": sources, **changes})
    return Corpus(settings, str(folder / "raw"), str(folder / "out"), make_runner(workers=1))


def test_a_long_document_is_split_into_numbered_parts(tmp_path):
    lines = [f"{i}. {SENTENCE}" for i in range(400)]
    record = {"text": "\n\n".join(lines), "id": "book", "title": "책"}
    short = {"text": SENTENCE, "id": "short"}
    content = "".join(json.dumps(r, ensure_ascii=False) + "\n" for r in (record, short)).encode()
    _, (manifest,), rows = ingest(tmp_path, {"a.jsonl": content}, max_chars=5000)
    *parts, last = rows
    assert [row["doc_id"] for row in parts] == [f"src/book#{i + 1}" for i in range(len(parts))]
    assert "\n\n".join(row["text"] for row in parts) == record["text"]
    assert all(2500 <= len(row["text"]) <= 5000 for row in parts[:-1])
    assert {row["title"] for row in parts} == {"책"} and last["doc_id"] == "src/short"
    assert manifest["long"] == {"documents": 1, "parts": len(parts)}
    assert notes([manifest]) == [
        f"1 document of more than max_chars characters became {len(parts)} parts"
    ]


def test_a_book_survives_the_rules(tmp_path):
    """The rule too_long would remove it as a whole."""
    book = "\n".join(f"{i}번째 날이다. {SENTENCE}" for i in range(25_000))
    assert len(book) > 1_000_000
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "book.txt").write_text(book, encoding="utf-8")
    rules = {name: None for name in ("dup_5", "dup_10", "top_2", "top_3", "top_4")}
    built = corpus(
        tmp_path, {"books": {"input": "*.txt", "rules": rules}}, near=None, paragraph=None
    )
    built.build()
    tables = [built.store.read_table(f"corpus/{shard.name}.parquet") for shard in built.shards]
    kept = [text for table in tables for text in table["text"].to_pylist()]
    assert "\n".join(kept) == book and len(kept) >= 3


def test_a_text_file_that_may_hold_many_documents_is_named_with_the_alternatives(tmp_path):
    content = "\n".join([SENTENCE] * 300).encode()
    _, manifests, rows = ingest(tmp_path / "a", {"a.txt": content})
    assert len(rows) == 1 and "a.txt one of 300 lines" in notes(manifests)[0]
    assert "`split: line` or `split: blank_line`, else `split: file`" in notes(manifests)[0]
    _, manifests, _ = ingest(tmp_path / "b", {"a.txt": content}, split="file")
    assert notes(manifests) == []


def test_ids_of_documents_without_ids_hold_the_folder(tmp_path):
    files = {name: f"{SENTENCE}\n".encode() for name in ("s1/x.txt", "s2/x.txt")}
    _, _, rows = ingest(tmp_path / "a", files, split="line")
    assert [row["doc_id"] for row in rows] == ["src/s1/x.txt:1", "src/s2/x.txt:1"]
    _, _, rows = ingest(tmp_path / "b", files, split="line", input="s1/x.txt,s2/*")
    assert [row["doc_id"] for row in rows] == ["src/s1/x.txt:1", "src/s2/x.txt:1"]
    _, _, rows = ingest(tmp_path / "c", files, split="line", input="s1/*.txt")
    assert [row["doc_id"] for row in rows] == ["src/x.txt:1"]  # as before


@pytest.mark.parametrize(
    "pattern",
    ["talk", "talk/", "./talk", "talk/*", "talk/**", "talk/b*.txt,talk/[2] 가, 나", "SLASH/talk"],
)
def test_ids_do_not_depend_on_how_the_files_of_a_folder_are_named(tmp_path, pattern):
    files = {name: SENTENCE.encode() for name in ("talk/b.txt", "talk/[2] 가, 나/x.txt")}
    pattern = pattern.replace("SLASH", str(tmp_path / "raw"))
    _, _, rows = ingest(tmp_path, files, split="line", input=pattern)
    expected = {"src/b.txt:1"} if pattern == "talk/*" else {"src/b.txt:1", "src/[2] 가, 나/x.txt:1"}
    assert {row["doc_id"] for row in rows} == expected


@pytest.mark.parametrize(
    "pattern, expected",
    [
        ("talk", "a/b.txt"),
        ("talk/**", "a/b.txt"),
        ("talk/*/b.txt", "a/b.txt"),
        ("talk/a/b.txt", "b.txt"),
        ("talk,*.md", "talk/a/b.txt"),
    ],
)
def test_an_id_is_the_path_below_the_folder_that_is_named(tmp_path, pattern, expected):
    files = {name: SENTENCE.encode() for name in ("talk/a/b.txt", "c.md")}
    _, _, rows = ingest(tmp_path, files, input=pattern)
    assert f"src/{expected}" in {row["doc_id"] for row in rows}


@pytest.mark.parametrize(
    "pattern", ["talk/[2] 가, 나/x.txt", "talk/[2] 가, 나", "talk/[2] 가, 나/*"]
)
def test_the_folder_that_is_named_is_no_part_of_an_id(tmp_path, pattern):
    files = {"talk/[2] 가, 나/x.txt": SENTENCE.encode()}
    _, _, rows = ingest(tmp_path, files, input=pattern)
    assert [row["doc_id"] for row in rows] == ["src/x.txt"]


@pytest.mark.parametrize(
    "pattern", ["/elsewhere/*.txt", "~other/a.txt", "gs://bucket/a.txt", "a.txt,/b"]
)
def test_an_input_elsewhere_is_refused_with_what_to_write(tmp_path, pattern):
    with pytest.raises(
        ConfigError, match="is not below --input=.*; write a path below that folder"
    ):
        ingest(tmp_path, {"a.txt": SENTENCE.encode()}, input=pattern)


def test_a_path_from_the_top_that_leads_below_the_input_folder_is_read(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    for pattern in (f"{tmp_path}/raw/a.txt", "~/raw/*.txt", f"{tmp_path}/raw", "~/raw/a.txt,b*"):
        _, _, rows = ingest(tmp_path, {"a.txt": SENTENCE.encode()} | B, input=pattern)
        assert [row["doc_id"] for row in rows][0] == "src/a.txt"


B = {"b.txt": SENTENCE.encode()}


def test_a_file_of_which_no_record_is_a_document_is_left_with_a_guess(tmp_path):
    content = b"[\n" + b",\n".join(b' {\n  "text": "x"\n }' for _ in range(3000)) + b"\n]\n"
    store, (manifest,), rows = ingest(tmp_path, {"a.json": content})
    assert not rows and sum(manifest["quarantined"].values()) == HOPELESS + 1
    assert "the file looks like a JSON array" in manifest["examples"]["not JSON"]
    listed = (tmp_path / "out" / "quarantine").rglob("*.jsonl")
    *_, last = next(listed).read_text(encoding="utf-8").splitlines()
    assert (
        "the rest of the file was not read (its first 1,000 records" in json.loads(last)["reason"]
    )


def test_a_few_nul_are_dropped_and_a_text_of_many_is_set_aside(tmp_path):
    book = "\n".join([SENTENCE] * 100)
    texts = [f"{book[:9]}\0{book[9:]}\0", f"{SENTENCE}\0", "\0".join("utf-16 text")]
    records = "".join(json.dumps({"text": text, "title": "제\0목"}) + "\n" for text in texts)
    _, (manifest,), rows = ingest(tmp_path, {"a.jsonl": records.encode()})
    assert [(row["text"], row["title"]) for row in rows] == [(book, "제목")]
    assert manifest["quarantined"] == {"NUL in the text": 2}
    record = json.dumps({"text": SENTENCE, "title": "제\0목\0"}) + "\n"
    _, _, (row,) = ingest(tmp_path / "title", {"a.jsonl": record.encode()})
    assert row["title"] == "제목"
    assert "more than 1% of it: binary data, or another" in manifest["examples"]["NUL in the text"]


def test_a_file_without_bad_records_has_no_quarantine(tmp_path):
    """Nor one that had some, and was mended."""
    good = json.dumps({"text": SENTENCE}, ensure_ascii=False).encode()
    ingest(tmp_path, {"a.jsonl": good, "b.jsonl": good + b"\nno"})
    quarantine = tmp_path / "out" / "quarantine"
    assert [path.read_bytes().count(b"\n") for path in quarantine.rglob("*.jsonl")] == [1]
    store, manifests, rows = ingest(tmp_path, {"b.jsonl": good + b"\n" + good})
    assert not [*quarantine.rglob("*.jsonl")] and len(rows) == 3
    assert [manifest["quarantined"] for manifest in manifests] == [{}, {}]


def test_bad_records_do_not_end_a_file_that_has_documents(tmp_path):
    good = json.dumps({"text": SENTENCE}, ensure_ascii=False).encode()
    content = b"\n".join([good, *[b"no"] * 3000, good])
    _, (manifest,), rows = ingest(tmp_path / "a", {"a.jsonl": content})
    assert len(rows) == 2 and manifest["quarantined"] == {"not JSON": 3000}
    quarantine = next((tmp_path / "a" / "out" / "quarantine").rglob("*.jsonl"))
    assert quarantine.read_bytes().count(b"\n") == LISTED
    empty = b"\n".join([*[b'{"text": ""}'] * 3000, good])  # that tells nothing of the rest
    assert len(ingest(tmp_path / "b", {"a.jsonl": empty})[2]) == 1


@pytest.mark.parametrize(
    "content, message",
    [
        (
            '{"content": "글", "title": "제목"}\n'.encode() * 5,
            r"source talk has no document: 5 records set aside, no string field `text` 5; for"
            r" example a\.jsonl:1: .*the record has fields content, title; write `fields: {text:"
            r" content}`\); all are in .*quarantine/talk",
        ),
        (
            '{"text": "한글이다"}\n'.encode("cp949") * 5,
            "it reads as CP949: write `encoding: cp949`",
        ),
        (b"\n", r"source talk has no document: no text is in a\.jsonl"),
    ],
)
def test_a_source_without_a_document_ends_before_later_stages(tmp_path, content, message):
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "a.jsonl").write_bytes(content)
    (tmp_path / "raw" / "b.txt").write_text(SENTENCE, encoding="utf-8")
    built = corpus(tmp_path, {"talk": {"input": "*.jsonl"}, "other": {"input": "*.txt"}})
    with pytest.raises(DataError, match=message):
        built.build()
    assert not (tmp_path / "out" / "attributes").exists()


@pytest.mark.parametrize("pattern", [".", "**/*", "out", "out/corpus/*/*.parquet", "*/*/*/*"])
def test_an_output_that_the_next_run_would_read_is_refused(tmp_path, pattern):
    (tmp_path / "a.txt").write_text(SENTENCE, encoding="utf-8")
    settings = parse_settings({"sources": {"a": {"input": f"a.txt,{pattern}"}}})
    with pytest.raises(ConfigError, match="would read the files of --output"):
        Corpus(settings, str(tmp_path), str(tmp_path / "out"), make_runner(workers=1))
    settings = parse_settings({"sources": {"a": {"input": "*.txt"}}})
    Corpus(settings, str(tmp_path), str(tmp_path / "out"), make_runner(workers=1))


def test_folders_of_input_and_output(tmp_path):
    """An output among the raw files would scatter its files there, or remove them."""
    (tmp_path / "raw" / "documents").mkdir(parents=True)
    (tmp_path / "raw" / "documents" / "a.txt").write_text(SENTENCE, encoding="utf-8")
    (tmp_path / "link").symlink_to(tmp_path / "raw")
    settings = parse_settings({"sources": {"a": {"input": "documents"}}})
    start = lambda folder, out, settings=settings: Corpus(
        settings, str(tmp_path / folder), str(tmp_path / out), make_runner(workers=1)
    )
    for out in ("raw", "raw/", "raw/../raw", "link"):
        with pytest.raises(ConfigError, match="--output is .*, the folder of --input"):
            start("raw", out)
    start("raw", "raw/out")
    below = parse_settings({"sources": {"a": {"input": "a.txt"}}})
    with pytest.raises(ConfigError, match="--input is .*, where the files of --output="):
        start("raw/documents", "raw", below)
    with pytest.raises(DataError, match=r"^--input=.*/rwa does not exist$"):
        start("rwa", "out")
    with pytest.raises(DataError, match="a.txt is a file; name the folder that it is in"):
        start("raw/documents/a.txt", "out")


@pytest.mark.parametrize("pattern", ["mix", "mix/**", "mix/**/**", "*/**", "**"])
def test_files_of_other_kinds_are_told_and_an_empty_one_is_set_aside(tmp_path, pattern):
    folder = tmp_path / "raw" / "mix"
    (folder / "sub").mkdir(parents=True)
    for name in ("a.txt", "sub/b.txt"):
        (folder / name).write_text(f"{SENTENCE} {name} {SENTENCE}", encoding="utf-8")
    for name in (
        "empty.txt",
        "sub/empty.md",
        "sub/empty.jsonl",
        "d.docx",
        "e.csv",
        "sub/f.pdf",
        "sub/g.hwp",
    ):
        (folder / name).touch()
    built = corpus(tmp_path, {"mix": {"input": pattern}}, near=None)
    built.build()
    card = write_card(built.store, built.settings, built.shards)
    source = card["sources"]["mix"]
    assert source["documents"] == 2 and source["aside"] == {"no text": 2}
    told = "4 files of other kinds skipped: mix/d.docx, mix/e.csv, mix/sub/f.pdf, ..."
    assert source["notes"] == ["set aside: mix/empty.txt:1: no text", told]
    assert told in Path(built.store.path("card.html")).read_text(encoding="utf-8")
    for name in ("d.docx", "e.csv", "sub/f.pdf", "sub/g.hwp"):
        (folder / name).unlink()
    again = corpus(tmp_path, {"mix": {"input": pattern}}, near=None)
    again.build()
    source = write_card(again.store, again.settings, again.shards)["sources"]["mix"]
    assert source["notes"] == ["set aside: mix/empty.txt:1: no text"]


def test_inspection_shows_all_documents_of_an_id_and_records_that_were_set_aside(tmp_path):
    (tmp_path / "raw" / "sub").mkdir(parents=True)
    for name, word in (("a", "배"), ("sub/b", "기차")):
        record = {"id": "1", "text": SENTENCE.replace("배", word)}
        lines = [json.dumps({"text": f"{word}. {SENTENCE}"}), json.dumps(record), "{"]
        path = tmp_path / "raw" / f"{name}.jsonl"
        path.write_text("\n".join(lines), encoding="utf-8")
    built = corpus(tmp_path, {"talk": {"input": "."}}, near=None)
    built.build()
    shown = explain(built.store, "talk/1")
    assert shown.startswith("2 documents have this id\n\ntalk/1\n")
    for name in ("a", "sub/b"):
        assert f"\n  file          {name}.jsonl, its document 2\n" in shown
    reason = "set aside, not JSON (Expecting property name"
    for asked, known in (("sub/b.jsonl:3", "sub/b"), ("b.jsonl:3", "sub/b"), ("a.jsonl:3", "a")):
        shown = explain(built.store, f"talk/{asked}")
        assert shown.startswith(f"talk/{known}.jsonl:3\n  verdict       {reason}")
        assert shown.endswith("\n  beginning     {")
    with pytest.raises(DataError, match="no document of .* has the id talk/b.jsonl:4"):
        explain(built.store, "talk/b.jsonl:4")


def test_an_id_of_a_record_is_found_in_either_form_of_hangul(tmp_path):
    forms = [unicodedata.normalize(form, "등대") for form in ("NFC", "NFD")]
    (tmp_path / "raw").mkdir()
    lines = [json.dumps({"id": f"{name}{i}", "text": SENTENCE}) for i, name in enumerate(forms)]
    (tmp_path / "raw" / "a.jsonl").write_text("\n".join(lines), encoding="utf-8")
    built = corpus(tmp_path, {"talk": {"input": "."}}, near=None)
    built.build()
    for name in forms:
        for i in range(2):
            assert f"its document {i + 1}\n" in explain(built.store, f"talk/{name}{i}")


def test_a_named_format_reads_every_file_that_a_pattern_matches(tmp_path):
    files = {"a.log": SENTENCE.encode(), "sub/b.txt": SENTENCE.encode()}
    _, _, rows = ingest(tmp_path, files, input="**", format="text")
    assert [row["doc_id"] for row in rows] == ["src/a.log", "src/sub/b.txt"]


PEAK = """
import resource, sys
from hclx.corpus.raw_files import raw_files
from hclx.corpus.readers import ingest_file
from hclx.corpus.settings import parse_settings
from hclx.corpus.store import Store
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for raw in raw_files(parse_settings({"sources": {"a": {"input": sys.argv[2]}}}), sys.argv[1]):
    ingest_file(raw, Store(sys.argv[1] + "/out"))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.parametrize("kind", ["json", "txt"])
def test_memory_does_not_grow_with_what_is_refused_or_long(tmp_path, kind):
    """10.9 MB of JSON over 1,000,002 lines took 1.1 GB, and one document of 50 MB 2 GB."""
    content = (
        b"[\n" + b'"12345678",\n' * 1_000_000 if kind == "json" else (SENTENCE * 500_000).encode()
    )
    (tmp_path / f"a.{kind}").write_bytes(content)
    result = subprocess.run(
        [sys.executable, "-c", PEAK, str(tmp_path), f"a.{kind}"],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=200,
        check=True,
    )
    assert int(result.stdout) < (50_000 if kind == "json" else 300_000)
