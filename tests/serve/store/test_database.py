"""Stores on both databases: tables, versions, several processes, transactions, locks, errors."""

import os
import re
import signal
import sqlite3
import stat
import subprocess
import sys
import threading

import pytest
import sqlalchemy as sa

from hclx.errors import ConfigError, DataError, StorageError
from hclx.serve.store import migrations
from hclx.serve.store.database import Database, open_database
from hclx.serve.store.key_records import create_key, list_keys
from hclx.serve.store.server_lock import only_server
from hclx.serve.store.tables import TABLES as SERVER_TABLES
from hclx.serve.store.tables import api_keys, store_version
from hclx.studio.store.studio_tables import TABLES as STUDIO_TABLES
from tests.helpers.commands import environment

TABLES = {**SERVER_TABLES, **STUDIO_TABLES}


def python(code, *arguments, **options):
    options = {"env": environment(), "text": True, "stdout": subprocess.PIPE, **options}
    return subprocess.Popen([sys.executable, "-c", code, *arguments], **options)


def test_migrations_make_the_tables_that_statements_use(database):
    with database.reading() as connection:
        inspector = sa.inspect(connection)
        assert sorted(inspector.get_table_names()) == sorted(TABLES)
        for name, table in TABLES.items():
            made = {c["name"]: (str(c["type"]), c["nullable"]) for c in inspector.get_columns(name)}
            assert made == {c.name: (str(c.type), c.nullable) for c in table.columns}
            key = inspector.get_pk_constraint(name)["constrained_columns"]
            assert key == [column.name for column in table.primary_key]
            indexes = {i["name"] for i in inspector.get_indexes(name) if not i["unique"]}
            assert indexes == {index.name for index in table.indexes}


def test_a_store_is_opened_again_as_it_was(url):
    with open_database(url) as database:
        _, made = create_key(database, "검색팀", 1000)
    with open_database(url) as database:
        assert list_keys(database) == [made]


def test_a_later_step_runs_once_and_a_step_that_fails_leaves_nothing(url):
    runs = []

    def second(connection):
        runs.append(1)
        connection.exec_driver_sql("CREATE TABLE later (id TEXT)")

    def third(connection):
        connection.exec_driver_sql("CREATE TABLE never (id TEXT)")
        raise RuntimeError("a fault")

    steps = (*migrations.MIGRATIONS, second)
    with open_database(url) as database:
        create_key(database, "first", 1000)
        with pytest.raises(RuntimeError), database.writing() as connection:
            migrations.migrate(connection, "store", (*steps, third))
        for _ in range(2):
            with database.writing() as connection:
                migrations.migrate(connection, "store", steps)
        assert len(runs) == 2  # once in vain, once for good
        with database.reading() as connection:
            names = sa.inspect(connection).get_table_names()
            assert "later" in names and "never" not in names
            assert connection.scalar(sa.select(store_version.c.version)) == len(steps)
        assert len(list_keys(database)) == 1
    known = len(migrations.MIGRATIONS)
    words = f"of version {known + 1}, and this hclx knows versions up to {known}"
    with pytest.raises(DataError, match=words):
        open_database(url)


def test_the_database_of_another_program_is_refused_and_stays_as_it_is(url):
    database = Database(url)
    with database.writing() as connection:
        connection.exec_driver_sql("CREATE TABLE invoices (id TEXT)")
    with pytest.raises(DataError, match=r"tables of another program \(invoices\)"):
        open_database(url)
    with database.reading() as connection:
        assert sa.inspect(connection).get_table_names() == ["invoices"]
    database.close()


def test_replicas_that_start_at_once_make_the_tables_once(url):
    code = """
import sys
from hclx.serve.store.database import open_database
from hclx.serve.store.key_records import create_key
print("ready", flush=True)
sys.stdin.readline()
with open_database(sys.argv[1]) as database:
    create_key(database, sys.argv[2], 1000)
"""
    names = ["a", "b", "c", "d"]
    processes = [python(code, url, name, stdin=subprocess.PIPE) for name in names]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        print(file=process.stdin, flush=True)
    for process in processes:
        process.communicate(timeout=120)
        assert process.returncode == 0
    with open_database(url) as database:
        assert sorted(key.name for key in list_keys(database)) == names
        with database.reading() as connection:
            assert connection.scalars(sa.select(store_version.c.version)).all() == [
                len(migrations.MIGRATIONS)
            ]


def test_a_block_that_raises_writes_nothing(database):
    _, key = create_key(database, "first", 1000)
    with pytest.raises(RuntimeError), database.writing() as connection:
        connection.execute(api_keys.update().values(name="second"))
        raise RuntimeError("a fault")
    assert list_keys(database) == [key]


