"""launch/keys.py as an administrator types it."""

import json
import re
import subprocess
import sys
import time

import pytest

pytest.importorskip("sqlalchemy")

from hclx.serve.caller import Ended, Usage
from hclx.serve.store.database import open_database
from hclx.serve.store.key_store import KeyStore
from tests.helpers.commands import environment, launch, refused


@pytest.fixture
def keys(tmp_path):
    return lambda *arguments: launch("keys.py", *arguments, f"--store={tmp_path}/keys.db")


def lines(result):
    assert result.returncode == 0, result.stderr
    return result.stdout.splitlines()


def test_a_key_is_made_used_listed_and_revoked(keys, tmp_path):
    options = ("--kind=test", "--scopes=inference,tuning", "--expires_days=30")
    limits = ("--requests_per_minute=2", "--tokens_per_day=1000")
    made = keys("create", "--name=검색팀", *options, *limits)
    (secret,) = lines(made)
    assert re.fullmatch(r"hclx-[\w-]{43}", secret) and "for 검색팀" in made.stderr
    with open_database(f"{tmp_path}/keys.db") as database:
        store = KeyStore(database)
        caller = store.authenticate(secret)
        assert caller.scopes == {"inference", "tuning"} and caller.kind == "test"
        store.record(caller, Ended(Usage(1200, 34)), store.admit(caller, 900))
    assert secret not in "".join((tmp_path / "keys.db").read_bytes().decode("latin-1"))

    head, row = lines(keys("list"))
    assert head.split("  ")[0] == "id" and row.startswith(f"{caller.key_id}  {secret[-4:]}")
    assert "active" in row and row.endswith("2 requests/minute; 1,000 tokens/day  검색팀")
    (record,) = map(json.loads, lines(keys("list", "--json")))
    assert record["id"] == caller.key_id and record["expires"] - record["created"] == 30 * 86400
    assert not {"sha256", "secret"} & record.keys()

    _, day, total = lines(keys("usage", f"--key={caller.key_id}"))
    today = time.strftime("%Y-%m-%d", time.gmtime())
    assert day.split() == [today, caller.key_id, "1", "1,200", "34", "검색팀"]
    assert total.split() == ["all", "1", "1,200", "34"]
    (used,) = map(json.loads, lines(keys("usage", "--json", "--days=1")))
    assert used["day"] == today and used["completion_tokens"] == 34

    limited = lines(keys("limit", f"--key={caller.key_id}", "--tokens_per_day=0"))
    assert limited == [f"key {caller.key_id} for 검색팀: 2 requests/minute"]
    assert "--tokens_per_day" in refused(keys("limit", f"--key={caller.key_id}"), 64)
    assert "has no key 'x'" in refused(keys("limit", "--key=x", "--tokens_per_day=1"), 64)

    assert lines(keys("revoke", f"--key={caller.key_id}")) == [
        f"key {caller.key_id} for 검색팀 is revoked"
    ]
    assert "revoked" in lines(keys("list"))[1]
    (limited,) = lines(keys("limit", f"--key={caller.key_id}", "--tokens_per_day=9"))
    assert limited.endswith("9 tokens/day; it is revoked, and opens nothing")
    with open_database(f"{tmp_path}/keys.db") as database:
        assert KeyStore(database).authenticate(secret) is None
    wrong = refused(keys("usage", f"--key={caller.key_id}0"), 64)
    assert f"has no key '{caller.key_id}0'; is it {caller.key_id}?" in wrong


def test_what_cannot_be_done_says_so_and_makes_no_store(keys, tmp_path):
    assert "--store is missing" in refused(launch("keys.py", "list"), 64)
    assert "there is no store" in refused(keys("list"), 64)
    assert "--name is missing" in refused(keys("create"), 64)
    assert "--key is missing" in refused(keys("revoke"), 64)
    assert "--tokens_per_day=-1" in refused(keys("create", "--name=a", "--tokens_per_day=-1"), 64)
    assert "--days=0" in refused(keys("usage", "--days=0"), 64)
    assert not list(tmp_path.iterdir())
    assert "scopes='root'" in refused(keys("create", "--name=a", "--scopes=root"), 64)
    assert lines(keys("usage", "--json")) == []
    (tmp_path / "keys.db").write_bytes(b"no database" * 100)
    assert "is damaged, or no store" in refused(keys("list"), 65)


def test_the_extra_is_named_where_it_is_missing(tmp_path):
    code = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "sqlalchemy":
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Absent())
sys.argv[0] = "hclx"
from hclx.cli import main
main()
"""
    command = [sys.executable, "-c", code, "keys", "list", f"--store={tmp_path}/keys.db"]
    result = subprocess.run(command, env=environment(), capture_output=True, text=True)
    assert "sqlalchemy" in (message := refused(result, 64)) and "hclx[serve]" in message


def test_a_database_that_does_not_answer_ends_with_the_code_of_storage():
    result = launch("keys.py", "list", "--store=postgresql://hclx:geheim@127.0.0.1:9/hclx")
    assert "geheim" not in refused(result, 74)
