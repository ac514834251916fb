"""Files of a corpus: whole or not at all, known by the key of what they were made from."""

import glob
import itertools
import os
import pickle

import pyarrow
import pytest
from pyarrow import fs

from hclx.corpus.settings import NearSettings
from hclx.corpus.store import Store, key_of, open_bytes
from hclx.errors import ConfigError, DataError
from hclx.text.inputs import find

TABLE = pyarrow.table({"text": ["가", "나"], "n": [1, 2]})


def test_a_write_that_fails_leaves_what_was_there(tmp_path):
    store = Store(str(tmp_path))
    store.write_text("folder/file.txt", "first")

    def fail(stream):
        stream.write(b"half")
        stream.flush()
        assert (tmp_path / "folder/file.txt").read_text() == "first", "a reader sees half of a file"
        raise OSError("no space left")

    with pytest.raises(OSError, match="no space"):
        store._write("folder/file.txt", fail)
    assert [p.name for p in (tmp_path / "folder").iterdir()] == ["file.txt"] and (
        tmp_path / "folder/file.txt"
    ).read_text() == "first"


def test_finished_work_is_known_by_its_key_and_damaged_work_is_not_finished(tmp_path):
    store = Store(str(tmp_path))
    store.write_table("a.parquet", TABLE, "key")
    store.write_json("a.json", {"n": 1}, "key")
    for name in ("a.parquet", "a.json"):
        assert (
            store.is_done(name, "key")
            and not store.is_done(name, "other")
            and not store.is_done(f"no{name}", "key")
        )
        content = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(content[: len(content) // 2])
        assert store.key(name) is None
    with pytest.raises(DataError, match="a.parquet cannot be read .*remove it and run again"):
        store.read_table("a.parquet")


def test_equal_tables_give_equal_bytes(tmp_path):
    for name in ("one", "two"):
        Store(str(tmp_path / name)).write_table("a.parquet", TABLE, "key")
    assert (tmp_path / "one/a.parquet").read_bytes() == (tmp_path / "two/a.parquet").read_bytes()
    assert Store(str(tmp_path / "one")).read_table("a.parquet", ["text"]).to_pydict() == {
        "text": ["가", "나"]
    }


def test_a_store_goes_to_workers_and_names_files_of_any_place(tmp_path):
    store = Store(str(tmp_path))
    store.write_text("b/c.txt", "")
    store.write_text("a.txt", "")
    assert pickle.loads(pickle.dumps(store)) == store and store.list("b") == ["b/c.txt"]
    assert store.list("none") == [] and store.path("b/c.txt") == f"{tmp_path}/b/c.txt"


def test_an_address_is_written_as_a_folder_is(tmp_path):
    store = Store(f"file://{tmp_path}/there")
    store.write_table("x/a.parquet", TABLE, "key")
    assert (
        store.is_done("x/a.parquet", "key")
        and store.list("x") == ["x/a.parquet"]
        and (tmp_path / "there/x/a.parquet").is_file()
    )


def test_keys_follow_values_and_their_order():
    keys = [
        key_of(1, NearSettings()),
        key_of(1, NearSettings(shingle=9)),
        key_of(2, NearSettings()),
        key_of([1], NearSettings()),
        key_of({"a": 1}),
        key_of({"a": "1"}),
    ]
    assert (
        len(set(keys)) == len(keys)
        and key_of(1, NearSettings()) == keys[0]
        and key_of({"b": 1, "a": 2}) == key_of({"a": 2, "b": 1})
    )


NAMES = (
    "a.txt",
    "b.jsonl",
    ".hidden/c.txt",
    "x/a.txt",
    "x/.c.txt",
    "x/y/a.txt",
    "x/y/b[1].txt",
    "x1/a.txt",
    "x1/z/b.txt",
)
PATTERNS = (
    "*.txt",
    "**/*.txt",
    "x/**/a.txt",
    "x*/*",
    "x?/*.txt",
    "x[0-9]/**",
    "**",
    "x/y/a.txt",
    "*/y/*",
    "none/*",
    "**/y/**/a.*",
    ".hidden/*",
    "x/y/b[[]1].txt",
)


@pytest.mark.parametrize("pattern, scheme", list(itertools.product(PATTERNS, ["", "file://"])))
def test_patterns_are_those_of_python(tmp_path, pattern, scheme):
    for name in NAMES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    expected = {
        p for p in glob.glob(pattern, root_dir=tmp_path, recursive=True) if (tmp_path / p).is_file()
    }
    store = Store(f"{scheme}{tmp_path}")
    found, skipped = find(pattern, store)
    assert set(found) == expected and (expected or pattern == "none/*") and not skipped
    for name in found:
        stat, info = os.stat(tmp_path / name), store.info(name)
        assert (info.size, info.mtime_ns) == (stat.st_size, stat.st_mtime_ns)


def test_files_are_read_by_path_or_address(tmp_path):
    (tmp_path / "file").write_bytes(b"one\ntwo\nthree")
    for path in (str(tmp_path / "file"), (tmp_path / "file").as_uri()):
        with open_bytes(path) as file:
            assert file.readline() == b"one\n" and file.seek(-5, 2) == 8 and file.read() == b"three"


def test_one_command_at_a_time_writes_to_a_folder(tmp_path):
    first_store, second_store = Store(str(tmp_path / "out")), Store(str(tmp_path / "out"))
    with (
        first_store.locked(),
        pytest.raises(ConfigError, match="another command is writing to .*out"),
    ):
        with second_store.locked():
            pass
    with second_store.locked():
        pass


def test_a_pattern_without_folders_lists_no_folder(tmp_path, monkeypatch):
    """Below --input=/home there may be millions of files that are nobody's business."""
    for name in ("a.txt", "x/b.txt", "x/y/c.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    selected, select = [], fs.FileSelector
    monkeypatch.setattr(
        fs,
        "FileSelector",
        lambda base_dir, **how: (
            selected.append((base_dir, how.get("recursive", False))) or select(base_dir, **how)
        ),
    )
    store = Store(str(tmp_path))
    assert [find(pattern, store)[0] for pattern in ("*.txt", "x/*", "x/*/*")] == [
        ["a.txt"],
        ["x/b.txt"],
        ["x/y/c.txt"],
    ]
    below = [(f"{tmp_path}/{name}", False) for name in ("x", "x", "x/y")]
    assert selected == [(str(tmp_path), False), *below]


def test_links_are_followed_as_by_python(tmp_path):
    (tmp_path / "elsewhere" / "deep").mkdir(parents=True)
    (tmp_path / "elsewhere" / "deep" / "a.txt").touch()
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "folder").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "in" / "file.txt").symlink_to(tmp_path / "elsewhere" / "deep" / "a.txt")
    for pattern in ("*.txt", "**/*.txt", "folder/deep/*.txt", "*/deep/*"):
        assert (
            set(find(pattern, Store(str(tmp_path / "in")))[0])
            == set(glob.glob(pattern, root_dir=tmp_path / "in", recursive=True))
            != set()
        )