def test_a_reader_sees_what_is_written_and_does_not_wait_for_a_writer(database):
    with database.writing() as connection:
        connection.execute(store_version.update().values(version=1))
        ended = threading.Event()
        reader = threading.Thread(target=lambda: (list_keys(database), ended.set()))
        reader.start()
        assert ended.wait(20)
        reader.join()


def test_one_server_has_a_file_of_sqlite_also_by_another_name_until_it_is_killed(tmp_path):
    path, link = tmp_path / "keys.db", tmp_path / "other.db"
    code = """
import sys, time
from hclx.serve.store.database import open_database
from hclx.serve.store.server_lock import only_server
with open_database(sys.argv[1]) as database, only_server(database):
    print("serving", flush=True)
    time.sleep(600)
"""
    server = python(code, str(path))
    try:
        assert server.stdout.readline() == "serving\n"
        link.symlink_to(path)
        for name in (path, link):
            with open_database(str(name)) as database:
                with pytest.raises(ConfigError, match=rf"another server \(pid {server.pid}\)"):
                    with only_server(database):
                        pass
                create_key(database, "made beside it", 1000)
    finally:
        server.send_signal(signal.SIGKILL)
        server.wait()
    with open_database(str(path)) as database:
        for _ in range(2):
            with only_server(database):
                assert (tmp_path / "keys.db.lock").read_text() == str(os.getpid())


def test_servers_share_a_postgresql(postgres):
    database = Database(postgres.format(name="postgres"))
    with only_server(database), only_server(database):
        pass
    database.close()


def test_a_file_is_for_its_owner_alone(tmp_path):
    with open_database(str(tmp_path / "keys.db")) as database, only_server(database):
        create_key(database, "first", 1000)
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert modes.keys() == {f"keys.db{end}" for end in ("", "-wal", "-shm", ".lock")}
    assert set(modes.values()) == {0o600}


@pytest.mark.parametrize(
    "url, message",
    [
        ("", "is no path"),
        ("mysql://host/name", "address of 'mysql'"),
        ("://", "no address"),
        ("postgresql://host:port/name", "no address"),
        ("sqlite://", "give the path of a file"),
        ("sqlite:///:memory:", "give the path of a file"),
        ("sqlite:///keys.db?mode=ro", "give the path of a file"),
        ("sqlite:////no/such/folder/keys.db", "folder /no/such/folder of the store does not exist"),
    ],
)
def test_an_address_that_is_none_is_refused(url, message):
    with pytest.raises(ConfigError, match=message):
        open_database(url)


def test_a_store_that_is_not_to_be_made_is_missed(tmp_path):
    with pytest.raises(ConfigError, match="there is no store .*keys.db"):
        open_database(f"sqlite:///{tmp_path}/keys.db", makes=False)
    assert not list(tmp_path.iterdir())


def test_a_file_of_something_else_is_refused_and_a_folder_too(tmp_path):
    (tmp_path / "text.db").write_text("한국어 글 " * 100)
    with pytest.raises(DataError, match=r"text.db is damaged, or no store: file is not a database"):
        open_database(str(tmp_path / "text.db"))
    assert (tmp_path / "text.db").read_text() == "한국어 글 " * 100
    with pytest.raises(ConfigError, match="is a folder"):
        open_database(str(tmp_path))


def test_a_database_that_does_not_answer_is_named_without_its_password():
    with pytest.raises(StorageError) as error:
        open_database("postgresql://user:geheim@127.0.0.1:9/name")
    assert "geheim" not in str(error.value) and "127.0.0.1:9" in str(error.value)


def test_a_disk_that_is_full_is_told_and_the_store_goes_on_afterwards(tmp_path):
    with open_database(str(tmp_path / "keys.db")) as database:
        with pytest.raises(StorageError, match=re.escape("database or disk is full")):
            with database.writing() as connection:
                size = connection.exec_driver_sql("PRAGMA page_count").scalar()
                connection.exec_driver_sql(f"PRAGMA max_page_count = {size}")
                rows = [{"version": 1} for _ in range(10_000)]
                connection.execute(store_version.insert(), rows)
        with database.reading() as connection:
            versions = connection.scalars(sa.select(store_version.c.version)).all()
            assert versions == [len(migrations.MIGRATIONS)]
    assert sqlite3.connect(tmp_path / "keys.db").execute("PRAGMA integrity_check").fetchall() == [
        ("ok",)
    ]
