"""Data sets, jobs and artefacts in the store: whose they are, and which server has a job."""

import dataclasses
import subprocess
import sys

import pytest

from hclx.serve.store.artefact_records import (
    ArtefactRecord,
    add_artefact,
    find_artefact,
    list_artefacts,
    remove_artefact,
)
from hclx.serve.store.dataset_records import (
    DatasetRecord,
    add_dataset,
    find_dataset,
    list_datasets,
    remove_dataset,
)
from hclx.serve.store.job_records import (
    MOST_LOST,
    JobRecord,
    add_job,
    beat,
    cancel_job,
    claim_job,
    end_job,
    find_job,
    give_back,
    list_jobs,
    new_job_id,
)
from hclx.serve.store.key_records import create_key
from hclx.serve.store.tuning_errors import InUseError, NameTakenError, TooManyError
from tests.helpers.commands import environment

NOW = 1_000_000


@pytest.fixture
def key(database):
    return create_key(database, "first", NOW, tenant="ours")[1]


def dataset_of(key, number=1, **fields):
    columns = ("prompt", "completion")
    plain = DatasetRecord(
        f"ds-{number}", key.id, key.tenant, "글.csv", ".csv", columns, 3, 9, "ab", NOW + number
    )
    return dataclasses.replace(plain, **fields)


def job_of(key, number=1, **fields):
    plain = JobRecord(
        *(f"ft-{number}", key.id, key.tenant, f"taste{number}", "lora", "base", "ds-1", None),
        *({"settings": {"TuneConfig.rank": 4}}, 10, NOW + number),
    )
    return dataclasses.replace(plain, **fields)


def artefact_of(key, number=1, **fields):
    plain = ArtefactRecord(
        *(f"ft-{number}", key.id, key.tenant, f"taste{number}", "lora", "base", True, 5, "ff"),
        *({"validation_loss": 1.5}, NOW + number),
    )
    return dataclasses.replace(plain, **fields)


def test_a_data_set_is_its_tenants_and_its_file_goes_with_the_last_of_its_content(database, key):
    files, first, second = [], dataset_of(key), dataset_of(key, 2)
    for record in (first, second):
        add_dataset(database, record, 2, lambda: files.append("stored"))
    assert list_datasets(database, "ours") == list_datasets(database, None) == [first, second]
    assert list_datasets(database, "others") == []
    assert find_dataset(database, "ds-1", "ours") == first
    assert find_dataset(database, "ds-1", "others") is None
    with pytest.raises(TooManyError, match="2 data sets already"):
        add_dataset(database, dataset_of(key, 3), 2, lambda: files.append("never"))
    remove_dataset(database, first, lambda: files.append("early"))
    remove_dataset(database, second, lambda: files.append("removed"))
    assert files == ["stored", "stored", "removed"]


def test_a_data_set_stays_while_a_job_needs_it(database, key):
    record = dataset_of(key)
    add_dataset(database, record, 9, lambda: None)
    add_job(database, job_of(key), 9)
    with pytest.raises(InUseError, match="the job ft-1 uses ds-1"):
        remove_dataset(database, record, lambda: pytest.fail("the file is in use"))
    cancel_job(database, "ft-1", "ours", NOW)
    remove_dataset(database, record, lambda: None)


def test_jobs_run_in_their_order_at_servers_of_their_base(database, key):
    for number in (1, 2):
        add_job(database, job_of(key, number), 9)
    add_job(database, job_of(key, 3, base="other"), 9)
    assert claim_job(database, "a", "other", NOW, 30).id == "ft-3"
    first = claim_job(database, "a", "base", NOW + 5, 30)
    assert (first.id, first.state, first.started, first.runner) == ("ft-1", "running", NOW + 5, "a")
    assert first.options == {"settings": {"TuneConfig.rank": 4}}
    assert claim_job(database, "b", "base", NOW + 6, 30).id == "ft-2"
    assert claim_job(database, "b", "base", NOW + 7, 30) is None
    assert beat(database, "ft-1", "a", NOW + 8, 4, {"loss": 2.5}).step == 4
    assert beat(database, "ft-1", "b", NOW + 8, 9, {}) is None
    end_job(database, "ft-1", "a", "failed", NOW + 9, "no room")
    job = find_job(database, "ft-1", "ours")
    assert (job.state, job.ended, job.error) == ("failed", NOW + 9, "no room")
    assert (job.step, job.metrics) == (4, {"loss": 2.5})
    assert [job.id for job in list_jobs(database, "ours")] == ["ft-3", "ft-2", "ft-1"]
    assert find_job(database, "ft-1", "others") is None and list_jobs(database, "others") == []


def test_jobs_of_one_second_run_in_their_order(database, key):
    ids = [new_job_id(NOW + 0.9 + number / 1000) for number in range(9)]
    assert len({*ids}) == 9
    for job_id in (*ids[5:], *ids[:5]):
        add_job(database, job_of(key, id=job_id, name=job_id), 9)
    assert [job.id for job in list_jobs(database, "ours")] == ids[::-1]
    assert [claim_job(database, "a", "base", NOW, 30).id for _ in ids] == ids


