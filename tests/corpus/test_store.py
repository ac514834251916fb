"""Files of a corpus: whole or not at all, known by the key of what they were made from."""

import pickle

import pyarrow
import pytest

from hclx.corpus.settings import NearSettings
from hclx.corpus.store import Store, key_of
from hclx.errors import DataError

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
    assert [p.name for p in (tmp_path / "folder").iterdir()] == ["file.txt"] and (tmp_path / "folder/file.txt").read_text() == "first"


def test_finished_work_is_known_by_its_key_and_damaged_work_is_not_finished(tmp_path):
    store = Store(str(tmp_path))
    store.write_table("a.parquet", TABLE, "key")
    store.write_json("a.json", {"n": 1}, "key")
    for name in ("a.parquet", "a.json"):
        assert store.is_done(name, "key") and not store.is_done(name, "other") and not store.is_done(f"no{name}", "key")
        content = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(content[: len(content) // 2])
        assert store.key(name) is None
    with pytest.raises(DataError, match="a.parquet cannot be read .*remove it and run again"):
        store.read_table("a.parquet")


def test_equal_tables_give_equal_bytes(tmp_path):
    for name in ("one", "two"):
        Store(str(tmp_path / name)).write_table("a.parquet", TABLE, "key")
    assert (tmp_path / "one/a.parquet").read_bytes() == (tmp_path / "two/a.parquet").read_bytes()
    assert Store(str(tmp_path / "one")).read_table("a.parquet", ["text"]).to_pydict() == {"text": ["가", "나"]}


def test_a_store_goes_to_workers_and_names_files_of_any_place(tmp_path):
    store = Store(str(tmp_path))
    store.write_text("b/c.txt", "")
    store.write_text("a.txt", "")
    assert pickle.loads(pickle.dumps(store)) == store and store.list("b") == ["b/c.txt"]
    assert store.list("none") == [] and store.path("b/c.txt") == f"{tmp_path}/b/c.txt"


def test_an_address_is_written_as_a_folder_is(tmp_path):
    store = Store(f"file://{tmp_path}/there")
    store.write_table("x/a.parquet", TABLE, "key")
    assert store.is_done("x/a.parquet", "key") and store.list("x") == ["x/a.parquet"] and (tmp_path / "there/x/a.parquet").is_file()


def test_keys_follow_values_and_their_order():
    keys = [key_of(1, NearSettings()), key_of(1, NearSettings(shingle=9)), key_of(2, NearSettings()), key_of([1], NearSettings()), key_of({"a": 1}), key_of({"a": "1"})]
    assert len(set(keys)) == len(keys) and key_of(1, NearSettings()) == keys[0] and key_of({"b": 1, "a": 2}) == key_of({"a": 2, "b": 1})
