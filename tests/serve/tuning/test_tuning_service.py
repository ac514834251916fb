"""`hclx serve --tuning_dir` as an administrator starts it, with real runs of tuning."""

import functools
import json
import signal
from pathlib import Path

import httpx2
import pytest

pytest.importorskip("sqlalchemy")
pytest.importorskip("python_multipart")

from tests.helpers.commands import launch, refused
from tests.helpers.postgres_server import postgres_server
from tests.helpers.served_command import serving
from tests.helpers.tuning_runs import labelled_rows, write_base, write_prompt, write_rows
from tests.helpers.tuning_service import until
from tests.serve.tuning.test_tuning_process import is_alive

# that a run of a few steps may take where much else runs
eventually = functools.partial(until, seconds=400, pause=0.5)
SETTINGS = {
    "TrainConfig.total_steps": 6,
    "TrainConfig.global_batch_size": 2,
    "TrainConfig.sequence_length": 64,
    "TrainConfig.log_every": 1,
    "TrainConfig.eval_every": 2,
    "TrainConfig.checkpoint_every": 2,
    "OptimizerConfig.learning_rate": 0.05,
}


@pytest.fixture(scope="module")
def base(tmp_path_factory, tokenizer_dirs):
    return write_base(tmp_path_factory.mktemp("tuned") / "base", tokenizer_dirs["plain"])


def new_key(store, tenant="ours", scopes="inference,tuning"):
    options = (f"--store={store}", f"--name={tenant}", f"--tenant={tenant}", f"--scopes={scopes}")
    return launch("keys.py", "create", *options).stdout.strip()


def options_of(base, store, tmp_path):
    tuning = f"--tuning_dir={tmp_path / 'tuning'}"
    return f"--model_dir={base}", "--dtype=float32", f"--store={store}", tuning


def client_of(address, key):
    headers = {"Authorization": f"Bearer {key}"}
    return httpx2.Client(base_url=address, headers=headers, timeout=120)


def add_job(client, tmp_path, rows=None, **fields):
    path = write_rows(tmp_path / "rows.jsonl", rows or labelled_rows())
    data = client.post("/hclx/v1/datasets?name=rows.jsonl", content=path.read_bytes()).json()
    prompt = json.loads(write_prompt(tmp_path / "prompt.json").read_text())
    body = {"name": "taste", "dataset": data["id"], "prompt": prompt, "settings": SETTINGS}
    answer = client.post("/hclx/v1/tuning/jobs", json={**body, **fields})
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


def job_of(client, job):
    return client.get(f"/hclx/v1/tuning/jobs/{job}").json()


def ended(client, *jobs):
    eventually(lambda: all(job_of(client, job)["ended"] for job in jobs))
    return [job_of(client, job) for job in jobs]


def likelihoods(client, model):
    body = {"model": model, "prompt": "글: 국이 맑다\n평: 좋음", "max_tokens": 1, "logprobs": 1}
    answer = client.post("/v1/completions", json={**body, "echo": True, "temperature": 0})
    return answer.json()["choices"][0]["logprobs"]["token_logprobs"][1:]


def test_tuning_needs_a_store_and_a_model_of_its_own(tmp_path):
    folder = f"--tuning_dir={tmp_path}"
    result = launch("serve.py", "--engine=http://x", "--store=x", folder)
    assert "--tuning_dir needs --store" in refused(result, 64)


@pytest.mark.long
def test_the_whole_way(base, tmp_path):
    store = f"{tmp_path}/keys.db"
    key, options = new_key(store), options_of(base, f"{tmp_path}/keys.db", tmp_path)
    with serving(*options) as (process, address), client_of(address, key) as client:
        jobs = [add_job(client, tmp_path, name=kind, kind=kind) for kind in ("lora", "p_tune")]
        events = client.get(f"/hclx/v1/tuning/jobs/{jobs[0]}/events", timeout=400).text
        assert '"step": 6' in events and "event: end" in events
        for job in ended(client, *jobs):
            assert job["state"] == "succeeded", job
            assert job["step"] == 6 and job["metrics"]["validation_loss"] > 0
        names = [model["id"] for model in client.get("/v1/models").json()["data"]]
        assert names == ["base", "base:lora", "base:p_tune"]
        before = {name: likelihoods(client, name) for name in names}
        assert len({tuple(values) for values in before.values()}) == 3
    assert process.returncode == 0 and "Traceback" not in process.error, process.error
    with serving(*options) as (_, address), client_of(address, key) as client:
        after = {name: likelihoods(client, name) for name in names}
        assert after == {name: pytest.approx(values, abs=1e-4) for name, values in before.items()}
        few = {"TuneConfig.patience": 2, "DataConfig.validation_permille": 1}
        broken = add_job(client, tmp_path, name="broken", settings={**SETTINGS, **few})
        (failed,) = ended(client, broken)
        assert failed["state"] == "failed" and "none are held out" in failed["error"]
        assert "Traceback" not in failed["error"]


@pytest.mark.long
def test_a_job_outlives_the_server_that_is_killed_and_leaves_no_orphan(base, tmp_path):
    store = f"{tmp_path}/keys.db"
    key, options = new_key(store), options_of(base, store, tmp_path)
    settings = {**SETTINGS, "TrainConfig.total_steps": 400}
    with serving(*options) as (process, address), client_of(address, key) as client:
        job = add_job(client, tmp_path, settings=settings)
        eventually(lambda: job_of(client, job)["step"] >= 4)
        (child,) = children_of(process.pid)
        process.send_signal(signal.SIGKILL)
        eventually(lambda: not is_alive(child))
    with serving(*options) as (process, address), client_of(address, key) as client:
        reached = job_of(client, job)["step"]
        assert job_of(client, job)["state"] == "running"
        eventually(lambda: job_of(client, job)["step"] > reached)
        (child,) = children_of(process.pid)
        client.post(f"/hclx/v1/tuning/jobs/{job}/cancel")
        (cancelled,) = ended(client, job)
        assert cancelled["state"] == "cancelled" and not is_alive(child)
        log = (tmp_path / "tuning" / "jobs" / job / "log").read_text()
        assert "resum" in log


def children_of(pid):
    """The processes that any thread of a process has started."""
    files = Path(f"/proc/{pid}/task").glob("*/children")
    return sorted(int(child) for file in files for child in file.read_text().split())


@pytest.mark.long
def test_two_servers_on_one_postgresql_share_jobs_and_models(base, tmp_path):
    with postgres_server() as address:
        store = address.format(name="postgres")
        key, options = new_key(store), options_of(base, store, tmp_path)
        with serving(*options) as (_, first), serving(*options) as (_, second):
            with client_of(first, key) as one_side, client_of(second, key) as other_side:
                settings = {**SETTINGS, "TrainConfig.total_steps": 60}
                jobs = [
                    add_job(one_side, tmp_path, name=f"m{number}", settings=settings)
                    for number in range(2)
                ]
                eventually(
                    lambda: all(job_of(other_side, job)["state"] == "running" for job in jobs)
                )
                for job in ended(other_side, *jobs):
                    assert job["state"] == "succeeded", job
                for client in (one_side, other_side):
                    eventually(lambda: len(client.get("/v1/models").json()["data"]) == 3)
                    assert likelihoods(client, "base:m0") != likelihoods(client, "base")
                values = [likelihoods(c, "base:m1") for c in (one_side, other_side)]
                assert values[0] == pytest.approx(values[1], abs=1e-4)
                one_side.delete(f"/hclx/v1/artefacts/{jobs[0]}")
                eventually(lambda: len(other_side.get("/v1/models").json()["data"]) == 2)
