"""Files that clients bring: their forms, their lines, and attacks on both."""

import json
import threading

import httpx2
import pytest

pytest.importorskip("sqlalchemy")
pytest.importorskip("python_multipart")

from hclx.serve.serve_config import ServeConfig
from hclx.serve.server import build_app
from hclx.serve.store.database import open_database
from hclx.serve.store.key_records import create_key
from hclx.serve.store.key_store import KeyStore
from hclx.serve.tuning.tuning_config import TuningConfig
from hclx.serve.tuning.tuning_dialect import tuning_dialect
from hclx.serve.tuning.tuning_files import TuningFiles
from hclx.serve.tuning.tuning_service import Tuning
from tests.helpers.serving import client_of, served

PATH = "/hclx/v1/datasets"
TABLE = "text,answer\n밥이 달다,good\n국이 짜다,bad\n"


@pytest.fixture
def database(tmp_path):
    with open_database(f"{tmp_path}/keys.db") as opened:
        yield opened


@pytest.fixture
def app(backend, database, tmp_path):
    tuning = Tuning(database, TuningFiles(tmp_path / "tuning"), None, TuningConfig(datasets=3))
    config = ServeConfig(file_bytes=200_000)
    make = lambda service: tuning_dialect(service, tuning)
    return build_app(backend, KeyStore(database), config, [make])


@pytest.fixture
def client(app):
    with client_of(app) as client:
        yield client


@pytest.fixture
def key(database):
    return header(database)


def header(database, scopes=("tuning",), tenant="ours"):
    secret, _ = create_key(database, "first", 1000, scopes=scopes, tenant=tenant)
    return {"Authorization": f"Bearer {secret}"}


def send(client, key, content=TABLE, name="rows.csv", **query):
    return client.post(PATH, content=content, params={"name": name, **query}, headers=key)


def files_in(tmp_path, folder):
    return sorted(path.name for path in (tmp_path / "tuning" / folder).iterdir())


def test_a_file_is_kept_by_its_content_as_a_body_and_in_a_form(client, key, tmp_path):
    record = send(client, key).json()
    assert (record["rows"], record["columns"]) == (2, ["text", "answer"])
    assert record["bytes"] == len(TABLE.encode())
    form = client.post(PATH, files={"file": ("둘.csv", TABLE)}, headers=key).json()
    assert (form["name"], form["sha256"]) == ("둘.csv", record["sha256"])
    assert files_in(tmp_path, "datasets") == [f"{record['sha256']}.csv"]
    shown = client.get(f"{PATH}/{form['id']}", headers=key).json()
    assert shown["first_rows"][0] == {"text": "밥이 달다", "answer": "good"}
    for name in (record["id"], form["id"]):
        assert len(files_in(tmp_path, "datasets")) == 1
        assert client.delete(f"{PATH}/{name}", headers=key).status_code == 200
    assert files_in(tmp_path, "datasets") == files_in(tmp_path, "new") == []


def test_a_file_in_cp949_becomes_utf8(client, key):
    wrong = send(client, key, TABLE.encode("cp949"))
    assert wrong.status_code == 400
    message = wrong.json()["error"]["message"]
    assert message.startswith("rows.csv:2 is not UTF-8") and "encoding=cp949" in message
    record = send(client, key, TABLE.encode("cp949"), encoding="cp949").json()
    assert record["bytes"] == len(TABLE.encode())
    rows = client.get(f"{PATH}/{record['id']}", headers=key).json()["first_rows"]
    assert rows[1] == {"text": "국이 짜다", "answer": "bad"}
    assert send(client, key, encoding="none").status_code == 400


