"""kill -9 of a server at random moments under load, and a start again: keys, quotas, records of
usage, data sets and artefacts are as clients have seen them; jobs of tuning go on, or say why not.
"""

import contextlib
import json
import random
import threading
import time
import urllib.error
import urllib.request

import pytest

pytest.importorskip("sqlalchemy")

from hclx.serve.store.database import open_database
from hclx.serve.store.key_records import Limits, create_key, list_keys
from hclx.serve.store.tables import quota_windows, reservations, usage
from tests.helpers.postgres_server import postgres_server
from tests.helpers.served_command import serving
from tests.helpers.tuning_runs import write_base

N_CLIENTS = 6
LIMITS = Limits(requests_per_day=10**6, tokens_per_day=10**9)


class Load:
    """Clients that ask until the server is gone, and note what they were answered."""

    def __init__(self, address, secrets):
        self.answers, self._address, self._is_over = [], address, threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(secret, number))
            for number, secret in enumerate(secrets)
        ]
        for thread in self._threads:
            thread.start()

    def _run(self, secret, number):
        draw = random.Random(number)
        while not self._is_over.is_set():
            body = {"model": "base", "prompt": "오늘은 " * draw.randrange(1, 5)}
            body |= {"max_tokens": draw.randrange(1, 9), "n": draw.randrange(1, 3)}
            request = urllib.request.Request(
                f"{self._address}/v1/completions",
                json.dumps(body).encode(),
                {"Authorization": f"Bearer {secret}"},
            )
            with contextlib.suppress(OSError, ValueError, urllib.error.URLError):
                with urllib.request.urlopen(request, timeout=60) as answer:
                    spent = json.loads(answer.read())["usage"]
                    self.answers.append((secret, spent["total_tokens"]))

    def end(self):
        self._is_over.set()
        for thread in self._threads:
            thread.join(120)
            assert not thread.is_alive()


@pytest.fixture(scope="module")
def base(tmp_path_factory, tokenizer_dirs):
    folder = tmp_path_factory.mktemp("served") / "base"
    write_base(folder, tokenizer_dirs["train"])
    return folder


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, tmp_path):
    with contextlib.ExitStack() as stack:
        if request.param == "sqlite":
            yield f"sqlite:///{tmp_path}/keys.db"
        else:
            yield stack.enter_context(postgres_server()).format(name="postgres")


def records(url):
    """The rows of the tables that count, once the store was found whole."""
    with open_database(url, makes=False) as database, database.reading() as connection:
        if url.startswith("sqlite"):
            assert connection.exec_driver_sql("PRAGMA integrity_check").scalar() == "ok"
        return [
            connection.execute(table.select()).all()
            for table in (usage, reservations, quota_windows)
        ]


def check(url, keys, answers):
    """The store has counted every answer, and its quotas are the sum of its records."""
    finished, reserved, windows = records(url)
    with open_database(url, makes=False) as database:
        assert {key.id for key in list_keys(database)} == set(keys.values())
    for secret, key in keys.items():
        spent = [r.prompt_tokens + r.completion_tokens for r in finished if r.key_id == key]
        seen = [tokens for other, tokens in answers if other == secret]
        assert sum(spent) >= sum(seen) and len(spent) >= len(seen)
        held = [r.tokens for r in reserved if r.key_id == key]
        days = [window for window in windows if (window.key_id, window.seconds) == (key, 86_400)]
        assert sum(window.tokens for window in days) == sum(spent) + sum(held)
        assert sum(window.requests for window in days) == len(spent) + len(held)


class Tuner:
    """A client that keeps a job of tuning going, and knows what there was before the last kill."""

    def __init__(self, secret):
        self._secret, self._dataset, self._artefacts, self.jobs = secret, None, set(), {}

    def _asked(self, address, path, data=None, kind="application/json"):
        headers = {"Authorization": f"Bearer {self._secret}", "Content-Type": kind}
        request = urllib.request.Request(f"{address}/hclx/v1/{path}", data, headers)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.loads(answer.read())

    def check(self, address):
        """Everything is there, and a job that does not run says why; begins one if none does."""
        if self._dataset is None:
            rows = "prompt,completion\n" + "".join(f"말 {n},답 {n % 2}\n" for n in range(40))
            self._dataset = self._asked(
                address, "datasets?name=rows.csv", rows.encode(), "text/csv"
            )
        described = self._asked(address, f"datasets/{self._dataset['id']}")
        assert described["sha256"] == self._dataset["sha256"] and described["rows"] == 40
        artefacts = {each["id"] for each in self._asked(address, "artefacts")["data"]}
        assert artefacts >= self._artefacts
        self._artefacts = artefacts
        jobs = {job["id"]: job for job in self._asked(address, "tuning/jobs")["data"]}
        assert jobs.keys() >= self.jobs.keys()
        for job in jobs.values():
            assert job["state"] in ("queued", "running", "succeeded", "interrupted"), job
            assert job["error"] or job["state"] != "interrupted"
            assert job["id"] in artefacts or job["state"] != "succeeded"
        if all(job["state"] in ("succeeded", "interrupted") for job in jobs.values()):
            asked = {"name": f"job{len(jobs)}", "dataset": self._dataset["id"], "epochs": 2}
            made = self._asked(address, "tuning/jobs", json.dumps(asked).encode())
            jobs[made["id"]] = made
        self.jobs = jobs


def run_and_kill(base, url, keys, n_kills, draw, tuner=None, tuning_dir=None):
    answers = []
    for _ in range(n_kills):
        options = [f"--model_dir={base}", f"--store={url}", "--dtype=float32"]
        options += [f"--tuning_dir={tuning_dir}"] if tuner else []
        with serving(*options) as (process, address):
            if tuner:
                tuner.check(address)
            load = Load(address, (list(keys) * N_CLIENTS)[:N_CLIENTS])
            try:
                until = time.monotonic() + 60
                while not load.answers and time.monotonic() < until:
                    time.sleep(0.01)
                time.sleep(draw.uniform(0, 1.5))
                process.kill()
                process.wait()
            finally:
                load.end()
        assert load.answers, process.error
        answers += load.answers
        check(url, keys, answers)
    return answers


def make_keys(url):
    """Two keys that ask and tune: secret -> id."""
    scopes = ("inference", "tuning")
    with open_database(url) as database:
        made = [
            create_key(database, f"key {n}", time.time(), scopes=scopes, limits=LIMITS)
            for n in range(2)
        ]
    return {secret: record.id for secret, record in made}


def test_what_was_counted_survives(base, url):
    answers = run_and_kill(base, url, make_keys(url), 2, random.Random(7))
    assert len(answers) >= 2


@pytest.mark.long
def test_everything_survives_twenty_five_kills(base, url, tmp_path):
    keys = make_keys(url)
    tuner = Tuner(next(iter(keys)))
    folder = tmp_path / "tuning"
    answers = run_and_kill(base, url, keys, 25, random.Random(8), tuner, folder)
    assert len(answers) >= 25 and tuner.jobs