def test_a_job_whose_server_is_gone_goes_on_elsewhere_until_that_was_too_often(database, key):
    add_job(database, job_of(key), 9)
    for number in range(MOST_LOST):
        begin = NOW + 100 * number
        assert claim_job(database, f"server {number}", "base", begin, 30).lost == number
        beat(database, "ft-1", f"server {number}", begin + 9, number, {})
        assert claim_job(database, "other", "base", begin + 39, 30) is None  # it may be alive
    assert claim_job(database, "other", "base", NOW + 1000, 30) is None
    job = find_job(database, "ft-1")
    assert (job.state, job.step) == ("interrupted", MOST_LOST - 1) and "3 times" in job.error
    assert beat(database, "ft-1", "server 2", NOW + 1001, 8, {}) is None


def test_a_server_that_ends_gives_its_job_back(database, key):
    add_job(database, job_of(key), 9)
    claim_job(database, "a", "base", NOW, 30)
    give_back(database, "ft-1", "a", "the server ends")
    job = claim_job(database, "b", "base", NOW + 1, 30)
    assert (job.id, job.lost, job.started, job.error) == ("ft-1", 0, NOW, None)


def test_a_job_is_cancelled_at_once_or_by_its_server(database, key):
    for number in (1, 2):
        add_job(database, job_of(key, number), 9)
    claim_job(database, "a", "base", NOW, 30)
    assert cancel_job(database, "ft-1", "others", NOW) is None
    running, waiting = (cancel_job(database, f"ft-{n}", "ours", NOW + 3) for n in (1, 2))
    assert (running.state, running.is_cancelled) == ("running", True)
    assert (waiting.state, waiting.ended) == ("cancelled", NOW + 3)
    assert beat(database, "ft-1", "a", NOW + 4, 1, {}).is_cancelled
    end_job(database, "ft-1", "a", "cancelled", NOW + 5)
    assert cancel_job(database, "ft-1", "ours", NOW + 6).ended == NOW + 5


def test_a_job_that_was_cancelled_at_a_server_that_is_gone_has_ended(database, key):
    add_job(database, job_of(key), 9)
    claim_job(database, "a", "base", NOW, 30)
    cancel_job(database, "ft-1", "ours", NOW)
    assert claim_job(database, "b", "base", NOW + 100, 30) is None
    assert find_job(database, "ft-1").state == "cancelled"


def test_a_name_is_given_once_a_tenant_and_the_queue_of_a_tenant_ends(database, key):
    add_job(database, job_of(key), 2)
    with pytest.raises(NameTakenError, match="taste1"):
        add_job(database, job_of(key, 2, name="taste1"), 2)
    add_job(database, job_of(key, 3, name="taste1", tenant="others"), 2)
    add_job(database, job_of(key, 4), 2)
    with pytest.raises(TooManyError, match="2 jobs have not ended"):
        add_job(database, job_of(key, 5), 2)
    cancel_job(database, "ft-1", "ours", NOW)
    add_artefact(database, artefact_of(key), lambda: None)
    with pytest.raises(NameTakenError, match="taste1"):
        add_job(database, job_of(key, 6, name="taste1"), 2)


def test_an_artefact_is_its_tenants_and_is_written_once(database, key):
    files, first, second = [], artefact_of(key), artefact_of(key, 2, base="other")
    for record in (first, second, first):
        add_artefact(database, record, lambda: files.append("stored"))
    assert list_artefacts(database, "ours") == [first, second]
    assert list_artefacts(database, None, "other") == [second]
    assert list_artefacts(database, "others") == []
    assert find_artefact(database, "ft-1", "others") is None
    assert find_artefact(database, "ft-1", None) == first
    remove_artefact(database, first, lambda: files.append("early"))
    remove_artefact(database, second, lambda: files.append("removed"))
    assert files == ["stored"] * 3 + ["removed"]


_CLAIM = """
import sys
from hclx.serve.store.database import open_database
from hclx.serve.store.job_records import claim_job
url, name = sys.argv[1:]
with open_database(url) as database:
    print("ready", flush=True)
    sys.stdin.readline()
    while job := claim_job(database, name, "base", 1_000_000, 30):
        print(job.id, flush=True)
"""


def test_servers_that_claim_at_once_share_the_queue(database, url, key):
    for number in range(40):
        add_job(database, job_of(key, 10 + number), 99)
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    servers = [
        subprocess.Popen([sys.executable, "-c", _CLAIM, url, name], env=environment(), **pipes)
        for name in ("a", "b")
    ]
    for server in servers:
        assert server.stdout.readline() == "ready\n"
    for server in servers:
        print(file=server.stdin, flush=True)
    outputs = [server.communicate(timeout=60)[0].split() for server in servers]
    assert sorted(sum(outputs, [])) == [f"ft-{10 + number}" for number in range(40)]