@pytest.mark.parametrize(
    "content, name, words",
    [
        ("text,answer\n밥,good,more\n", "rows.csv", "rows.csv:2 has 3 cells"),
        ('text,answer\n"밥,good\n', "rows.csv", "rows.csv:2 is no CSV"),
        ("text,text\n밥,good\n", "rows.csv", "two columns have one name"),
        ("", "rows.csv", "rows.csv has no rows"),
        ("text\n", "rows.csv", "rows.csv has no rows"),
        ('{"text": 1}\n{"text": \n', "rows.jsonl", "rows.jsonl:2 is no JSON"),
        ("[1]\n", "rows.jsonl", "rows.jsonl:1 is [1], and no object"),
        ("[" * 100_000, "rows.jsonl", "rows.jsonl:1 is no JSON"),
        (b"\x1f\x8b\x08\x00\xff", "rows.csv", "rows.csv:1 is not UTF-8"),
        ("x" * 199_000 + '"', "rows.csv", "rows.csv:1 is no CSV: field larger"),
        (TABLE, "../../etc/passwd.csv", "give the name of a file"),
        (TABLE, "rows.zip", ".csv, .tsv, .jsonl"),
        (TABLE, "", "give the name of a file"),
        (TABLE, "a\0.csv", "give the name of a file"),
        (TABLE, "a" * 200 + ".csv", "give the name of a file"),
    ],
)
def test_what_is_no_file_of_rows_is_refused_with_its_line(
    client, key, tmp_path, content, name, words
):
    answer = send(client, key, content, name)
    assert answer.status_code == 400, answer.text
    message = answer.json()["error"]["message"]
    assert words in message and str(tmp_path) not in message
    assert files_in(tmp_path, "datasets") == files_in(tmp_path, "new") == []
    assert client.get(PATH, headers=key).json()["data"] == []


def test_forms_that_are_none_are_refused(client, key):
    kind = "multipart/form-data"
    for content, content_type in (
        (b"nothing", kind),
        (b"nothing", f"{kind}; boundary=x"),
        (b"--x\r\n\r\n", f"{kind}; boundary=x"),
        (b"", f"{kind}; boundary={'x' * 5000}"),
    ):
        headers = {**key, "Content-Type": content_type}
        answer = client.post(PATH, content=content, headers=headers)
        assert answer.status_code == 400, answer.text
    many = {f"f{i}": (f"{i}.csv", TABLE) for i in range(3)}
    assert client.post(PATH, files=many, headers=key).status_code == 400
    text = client.post(PATH, files={"file": ("a.csv", TABLE)}, data={"path": "/x"}, headers=key)
    assert text.json()["error"]["param"] == "path"


def test_only_keys_for_tuning_bring_files_and_each_tenant_has_its_share(client, database):
    assert send(client, {}).status_code == 401
    assert send(client, header(database, ("inference",))).status_code == 403
    for tenant in ("ours", "others"):
        answers = [send(client, header(database, tenant=tenant)).status_code for _ in range(4)]
        assert answers == [201, 201, 201, 429]


def test_a_body_is_read_in_parts_up_to_its_limit(app, key, tmp_path):
    """Over a real socket: a client that sends for ever, one that leaves, and one that is slow."""
    seen = threading.Event()

    def endless():
        yield b"text,answer\n"
        for _ in range(100_000):
            yield b"x" * 1000

    def broken():
        yield b"text,answer\n"
        seen.set()
        raise ConnectionError

    with served(app) as address, httpx2.Client(base_url=address, headers=key) as client:
        answer = None
        try:
            answer = client.post(PATH, params={"name": "a.csv"}, content=endless())
        except httpx2.TransportError:  # the server has closed while the client still sends
            pass
        assert answer is None or answer.status_code == 413
        with pytest.raises(ConnectionError):
            client.post(PATH, params={"name": "a.csv"}, content=broken())
        assert seen.is_set()
        good = client.post(PATH, params={"name": "a.csv"}, content=iter([TABLE.encode()]))
        assert good.status_code == 201
    assert len(files_in(tmp_path, "datasets")) == 1 and files_in(tmp_path, "new") == []


def test_a_text_that_looks_like_a_formula_is_a_text(client, key):
    row = {"prompt": "=cmd|' /C calc'!A0", "completion": "@SUM(1)"}
    line = json.dumps(row) + "\n"
    record = send(client, key, line, "rows.jsonl").json()
    assert client.get(f"{PATH}/{record['id']}", headers=key).json()["first_rows"] == [row]
